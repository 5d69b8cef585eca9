#include "gc/scout.h"

#include "base/os.h"
#include "gc/pages.h"
#include "gc/raw.h"

#include <string.h>

#define SLICES 64u
#define SLICE_LEAST (UINT64_C(16) << 20)

enum { IDLE, OFFERED, TAKEN, FOUND };

#define RUNS_BYTES (SCOUT_RUNS * sizeof(struct extent))
#define RUNS_USUAL 4096u

/* ---- in either ---- */

/* How far one has come; slices ascend. */
struct place {
    unsigned extent;
    uint64_t before; /* bytes of the extents before it */
};

/* Searches the next slice.  False: none is left. */
static bool search_slice(struct scout *scout, struct place *place,
                         void (*search)(void *ctx, struct extent extent, uintptr_t start,
                                        uintptr_t end),
                         void *ctx)
{
    uint64_t from = __atomic_fetch_add(&scout->taken, scout->slice, __ATOMIC_RELAXED);
    uint64_t to = MIN(from + scout->slice, scout->total);
    if (from >= scout->total)
        return false;
    for (;;) {
        struct extent extent = scout->heap[place->extent];
        uint64_t size = extent.end - extent.start;
        if (from < place->before + size)
            search(ctx, extent, extent.start + (MAX(from, place->before) - place->before),
                   extent.start + MIN(size, to - place->before));
        if (to <= place->before + size)
            return true;
        place->before += size;
        if (++place->extent >=
            scout->count) /* threads that went on by themselves have changed it */
            return false;
    }
}

/* ---- on the tracer thread ---- */

static void add_run(void *ctx, uintptr_t start, uintptr_t end)
{
    struct scout *scout = ctx;
    uint32_t n = scout->run_count;
    if (start == end)
        return;
    if (n < scout->most) {
        scout->runs[n] = (struct extent){start, end};
        __atomic_store_n(&scout->run_count, n + 1, __ATOMIC_RELEASE);
    } else {
        if (!scout->missed.end)
            scout->missed.start = start;
        scout->missed.end = end;
    }
}

static void add_runs(void *ctx, struct extent extent, uintptr_t start, uintptr_t end)
{
    struct scout *scout = ctx;
    (void)extent;
    pages_each_dirty_anonymous(start, end, scout->rearm, add_run, scout);
}

void scout_help(struct scout *scout, int64_t end_ns)
{
    uint32_t state = OFFERED;
    if (!__atomic_compare_exchange_n(&scout->state, &state, TAKEN, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return;
    struct place place = {0, 0};
    while (os_now_ns() < end_ns && search_slice(scout, &place, add_runs, scout))
        ;
    __atomic_store_n(&scout->state, FOUND, __ATOMIC_RELEASE);
    raw_futex_wake(&scout->state, 1, 0);
}

void scout_prepare(struct scout *scout, uint32_t *bell)
{
    if (!scout->runs && (scout->runs = own_map(RUNS_BYTES)))
        memset(scout->runs, 0, RUNS_USUAL * sizeof *scout->runs); /* not faulted in in a stop */
    scout->helped = scout->runs && os_cpu_count() > 1;
    scout->bell = bell;
    scout->state = IDLE;
    scout->most = SCOUT_RUNS;
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
    pages_each_dirty_anonymous(start, end, own->rearm, remark_pages, own->remark);
}

/* What the tracer has found since the last time: pages in an order of their own. */
struct found {
    struct remark remark;
    unsigned runs, extent;
};

static void look_at_found(struct scout *scout, struct found *found)
{
    uint32_t count = __atomic_load_n(&scout->run_count, __ATOMIC_ACQUIRE);
    bool anew = true; /* all of these have been armed by now */
    for (; found->runs < count; found->runs++, anew = false) {
        struct extent run = scout->runs[found->runs];
        while (scout->heap[found->extent].end <= run.start)
            if (++found->extent >= scout->count)
                return;
        if (anew)
            remark_pages(&found->remark, run.start, run.start);
        remark_extent(&found->remark, scout->heap[found->extent]);
        remark_pages(&found->remark, run.start, run.end);
    }
}

/* Waits for what the tracer has taken; NULL: what it has found does not matter. */
static void await(struct scout *scout, struct found *found)
{
    for (int i = 0; i < 20000; i++) {
        if (__atomic_load_n(&scout->state, __ATOMIC_ACQUIRE) == FOUND)
            return;
        if (found)
            look_at_found(scout, found);
        cpu_relax();
    }
    /* The tracer ends with the process only, and then we do. */
    while (__atomic_load_n(&scout->state, __ATOMIC_ACQUIRE) == TAKEN)
        raw_futex_wait(&scout->state, TAKEN, 1000000, 0);
}

/* False: it has taken nothing, and will not any more. */
static bool has_taken(struct scout *scout)
{
    uint32_t state = OFFERED;
    return !__atomic_compare_exchange_n(&scout->state, &state, IDLE, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE) &&
           state != IDLE;
}

static void finish_found(struct scout *scout, struct found *found, struct remark *remark)
{
    look_at_found(scout, found);
    for (unsigned i = 0; i < scout->count && scout->missed.end; i++) {
        remark_extent(&found->remark, scout->heap[i]);
        remark_pages(&found->remark, scout->heap[i].start, scout->heap[i].start);
        if (scout->missed.start < scout->heap[i].end && scout->heap[i].start < scout->missed.end)
            remark_pages(&found->remark, scout->missed.start, scout->missed.end);
    }
    remark_end(&found->remark);
    remark->bytes += found->remark.bytes;
}

void scout_offer(struct scout *scout, const struct extent *heap, unsigned count, bool rearm)
{
    scout->heap = heap;
    scout->count = count;
    scout->rearm = rearm;
    scout->total = scout->taken = 0;
    scout->run_count = 0;
    scout->missed = (struct extent){0, 0};
    for (unsigned i = 0; i < count; i++)
        scout->total += heap[i].end - heap[i].start;
    scout->slice = MAX(SLICE_LEAST, scout->total / SLICES) & ~UINT64_C(4095);
    if (scout->total < SCOUT_LEAST || !scout->helped)
        return;
    __atomic_store_n(&scout->state, OFFERED, __ATOMIC_RELEASE);
    __atomic_add_fetch(scout->bell, 1, __ATOMIC_RELEASE);
    raw_futex_wake(scout->bell, 1, 0);
}

void scout_look(struct scout *scout, struct remark *remark)
{
    struct own own = {remark, scout->rearm};
    struct found found = {.runs = 0};
    struct place place = {0, 0};
    remark_begin(&found.remark, remark->mark);
    do
        look_at_found(scout, &found);
    while (search_slice(scout, &place, look_at, &own));
    if (has_taken(scout)) {
        await(scout, &found);
        finish_found(scout, &found, remark);
    }
    scout->state = IDLE;
}

void scout_call_off(struct scout *scout)
{
    __atomic_store_n(&scout->taken, scout->total, __ATOMIC_RELAXED);
    if (has_taken(scout))
        await(scout, NULL);
    scout->state = IDLE;
}
