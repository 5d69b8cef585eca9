/* A process that runs on memdebug and has no segment yet: it is young, small, or a fresh copy of
 * another.  It is waited for by one look at its maps at a time; nothing is asked of it. */
#ifndef MEMTOP_WAIT_H
#define MEMTOP_WAIT_H

#include "view_state.h"
#include "target/discover.h"

enum wait_end {
    WAIT_FOUND, /* `target` is what target_resolve makes of it */
    WAIT_LEFT,  /* the user did not want to wait */
    WAIT_OVER   /* it ended, cannot have a segment, or the time is up: `message` says which */
};

/* How long a script is made to wait. */
#define WAIT_BATCH_SECONDS 5

/* `target` and `message` are those of target_resolve, which has set the pid. */
enum wait_end wait_batch(struct target *target, char message[TARGET_MESSAGE_SIZE]);
/* The same on the open terminal, for as long as it takes; what is over stays to be read. */
enum wait_end wait_live(struct target *target, const struct view_options *options,
                        char message[TARGET_MESSAGE_SIZE]);

#endif
