/* The summary of memtop run: what /usr/bin/time -v says, and what memdebug saw. */
#ifndef MEMTOP_SUMMARY_H
#define MEMTOP_SUMMARY_H

#include "series/watch.h"

#include <stdio.h>
#include <sys/resource.h>

struct summary {
    char *const *argument;
    size_t argument_count;
    int status; /* of wait4 */
    const struct rusage *usage;
    double wall_seconds;
    struct watch *watch;  /* NULL: no segment was seen */
    const char *log;      /* the file that the program's output went to, or NULL */
    const char *why_none; /* why there is no segment; "": not known */
};

/* As text, or as one JSON object. */
void summary_print(const struct summary *summary, bool json, FILE *out);

#endif
