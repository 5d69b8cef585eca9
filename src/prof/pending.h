/* Frees that could not be recorded at once: a signal handler frees while the tables are locked,
 * perhaps by the very thread that it has interrupted.  They wait here for whoever holds the lock.
 * Lock-free and safe in a signal handler; grows by a page of our own. */
#ifndef PROF_PENDING_H
#define PROF_PENDING_H

#include <stdbool.h>
#include <stdint.h>

/* `what` is not 0.  False: no memory. */
bool pending_add(uint64_t what);
/* Whether any have been added since all were taken. */
bool pending_any(void);
/* Takes all out that pending_add has returned for; by one thread at a time. */
void pending_take(void (*fn)(uint64_t what));

#endif
