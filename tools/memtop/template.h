/* Fills in templates at build time: text in which a line @NAME@ or @NAME ARGUMENT@ stands for what
 * the program's tables say. */
#ifndef MEMTOP_TEMPLATE_H
#define MEMTOP_TEMPLATE_H

#include <stdbool.h>

struct template_part {
    const char *name; /* NULL ends the list */
    /* Prints what the line stands for.  False: it has no such argument ("" if there is none). */
    bool (*print)(const char *argument);
};

/* Copies standard input to standard output, filled in.  Returns the exit status; 1, with a line on
 * stderr, if no part prints a line. */
int template_fill(const struct template_part *parts);

#endif
