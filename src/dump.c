#include "dump.h"

#include "base/compiler.h"
#include "base/fmt.h"
#include "base/message.h"
#include "base/options.h"
#include "base/os.h"
#include "malloc/account.h"
#include "own_names.h"
#include "prof/peak.h"
#include "segment/segment.h"
#include "view/pprof.h"
#include "view/rss.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESIDENT_SHARE 100 /* of the time, one in so many for reading what is resident */

/* All used on the thread that dumps only, but for the prefix, which is set before threads. */
static char prefix[PATH_MAX];
static uint32_t sequence;
static int64_t next_ns;
static int said_error; /* the errno that was complained about last */
/* A dump by bytes: by all that has been allocated, and by what is in use. */
struct by_bytes {
    uint64_t step; /* the option that `next` was reckoned from; 0: none yet */
    /* Bytes at which it is due; UINT64_MAX: never.  Atomic, as publications read it. */
    uint64_t next;
};
static struct by_bytes by_allocated = {0, UINT64_MAX}, by_peak = {0, UINT64_MAX};
/* The profile at the high-water mark is kept when so much is in use; UINT64_MAX: never.  Atomic. */
static uint64_t keep_at = UINT64_MAX;
static bool keeping, kept; /* heapprofilepeak is set; there is such a profile */
/* From one that is kept to the next the heap grows by a 64th, or as much as a thread keeps back. */
#define KEEP_SHARE 64
#define KEEP_BYTES (UINT64_C(64) << 10)
/* Cause of each dump, by sequence number: what the old ones are called. */
#define KEPT_MAX 4096u
static const char *causes[KEPT_MAX];

/* The option may have changed: the next one is so much above `from` then. */
static void take_step(struct by_bytes *by, uint64_t step, uint64_t from)
{
    if (step == by->step)
        return;
    by->step = step;
    bool off = step == OPTION_OFF || step == 0 || step > UINT64_MAX - from;
    __atomic_store_n(&by->next, off ? UINT64_MAX : from + step, __ATOMIC_RELAXED);
}

static void take_peak_option(void)
{
    uint64_t step = option_number(OPTION_HEAPPROFILEPEAK);
    bool wanted = step != OPTION_OFF && step != 0;
    if (wanted == keeping)
        return;
    keeping = wanted;
    __atomic_store_n(&keep_at, wanted ? 0 : UINT64_MAX, __ATOMIC_RELAXED);
}

void dump_init(void)
{
    take_peak_option();
    fmt_absolute(prefix, sizeof prefix, option_text(OPTION_HEAPPROFILE));
    if (prefix[0]) { /* now: the program may have allocated much before our thread looks */
        take_step(&by_allocated, option_number(OPTION_HEAPPROFILEALLOC), 0);
        take_step(&by_peak, option_number(OPTION_HEAPPROFILEPEAK), 0);
    }
}

static void name_dump(char *path, size_t size, uint32_t seq, const char *cause)
{
    struct fmt f = fmt_on(path, size);
    const struct md_header *who = segment_identity();
    fmt_path(&f, prefix, who->pid, who->name);
    fmt_char(&f, '.');
    fmt_u64(&f, who->pid);
    fmt_char(&f, '.');
    fmt_padded(&f, seq, 4);
    fmt_char(&f, '.');
    fmt_text(&f, cause);
    fmt_text(&f, ".pb.gz");
}

/* What the process's resident memory is made of.  Reading that holds the program's mmap lock now
 * and then, so dumps that follow fast, or take the kernel long, have the figures of one before.
 * They are of about this moment all the same: 1 % of the time. */
static const struct rss_parts *resident(const struct snapshot *snap)
{
    static struct rss_parts parts;
    static int64_t again_ns;
    struct rss_kernel kernel;
    if (parts.taken_ns && os_now_ns() < again_ns)
        return &parts;
    parts.taken_ns = 0;
    if (rss_kernel_read(&kernel, "/proc/thread-self", snap, NULL) == 0) {
        rss_parts_make(&parts, &kernel, snap);
        again_ns = kernel.taken_ns + kernel.lasted_ns * RESIDENT_SHARE;
    }
    return &parts;
}

/* As comments of the profile: bytes of each part, beside those of all. */
static bool add_resident(struct profile *profile, const struct rss_parts *parts)
{
    char text[80];
    if (!parts->taken_ns)
        return true;
    snprintf(text, sizeof text, "memdebug rss=%" PRId64, parts->rss);
    bool done = profile_add_comment(profile, text);
    for (int i = 0; done && i < RSS_PARTS; i++) {
        enum rss_part part = (enum rss_part)i;
        if (rss_knows(parts, part))
            snprintf(text, sizeof text, "memdebug rss_%s=%" PRId64, rss_part_names[i].name,
                     rss_part_bytes(parts, part));
        else
            snprintf(text, sizeof text, "memdebug rss_%s=unknown", rss_part_names[i].name);
        done = profile_add_comment(profile, text);
    }
    return done;
}

static int encode(struct profile *profile, enum md_bucket_kind kind, char *error)
{
    struct snapshot snap;
    segment_identity();
    account_write(own_thread_is(os_gettid()));
    segment_hold(true);
    int result = snapshot_take(&snap, segment_header(), segment_size(),
                               snapshot_of_profile(segment_header(), segment_size()) |
                                   SNAPSHOT_SAMPLES | SNAPSHOT_MAPPINGS | SNAPSHOT_RANGES,
                               error);
    segment_hold(false);
    if (result)
        return result;
    const struct rss_parts *parts = resident(&snap); /* before we take more for the names */
    /* What is counted is published with the next 64 KiB; a dump wants it now. */
    snap.header.counters = *segment_counters();
    struct symbolizer *symbolizer = own_names_create(false);
    struct profile_options how = {.kind = kind, .symbolizer = symbolizer};
    result = profile_from_snapshot(profile, &snap, &how, error);
    symbolizer_destroy(symbolizer);
    if (!result && !add_resident(profile, parts)) {
        profile_fini(profile);
        result = ENOMEM;
    }
    snapshot_fini(&snap);
    return result;
}

static int write_kind(const char *path, enum md_bucket_kind kind)
{
    char temporary[PATH_MAX], error[VIEW_ERROR_SIZE] = "";
    struct fmt f = fmt_on(temporary, sizeof temporary);
    struct profile profile;
    fmt_text(&f, path);
    fmt_text(&f, ".tmp");
    unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno;
    int result = encode(&profile, kind, error);
    if (!result) {
        result = pprof_write(&profile, fd, error);
        profile_fini(&profile);
    }
    if (close(fd) != 0 && !result)
        result = errno;
    if (!result && rename(temporary, path) != 0)
        result = errno;
    if (result)
        unlink(temporary);
    return result;
}

int dump_write_to(const char *path)
{
    return write_kind(path, MD_BUCKET_HEAP);
}

/* No privilege is kept for dumps: each is written with what the program may do by then. */
static void complain(const char *path, int error)
{
    message_refused("heapprofile", path, error,
                    error == EACCES || error == EPERM
                        ? "; give a PREFIX where that one may write (tried again at the next dump)"
                        : " (tried again at the next dump)");
}

static void drop_old(uint32_t newest)
{
    uint64_t keep = option_number(OPTION_HEAPPROFILEKEEP);
    char path[PATH_MAX];
    if (keep == 0 || keep >= KEPT_MAX || newest <= keep)
        return;
    uint32_t old = newest - (uint32_t)keep;
    if (causes[old % KEPT_MAX]) {
        name_dump(path, sizeof path, old, causes[old % KEPT_MAX]);
        unlink(path);
        causes[old % KEPT_MAX] = NULL;
    }
}

static int write_next(const char *cause, enum md_bucket_kind kind)
{
    char path[PATH_MAX];
    if (!prefix[0])
        return ENOENT;
    name_dump(path, sizeof path, sequence + 1, cause);
    int error = write_kind(path, kind);
    if (error) {
        COUNT_ADD(lost_dumps, 1);
        if (said_error != error)
            complain(path, error);
        said_error = error;
        return error;
    }
    said_error = 0;
    sequence++;
    causes[sequence % KEPT_MAX] = cause;
    COUNT_ADD(dumps, 1);
    drop_old(sequence);
    return 0;
}

int dump_write(const char *cause)
{
    return write_next(cause, MD_BUCKET_HEAP);
}

int dump_write_exit(void)
{
    if (kept)
        write_next("exit.peak", MD_BUCKET_PEAK);
    return dump_write("exit");
}

bool dump_asks(uint64_t allocated_bytes, uint64_t in_use_bytes)
{
    return allocated_bytes >= __atomic_load_n(&by_allocated.next, __ATOMIC_RELAXED) ||
           in_use_bytes >= __atomic_load_n(&by_peak.next, __ATOMIC_RELAXED) ||
           in_use_bytes >= __atomic_load_n(&keep_at, __ATOMIC_RELAXED);
}

static void keep_peak(uint64_t in_use)
{
    take_peak_option();
    if (!keeping || in_use < keep_at)
        return;
    __atomic_store_n(&keep_at, in_use + MAX(in_use / KEEP_SHARE, KEEP_BYTES), __ATOMIC_RELAXED);
    peak_keep();
    kept = true;
}

/* However many steps it is by now, one dump. */
static void dump_by_bytes(uint64_t allocated, uint64_t in_use)
{
    const struct md_counters *c = segment_counters();
    uint64_t peak = __atomic_load_n(&c->peak_bytes, __ATOMIC_RELAXED);
    take_step(&by_allocated, option_number(OPTION_HEAPPROFILEALLOC), allocated);
    take_step(&by_peak, option_number(OPTION_HEAPPROFILEPEAK), peak);
    if (allocated >= by_allocated.next) {
        uint64_t steps = (allocated - by_allocated.next) / by_allocated.step + 1;
        __atomic_store_n(&by_allocated.next, by_allocated.next + steps * by_allocated.step,
                         __ATOMIC_RELAXED);
        dump_write("alloc");
    }
    if (in_use >= by_peak.next) {
        __atomic_store_n(&by_peak.next, in_use + by_peak.step, __ATOMIC_RELAXED);
        dump_write("peak");
    }
}

int64_t dump_due(int64_t now_ns, uint64_t allocated_bytes, uint64_t in_use_bytes)
{
    uint64_t interval = option_number(OPTION_HEAPPROFILEINTERVAL);
    keep_peak(in_use_bytes);
    if (!prefix[0])
        return INT64_MAX;
    dump_by_bytes(allocated_bytes, in_use_bytes);
    if (interval == OPTION_OFF || interval == 0)
        return INT64_MAX;
    if (!next_ns)
        next_ns = now_ns + (int64_t)interval;
    if (now_ns >= next_ns) {
        dump_write("interval");
        next_ns = MAX(next_ns + (int64_t)interval, os_now_ns());
    }
    return next_ns;
}

void dump_postfork_child(void)
{
    sequence = 0;
    next_ns = 0;
    memset(causes, 0, sizeof causes);
    by_allocated = by_peak = (struct by_bytes){0, UINT64_MAX}; /* from what was inherited on */
    keep_at = UINT64_MAX;
    keeping = kept = false;
}
