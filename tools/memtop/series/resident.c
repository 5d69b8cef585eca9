#include "resident.h"

#include "target/ask.h"
#include "target/process.h"
#include "view/plumbing.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVERY_NS INT64_C(5000000000)
#define SHARE 100 /* of the time, one in so many */
#define FIRST_WAIT_NS INT64_C(200000000)
#define ANSWER_NS INT64_C(1000000000)

/* When the process last said what its allocator has, as it lies in the segment now. */
static uint64_t answered_ns(const struct source *source)
{
    struct snapshot snap;
    if (snapshot_read(&snap, &source->file, SNAPSHOT_RANGES, NULL))
        return 0;
    uint64_t read_ns = snap.header.allocator.read_ns;
    snapshot_fini(&snap);
    return read_ns;
}

void resident_ask(struct resident *resident, const struct source *source)
{
    int64_t now = monotonic_ns();
    if (source->state != SOURCE_LIVE || resident->asked_ns || now < resident->next_ns)
        return;
    bool first = resident->next_ns == 0;
    resident->asked_ns = now;
    resident->answered_ns = answered_ns(source);
    if (ask_allocator(source) || source->stopped)
        resident->asked_ns -= ANSWER_NS; /* there will be no answer */
    else
        while (first && answered_ns(source) == resident->answered_ns &&
               monotonic_ns() - now < FIRST_WAIT_NS)
            nanosleep(&(struct timespec){0, 2000000}, NULL);
    if (first)
        resident->asked_ns -= ANSWER_NS;
}

/* The code that called mmap: the innermost address of the stack. */
static uint64_t caller_of(const struct snapshot *snap, const struct md_bucket *bucket)
{
    const struct md_stack *stack = snapshot_stack(snap, bucket->stack);
    return stack && stack->depth ? stack->pc[0] : 0;
}

/* Python maps its arenas in one place, each of the same size (1 MiB, and 256 KiB before 3.10), and
 * little else.  By the sizes, as the function has no symbol in most installations. */
static bool is_pymalloc(const struct snapshot *snap, const struct md_bucket *bucket)
{
    const struct md_stack *stack = snapshot_stack(snap, bucket->stack);
    uint64_t calls = bucket->value[MD_MMAP_CALLS], bytes = bucket->value[MD_MMAP_BYTES];
    const struct md_module *module =
        stack && stack->depth ? snapshot_module(snap, stack->pc[0] - 1, stack->epoch) : NULL;
    if (!module || (bytes != calls << 20 && bytes != calls << 18))
        return false;
    const char *name = plumbing_base_name(module->path);
    return strncmp(name, "python", 6) == 0 || strncmp(name, "libpython", 9) == 0;
}

/* Finds the caller with most of the anonymous part.  Of all buckets only those that have some of it
 * are compared by pairs: tens. */
static void find_greatest(struct resident *resident, const struct snapshot *snap,
                          int64_t *by_bucket)
{
    for (size_t i = 0; i < snap->bucket_count; i++) {
        uint64_t caller = by_bucket[i] > 0 ? caller_of(snap, &snap->buckets[i]) : 0;
        int64_t sum = 0, most = 0, pymalloc = 0;
        uint32_t stack = 0;
        for (size_t k = i; caller && k < snap->bucket_count; k++) {
            const struct md_bucket *bucket = &snap->buckets[k];
            if (by_bucket[k] <= 0 || caller_of(snap, bucket) != caller)
                continue;
            sum += by_bucket[k];
            pymalloc += is_pymalloc(snap, bucket) ? by_bucket[k] : 0;
            if (by_bucket[k] > most) {
                most = by_bucket[k];
                stack = bucket->stack;
            }
            by_bucket[k] = 0;
        }
        if (sum > resident->anonymous_bytes) {
            resident->anonymous_bytes = sum;
            resident->anonymous_stack = stack;
            resident->anonymous_pymalloc = pymalloc > sum / 2;
        }
    }
}

void resident_read(struct resident *resident, const struct source *source)
{
    const struct snapshot *snap = &source->snapshot;
    const struct md_allocator *allocator = &snap->header.allocator;
    int64_t now = monotonic_ns();
    if (source->state != SOURCE_LIVE || !resident->asked_ns)
        return;
    bool answered = allocator->read_ns != resident->answered_ns;
    if (!answered && now - resident->asked_ns < ANSWER_NS)
        return;
    char process[48];
    struct rss_kernel kernel;
    int64_t *by_bucket = calloc(snap->bucket_count + 1, sizeof *by_bucket);
    proc_memory_directory(source->target.pid, process, sizeof process);
    resident->anonymous_bytes = 0;
    if (rss_kernel_read(&kernel, process, snap, by_bucket) == 0) {
        rss_parts_make(&resident->parts, &kernel, snap);
        if (by_bucket)
            find_greatest(resident, snap, by_bucket);
        int64_t pause = kernel.lasted_ns * SHARE;
        resident->next_ns = kernel.taken_ns + (pause > EVERY_NS ? pause : EVERY_NS);
    } else {
        resident->parts = (struct rss_parts){0};
        resident->next_ns = now + EVERY_NS;
    }
    resident->pending = !answered && !(snap->header.flags & MD_FLAG_THREAD);
    resident->asked_ns = 0;
    free(by_bucket);
}
