/* Names of code that lies in no module: what a JIT compiler has made.
 *
 * It has a name where the process keeps a perf map (perf_map.h) in its own /tmp, under the number
 * that it has in its own PID namespace: node writes one with --perf-basic-prof, java at
 * `jcmd PID Compiler.perfmap`.  The map is believed only if it is a regular file of the process's
 * own user.  It says what lies at an address when it is read.  Where other code lay when a sample
 * was taken, the sample has the wrong name.
 *
 * If code without a name went by its address, one leak would count as many times as its code has
 * copies.  So all of it is one function, JIT_CODE, and all addresses where no code is known to lie
 * are another, JIT_UNKNOWN.
 *
 * Memory: malloc.  Each object is used by one thread at a time. */
#ifndef VIEW_JIT_CODE_H
#define VIEW_JIT_CODE_H

#include "view/object_file.h"

/* Executable memory of a living process that comes from no file. */
#define JIT_CODE "[JIT]"
/* An address in no module of which no more is known: the process is dead, we may not read its maps,
 * or no code lies there. */
#define JIT_UNKNOWN "[unknown]"

struct jit_code;

/* `process` is borrowed.  NULL: no memory. */
struct jit_code *jit_code_create(const struct object_process *process);
void jit_code_destroy(struct jit_code *jit); /* accepts NULL */

/* Whether there is a perf map that may be read. */
bool jit_code_has_map(const struct jit_code *jit);
/* The name of the code at `address`, *length bytes, borrowed until the next call; JIT_CODE or
 * JIT_UNKNOWN if it has none.  An address that the map does not have makes it be read again, at
 * most once a second, as does one that is no code with the process's maps. */
const char *jit_code_find(struct jit_code *jit, uint64_t address, size_t *length);

#endif
