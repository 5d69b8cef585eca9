#include "gc/scout.h"

#include "base/os.h"
#include "gc/fault.h"
#include "gc/pages.h"
#include "gc/raw.h"

#include <string.h>

#define MOST_WAITS 5000 /* of a millisecond */

enum { IDLE, OFFERED, TAKEN, FOUND };

#define RUNS_BYTES (SCOUT_RUNS * sizeof(struct extent))

/* ---- in the scout ---- */

static void add_run(void *ctx, uintptr_t start, uintptr_t end)
{
    struct scout *scout = ctx;
    if (scout->run_count == SCOUT_RUNS) /* what lies between is looked at for nothing */
        scout->runs[SCOUT_RUNS - 1].end = end;
    else
        scout->runs[scout->run_count++] = (struct extent){start, end};
}

static void give_up(void)
{
    task_exit();
}

static void search(void *ctx)
{
    struct scout *scout = ctx;
    fault_handle(give_up);
    for (;;) {
        uint32_t state = OFFERED;
        if (!__atomic_compare_exchange_n(&scout->state, &state, TAKEN, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE)) {
            raw_futex_wait(&scout->state, state, -1, 0);
            continue;
        }
        scout->run_count = 0;
        for (unsigned i = 0; i < scout->count; i++)
            pages_each_dirty_anonymous(i ? scout->heap[i].start : scout->from, scout->heap[i].end,
                                       scout->rearm, add_run, scout);
        __atomic_store_n(&scout->state, FOUND, __ATOMIC_RELEASE);
        raw_futex_wake(&scout->state, 1, 0);
    }
}

/* ---- in the marker ---- */

static void look_at(struct remark *remark, struct extent extent, uintptr_t start, uintptr_t end,
                    bool rearm)
{
    remark_extent(remark, extent);
    pages_each_dirty_anonymous(start, end, rearm, remark_pages, remark);
}

/* Waits for what the scout has taken. */
static void await(struct scout *scout)
{
    for (int i = 0; i < 20000; i++) {
        if (__atomic_load_n(&scout->state, __ATOMIC_ACQUIRE) == FOUND)
            return;
        __builtin_ia32_pause();
    }
    for (int i = 0; __atomic_load_n(&scout->state, __ATOMIC_ACQUIRE) == TAKEN; i++) {
        if (i == MOST_WAITS) /* it was killed, and has perhaps disarmed pages: all is void */
            task_exit();
        raw_futex_wait(&scout->state, TAKEN, 1000000, 0);
    }
}

static void look_at_found(struct scout *scout, struct remark *remark)
{
    unsigned at = 0;
    for (unsigned i = 0; i < scout->count; i++) {
        struct extent extent = scout->heap[i];
        remark_extent(remark, extent);
        for (; at < scout->run_count && scout->runs[at].start < extent.end; at++) {
            remark_pages(remark, scout->runs[at].start, scout->runs[at].end);
            if (scout->runs[at].end > extent.end)
                break; /* a joined run reaches into the next */
        }
    }
}

void scout_heap(struct scout *scout, struct remark *remark, const struct extent *heap,
                unsigned count, bool rearm)
{
    uint64_t total = 0, before = 0;
    for (unsigned i = 0; i < count; i++)
        total += heap[i].end - heap[i].start;
    unsigned half = count;
    uintptr_t from = 0;
    if (total >= SCOUT_LEAST && task_runs(&scout->task)) {
        for (half = 0; before + (heap[half].end - heap[half].start) < total / 2; half++)
            before += heap[half].end - heap[half].start;
        from = (heap[half].start + (total / 2 - before)) & ~(uintptr_t)4095;
        scout->heap = heap + half;
        scout->count = count - half;
        scout->from = from;
        scout->rearm = rearm;
        __atomic_store_n(&scout->state, OFFERED, __ATOMIC_RELEASE);
        raw_futex_wake(&scout->state, 1, 0);
    }
    for (unsigned i = 0; i < half; i++)
        look_at(remark, heap[i], heap[i].start, heap[i].end, rearm);
    if (half == count)
        return;
    look_at(remark, heap[half], heap[half].start, from, rearm);
    uint32_t offered = OFFERED;
    if (!__atomic_compare_exchange_n(&scout->state, &offered, IDLE, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        await(scout);
        look_at_found(scout, remark);
        return;
    }
    for (unsigned i = half; i < count; i++)
        look_at(remark, heap[i], i == half ? from : heap[i].start, heap[i].end, rearm);
}

/* ---- on the tracer thread ---- */

const char *scout_start(struct scout *scout)
{
    if (!scout->runs && !(scout->runs = own_map(RUNS_BYTES)))
        return "no memory for a list of pages";
    scout->state = IDLE;
    return task_start(&scout->task, search, scout, 0);
}

void scout_end(struct scout *scout)
{
    task_cancel(&scout->task);
}
