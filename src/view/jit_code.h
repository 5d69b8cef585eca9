/* What code is called that lies in no module: what a JIT compiler has made.
 *
 * It has a name where the process keeps a perf map (perf_map.h) in its own /tmp, under the number
 * that it has in its own PID namespace: node writes one with --perf-basic-prof, java at
 * `jcmd PID Compiler.perfmap`.  The map is believed only as a regular file of the process's own
 * user.  It tells what lies there now: code that has moved since has the name of what came there.
 *
 * Without a name, each address is its own, and one leak would be as many as its code has copies.
 * So all such code is one function, told from addresses that are no code at all.
 *
 * Memory: malloc. */
#ifndef VIEW_JIT_CODE_H
#define VIEW_JIT_CODE_H

#include "view/object_file.h"

/* Memory of a living process that holds code and no file does. */
#define JIT_CODE "[JIT]"
/* In no module, and more is not known: the process is dead, its maps are closed to us, or no code
 * lies there. */
#define JIT_UNKNOWN "[unknown]"

struct jit_code;

/* `place` is borrowed.  NULL: no memory. */
struct jit_code *jit_code_create(const struct object_place *place);
void jit_code_destroy(struct jit_code *jit); /* accepts NULL */

/* Whether there is a perf map that may be read. */
bool jit_code_has_map(const struct jit_code *jit);
/* A name of *length bytes, borrowed until the next call; JIT_CODE or JIT_UNKNOWN if it has none.
 * What the process makes later is seen within a second. */
const char *jit_code_find(struct jit_code *jit, uint64_t address, size_t *length);

#endif
