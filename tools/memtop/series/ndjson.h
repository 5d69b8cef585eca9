/* JSON for programs that read memtop.
 *
 * It is a contract: one object a line, `version` first, snake_case, units in names, null for what
 * is not known.  `version` is that of the object's `type`.  Within one version keys are only added;
 * where a key goes or comes to mean something else, the version grows. */
#ifndef MEMTOP_NDJSON_H
#define MEMTOP_NDJSON_H

#include <jansson.h>
#include <stdio.h>

#define NDJSON_VERSION 1 /* of types that have never changed */

/* Writes the object as one line and releases it.  Writes nothing if it is NULL. */
void ndjson_line(FILE *out, json_t *object);
/* Text that others have made, cleaned (plain_text.h) and cut to 1099 bytes. */
json_t *ndjson_string(const char *text);
/* A number, null if it is not known. */
json_t *ndjson_number(double value);

#endif
