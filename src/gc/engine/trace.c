#include "gc/engine/trace.h"

#include "base/os.h"
#include "gc/engine/allocated.h"
#include "gc/mark/mark_check.h"

#include <string.h>

const char *trace_begin(struct trace *trace, size_t (*block_size)(const void *block))
{
    if (!heap_index_build(&trace->index, block_size))
        return "no memory to mark in";
    if (!mark_init(&trace->mark, &trace->index, SIZE_MAX))
        return "no memory to mark in";
    return NULL;
}

const char *trace_tell(struct trace *trace, struct trace_result *result)
{
    if (!unreached_find(&trace->mark, trace->nothing_new, &result->leaks))
        return "no memory to mark in";
    heap_index_count_white(&trace->index, &result->unreachable_objects, &result->unreachable_bytes);
    result->objects = trace->index.objects;
    result->bytes = trace->index.bytes;
    result->markers = trace->mark.markers;
    result->helper_cpu_ns = trace->mark.helper_cpu_ns;
    return NULL;
}

const char *trace_frozen(struct trace *trace, struct trace_result *result,
                         size_t (*block_size)(const void *block))
{
    int64_t t0 = os_now_ns();
    const char *reason = trace_begin(trace, block_size);
    if (reason)
        return reason;
    if (MARK_CHECKED && !mark_check_begin(&trace->mark, block_size))
        return "no memory to check the mark in";
    int64_t t1 = os_now_ns();
    trace->mark.hurry = &result->hurry;
    if (!roots_mark(&trace->mark, &result->roots))
        return "/proc/self/maps cannot be read";
    int64_t t2 = os_now_ns();
    mark_finish(&trace->mark);
    if (MARK_CHECKED && mark_check_end(&trace->mark))
        return "the simple marker has reached other blocks";
    allocated_settle(&trace->mark);
    reason = trace_tell(trace, result);
    result->index_ns = t1 - t0;
    result->roots_ns = t2 - t1;
    result->finish_ns = os_now_ns() - t2;
    return reason;
}

void trace_free(struct trace *trace)
{
    __atomic_store_n(&trace->going, true, __ATOMIC_SEQ_CST);
    if (mark_free(&trace->mark))
        heap_index_free(&trace->index);
    __atomic_store_n(&trace->going, false, __ATOMIC_SEQ_CST);
}

void trace_postfork_child(struct trace *trace)
{
    mark_postfork_child(&trace->mark);
    if (trace->going)
        memset(trace, 0, sizeof *trace);
    else
        trace_free(trace);
}
