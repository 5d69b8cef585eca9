/* A target that is being looked at: its segment stays mapped, so that what the process last wrote
 * can still be read after it has ended and removed its file.
 *
 * Polling reads memory and procfs.  It asks nothing of the process. */
#ifndef MEMTOP_SOURCE_H
#define MEMTOP_SOURCE_H

#include "discover.h"
#include "view/symbolize.h"

enum source_state {
    SOURCE_LIVE,
    SOURCE_ENDED,    /* it ran when we opened it, and is gone */
    SOURCE_DEAD,     /* it was dead when we opened it */
    SOURCE_REPLACED, /* it runs, but has another segment now (exec) or none */
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
    long threads;       /* likewise; 0 not known */
    bool stopped;       /* likewise: by a signal or a debugger */
    uint64_t torn;      /* records that could not be read whole, so far */
    int64_t checked_ns; /* when the mapping was last compared with the process's */
};

/* 0 or an errno value with one line in `error`. */
int source_open(struct source *source, const struct target *target, char error[VIEW_ERROR_SIZE]);
void source_close(struct source *source);
/* Takes a new snapshot (SNAPSHOT_*).  The old one stays if that fails. */
int source_poll(struct source *source, unsigned what, char error[VIEW_ERROR_SIZE]);

/* Where names of the source's process are found; `root` is room that the answer may point to. */
#define SOURCE_ROOT_SIZE 32
struct symbolizer_options source_symbols(const struct source *source, char root[SOURCE_ROOT_SIZE]);

/* "live", "stopped", "ended", ... */
const char *source_state_name(const struct source *source);
/* Bytes in use now. */
uint64_t header_inuse(const struct md_header *header);
/* A monotonic time of the header as seconds of its process's life; for the dead up to the end. */
double header_uptime(const struct md_header *header, int64_t now_ns, bool live);
int64_t monotonic_ns(void);

#endif
