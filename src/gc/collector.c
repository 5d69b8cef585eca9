/* From the decision that a cycle is due to what is on record of it. */
#include "gc/gc.h"

#include "base/options.h"
#include "base/os.h"
#include "gc/ask/answers.h"
#include "gc/ask/where.h"
#include "gc/cycle.h"
#include "gc/dirty/track.h"
#include "gc/engine/allocated.h"
#include "gc/engine/choice.h"
#include "gc/engine/engine.h"
#include "gc/mark/unreached.h"
#include "gc/pacer.h"
#include "gc/roots/parked.h"
#include "gc/roots/roots.h"
#include "gc/stop/restart_probe.h"
#include "gc/stop/tracer.h"
#include "gc/stop/world.h"
#include "gc/sys/raw.h"
#include "gc/sys/seccomp.h"
#include "heap/object_map.h"
#include "segment/segment.h"

#include <stdlib.h>
#include <string.h>

#define PROBE_LOOK_NS INT64_C(500000)
#define PATIENCE_NS INT64_C(10000000000) /* GC_PATIENT */

/* Set by gc_init. */
static struct gc_hooks hooks;
static const char *refused; /* why every cycle is skipped; NULL: none is for that */
/* All else is the thread's that runs cycles (gc_cycle, gc_due), but ask_bytes is read by any. */
static struct pacer pacer;
static uint64_t ask_bytes; /* gc_ask_bytes, atomic; 0 until gc_due was asked first */
static uint64_t total_cpu_ns;
static int64_t patient_until_ns; /* 0: no cycle has been GC_PATIENT */

static void settings_now(struct pacer_settings *settings)
{
    settings->percent = option_number(OPTION_GCPERCENT);
    settings->min_heap = option_number(OPTION_GCMINHEAP);
    settings->interval_ns = option_number(OPTION_GCINTERVAL);
    settings->cpus = os_cpu_count();
    settings->limit = option_number(OPTION_GCMEMLIMIT);
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

void gc_init_late(const struct gc_hooks *given, const char *no_cycles)
{
    hooks = *given;
    refused = no_cycles;
    pacer_init(&pacer, os_now_ns());
    roots_find_self();
    where_init();
    struct pacer_settings settings;
    settings_now(&settings);
    publish_goal(pacer_goal(&pacer, &settings));
}

void gc_init(const struct gc_hooks *given)
{
    seccomp_init();
    gc_init_late(given, NULL);
}

bool gc_try(void)
{
    return seccomp_trial() || restart_probe();
}

void gc_postfork_child(void)
{
    ask_bytes = 0;
    tracer_postfork_child();
    world_postfork_child();
    restart_probe_postfork_child();
    roots_find_main();
    unreached_postfork_child();
    answers_postfork_child();
    engines_postfork_child();
    engine_postfork_child();
    pacer_init(&pacer, os_now_ns());
    total_cpu_ns = 0;
    patient_until_ns = 0;
}

void gc_note_wait(const void *above, const void *wait)
{
    parked_note_wait((uintptr_t)above, (uintptr_t)wait);
}

void gc_end(void)
{
    tracer_end();
    track_postfork_child(); /* its descriptors have gone with it */
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

static void fill_heap(struct md_cycle *record, const struct cycle *cycle)
{
    const struct trace_result *result = &cycle->engine.result;
    record->heap_start_bytes = result->bytes;
    record->heap_live_bytes = result->bytes - result->unreachable_bytes;
    record->live_objects = result->objects - result->unreachable_objects;
    record->unreachable_objects = result->unreachable_objects;
    record->unreachable_bytes = result->unreachable_bytes;
    record->direct_objects = result->leaks.direct_objects;
    record->direct_bytes = result->leaks.direct_bytes;
    record->stack_bytes = result->roots.stack_bytes;
    record->globals_bytes = result->roots.globals_bytes;
    int64_t end = (int64_t)(result->bytes + hooks.in_use_bytes() - cycle->engine.in_use_bytes);
    record->heap_end_bytes = end > 0 ? (uint64_t)end : 0;
}

/* Writes down which leaks no sample names.  Before the cycle's own record, so that whoever sees
 * that finds these.  A record's number is 0 while it is written (segment.h). */
static void tell_unsampled(const struct unreached_class *leaks)
{
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
static void settle_leaks(struct md_cycle *record, const struct cycle *cycle)
{
    for (int times = record->flags & MD_CYCLE_FINAL ? 2 : 1; times && hooks.on_samples; times--)
        record->leak_samples = hooks.on_samples(unreached_samples(),
                                                cycle->engine.result.leaks.samples, cycle->moment);
    if (record->flags & MD_CYCLE_FINAL) {
        record->leaked_objects = record->unreachable_objects;
        record->leaked_bytes = record->unreachable_bytes;
    } else if (unreached_had_before()) {
        record->leaked_objects = cycle->engine.result.leaks.leaked_objects;
        record->leaked_bytes = cycle->engine.result.leaks.leaked_bytes;
    } else {
        return;
    }
    record->flags |= MD_CYCLE_LEAKS;
    const struct unreached_class *leaks = unreached_unsampled(!(record->flags & MD_CYCLE_FINAL));
    if (segment_check())
        tell_unsampled(leaks);
    if (!hooks.on_unsampled)
        return;
    uint64_t objects[OBJECT_CLASS_HUGE + 1];
    for (unsigned class = 0; class <= OBJECT_CLASS_HUGE; class ++)
        objects[class] = leaks[class].objects;
    hooks.on_unsampled(objects);
}

void gc_hurry(void)
{
    cycle_hurry();
}

/* Runs it on the tracer thread.  NULL, or why it could not be done. */
static const char *run(struct cycle *cycle)
{
    const char *reason = refused ? refused : seccomp_trial();
    while (!reason && !restart_probe())
        raw_sleep_ns(PROBE_LOOK_NS);
    if (!reason && !(reason = tracer_run(cycle_run, cycle)))
        reason = cycle->reason;
    if (ALLOCATED_CHECKED && reason &&
        strncmp(reason, ALLOCATED_DIFFERS, strlen(ALLOCATED_DIFFERS)) == 0)
        abort(); /* a build for tests, whose cycles may be told to nobody */
    return reason;
}

/* CPU time of a cycle, which is added to that of all. */
static uint64_t count_cpu(const struct md_cycle *record)
{
    uint64_t cpu = record->stop1_cpu_ns + record->mark_cpu_ns + record->stop2_cpu_ns;
    total_cpu_ns += cpu;
    return cpu;
}

bool gc_question(const char *question)
{
    struct md_cycle record = {0};
    struct cycle cycle = {.hooks = &hooks, .record = &record, .question = question};
    int64_t begin = os_now_ns();
    const char *reason = run(&cycle);
    struct md_answer answer = {.start_ns = (uint64_t)begin - segment_header()->start_ns,
                               .stop_ns = record.stop1_ns,
                               .wall_ns = record.mark_ns,
                               .cpu_ns = count_cpu(&record)};
    if (reason)
        strncpy(answer.reason, reason, sizeof answer.reason - 1);
    answers_tell(&answer);
    return !reason;
}

bool gc_cycle(uint32_t flags, struct md_cycle *out)
{
    struct cycle cycle = {.hooks = &hooks, .record = out};
    struct pacer_settings settings;
    settings_now(&settings);
    memset(out, 0, sizeof *out);
    int64_t begin = os_now_ns();
    if (flags & GC_PATIENT) {
        if (!patient_until_ns)
            patient_until_ns = begin + PATIENCE_NS;
        cycle.patient_until_ns = patient_until_ns;
    }
    out->flags = flags & (MD_CYCLE_FORCED | MD_CYCLE_AT_EXIT | MD_CYCLE_TIMED);
    out->cpus = settings.cpus;
    out->start_ns = (uint64_t)begin - segment_header()->start_ns;
    uint64_t goal = pacer_goal(&pacer, &settings);
    out->goal_bytes = goal == PACER_OFF ? 0 : goal;

    const char *reason = run(&cycle);
    /* No verdict on leaks where a register was not seen: it may lead to any block. */
    bool verdict = !reason && !(flags & GC_UNTOLD) && !out->unseen_threads;
    engines_forget_but(verdict ? (enum md_engine)out->engine : MD_ENGINE_NONE);
    if (!verdict)
        unreached_drop();
    if (flags & GC_UNTOLD)
        return !reason;
    int64_t end = os_now_ns();
    uint64_t cpu = count_cpu(out);
    out->total_cpu_ns = total_cpu_ns;
    uint64_t lifetime = (uint64_t)end - segment_header()->start_ns;
    out->utilization_percent = (uint32_t)(total_cpu_ns * 100 / MAX(lifetime * out->cpus, 1));
    if (reason) {
        out->flags |= MD_CYCLE_SKIPPED;
        strncpy(out->reason, reason, sizeof out->reason - 1);
    } else {
        out->flags |= MD_CYCLE_UNSEEN;
        fill_heap(out, &cycle);
        if (verdict && flags & GC_FINAL && out->threads <= 1)
            out->flags |= MD_CYCLE_FINAL;
        if (verdict) {
            settle_leaks(out, &cycle);
            unreached_keep();
        }
        pacer_base(&pacer, out->heap_end_bytes);
    }
    const struct roots_size *roots = &cycle.engine.result.roots;
    uint64_t beside = roots->stack_bytes + roots->globals_bytes;
    if (reason) /* how far it came is not known */
        beside = cycle.engine.private_bytes;
    pacer_cycle(&pacer, &(struct pacer_cycle){
                            .start_ns = begin,
                            .end_ns = end,
                            .cpu_ns = (int64_t)cpu,
                            .pause_ns = (int64_t)(out->stop1_ns + out->stop2_ns),
                            .heap_bytes = cycle.engine.result.bytes,
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
