/* Files that are made at build time: text in which some lines stand for what the program's tables
 * say. Such a line is @NAME@ or @NAME ARGUMENT@, and nothing else. */
#ifndef MEMTOP_TEMPLATE_H
#define MEMTOP_TEMPLATE_H

#include <stdbool.h>

struct template_part {
    const char *name; /* NULL ends them */
    /* Prints what comes in the line's place; false: that argument means nothing to it. */
    bool (*print)(const char *argument); /* "" where there is none */
};

/* Fills in standard input to standard output.  The status to exit with, 1 with a line on stderr for
 * a line that no part prints. */
int template_fill(const struct template_part *parts);

#endif
