/* The course of a cycle on the tracer thread. */
#include "gc/cycle.h"

#include "base/options.h"
#include "base/os.h"
#include "gc/ask/ask.h"
#include "gc/engine/choice.h"
#include "gc/mark/mark_pace.h"
#include "gc/mark/unreached.h"
#include "gc/roots/libc_stack.h"
#include "gc/roots/roots.h"
#include "gc/stop/tracer.h"
#include "gc/stop/world.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"
#include "gc/sys/seccomp.h"
#include "heap/extents.h"
#include "heap/object_map.h"

#include <signal.h>

#define ATTEMPTS 4
#define ATTEMPT_PAUSE_NS INT64_C(20000000) /* after the first; doubled each time */

static bool in_hurry; /* the program is at its end; written by any thread (atomic) */

void cycle_hurry(void)
{
    __atomic_store_n(&in_hurry, true, __ATOMIC_RELAXED);
    engines_hurry();
}

/* ---- a stop ---- */

/* What is left of the cycle's patience (GC_PATIENT); 0: none, or it never had any. */
static int64_t patience_ns(const struct cycle *cycle)
{
    int64_t left = cycle->patient_until_ns ? cycle->patient_until_ns - os_now_ns() : 0;
    return MAX(left, 0);
}

/* Stops, does what is to be done in the stop, resumes.  *again: it was the stop that failed, and
 * may not the next time. */
static const char *attempt(struct cycle *cycle, unsigned number, bool *again)
{
    const struct engine_stop *stop = &engine_of(cycle->record->engine)->stops[number];
    struct md_cycle *record = cycle->record;
    bool takes_snapshot = number == 0 && stop->reads_extents;
    uint64_t all = ~UINT64_C(0), before;
    raw_sigmask(SIG_SETMASK, &all, &before); /* children and tasks inherit it */
    int64_t cpu = os_thread_cpu_ns(), in_stop_ns = 0;
    const char *reason = world_stop(patience_ns(cycle), cycle->engine.stop_ns);
    *again = !world.in_vain;
    if (!reason) {
        if (extents_stable() || !stop->reads_extents) {
            int64_t begin = os_now_ns();
            if (takes_snapshot)
                cycle->engine.in_use_bytes = cycle->hooks->in_use_bytes();
            reason = stop->in_stop(&cycle->engine);
            *again = false;
            in_stop_ns = os_now_ns() - begin;
            if (!reason && !world_unchanged()) {
                reason = "a thread moved during the snapshot";
                *again = true;
            }
        } else {
            reason = "the allocator was mapping memory";
        }
        cycle->moment = cycle->hooks->sample_moment ? cycle->hooks->sample_moment() : 0;
        record->threads = world.parked + world.blocked;
        record->unseen_threads =
            number ? MAX(record->unseen_threads, world.blocked) : world.blocked;
        if (!world_resume()) { /* whatever else has failed, this may be why */
            reason = WORLD_CALLED_OFF;
            *again = true;
        } else if (takes_snapshot) {
            record->snapshot_ns = (uint64_t)in_stop_ns;
        }
    }
    *(number ? &record->stop2_ns : &record->stop1_ns) += (uint64_t)(world.end_ns - world.begin_ns);
    *(number ? &record->stop2_cpu_ns : &record->stop1_cpu_ns) +=
        (uint64_t)(os_thread_cpu_ns() - cpu);
    raw_sigmask(SIG_SETMASK, &before, NULL);
    return reason;
}

/* Attempts at a stop until one succeeds, or is needless. */
static const char *stop_world(struct cycle *cycle, unsigned number)
{
    const struct engine_stop *stop = &engine_of(cycle->record->engine)->stops[number];
    for (int64_t tried = 1, wait = ATTEMPT_PAUSE_NS;; tried++, wait *= 2) {
        bool again, needless = false;
        const char *reason = NULL;
        cycle->engine.another_may = true;
        if (stop->before && ((reason = stop->before(&cycle->engine, &needless)) || needless))
            return reason;
        cycle->record->attempts++;
        if (!(reason = attempt(cycle, number, &again)))
            return NULL;
        if (stop->undo)
            stop->undo();
        cycle->engine.another_may = !again && !world.in_vain;
        if (!again || (tried >= ATTEMPTS && !patience_ns(cycle)))
            return reason;
        wait = MIN(wait, ATTEMPT_PAUSE_NS << ATTEMPTS);
        raw_sleep_ns(wait);
    }
}

/* ---- an engine ---- */

static const char *run_engine(struct cycle *cycle)
{
    const struct engine *engine = engine_of(cycle->record->engine);
    struct engine_cycle *work = &cycle->engine;
    mark_hurries =
        work->at_exit || engine->holds_program || __atomic_load_n(&in_hurry, __ATOMIC_RELAXED);
    work->in_use_bytes = cycle->hooks->in_use_bytes();
    work->another_may = true;
    const char *reason = engine->prepare(work);
    for (unsigned number = 0; !reason && number < engine->stop_count; number++) {
        const struct engine_stop *stop = &engine->stops[number];
        reason = stop_world(cycle, number);
        if (!reason && stop->after)
            reason = stop->after(work);
    }
    if (engine->end)
        engine->end(work);
    return reason;
}

/* ---- a cycle ---- */

/* What a cycle costs grows with the addresses that jemalloc has, used or not (it keeps those that
 * are given back): a program that has asked for terabytes and touches little of them would have
 * minutes of CPU and gigabytes of tables of it. */
#define SPREAD_FACTOR 4
#define SPREAD_MIN_KB (UINT64_C(64) << 20)

static const char *too_spread(void)
{
    char text[512];
    uint64_t memory_kb;
    if (proc_self_read("../meminfo", text, sizeof text) <= 0 ||
        !proc_field(text, "MemTotal:", 10, &memory_kb) ||
        extents_bytes() / 1024 <= MAX(SPREAD_FACTOR * memory_kb, SPREAD_MIN_KB))
        return NULL;
    return "the heap has over four times the addresses of all memory";
}

/* Whether the program locks its memory: tables that are mapped beside it would be locked too. */
static bool memory_is_locked(void)
{
    static char status[4096];
    uint64_t locked_kb = 0;
    if (proc_self_read("status", status, sizeof status) > 0)
        proc_field(status, "VmLck:", 10, &locked_kb);
    return locked_kb > 0;
}

/* One engine after the other, until one has done it or none is left. */
static const char *run_engines(struct cycle *cycle)
{
    struct md_cycle *record = cycle->record;
    struct engine_cycle *work = &cycle->engine;
    static const enum md_engine asked_for[] = {[GCENGINE_AUTO] = MD_ENGINE_NONE,
                                               [GCENGINE_CLONE] = MD_ENGINE_CLONE,
                                               [GCENGINE_WP] = MD_ENGINE_WP,
                                               [GCENGINE_STOP] = MD_ENGINE_STOP};
    enum md_engine asked = asked_for[option_number(OPTION_GCENGINE)];
    bool plain = !object_map;
    if (plain && asked == MD_ENGINE_WP)
        return "gcengine=wp needs what this process was not started with";
    enum md_engine only = engine_only(asked, memory_is_locked());
    enum md_engine first = engine_choose(only, work->at_exit || plain, work->private_bytes);
    const char *reason = NULL;
    for (enum md_engine engine = first; engine;) {
        uint64_t stops_ns = record->stop1_ns + record->stop2_ns;
        record->engine = engine;
        work->forced = only == engine;
        reason = run_engine(cycle);
        if (!reason)
            engine_note(engine, work->private_bytes,
                        record->stop1_ns + record->stop2_ns - stops_ns);
        if (!reason || !work->another_may)
            break;
        engine_note_failure(engine);
        bool (*available)(void) = engine_of(engine)->available;
        engine = engine_after(only, first, engine, work->private_bytes, !available || available());
        if (plain && engine == MD_ENGINE_WP)
            engine = MD_ENGINE_STOP;
    }
    return reason;
}

/* A question wants a copy, whatever engine cycles take: an answer is as of one moment. */
static const char *run_question(struct cycle *cycle)
{
    struct engine_cycle *work = &cycle->engine;
    cycle->record->engine = MD_ENGINE_CLONE;
    work->asks = true;
    return run_engine(cycle);
}

void cycle_run(void *ctx)
{
    struct cycle *cycle = ctx;
    struct md_cycle *record = cycle->record;
    struct engine_cycle *work = &cycle->engine;
    size_t stack_size;
    const void *stack = tracer_stack(&stack_size);
    libc_stack_find_field(stack, stack_size);
    if (extents_torn()) {
        cycle->reason = "the heap was growing when this process was forked";
        return;
    }
    if ((cycle->reason = seccomp_cycle()) || (cycle->reason = too_spread()))
        return;
    cycle->reason = cycle->question ? ask_prepare(cycle->question) : unreached_prepare();
    if (cycle->reason)
        return;
    work->at_exit = record->flags & MD_CYCLE_AT_EXIT;
    work->block_size = cycle->hooks->block_size;
    work->allocated = cycle->hooks->allocated;
    work->private_bytes = MAX(proc_private_bytes(), cycle->hooks->in_use_bytes());
    int64_t begin = os_now_ns(), cpu = os_thread_cpu_ns();
    cycle->reason = cycle->question ? run_question(cycle) : run_engines(cycle);
    const struct trace_result *result = &work->result;
    record->arm_ns = result->arm_ns;
    record->rounds = result->rounds;
    record->dirty_bytes = result->dirty_bytes;
    record->markers = result->markers;
    record->mark_ns = (uint64_t)(os_now_ns() - begin) - record->stop1_ns - record->stop2_ns;
    record->mark_cpu_ns = (uint64_t)(os_thread_cpu_ns() - cpu) - record->stop1_cpu_ns -
                          record->stop2_cpu_ns + (uint64_t)result->cpu_ns;
    *(record->stop2_ns ? &record->stop2_cpu_ns : &record->stop1_cpu_ns) +=
        (uint64_t)result->stop_cpu_ns;
}
