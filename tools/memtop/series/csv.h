/* Figures as lines of CSV, for spreadsheets and awk: the members of JSON objects that are no lists
 * and no objects, under their own names, which have units.  Fields are quoted as in RFC 4180; what
 * is not known is empty; lines end with a newline alone. */
#ifndef MEMTOP_CSV_H
#define MEMTOP_CSV_H

#include <jansson.h>
#include <stdio.h>

struct csv {
    json_t *columns; /* an array of names; NULL: none yet */
};

/* Prints the line of names: the members of `example`, but for those in `left_out` (NULL at its end;
 * may be NULL).  Releases the example. */
void csv_begin(struct csv *csv, FILE *out, json_t *example, const char *const *left_out);
/* Prints the object's members that are columns, and releases it. */
void csv_row(const struct csv *csv, FILE *out, json_t *object);
void csv_end(struct csv *csv);

#endif
