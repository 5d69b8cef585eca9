/* JSON for programs that read memtop.
 *
 * It is a contract: one object a line, `version` first, snake_case, units in names, null for what
 * is not known.  `version` is that of the object's `type`: keys may be added within it, a key that
 * comes to mean something else, or goes, takes a new one. */
#ifndef MEMTOP_NDJSON_H
#define MEMTOP_NDJSON_H

#include <jansson.h>
#include <stdio.h>

#define NDJSON_VERSION 1 /* of types that have never changed */

/* Writes the object as one line and drops it. */
void ndjson_line(FILE *out, json_t *object);
/* Text of other people: control characters and what is not UTF-8 become ?. */
json_t *ndjson_string(const char *text);
/* A number, null if it is not known. */
json_t *ndjson_number(double value);

#endif
