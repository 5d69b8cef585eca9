#include "gc/engine/wp.h"
#include "gc/mark/mark_pace.h"

#include "base/handover.h"
#include "base/os.h"
#include "gc/dirty/candidates.h"
#include "gc/dirty/dirty_scan.h"
#include "gc/dirty/pinned.h"
#include "gc/dirty/remark.h"
#include "gc/dirty/track.h"
#include "gc/roots/barren.h"
#include "gc/stop/world.h"
#include "gc/sys/fault.h"
#include "gc/sys/pagemap.h"
#include "gc/sys/raw.h"
#include "gc/sys/task.h"
#include "heap/extents.h"

#include <signal.h>
#include <string.h>

#define ROUNDS 16
/* Where an answer is a moment away nobody goes to sleep: a CPU that does takes tens of us to wake,
 * a virtual one up to a ms. */
#define AWAKE_NS 500000
#define APART_AWAKE_NS 2000000 /* where both surely have a CPU */
/* Few enough: what the rest of a stop costs anyhow. */
#define FEW_BYTES (UINT64_C(256) << 10)
/* Marking in the stop is given up so long before the stop is called off. */
#define REST_NS INT64_C(1000000)
/* Written pages left before a stop, above which it is not tried. */
#define DIRTY_BYTES_MAX (UINT64_C(16) << 20)

enum { CLEAN = 1, FINISH, TELL };

/* Everything that tracer and tasks share.  One of them works on it at a time.  The tracer hands it
 * over by starting a task, or by a request (handover.h); it gets it back when the task has ended,
 * or has answered.  What both touch in between is atomic, or dirty_scan's, or the hint `apart`. */
struct state {
    struct trace trace;
    struct trace_result result;
    struct task marker;   /* until the first stop is near */
    struct task finisher; /* then, at the tracer's own priority, as the program waits for it */
    struct dirty_scan dirty_scan;
    struct candidates candidates;
    struct handover requests; /* of the finisher: CLEAN ... */
    uint32_t request;         /* the last one */
    uint32_t bell; /* futex that the tracer sleeps on: an answer, or work for it (dirty_scan.h) */
    uint64_t round_bytes; /* found dirty in the last round */
    bool spins;           /* there is more than one CPU */
    bool apart;           /* the finisher is not on the tracer's */
    bool keeps;           /* what has been written to counts as that to the end (pinned.h) */
    bool oversized;       /* there is a block whose size only jemalloc knows */
    bool failed;
    bool done; /* brought to its end */
};
static struct state *state;

/* ---- in the tasks ---- */

static void give_up(void)
{
    task_exit(); /* seen as killed */
}

/* The allocator, which knows the size, cannot be asked beside the program. */
static size_t size_of_oversized(const void *block)
{
    (void)block;
    state->oversized = true;
    return 0;
}

struct counted {
    struct mark *mark;
    uint64_t bytes;
};

static void mark_counted(void *ctx, uintptr_t start, uintptr_t end)
{
    struct counted *counted = ctx;
    counted->bytes += end - start;
    roots_mark_again(counted->mark, start, end);
}

static struct roots_tracked tracked_roots(void)
{
    return (struct roots_tracked){track.ranges + track.first_root, track.count - track.first_root};
}

static bool any_candidate(void)
{
    return candidates_any(&state->candidates, &state->trace.index);
}

/* Looks at what has been written to since it was armed last; arms it again, if that may be. */
static void clean(void)
{
    struct mark *mark = &state->trace.mark;
    struct remark remark;
    struct counted roots = {mark, 0};
    dirty_scan_offer(&state->dirty_scan, extents, extent_count, !state->keeps);
    for (unsigned i = track.first_map; i < track.first_root; i++)
        pagemap_each_dirty_anonymous(track.ranges[i].start, track.ranges[i].end, true, NULL,
                                     remark_map, mark);
    for (unsigned i = track.first_root; i < track.count; i++)
        pagemap_each_dirty(track.ranges[i].start, track.ranges[i].end, !state->keeps, mark_counted,
                           &roots);
    remark_begin(&remark, mark);
    dirty_scan_look(&state->dirty_scan, &remark);
    remark_end(&remark);
    mark_finish(mark);
    state->round_bytes = remark.bytes + roots.bytes;
    state->result.rounds++;
}

/* At less than the program's priority, as it takes long: the bulk. */
static void mark_beside(void *ctx)
{
    (void)ctx;
    fault_handle(give_up);
    struct trace *trace = &state->trace;
    int64_t t0 = os_now_ns();
    const char *reason = trace_begin(trace, size_of_oversized);
    if (!reason && state->oversized)
        reason = "a block of more than 64 GiB";
    int64_t t1 = os_now_ns();
    if (!reason) {
        trace->mark.hurry = &state->result.hurry;
        barren_heap(trace->index.lo, trace->index.span);
        if (!roots_mark_early(&trace->mark, &state->result.roots, tracked_roots()))
            reason = "/proc/self/maps cannot be read";
        mark_finish(&trace->mark);
        mark_note_reached(&trace->mark);
        candidates_gather(&state->candidates, &trace->mark);
        if (any_candidate())
            clean();
    }
    state->result.index_ns = t1 - t0;
    state->result.roots_ns = os_now_ns() - t1;
    if (reason) {
        strncpy(state->result.reason, reason, sizeof state->result.reason - 1);
        state->failed = true;
    }
}

/* Rounds until few pages are left (of a larger heap more, as going through it takes longer), until
 * no candidate is left, or until the pages get no fewer.  That they do not must be seen twice, as
 * the task may have lost its CPU for a moment.  At most ROUNDS; one, where pages are not armed
 * anew. */
static void clean_rounds(void)
{
    uint64_t few = FEW_BYTES + extents_bytes() / 8192, least = UINT64_MAX;
    for (int i = 0, vain = 0; i < ROUNDS && vain < 2 && any_candidate(); i++) {
        clean();
        if (state->round_bytes <= few || state->keeps)
            break;
        vain += state->round_bytes > least / 4 * 3;
        least = MIN(least, state->round_bytes);
    }
    if (state->candidates.many) /* fewer by now, perhaps */
        candidates_gather(&state->candidates, &state->trace.mark);
}

struct look {
    struct remark remark;
    const struct extent *heap;
    unsigned count;
    struct counted roots;
};

/* At what a call that was under way has read, tracked or not. */
static void look_at_pinned(void *ctx, uintptr_t start, uintptr_t end)
{
    struct look *look = ctx;
    for (unsigned i = 0; i < look->count; i++) {
        struct extent extent = look->heap[i];
        if (start >= extent.end || extent.start >= end)
            continue;
        remark_extent(&look->remark, extent);
        remark_pages(&look->remark, MAX(start, extent.start), MIN(end, extent.end));
    }
    for (unsigned i = track.first_root; i < track.count; i++) {
        struct extent range = track.ranges[i];
        if (start < range.end && range.start < end)
            pagemap_each_written(MAX(start, range.start), MIN(end, range.end), mark_counted,
                                 &look->roots);
    }
}

/* In the stop. */
static void finish(void)
{
    struct mark *mark = &state->trace.mark;
    struct remark remark;
    unsigned count;
    const struct extent *heap = extents_live(&count);
    dirty_scan_offer(&state->dirty_scan, heap, count, false);
    for (unsigned i = track.first_map; i < track.first_root; i++)
        pagemap_each_dirty_anonymous(track.ranges[i].start, track.ranges[i].end, false, NULL,
                                     remark_map, mark);
    if (!roots_mark_rest(mark, &state->result.roots, tracked_roots())) {
        strcpy(state->result.reason, "/proc/self/maps cannot be read");
        state->failed = true;
    }
    mark_finish(mark);
    if (!any_candidate()) {
        dirty_scan_call_off(&state->dirty_scan);
        return;
    }
    remark_begin(&remark, mark);
    dirty_scan_look(&state->dirty_scan, &remark);
    for (unsigned i = 0; i < count; i++) { /* what has been mapped meanwhile */
        remark_extent(&remark, heap[i]);
        pagemap_each_untracked(heap[i].start, heap[i].end, remark_pages, &remark);
    }
    remark_end(&remark);
    struct look look = {.heap = heap, .count = count, .roots = {mark, 0}};
    remark_begin(&look.remark, mark);
    pinned_each(look_at_pinned, &look);
    remark_end(&look.remark);
    mark_finish(mark);
    state->result.dirty_bytes = remark.bytes + look.remark.bytes;
}

static void tell(void)
{
    int64_t begin = os_now_ns();
    state->trace.nothing_new = !any_candidate();
    const char *reason = trace_tell(&state->trace, &state->result);
    if (!reason)
        candidates_keep(&state->candidates, &state->trace.index, !state->trace.nothing_new);
    state->result.finish_ns = os_now_ns() - begin;
    if (reason) {
        strncpy(state->result.reason, reason, sizeof state->result.reason - 1);
        state->failed = true;
    }
}

/* Stays awake while the word has that value, but not for long.  `yields`: this CPU goes to whoever
 * wants it; not in the stop, where that might be another process for a whole slice. */
static void stay_awake(const uint32_t *word, uint32_t value, bool yields)
{
    int64_t end = !state->spins ? 0
                                : raw_clock_ns(CLOCK_MONOTONIC) +
                                      (state->apart && !yields ? APART_AWAKE_NS : AWAKE_NS);
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value && raw_clock_ns(CLOCK_MONOTONIC) < end)
        if (yields)
            RAW3(SYS_sched_yield, 0, 0, 0);
        else
            cpu_relax();
}

static void serve(void *ctx)
{
    (void)ctx;
    fault_handle(give_up);
    mark_hurries = true;
    for (bool ended = false; !ended;) {
        uint32_t word = handover_word(&state->requests);
        if (!handover_wanted(word))
            stay_awake(&state->requests.asked, word, true);
        while (!handover_wanted(word = handover_word(&state->requests)))
            raw_futex_wait(&state->requests.asked, word, -1, 0);
        if (!handover_take(&state->requests, word))
            continue;
        int64_t cpu = raw_clock_ns(CLOCK_THREAD_CPUTIME_ID);
        switch (handover_wanted(word)) {
        case CLEAN:
            clean_rounds();
            break;
        case FINISH:
            finish();
            state->result.stop_cpu_ns += raw_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
            break;
        default:
            tell();
            ended = true;
        }
        handover_answer(&state->requests, word);
        __atomic_add_fetch(&state->bell, 1, __ATOMIC_RELEASE);
        raw_futex_wake(&state->bell, 1, 0);
    }
}

/* ---- on the tracer thread ---- */

static const char *failure(void)
{
    return state->failed ? state->result.reason : NULL;
}

static void ask(uint32_t what)
{
    state->request = handover_ask(&state->requests, what);
    raw_futex_wake(&state->requests.asked, 1, 0);
}

/* Has the finisher run on another CPU than this thread, which spins while it waits.  In the stop
 * the program's CPUs are free.  It is done before the stop: then the finisher is on its CPU already
 * when the program's thread there is parked, and the CPU is not put to sleep. */
static void keep_apart(bool apart)
{
    state->apart = task_elsewhere(&state->finisher, apart) && apart;
}

/* Waits for the answer, with the tracer's help where it is wanted; at most `limit_ns`. */
static const char *answer(int64_t limit_ns, bool in_stop)
{
    int64_t end = os_now_ns() + limit_ns;
    for (;;) {
        uint32_t heard = __atomic_load_n(&state->bell, __ATOMIC_ACQUIRE);
        if (handover_answered(&state->requests) == state->request)
            return failure();
        /* A thread that sleeps with a lock of the kernel's could hold up this one in the scan, and
         * this one has to resume the others. */
        if (!in_stop || !world.stuck)
            dirty_scan_help(&state->dirty_scan, end);
        if (in_stop) {
            stay_awake(&state->bell, heard, false);
            if (__atomic_load_n(&state->bell, __ATOMIC_ACQUIRE) == heard)
                keep_apart(false); /* also here, where we sleep now */
        }
        int64_t left = end - os_now_ns();
        if (left <= 0)
            return "marking took too long";
        raw_futex_wait(&state->bell, heard, MIN(left, 200000000), 0);
        if (!task_alive(&state->finisher) && handover_answered(&state->requests) != state->request)
            return "the marker was killed";
    }
}

/* All signals blocked meanwhile: the task inherits it. */
static const char *start(struct task *task, void (*fn)(void *), int nice)
{
    uint64_t all = ~UINT64_C(0), before;
    raw_sigmask(SIG_SETMASK, &all, &before);
    const char *reason = task_start(task, fn, NULL, nice);
    raw_sigmask(SIG_SETMASK, &before, NULL);
    return reason;
}

static const char *wp_prepare(struct engine_cycle *cycle)
{
    cycle->stop_ns = 0; /* all that may last is done beside the program */
    if (!state && !(state = own_map(sizeof *state)))
        return "no memory for the result";
    /* Stacks and lists are kept from cycle to cycle. */
    struct task marker = state->marker, finisher = state->finisher;
    struct dirty_scan dirty_scan = state->dirty_scan;
    struct candidates candidates = state->candidates;
    memset(state, 0, sizeof *state);
    state->marker = marker;
    state->finisher = finisher;
    state->dirty_scan = dirty_scan;
    state->candidates = candidates;
    if (cycle->at_exit)
        candidates_forget(&state->candidates);
    dirty_scan_prepare(&state->dirty_scan, &state->bell);
    candidates_prepare(&state->candidates);
    state->spins = os_cpu_count() > 1;

    const char *reason = track_open();
    if (reason || (reason = pinned_look(&state->keeps)))
        return reason;
    int64_t begin = os_now_ns();
    extents_pin();
    reason = track_arm();
    state->result.arm_ns = (uint64_t)(os_now_ns() - begin);
    return reason;
}

static const char *begin_in_stop(struct engine_cycle *cycle)
{
    (void)cycle;
    return pinned_note() ? NULL : "too many calls that read are under way";
}

static const char *mark_after_begin(struct engine_cycle *cycle)
{
    const char *reason = start(&state->marker, mark_beside, mark_nice());
    if (reason || (reason = task_wait(&state->marker, engine_limit_ns(cycle))) ||
        (reason = failure()))
        return reason;
    /* What these calls read may have come after the look. */
    pinned_each(barren_written, NULL);
    state->result.cpu_ns = state->marker.cpu_ns;
    if (!roots_prepare())
        return "no memory to mark in";
    return start(&state->finisher, serve, 0);
}

static const char *clean_before_finish(struct engine_cycle *cycle, bool *needless)
{
    keep_apart(false);
    ask(CLEAN);
    bool in_calls;
    const char *reason = answer(engine_limit_ns(cycle), false);
    if (!reason && !(reason = pinned_look(&in_calls)) && !state->keeps && in_calls)
        reason = "a file is read past the page cache now (O_DIRECT)";
    keep_apart(true);
    if (reason)
        return reason;
    *needless = !any_candidate();
    return state->round_bytes > DIRTY_BYTES_MAX && !*needless
               ? "the program writes faster than it can be followed"
               : NULL;
}

static const char *finish_in_stop(struct engine_cycle *cycle)
{
    (void)cycle;
    keep_apart(true); /* this thread may have been moved meanwhile */
    ask(FINISH);
    return answer(world_left_ns() - REST_NS, true);
}

static const char *tell_after_finish(struct engine_cycle *cycle)
{
    keep_apart(false);
    ask(TELL);
    track_disarm(); /* meanwhile */
    const char *reason = answer(engine_limit_ns(cycle), false);
    if (!reason)
        reason = task_wait(&state->finisher, 1000000000);
    if (!reason)
        state->result.cpu_ns +=
            state->finisher.cpu_ns - state->result.stop_cpu_ns + state->result.helper_cpu_ns;
    cycle->result = state->result;
    state->done = !reason;
    return reason;
}

static void wp_hurry(void)
{
    if (state)
        __atomic_store_n(&state->result.hurry, 1, __ATOMIC_RELAXED);
}

static void wp_end(struct engine_cycle *cycle)
{
    if (!state)
        return;
    task_cancel(&state->marker);
    task_cancel(&state->finisher);
    trace_free(&state->trace);
    if (!state->done)
        barren_forget(); /* a round may have been ended between asking and noting */
    track_disarm();
    extents_unpin();
    cycle->result.arm_ns = state->result.arm_ns;
    cycle->result.rounds = state->result.rounds;
}

static void wp_forget(void)
{
    if (state)
        candidates_forget(&state->candidates);
}

static void wp_postfork_child(void)
{
    if (!state)
        return;
    wp_forget();
    task_postfork_child(&state->marker);
    task_postfork_child(&state->finisher);
    trace_postfork_child(&state->trace);
    track_postfork_child();
}

static bool wp_available(void)
{
    return !track_open();
}

const struct engine engine_wp = {
    .prepare = wp_prepare,
    .stops = {{.in_stop = begin_in_stop, .after = mark_after_begin},
              {.before = clean_before_finish,
               .in_stop = finish_in_stop,
               .reads_extents = true,
               .after = tell_after_finish}},
    .stop_count = 2,
    .end = wp_end,
    .available = wp_available,
    .forget = wp_forget,
    .hurry = wp_hurry,
    .postfork_child = wp_postfork_child,
};
