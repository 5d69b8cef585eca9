/* The JSON Schema (draft 2020-12) of all that memtop prints in JSON. */
#ifndef MEMTOP_SCHEMA_H
#define MEMTOP_SCHEMA_H

#include <jansson.h>

/* One definition a type, and an object is one of those that have a `type`.  The caller's.  Members
 * that it does not name are allowed, as within a version they are added. */
json_t *schema_json(void);

#endif
