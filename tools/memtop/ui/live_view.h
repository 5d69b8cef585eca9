/* The live view: a loop of tick, draw, key.  The terminal is open already. */
#ifndef MEMTOP_LIVE_VIEW_H
#define MEMTOP_LIVE_VIEW_H

#include "keys.h"
#include "view_state.h"
#include "target/discover.h"

enum live_end { LIVE_QUIT, LIVE_BACK, LIVE_FAILED };

/* Watches one target until the user leaves.  `back`: q and esc lead back to a list.  LIVE_FAILED
 * with one line in `error`. */
enum live_end live_watch(const struct target *target, const struct view_options *options, bool back,
                         char error[VIEW_ERROR_SIZE]);

/* The parts that the log view shares. */
struct view_state live_state(const struct view_options *options);
/* What means the same everywhere: span, interval, charset, help, pause.  True if it was that. */
bool live_common_key(struct view_state *state, enum charset *charset, enum key_action action,
                     int64_t now_ns);

#endif
