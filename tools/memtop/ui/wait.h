/* Waits for a process that runs on memdebug and has no segment yet: it is young, has allocated
 * little, or is a forked copy.  Each 0.1 s its maps are looked at; nothing is asked of it. */
#ifndef MEMTOP_WAIT_H
#define MEMTOP_WAIT_H

#include "view_state.h"
#include "target/discover.h"

enum wait_end {
    WAIT_FOUND, /* `target` is as target_resolve has found it */
    WAIT_LEFT,  /* the user has left */
    WAIT_OVER   /* it ended, cannot have a segment, or the time is up: `message` says which */
};

/* How long wait_batch waits. */
#define WAIT_BATCH_SECONDS 5

/* `target` and `message` are those of target_resolve, which has set the pid. */
enum wait_end wait_batch(struct target *target, char message[TARGET_MESSAGE_SIZE]);
/* The same on the open terminal, without a limit.  A message of WAIT_OVER stays until a key. */
enum wait_end wait_live(struct target *target, const struct view_options *options,
                        char message[TARGET_MESSAGE_SIZE]);

#endif
