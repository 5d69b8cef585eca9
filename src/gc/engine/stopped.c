#include "gc/engine/stopped.h"

#include "base/os.h"
#include "gc/sys/fault.h"
#include "gc/sys/task.h"

#include <string.h>

struct state {
    struct trace trace;
    struct trace_result result;
    struct task task;
    bool oversized;
    const char *reason;
};
static struct state *state;

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
    (void)ctx;
    fault_handle(give_up);
    state->reason = trace_frozen(&state->trace, &state->result, size_of_oversized);
    if (!state->reason && state->oversized)
        state->reason = "a block of more than 64 GiB";
}

void stopped_end(void)
{
    if (!state)
        return;
    task_cancel(&state->task);
    trace_free(&state->trace);
}

const char *stopped_prepare(void)
{
    if (!state && !(state = own_map(sizeof *state)))
        return "no memory for the result";
    stopped_end();
    struct task task = state->task; /* its stack */
    memset(state, 0, sizeof *state);
    state->task = task;
    return roots_prepare() ? NULL : "no memory to mark in";
}

const char *stopped_mark(struct trace_result *result, int64_t limit_ns)
{
    const char *reason = task_start(&state->task, mark_all, NULL, 0);
    if (!reason)
        reason = task_wait(&state->task, limit_ns);
    if (!reason)
        reason = state->reason;
    *result = state->result;
    result->stop_cpu_ns = state->task.cpu_ns + result->helper_cpu_ns;
    return reason;
}

void stopped_renew(void)
{
    if (!state)
        return;
    task_renew(&state->task);
    trace_renew(&state->trace);
}
