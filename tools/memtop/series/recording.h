/* Recordings: readings of processes over time in a file.
 *
 * The file is gzip members, one for each flush, so after a crash all is there but the time since
 * the last one.  Inflated it is RECORDING_MAGIC and records, each a kind, a length (both LEB128)
 * and so many bytes; a reader passes over kinds that it does not know, and an unfinished one ends
 * the file.
 *
 *   PROCESS  number, pid, uid, start ticks, name: from here on that number is this process
 *   TICK     ns since the tick before, of CLOCK_MONOTONIC and of CLOCK_REALTIME: begins a tick
 *   STATE    number, enum recording_state, threads, 1 + bytes of RSS or 0
 *   SECTION  number, enum recording_section, words in all, and for each word that has changed: how
 *            many lie between it and the one before, and by how much (zigzag)
 *
 * A section is an array of a snapshot's, as words.  What has not changed costs nothing.
 *
 * Memory: malloc.  Each object is used by one thread. */
#ifndef MEMTOP_RECORDING_H
#define MEMTOP_RECORDING_H

#include "view/snapshot.h"

#include <stdio.h>

#define RECORDING_MAGIC "MDREC\n1\n"
#define RECORDING_PROCESSES_MAX 4096u
#define RECORDING_BYTES_MAX (UINT64_C(512) << 20) /* of all sections of a file, in memory */

enum recording_section {
    RECORDING_HEADER, /* struct md_header without what belongs to requests and to places in a file
                       */
    RECORDING_CYCLES, /* a ring of RECORDING_CYCLES_KEPT: cycle n lies at n % that */
    RECORDING_MODULES,
    RECORDING_STACKS,
    RECORDING_BUCKETS,
    RECORDING_SAMPLES, /* those that the last cycle did not reach */
    RECORDING_UNSAMPLED,
    RECORDING_SECTIONS
};
#define RECORDING_CYCLES_KEPT 64u

enum recording_state { RECORDING_LIVE, RECORDING_STOPPED, RECORDING_ENDED, RECORDING_STATES };

struct recording_words {
    uint64_t *word;
    size_t count, room;
};

/* A process as it was at a tick. */
struct recording_process {
    uint32_t pid, uid;
    uint64_t start_ticks;
    char name[32];
    enum recording_state state;
    uint64_t threads;
    bool rss_known;
    uint64_t rss_bytes;
    struct recording_words section[RECORDING_SECTIONS];
};

/* ---- writing ---- */

struct recorder {
    FILE *file;
    struct recording_process *process;
    size_t count, room;
    int64_t time_ns, realtime_ns; /* of the last tick */
    uint8_t *bytes;               /* since the last flush */
    size_t size, bytes_room;
    bool failed; /* no memory */
};

void recorder_init(struct recorder *r, FILE *file);
void recorder_tick(struct recorder *r, int64_t time_ns, int64_t realtime_ns);
/* What a process is at this tick: its state and the sections of its snapshot that it holds, but for
 * the call sites if not `sites`.  `number` is what recorder_add has given it. */
struct recording_reading {
    enum recording_state state;
    uint64_t threads;
    bool rss_known;
    uint64_t rss_bytes;
    const struct snapshot *snapshot;
    bool sites;
};
size_t recorder_add(struct recorder *r, uint32_t pid, uint32_t uid, uint64_t start_ticks,
                    const char *name);
void recorder_read(struct recorder *r, size_t number, const struct recording_reading *reading);
/* Writes what has come since the last one, as a gzip member.  False: it could not, or some of it is
 * missing for want of memory; errno says why. */
bool recorder_flush(struct recorder *r);
void recorder_fini(struct recorder *r); /* leaves the file open */

/* ---- reading ---- */

struct recording {
    struct recording_process *process;
    size_t count, room;
    int64_t time_ns, realtime_ns; /* of the tick */
    uint64_t ticks;               /* read so far */
    bool cut;                     /* the file ends in the middle of something */
    /* Private. */
    void *file; /* gzFile */
    uint8_t *record;
    size_t record_room;
    uint64_t used; /* bytes of sections */
    bool pending;  /* a TICK has been read that is not begun */
    int64_t next_time_ns, next_realtime_ns;
};

/* Takes over the descriptor.  0, or an errno value with one line in `error` (VIEW_ERROR_SIZE);
 * recording_close may follow either way. */
int recording_open(struct recording *r, int fd, const char *name, char *error);
void recording_close(struct recording *r);
/* Goes to the next tick, whose processes are then in `process`; false: there is none, as the file
 * ends, or goes on with what makes no sense, which is `cut`. */
bool recording_next(struct recording *r);

/* A segment in memory that says what the process was at the tick: for snapshot_read.  *bytes is
 * malloc'ed or NULL at first, and grows.  0: nothing is known of it yet, or no memory. */
size_t recording_segment(const struct recording_process *process, uint64_t **bytes, size_t *room);

#endif
