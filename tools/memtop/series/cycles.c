#include "cycles.h"

#include "history.h"
#include "units.h"
#include "view/gctrace.h"
#include "view/plain_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void trace_init(struct trace *trace, uint32_t pid, const char *name)
{
    *trace = (struct trace){.pid = pid, .pause_last_ns = NAN, .pause_max_ns = NAN};
    plain_text(trace->name, sizeof trace->name, name, SIZE_MAX);
}

void trace_fini(struct trace *trace)
{
    free(trace->pauses);
    trace->pauses = NULL;
    trace->pause_count = trace->pause_capacity = 0;
}

double cycle_pause_ns(const struct md_cycle *cycle)
{
    return (double)cycle->stop1_ns + (double)cycle->stop2_ns;
}

static void add_pause(struct trace *trace, double pause_ns)
{
    trace->pause_last_ns = pause_ns;
    trace->pause_total_ns += pause_ns;
    if (!(trace->pause_max_ns >= pause_ns))
        trace->pause_max_ns = pause_ns;
    if (trace->pause_count == trace->pause_capacity && trace->pause_capacity < TRACE_PAUSES) {
        size_t capacity = trace->pause_capacity ? 4 * trace->pause_capacity : 256;
        double *grown = realloc(trace->pauses, capacity * sizeof grown[0]);
        if (grown) {
            trace->pauses = grown;
            trace->pause_capacity = capacity;
            trace->pause_next = trace->pause_count;
        }
    }
    if (trace->pause_capacity == 0)
        return;
    trace->pauses[trace->pause_next % trace->pause_capacity] = pause_ns;
    trace->pause_next = (trace->pause_next + 1) % trace->pause_capacity;
    if (trace->pause_count < trace->pause_capacity)
        trace->pause_count++;
}

void trace_add(struct trace *trace, const struct md_cycle *cycle)
{
    trace->kept[trace->kept_next] = *cycle;
    trace->kept_next = (trace->kept_next + 1) % TRACE_KEPT;
    if (trace->kept_count < TRACE_KEPT)
        trace->kept_count++;
    trace->last_seconds = (double)cycle->start_ns / 1e9;
    if (trace->cycles + trace->skips == 0)
        trace->first_seconds = trace->last_seconds;
    if (cycle->flags & MD_CYCLE_SKIPPED) {
        trace->skips++;
        return;
    }
    if (trace->cycles == 0) {
        trace->heap_min_bytes = trace->heap_max_bytes = cycle->heap_start_bytes;
        trace->reachable_first = cycle->heap_live_bytes;
    }
    trace->cycles++;
    trace->forced += (cycle->flags & MD_CYCLE_FORCED) != 0;
    add_pause(trace, cycle_pause_ns(cycle));
    trace->mark_total_ns += (double)cycle->mark_ns;
    if (cycle->heap_start_bytes < trace->heap_min_bytes)
        trace->heap_min_bytes = cycle->heap_start_bytes;
    if (cycle->heap_end_bytes > trace->heap_max_bytes)
        trace->heap_max_bytes = cycle->heap_end_bytes;
    trace->reachable_last = cycle->heap_live_bytes;
    trace->goal_last = cycle->goal_bytes;
    trace->unreachable_known = trace->pid != 0;
    trace->unreachable_objects = cycle->unreachable_objects;
    trace->unreachable_bytes = cycle->unreachable_bytes;
    trace->live_objects = cycle->live_objects;
    trace->cpu_ns += (double)cycle->stop1_cpu_ns + (double)cycle->assist_cpu_ns +
                     (double)cycle->mark_cpu_ns + (double)cycle->stop2_cpu_ns;
    trace->utilization_percent = cycle->utilization_percent;
}

size_t trace_add_ring(struct trace *trace, const struct md_cycle *cycles, size_t count)
{
    size_t added = 0;
    for (size_t i = 0; i < count; i++) {
        if (cycles[i].index < trace->next_index)
            continue;
        trace_add(trace, &cycles[i]);
        trace->next_index = cycles[i].index + 1;
        added++;
    }
    return added;
}

const struct md_cycle *trace_recent(const struct trace *trace, size_t i)
{
    if (i >= trace->kept_count)
        return NULL;
    return &trace->kept[(trace->kept_next + 2 * TRACE_KEPT - 1 - i) % TRACE_KEPT];
}

struct pause_quantiles trace_pauses(const struct trace *trace)
{
    struct pause_quantiles result = {NAN, NAN, trace->pause_max_ns};
    double *copy = malloc((trace->pause_count + 1) * sizeof copy[0]);
    if (!copy || trace->pause_count == 0) {
        free(copy);
        return result;
    }
    memcpy(copy, trace->pauses, trace->pause_count * sizeof copy[0]);
    result.p50_ns = quantile(copy, trace->pause_count, 50);
    result.p99_ns = quantile(copy, trace->pause_count, 99);
    free(copy);
    return result;
}

void trace_line(const struct trace *trace, const struct md_cycle *cycle, int columns, char *buffer,
                size_t size)
{
    char line[GCTRACE_LINE_SIZE], pause[UNITS_SIZE], bytes[UNITS_SIZE];
    size_t length = gctrace_format(cycle, trace->pid, trace->name, line, sizeof line);
    if (length > 0 && line[length - 1] == '\n')
        line[--length] = '\0';
    if (length > 0 && ((int)length <= columns || (cycle->flags & MD_CYCLE_SKIPPED))) {
        snprintf(buffer, size, "%s", line);
        return;
    }
    int n = snprintf(buffer, size, "gc %llu @%.3fs pause %s %llu->%llu->%llu MB, goal %llu MB",
                     (unsigned long long)cycle->number, (double)cycle->start_ns / 1e9,
                     units_pause(pause, cycle_pause_ns(cycle)),
                     (unsigned long long)cycle->heap_start_bytes >> 20,
                     (unsigned long long)cycle->heap_end_bytes >> 20,
                     (unsigned long long)cycle->heap_live_bytes >> 20,
                     (unsigned long long)cycle->goal_bytes >> 20);
    if (trace->pid != 0 && n > 0 && (size_t)n < size)
        n += snprintf(buffer + n, size - (size_t)n, ", %llu unreachable %s",
                      (unsigned long long)cycle->unreachable_objects,
                      units_bytes(bytes, (double)cycle->unreachable_bytes));
    if ((cycle->flags & MD_CYCLE_FORCED) && n > 0 && (size_t)n < size)
        snprintf(buffer + n, size - (size_t)n, " (forced)");
}
