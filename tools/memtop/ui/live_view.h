/* The live view: a loop of tick, draw, key.  The terminal is open (term.h). */
#ifndef MEMTOP_LIVE_VIEW_H
#define MEMTOP_LIVE_VIEW_H

#include "keys.h"
#include "view_state.h"
#include "target/discover.h"

struct watch;

enum live_end { LIVE_QUIT, LIVE_BACK, LIVE_FAILED };

/* Watches one target until the user leaves.  `back`: q leads back to a list (LIVE_BACK).
 * LIVE_FAILED, with one line in `error`: it could not be opened. */
enum live_end live_watch(const struct target *target, const struct view_options *options, bool back,
                         char error[VIEW_ERROR_SIZE]);

/* The same of what is being watched already, with a background thread; closes it. */
enum live_end live_show(struct watch *watch, const struct view_options *options, bool back);

/* Shared with the view of logs (cmd_tail.c): the state to begin with, and the actions that mean the
 * same there, which are span, interval, charset, help and pause.  True: it was one of them. */
struct view_state live_state(const struct view_options *options);
bool live_common_key(struct view_state *state, enum charset *charset, enum key_action action,
                     int64_t now_ns);

#endif
