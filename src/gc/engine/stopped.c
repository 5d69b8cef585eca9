#include "gc/engine/stopped.h"

#include "base/os.h"
#include "gc/engine/allocated.h"
#include "gc/sys/fault.h"
#include "gc/sys/task.h"
#include "heap/object_map.h"

#include <string.h>

struct state {
    struct trace trace;
    struct trace_result result;
    struct task task;
    bool oversized;
    const char *reason;
};
static struct state *state;

#define STOP_NS INT64_C(100000000)         /* longest stop, where it is a last resort */
#define STOP_FORCED_NS INT64_C(1000000000) /* and where it has been asked for */

static void give_up(void)
{
    task_exit();
}

static size_t size_of_oversized(const void *block)
{
    (void)block;
    state->oversized = true;
    return 0;
}

static void mark_all(void *ctx)
{
    const struct engine_cycle *cycle = ctx;
    fault_handle(give_up);
    state->reason = object_map ? NULL : allocated_fill(cycle->allocated);
    if (!state->reason)
        state->reason = trace_frozen(&state->trace, &state->result,
                                     cycle->allocated ? cycle->block_size : size_of_oversized);
    if (!state->reason && state->oversized)
        state->reason = "a block of more than 64 GiB";
}

static void end_all(void)
{
    if (!state)
        return;
    task_cancel(&state->task);
    trace_free(&state->trace);
}

static void stopped_end(struct engine_cycle *cycle)
{
    (void)cycle;
    end_all();
}

static const char *stopped_prepare(struct engine_cycle *cycle)
{
    cycle->stop_ns = cycle->forced ? STOP_FORCED_NS : STOP_NS;
    return NULL;
}

static const char *before_attempt(struct engine_cycle *cycle, bool *needless)
{
    (void)cycle, (void)needless;
    if (!state && !(state = own_map(sizeof *state)))
        return "no memory for the result";
    end_all();
    struct task task = state->task; /* its stack */
    memset(state, 0, sizeof *state);
    state->task = task;
    return roots_prepare() ? NULL : "no memory to mark in";
}

static const char *mark_in_stop(struct engine_cycle *cycle)
{
    bool filled = !object_map;
    const char *reason = task_start(&state->task, mark_all, cycle, 0);
    if (!reason)
        reason = task_wait(&state->task, cycle->stop_ns);
    if (!reason)
        reason = state->reason;
    if (filled) {
        task_cancel(&state->task);
        allocated_free();
    }
    cycle->result = state->result;
    cycle->result.stop_cpu_ns = state->task.cpu_ns + state->result.helper_cpu_ns;
    return reason;
}

static void stopped_postfork_child(void)
{
    if (!state)
        return;
    task_postfork_child(&state->task);
    trace_postfork_child(&state->trace);
}

const struct engine engine_stopped = {
    .holds_program = true,
    .prepare = stopped_prepare,
    .stops = {{.before = before_attempt, .in_stop = mark_in_stop, .reads_extents = true}},
    .stop_count = 1,
    .end = stopped_end,
    .postfork_child = stopped_postfork_child,
};
