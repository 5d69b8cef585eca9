#include "gc/dirty/dirty_scan.h"

#include "base/os.h"
#include "gc/sys/pagemap.h"
#include "gc/sys/raw.h"

#include <string.h>

#define SLICES 64u
#define SLICE_MIN (UINT64_C(16) << 20)

enum { SEARCH = 1 }; /* the one thing that is asked for */

#define RUNS_BYTES (DIRTY_SCAN_RUNS * sizeof(struct extent))
#define RUNS_USUAL 4096u

/* ---- in either ---- */

/* How far one has come; slices ascend. */
struct place {
    unsigned extent;
    uint64_t before; /* bytes of the extents before it */
};

/* Searches the next slice.  False: none is left. */
static bool search_slice(struct dirty_scan *scan, struct place *place,
                         void (*search)(void *ctx, struct extent extent, uintptr_t start,
                                        uintptr_t end),
                         void *ctx)
{
    uint64_t from = __atomic_fetch_add(&scan->taken, scan->slice, __ATOMIC_RELAXED);
    uint64_t to = MIN(from + scan->slice, scan->total);
    if (from >= scan->total)
        return false;
    for (;;) {
        struct extent extent = scan->heap[place->extent];
        uint64_t size = extent.end - extent.start;
        if (from < place->before + size)
            search(ctx, extent, extent.start + (MAX(from, place->before) - place->before),
                   extent.start + MIN(size, to - place->before));
        if (to <= place->before + size)
            return true;
        place->before += size;
        if (++place->extent >= scan->count) /* changed by threads that have called the stop off */
            return false;
    }
}

/* ---- on the tracer thread ---- */

static void add_run(void *ctx, uintptr_t start, uintptr_t end)
{
    struct dirty_scan *scan = ctx;
    uint32_t n = scan->run_count;
    if (n < scan->most) {
        scan->runs[n] = (struct extent){start, end};
        __atomic_store_n(&scan->run_count, n + 1, __ATOMIC_RELEASE);
    } else {
        if (!scan->missed.end)
            scan->missed.start = start;
        scan->missed.end = end;
    }
}

static void add_runs(void *ctx, struct extent extent, uintptr_t start, uintptr_t end)
{
    struct dirty_scan *scan = ctx;
    (void)extent;
    pagemap_each_dirty_anonymous(start, end, scan->rearm, NULL, add_run, scan);
}

void dirty_scan_help(struct dirty_scan *scan, int64_t end_ns)
{
    uint32_t request = handover_word(&scan->requests);
    if (!handover_wanted(request) || !handover_take(&scan->requests, request))
        return;
    struct place place = {0, 0};
    while (os_now_ns() < end_ns && search_slice(scan, &place, add_runs, scan))
        ;
    handover_answer(&scan->requests, request);
    raw_futex_wake(&scan->requests.answered, 1, 0);
}

void dirty_scan_prepare(struct dirty_scan *scan, uint32_t *bell)
{
    if (!scan->runs && (scan->runs = own_map(RUNS_BYTES)))
        memset(scan->runs, 0, RUNS_USUAL * sizeof *scan->runs); /* not faulted in in a stop */
    scan->helped = scan->runs && os_cpu_count() > 1;
    scan->bell = bell;
    scan->requests = (struct handover){0};
    scan->request = 0;
    scan->most = DIRTY_SCAN_RUNS;
}

/* ---- in the marker ---- */

struct own {
    struct remark *remark;
    bool rearm;
};

static void look_at(void *ctx, struct extent extent, uintptr_t start, uintptr_t end)
{
    struct own *own = ctx;
    remark_extent(own->remark, extent);
    pagemap_each_dirty_anonymous(start, end, own->rearm, remark_armed, remark_pages, own->remark);
}

/* What the tracer has found since the last time: pages in an order of their own. */
struct found {
    struct remark remark;
    unsigned runs, extent;
};

static void look_at_found(struct dirty_scan *scan, struct found *found)
{
    uint32_t count = __atomic_load_n(&scan->run_count, __ATOMIC_ACQUIRE);
    bool anew = true; /* all of these have been armed by now */
    for (; found->runs < count; found->runs++, anew = false) {
        struct extent run = scan->runs[found->runs];
        while (found->extent < scan->count && scan->heap[found->extent].end <= run.start)
            found->extent++;
        if (found->extent == scan->count) /* changed, as in search_slice */
            return;
        if (anew)
            remark_armed(&found->remark);
        remark_extent(&found->remark, scan->heap[found->extent]);
        remark_pages(&found->remark, run.start, run.end);
    }
}

static bool is_answered(const struct dirty_scan *scan)
{
    return handover_answered(&scan->requests) == scan->request;
}

/* Waits for what the tracer has taken; NULL: what it has found does not matter. */
static void await(struct dirty_scan *scan, struct found *found)
{
    for (int i = 0; i < 20000; i++) {
        if (is_answered(scan))
            return;
        if (found)
            look_at_found(scan, found);
        cpu_relax();
    }
    /* The tracer ends with the process only, and then we do. */
    uint32_t seen;
    while ((seen = handover_answered(&scan->requests)) != scan->request)
        raw_futex_wait(&scan->requests.answered, seen, 1000000, 0);
}

/* False: it has taken nothing, and will not any more. */
static bool has_taken(struct dirty_scan *scan)
{
    return scan->request && !handover_withdraw(&scan->requests, scan->request);
}

static void finish_found(struct dirty_scan *scan, struct found *found, struct remark *remark)
{
    look_at_found(scan, found);
    for (unsigned i = 0; i < scan->count && scan->missed.end; i++) {
        remark_extent(&found->remark, scan->heap[i]);
        remark_armed(&found->remark);
        if (scan->missed.start < scan->heap[i].end && scan->heap[i].start < scan->missed.end)
            remark_pages(&found->remark, scan->missed.start, scan->missed.end);
    }
    remark_end(&found->remark);
    remark->bytes += found->remark.bytes;
}

void dirty_scan_offer(struct dirty_scan *scan, const struct extent *heap, unsigned count,
                      bool rearm)
{
    scan->heap = heap;
    scan->count = count;
    scan->rearm = rearm;
    scan->total = scan->taken = 0;
    scan->run_count = 0;
    scan->missed = (struct extent){0, 0};
    for (unsigned i = 0; i < count; i++)
        scan->total += heap[i].end - heap[i].start;
    scan->slice = MAX(SLICE_MIN, scan->total / SLICES) & ~UINT64_C(4095);
    if (scan->total < DIRTY_SCAN_MIN || !scan->helped)
        return;
    scan->request = handover_ask(&scan->requests, SEARCH);
    __atomic_add_fetch(scan->bell, 1, __ATOMIC_RELEASE);
    raw_futex_wake(scan->bell, 1, 0);
}

void dirty_scan_look(struct dirty_scan *scan, struct remark *remark)
{
    struct own own = {remark, scan->rearm};
    struct found found = {.runs = 0};
    struct place place = {0, 0};
    remark_begin(&found.remark, remark->mark);
    do
        look_at_found(scan, &found);
    while (search_slice(scan, &place, look_at, &own));
    if (has_taken(scan)) {
        await(scan, &found);
        finish_found(scan, &found, remark);
    }
    scan->request = 0;
}

void dirty_scan_call_off(struct dirty_scan *scan)
{
    __atomic_store_n(&scan->taken, scan->total, __ATOMIC_RELAXED);
    if (has_taken(scan))
        await(scan, NULL);
    scan->request = 0;
}
