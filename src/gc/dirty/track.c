#include "gc/dirty/track.h"

#include "base/os.h"
#include "gc/roots/barren.h"
#include "gc/roots/roots.h"
#include "gc/sys/pagemap.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"
#include "gc/sys/task.h"
#include "heap/extents.h"
#include "heap/object_map.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>

/* Of newer headers than Debian 12's. */
#define USER_MODE_ONLY 1
#define FEATURE_PAGEFAULT_FLAG_WP (1u << 0)
#define FEATURE_WP_UNPOPULATED (1u << 13)
#define FEATURE_WP_ASYNC (1u << 15)

#define SLICE ((uintptr_t)4 << 20) /* the lock of the address space is held for 0.2 ms */

struct track track;

static int descriptor = -1;
static const char *refusal; /* why not, once it has been asked */

/* ---- may we, and can the kernel ---- */

static int open_descriptor(void)
{
    long fd = RAW3(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | USER_MODE_ONLY, 0, 0);
    if (fd < 0)
        return (int)fd;
    struct uffdio_api api = {
        .api = UFFD_API,
        .features = FEATURE_PAGEFAULT_FLAG_WP | FEATURE_WP_UNPOPULATED | FEATURE_WP_ASYNC,
    };
    long error = RAW3(SYS_ioctl, fd, UFFDIO_API, &api);
    if (error < 0) {
        RAW3(SYS_close, fd, 0, 0);
        return (int)error;
    }
    return (int)fd;
}

static void probe(void *ctx)
{
    int *result = ctx;
    int fd = open_descriptor();
    *result = fd < 0 ? fd : 0;
}

static const char *ask(void)
{
    static struct task task;
    static int result;
    if (pagemap_way != 0)
        return "PAGEMAP_SCAN cannot be had (Linux 6.7, /proc/self/pagemap)";
    result = -EPERM;
    const char *reason = task_start(&task, probe, &result, 0);
    if (!reason)
        reason = task_wait(&task, INT64_C(1000000000));
    if (reason) {
        task_cancel(&task);
        return "userfaultfd may not be asked for (seccomp)";
    }
    return result == -EINVAL   ? "this kernel has no WP_ASYNC (Linux 6.7)"
           : result == -ENOSYS ? "this kernel has no userfaultfd"
           : result < 0        ? "userfaultfd is refused"
                               : NULL;
}

const char *track_open(void)
{
    if (refusal || descriptor >= 0)
        return refusal;
    refusal = ask();
    if (!refusal && !track.ranges && !(track.ranges = own_map(TRACK_RANGES * sizeof *track.ranges)))
        return "no memory for the list of mappings";
    if (!refusal && (descriptor = open_descriptor()) < 0)
        refusal = "userfaultfd is refused";
    return refusal;
}

void track_postfork_child(void)
{
    descriptor = -1;
    refusal = NULL;
    track.count = 0;
    barren_forget();
}

/* ---- what is watched ---- */

static bool watch(uintptr_t start, uintptr_t end)
{
    struct uffdio_register ask = {
        .range = {start, end - start},
        .mode = UFFDIO_REGISTER_MODE_WP,
    };
    return RAW3(SYS_ioctl, descriptor, UFFDIO_REGISTER, &ask) == 0;
}

static bool add(uintptr_t start, uintptr_t end)
{
    if (start >= end)
        return true;
    /* Of what is registered already the kernel does nothing. */
    if (track.count == TRACK_RANGES || !watch(start, end) || !pagemap_arm(start, end, NULL, NULL))
        return false;
    track.ranges[track.count++] = (struct extent){start, end};
    return true;
}

/* A range that is refused is looked at in the stop. */
static void add_root(void *ctx, uintptr_t start, uintptr_t end)
{
    (void)ctx;
    if (end - start < TRACK_MIN || track.count == TRACK_RANGES)
        return;
    /* Where it is registered not all of it is again: a mapping that takes a place in it just now
     * must not be taken for the one that was there (barren.h); pagemap_arm fails then.  The first
     * page tells by whom: where the program tracks writes itself, it is refused. */
    bool known = pagemap_all_tracked(start, end);
    barren_range(start, end, known);
    if (watch(start, known ? start + OS_PAGE : end) &&
        pagemap_arm(start, end, barren_written, NULL))
        track.ranges[track.count++] = (struct extent){start, end};
    else
        barren_written(NULL, start, end);
}

const char *track_arm(void)
{
    track.count = track.first_map = track.first_root = 0;
    for (unsigned i = 0; i < extent_count; i++)
        if (!add(extents[i].start, extents[i].end))
            return "the heap cannot be watched for writes";
    track.first_map = track.count;
    uintptr_t behind = 0;
    for (unsigned i = 0; i < extent_count; i++) {
        /* A page of the map may serve two extents. */
        uintptr_t start = (uintptr_t)object_byte((void *)extents[i].start) & ~(uintptr_t)4095;
        uintptr_t end = ((uintptr_t)object_byte((void *)extents[i].end) + 4095) & ~(uintptr_t)4095;
        start = MAX(start, behind);
        behind = MAX(behind, end);
        if (!add(start, end))
            return "the object map cannot be watched for writes";
    }
    track.first_root = track.count;
    barren_begin();
    return roots_each_lasting(add_root, NULL) ? NULL : "/proc/self/maps cannot be read";
}

/* Fails where something else has been mapped meanwhile: nothing to do there. */
static void disarm(uintptr_t start, uintptr_t end)
{
    struct uffdio_writeprotect ask = {.range = {start, end - start}};
    RAW3(SYS_ioctl, descriptor, UFFDIO_WRITEPROTECT, &ask);
}

/* Ends the registration, which disarms too.  Not every kernel asks whose registration it ends (6.18
 * does), and where roots were something else may have been mapped meanwhile, and registered by the
 * program.  Where the kernel refuses, as it would take a mapping more than there may be, the range
 * is only disarmed. */
static void unwatch(uintptr_t start, uintptr_t end, bool is_root)
{
    struct uffdio_range ask = {start, end - start};
    bool ours = !is_root || pagemap_all_tracked(start, end);
    if (!ours || RAW3(SYS_ioctl, descriptor, UFFDIO_UNREGISTER, &ask) != 0)
        disarm(start, end);
}

/* A run of a range that is done with.  Where it is not all of the range, the rest stays armed, and
 * is good for something only as long as the whole is registered. */
static void let_go(void *ctx, uintptr_t start, uintptr_t end)
{
    const struct extent *range = ctx;
    bool whole = start == range->start && end == range->end;
    bool is_root = range >= track.ranges + track.first_root;
    for (uintptr_t next; start < end; start = next) {
        next = MIN(end, start + SLICE);
        if (whole)
            unwatch(start, next, is_root);
        else
            disarm(start, next);
    }
}

void track_disarm(void)
{
    for (unsigned i = 0; i < track.count; i++) {
        struct extent *range = &track.ranges[i];
        if (i >= track.first_root)
            barren_each_done(range->start, range->end, let_go, range);
        else
            let_go(range, range->start, range->end);
    }
    track.count = 0;
}
