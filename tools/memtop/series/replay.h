/* Feeds a source (target/source.h) from a recording, so that what watches it shows what was, by the
 * recording's own clock.  One thread. */
#ifndef MEMTOP_REPLAY_H
#define MEMTOP_REPLAY_H

#include "recording.h"
#include "target/source.h"

struct replay {
    struct recording recording;
    size_t number; /* of the process in the recording */
    double speed;  /* recorded seconds a second; 0: each poll goes to the next tick */
    bool ended;    /* there is no further tick */
    /* Private. */
    int64_t began_ns, first_ns; /* now, and in the recording, when it began; 0: it has not */
    uint64_t *segment;
    size_t segment_room, segment_size;
};

/* Opens a recording for the process that `text` means, a pid or a name; NULL: the only one there
 * is. 0, or the exit status 1 or 2 with one line in `error`.  replay_close may follow either way.
 */
int replay_open(struct replay *replay, const char *path, const char *text,
                char error[VIEW_ERROR_SIZE]);
void replay_close(struct replay *replay);
/* The source that it feeds.  source_close leaves the replay as it is, and comes before its end. */
struct source replay_source(struct replay *replay);

#endif
