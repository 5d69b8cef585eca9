/* The programs whose gctrace lines are in logs, told apart by log and by pid.  Lines of a Go
 * program name no pid, so each log has one such program at a time.  A cycle number that is 1 again,
 * or another name, begins another program.
 *
 * Memory: malloc.  One thread. */
#ifndef MEMTOP_TRACELOG_H
#define MEMTOP_TRACELOG_H

#include "cycles.h"
#include "history.h"
#include "view/gctrace.h"

#include <stdio.h>

struct log_program {
    const char *log; /* its name, as tracelog.log had it */
    struct trace trace;
    struct history history; /* times are the program's own: ns since its start */
    uint64_t last_number;   /* of its last cycle */
    bool superseded;        /* another one with its pid, or without one as it, has followed */
    size_t run;             /* its number among those, from 1 */
};

struct tracelog {
    struct log_program *program;
    size_t count, capacity;
    uint64_t lines, trace_lines; /* read; understood */
    const char *log;    /* the log that lines are of now, borrowed; told apart by address */
    bool many_logs;     /* programs are named with their logs */
    FILE *records;      /* if not NULL, each cycle is written there as JSON when it comes */
    bool out_of_memory; /* some programs are missing */
};

void tracelog_init(struct tracelog *log);
void tracelog_fini(struct tracelog *log);
/* A logread_line; `context` is the tracelog.  The line may stand behind other text, or in a record
 * of a log of JSON, as a container's or the journal's. */
void tracelog_line(void *context, const char *line, size_t length);
/* Takes in a cycle that was read in this form. */
void tracelog_cycle(struct tracelog *log, enum gctrace_form form, const struct md_cycle *cycle,
                    uint32_t pid, const char *name);
/* "812 redis-server", "Go program 2"; with many logs "Go program, b.log". */
void tracelog_who(const struct tracelog *log, const struct log_program *program, char *buffer,
                  size_t size);
/* One summary of each program, as text or NDJSON. */
void tracelog_report(const struct tracelog *log, bool json, FILE *out);

#endif
