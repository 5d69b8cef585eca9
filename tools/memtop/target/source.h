/* A target that is being watched.  Its segment stays mapped, so what the process last wrote can
 * still be read after it has ended and removed its file.
 *
 * Polling reads memory and procfs, and asks nothing of the process.  One thread. */
#ifndef MEMTOP_SOURCE_H
#define MEMTOP_SOURCE_H

#include "discover.h"
#include "view/symbolize.h"

enum source_state {
    SOURCE_LIVE,
    SOURCE_ENDED,    /* the process ran when we opened it, and is gone */
    SOURCE_DEAD,     /* it was dead when we opened it */
    SOURCE_REPLACED, /* it runs, but has another segment now, or none: by exec */
    SOURCE_UNSEEN    /* it was TARGET_UNSEEN when we opened it */
};

struct source {
    struct target target;
    struct segment_file file;
    enum source_state state;
    struct snapshot snapshot; /* of the last poll; valid if `taken` */
    bool taken;
    bool rss_known;
    uint64_t rss_bytes; /* at the last poll that saw the process */
    long threads;       /* likewise; 0: not known */
    bool stopped;       /* likewise: by a signal or a debugger */
    uint64_t torn;      /* records that could not be read whole, so far */
    int64_t checked_ns; /* when the process's maps were last looked at, monotonic */
    /* NULL, or what a poll calls in place of looking at a process: it sets `file`, which stays its
     * own, and all from `state` to `stopped` but the snapshot, and fed_ns, the time of that.  0, or
     * an errno value with one line in `error`. */
    int (*feed)(struct source *source, char error[VIEW_ERROR_SIZE]);
    void *feeder;
    int64_t fed_ns; /* CLOCK_MONOTONIC of when it was so */
};

/* 0 or an errno value with one line in `error`. */
int source_open(struct source *source, const struct target *target, char error[VIEW_ERROR_SIZE]);
void source_close(struct source *source);
/* Takes a new snapshot of `what` (SNAPSHOT_*).  0, or an errno value with one line in `error`; the
 * old snapshot then stays. */
int source_poll(struct source *source, unsigned what, char error[VIEW_ERROR_SIZE]);

/* Where names of the source's process are found.  The answer may point to `root`. */
#define SOURCE_ROOT_SIZE 32
struct symbolizer_options source_symbols(const struct source *source, char root[SOURCE_ROOT_SIZE]);

/* "live", "stopped", "ended", … */
const char *source_state_name(const struct source *source);
/* Bytes in use. */
uint64_t header_inuse(const struct md_header *header);
/* Seconds since the process's memdebug started: to `now_ns` if live, else to what it last wrote. */
double header_uptime(const struct md_header *header, int64_t now_ns, bool live);
int64_t monotonic_ns(void);
double realtime_seconds(void); /* to the millisecond */
/* From here on the two say this; what is fed is told by its own clock. */
void monotonic_fix(int64_t monotonic, int64_t realtime_ns);
int64_t monotonic_real_ns(void); /* whatever was fixed */

#endif
