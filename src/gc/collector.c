/* One cycle, from the decision to the record. */
#include "gc/gc.h"

#include "base/options.h"
#include "base/os.h"
#include "gc/dirty/track.h"
#include "gc/engine/choice.h"
#include "gc/engine/clone.h"
#include "gc/engine/dontfork.h"
#include "gc/engine/headroom.h"
#include "gc/engine/stopped.h"
#include "gc/engine/thp.h"
#include "gc/engine/wp.h"
#include "gc/mark/unreached.h"
#include "gc/pacer.h"
#include "gc/roots/roots.h"
#include "gc/stop/restart_probe.h"
#include "gc/stop/tracer.h"
#include "gc/stop/world.h"
#include "gc/sys/pagemap.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"
#include "gc/sys/seccomp.h"
#include "heap/extents.h"
#include "heap/object_map.h"
#include "segment/segment.h"

#include <signal.h>
#include <string.h>

#define ATTEMPTS 4
#define ATTEMPT_PAUSE_NS INT64_C(20000000) /* after the first; doubled each time */
#define PROBE_LOOK_NS INT64_C(500000)
#define PATIENCE_NS INT64_C(10000000000) /* GC_PATIENT */

static struct gc_hooks hooks;
static struct pacer pacer;
static uint64_t ask_bytes; /* gc_ask_bytes; 0 until gc_due was asked first */
static uint64_t total_cpu_ns;
static int64_t patient_until_ns; /* 0: no cycle has been GC_PATIENT */

/* ---- on the tracer thread ---- */

struct work {
    struct md_cycle *cycle;
    const char *reason; /* NULL: done */
    int64_t stop_ns;    /* what the engine may take in a stop */
    bool patient;
    struct trace_result result;
    uint64_t in_use;        /* by the counters, at the snapshot */
    uint64_t moment;        /* of the samples, likewise */
    uint64_t private_bytes; /* of the process's own, resident, at the cycle's start */
};

/* Whether the program locks its memory: tables that are mapped beside it would be locked too. */
static bool memory_is_locked(void)
{
    static char status[4096];
    uint64_t locked_kb = 0;
    if (proc_self_read("status", status, sizeof status) > 0)
        proc_field(status, "VmLck:", 10, &locked_kb);
    return locked_kb > 0;
}

/* ---- what an engine does while the world is stopped ---- */

static const char *clone_in_stop(struct work *work)
{
    work->in_use = hooks.in_use_bytes();
    return clone_take(hooks.block_size);
}

static const char *begin_in_stop(struct work *work)
{
    (void)work;
    return wp_begin();
}

static const char *finish_in_stop(struct work *work)
{
    (void)work;
    return wp_finish();
}

static const char *mark_in_stop(struct work *work)
{
    work->in_use = hooks.in_use_bytes();
    return stopped_mark(&work->result, work->stop_ns);
}

/* What is left of it. */
static int64_t patience_ns(const struct work *work)
{
    int64_t left = work->patient ? patient_until_ns - os_now_ns() : 0;
    return MAX(left, 0);
}

/* Stops, does what is to be done in the stop, resumes.  *again: it was the stop that failed. */
static const char *attempt(struct work *work, const char *(*in_stop)(struct work *), bool *again)
{
    struct md_cycle *cycle = work->cycle;
    bool second = in_stop == finish_in_stop;
    uint64_t all = ~UINT64_C(0), before;
    raw_sigmask(SIG_SETMASK, &all, &before); /* children and tasks inherit it */
    int64_t cpu = os_thread_cpu_ns(), in_stop_ns = 0;
    *again = true;
    const char *reason = world_stop(patience_ns(work), work->stop_ns);
    if (!reason) {
        if (extents_stable() || in_stop == begin_in_stop) {
            int64_t in_stop_begin = os_now_ns();
            reason = in_stop(work);
            *again = false;
            in_stop_ns = os_now_ns() - in_stop_begin;
            if (!reason && !world_unchanged()) {
                reason = "a thread moved during the snapshot";
                *again = true;
            }
        } else {
            reason = "the allocator was mapping memory";
        }
        work->moment = hooks.sample_moment ? hooks.sample_moment() : 0;
        cycle->threads = world.parked + world.blocked;
        cycle->unseen_threads = second ? MAX(cycle->unseen_threads, world.blocked) : world.blocked;
        if (!world_resume()) { /* whatever else has failed, this may be why */
            reason = WORLD_CALLED_OFF;
            *again = true;
        } else if (!second && in_stop != begin_in_stop) {
            cycle->snapshot_ns = (uint64_t)in_stop_ns;
        }
    }
    *(second ? &cycle->stop2_ns : &cycle->stop1_ns) += (uint64_t)(world.end_ns - world.begin_ns);
    *(second ? &cycle->stop2_cpu_ns : &cycle->stop1_cpu_ns) += (uint64_t)(os_thread_cpu_ns() - cpu);
    raw_sigmask(SIG_SETMASK, &before, NULL);
    return reason;
}

/* A minute, and one more for each 2 GB. */
static int64_t mark_limit_ns(const struct work *work)
{
    return INT64_C(60000000000) + (int64_t)MIN(work->in_use, INT64_MAX / 64) * 30;
}

/* Attempts at a stop until one succeeds.  *engine_failed: it was not the stop that failed. */
static const char *stop(struct work *work, const char *(*in_stop)(struct work *),
                        bool *engine_failed)
{
    for (int64_t tried = 1, wait = ATTEMPT_PAUSE_NS;; tried++, wait *= 2) {
        bool again;
        const char *reason = NULL;
        *engine_failed = true;
        if (in_stop == finish_in_stop &&
            ((reason = wp_clean(mark_limit_ns(work))) || !wp_has_candidates()))
            return reason;
        if (in_stop == mark_in_stop && (reason = stopped_prepare()))
            return reason;
        work->cycle->attempts++;
        if (!(reason = attempt(work, in_stop, &again)))
            return NULL;
        if (in_stop == clone_in_stop)
            clone_cancel();
        *engine_failed = !again;
        if (!again || (tried >= ATTEMPTS && !patience_ns(work)))
            return reason;
        wait = MIN(wait, ATTEMPT_PAUSE_NS << ATTEMPTS);
        raw_sleep_ns(wait);
    }
}

/* ---- engines ---- */

static const char *run_clone(struct work *work, bool *engine_failed)
{
    const char *reason =
        headroom_for_copy(headroom_need(work->private_bytes, hooks.in_use_bytes()));
    *engine_failed = true;
    if (reason)
        return reason;
    if (!(work->cycle->flags & MD_CYCLE_AT_EXIT)) /* nobody feels that pause */
        thp_collapse();
    dontfork_before();
    uint64_t faults = proc_faults();
    work->stop_ns = clone_most_ns();
    if ((reason = stop(work, clone_in_stop, engine_failed)))
        return reason;
    dontfork_after();
    *engine_failed = false;
    reason = clone_wait(&work->result, mark_limit_ns(work),
                        headroom_is_limited() ? headroom_runs_out : NULL);
    /* The first write to a page that the copy has too is a fault, as is that to a new one. */
    headroom_note_copy(work->private_bytes, (proc_faults() - faults) * OS_PAGE);
    if (!reason && dontfork_any()) {
        *engine_failed = true;
        reason = "memory that no copy has (MADV_DONTFORK)";
    }
    return reason;
}

static const char *run_wp(struct work *work, bool *engine_failed)
{
    *engine_failed = true;
    work->in_use = hooks.in_use_bytes();
    work->stop_ns = 0;                         /* all that may last is done beside the program */
    if (work->cycle->flags & MD_CYCLE_AT_EXIT) /* there is no next one */
        wp_forget();
    const char *reason = wp_arm();
    if (!reason)
        reason = stop(work, begin_in_stop, engine_failed);
    if (!reason && !(reason = wp_mark(mark_limit_ns(work))))
        reason = stop(work, finish_in_stop, engine_failed);
    if (!reason)
        reason = wp_wait(&work->result, mark_limit_ns(work));
    wp_end(&work->result);
    return reason;
}

static const char *run_stop(struct work *work, bool *engine_failed)
{
    bool forced = option_number(OPTION_GCENGINE) == MD_ENGINE_STOP;
    work->stop_ns = forced ? STOP_FORCED_NS : STOP_NS;
    const char *reason = stop(work, mark_in_stop, engine_failed);
    stopped_end();
    return reason;
}

static bool in_hurry; /* the program is at its end */

/* What a cycle costs grows with the addresses that jemalloc has, used or not (it keeps those that
 * are given back): a program that has asked for terabytes and touches little of them would have
 * minutes of CPU and gigabytes of tables of it. */
#define SPREAD_FACTOR 4
#define SPREAD_LEAST_KB (UINT64_C(64) << 20)

static const char *too_spread(void)
{
    char text[512];
    uint64_t memory_kb;
    if (proc_self_read("../meminfo", text, sizeof text) <= 0 ||
        !proc_field(text, "MemTotal:", 10, &memory_kb) ||
        extents_bytes() / 1024 <= MAX(SPREAD_FACTOR * memory_kb, SPREAD_LEAST_KB))
        return NULL;
    return "the heap has over four times the addresses of all memory";
}

static void cycle_on_tracer(void *ctx)
{
    struct work *work = ctx;
    struct md_cycle *cycle = work->cycle;
    size_t stack_size;
    const void *stack = tracer_stack(&stack_size);
    roots_find_stack_field(stack, stack_size);
    if (extents_torn()) {
        work->reason = "the heap was growing when this process was forked";
        return;
    }
    if ((work->reason = seccomp_cycle()) || (work->reason = too_spread()) ||
        (work->reason = clone_prepare()))
        return;
    work->private_bytes = MAX(proc_private_bytes(), hooks.in_use_bytes());
    /* The words of the option stand in the order of enum md_engine. */
    enum md_engine forced = (enum md_engine)option_number(OPTION_GCENGINE);
    /* Where the program locks its memory (mlockall), tables that are mapped beside it would be
     * locked and filled too. */
    if (!forced && memory_is_locked())
        forced = MD_ENGINE_CLONE;
    /* At exit nobody feels the pause, so a copy is begun with; where it will not do, the others
     * come. */
    enum md_engine first = !forced && cycle->flags & MD_CYCLE_AT_EXIT
                               ? MD_ENGINE_CLONE
                               : engine_choose(forced, work->private_bytes);
    int64_t begin = os_now_ns(), cpu = os_thread_cpu_ns();
    for (enum md_engine engine = first; engine;) {
        bool engine_failed = false;
        mark_hurries = cycle->flags & MD_CYCLE_AT_EXIT || engine == MD_ENGINE_STOP ||
                       __atomic_load_n(&in_hurry, __ATOMIC_RELAXED);
        uint64_t before = cycle->stop1_ns + cycle->stop2_ns;
        cycle->engine = engine;
        work->reason = engine == MD_ENGINE_WP     ? run_wp(work, &engine_failed)
                       : engine == MD_ENGINE_STOP ? run_stop(work, &engine_failed)
                                                  : run_clone(work, &engine_failed);
        if (!work->reason)
            engine_note(engine, work->private_bytes, cycle->stop1_ns + cycle->stop2_ns - before);
        if (!work->reason || !engine_failed)
            break;
        engine_note_failure(engine);
        engine = engine_after(forced, first, engine, work->private_bytes, !track_open());
    }
    const struct trace_result *result = &work->result;
    cycle->arm_ns = result->arm_ns;
    cycle->rounds = result->rounds;
    cycle->dirty_bytes = result->dirty_bytes;
    cycle->markers = result->markers;
    cycle->mark_ns = (uint64_t)(os_now_ns() - begin) - cycle->stop1_ns - cycle->stop2_ns;
    cycle->mark_cpu_ns = (uint64_t)(os_thread_cpu_ns() - cpu) - cycle->stop1_cpu_ns -
                         cycle->stop2_cpu_ns + (uint64_t)result->cpu_ns;
    *(cycle->stop2_ns ? &cycle->stop2_cpu_ns : &cycle->stop1_cpu_ns) +=
        (uint64_t)result->stop_cpu_ns;
}

/* ---- on the caller's thread ---- */

static void settings_now(struct pacer_settings *settings)
{
    settings->percent = option_number(OPTION_GCPERCENT);
    settings->min_heap = option_number(OPTION_GCMINHEAP);
    settings->interval_ns = option_number(OPTION_GCINTERVAL);
    settings->cpus = os_cpu_count();
}

static void publish_goal(uint64_t goal)
{
    if (segment_check())
        __atomic_store_n(&segment_header()->heap_goal_bytes, goal == PACER_OFF ? 0 : goal,
                         __ATOMIC_RELAXED);
}

const char *gc_absent(void)
{
    return NULL;
}

void gc_init(const struct gc_hooks *given)
{
    hooks = *given;
    pacer_init(&pacer, os_now_ns());
    roots_find_self();
    seccomp_init();
    struct pacer_settings settings;
    settings_now(&settings);
    publish_goal(pacer_goal(&pacer, &settings));
}

bool gc_try(void)
{
    return seccomp_trial() || restart_probe();
}

void gc_renew(void)
{
    ask_bytes = 0;
    tracer_renew();
    world_renew();
    restart_probe_renew();
    clone_renew();
    dontfork_renew();
    roots_find_main();
    wp_renew();
    stopped_renew();
    engine_renew();
    headroom_renew();
    pacer_init(&pacer, os_now_ns());
    total_cpu_ns = 0;
    patient_until_ns = 0;
}

void gc_note_end(const void *point)
{
    roots_note_end(point ? os_gettid() : 0, (uintptr_t)point);
}

void gc_end(void)
{
    tracer_end();
    track_renew(); /* its descriptors have gone with it */
}

uint64_t gc_ask_bytes(void)
{
    return __atomic_load_n(&ask_bytes, __ATOMIC_RELAXED);
}

bool gc_due(int64_t now_ns, uint32_t *flags, int64_t *look_again_ns)
{
    struct pacer_settings settings;
    settings_now(&settings);
    uint64_t goal = pacer_goal(&pacer, &settings), in_use = hooks.in_use_bytes();
    publish_goal(goal);
    enum pacer_due due = pacer_due(&pacer, &settings, now_ns, in_use, look_again_ns);
    /* Grown, and still not due: only time is waited for. */
    bool held = due == PACER_WAIT && in_use >= goal;
    __atomic_store_n(&ask_bytes, held ? UINT64_MAX : goal, __ATOMIC_RELAXED);
    *flags = due == PACER_TIMED ? MD_CYCLE_TIMED : 0;
    return due != PACER_WAIT;
}

static void fill_heap(struct md_cycle *cycle, const struct work *work)
{
    const struct trace_result *result = &work->result;
    cycle->heap_start_bytes = result->bytes;
    cycle->heap_live_bytes = result->bytes - result->unreachable_bytes;
    cycle->live_objects = result->objects - result->unreachable_objects;
    cycle->unreachable_objects = result->unreachable_objects;
    cycle->unreachable_bytes = result->unreachable_bytes;
    cycle->direct_objects = result->leaks.direct_objects;
    cycle->direct_bytes = result->leaks.direct_bytes;
    cycle->stack_bytes = result->roots.stack_bytes;
    cycle->globals_bytes = result->roots.globals_bytes;
    int64_t end = (int64_t)(result->bytes + hooks.in_use_bytes() - work->in_use);
    cycle->heap_end_bytes = end > 0 ? (uint64_t)end : 0;
}

/* Which leaks no sample names.  Before the cycle's own record, so that whoever sees that finds
 * these. */
static void tell_unsampled(const struct md_cycle *cycle)
{
    const struct unreached_class *leaks = unreached_unsampled(!(cycle->flags & MD_CYCLE_FINAL));
    uint64_t number = segment_counters()->cycles + 1;
    segment_hold(true);
    for (unsigned class = 1; class <= OBJECT_CLASS_HUGE; class ++) {
        if (!leaks[class].objects || !segment_grow(MD_SECTION_UNSAMPLED, class + 1ull))
            continue;
        struct md_unsampled *to =
            (struct md_unsampled *)segment_table(MD_SECTION_UNSAMPLED) + class;
        __atomic_store_n(&to->cycle, 0, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_RELEASE);
        __atomic_store_n(&to->size, object_class_size[class], __ATOMIC_RELAXED);
        __atomic_store_n(&to->objects, leaks[class].objects, __ATOMIC_RELAXED);
        __atomic_store_n(&to->bytes, leaks[class].bytes, __ATOMIC_RELAXED);
        __atomic_store_n(&to->cycle, number, __ATOMIC_RELEASE);
        if (segment_count(MD_SECTION_UNSAMPLED) <= class)
            segment_set_count(MD_SECTION_UNSAMPLED, class + 1ull);
    }
    segment_hold(false);
}

/* Which of the unreachable are leaks: those of two cycles, or of one that counts as two. */
static void settle_leaks(struct md_cycle *cycle, const struct work *work)
{
    for (int times = cycle->flags & MD_CYCLE_FINAL ? 2 : 1; times && hooks.on_samples; times--)
        cycle->leak_samples =
            hooks.on_samples(unreached_samples(), work->result.leaks.samples, work->moment);
    if (cycle->flags & MD_CYCLE_FINAL) {
        cycle->leaked_objects = cycle->unreachable_objects;
        cycle->leaked_bytes = cycle->unreachable_bytes;
    } else if (unreached_had_before()) {
        cycle->leaked_objects = work->result.leaks.leaked_objects;
        cycle->leaked_bytes = work->result.leaks.leaked_bytes;
    } else {
        return;
    }
    cycle->flags |= MD_CYCLE_LEAKS;
    if (segment_check())
        tell_unsampled(cycle);
}

void gc_hurry(void)
{
    __atomic_store_n(&in_hurry, true, __ATOMIC_RELAXED);
    clone_hurry();
    wp_hurry();
}

bool gc_cycle(uint32_t flags, struct md_cycle *out)
{
    struct work work = {.cycle = out, .patient = flags & GC_PATIENT};
    struct pacer_settings settings;
    settings_now(&settings);
    memset(out, 0, sizeof *out);
    int64_t begin = os_now_ns();
    if (work.patient && !patient_until_ns)
        patient_until_ns = begin + PATIENCE_NS;
    out->flags = flags & (MD_CYCLE_FORCED | MD_CYCLE_AT_EXIT | MD_CYCLE_TIMED);
    out->cpus = settings.cpus;
    out->start_ns = (uint64_t)begin - segment_header()->start_ns;
    uint64_t goal = pacer_goal(&pacer, &settings);
    out->goal_bytes = goal == PACER_OFF ? 0 : goal;

    const char *reason = seccomp_trial();
    while (!reason && !restart_probe())
        raw_sleep_ns(PROBE_LOOK_NS);
    if (!reason && !(reason = tracer_run(cycle_on_tracer, &work)))
        reason = work.reason;
    /* A register that was not seen may lead to any block. */
    bool verdict = !reason && !(flags & GC_UNTOLD) && !out->unseen_threads;
    if (!verdict || out->engine != MD_ENGINE_WP)
        wp_forget();
    if (!verdict)
        unreached_drop();
    if (flags & GC_UNTOLD)
        return !reason;
    int64_t end = os_now_ns();
    uint64_t cpu = out->stop1_cpu_ns + out->mark_cpu_ns + out->stop2_cpu_ns;
    total_cpu_ns += cpu;
    out->total_cpu_ns = total_cpu_ns;
    uint64_t lifetime = (uint64_t)end - segment_header()->start_ns;
    out->utilization_percent = (uint32_t)(total_cpu_ns * 100 / MAX(lifetime * out->cpus, 1));
    if (reason) {
        out->flags |= MD_CYCLE_SKIPPED;
        strncpy(out->reason, reason, sizeof out->reason - 1);
    } else {
        fill_heap(out, &work);
        if (verdict && flags & GC_FINAL && out->threads <= 1)
            out->flags |= MD_CYCLE_FINAL;
        if (verdict) {
            settle_leaks(out, &work);
            unreached_keep();
        }
        pacer_base(&pacer, out->heap_end_bytes);
    }
    const struct roots_size *roots = &work.result.roots;
    uint64_t beside = roots->stack_bytes + roots->globals_bytes;
    if (reason) /* how far it came is not known */
        beside = work.private_bytes;
    pacer_cycle(&pacer, &(struct pacer_cycle){
                            .start_ns = begin,
                            .end_ns = end,
                            .cpu_ns = (int64_t)cpu,
                            .pause_ns = (int64_t)(out->stop1_ns + out->stop2_ns),
                            .heap_bytes = work.result.bytes,
                            .beside_bytes = beside,
                            .done = !reason,
                        });
    if (segment_check())
        segment_add_cycle(out);
    publish_goal(pacer_goal(&pacer, &settings));
    if (hooks.on_cycle)
        hooks.on_cycle(out);
    return !reason;
}
