/* One trace from beginning to end, in the steps that all engines share: index, mark from roots, and
 * what is told of it.
 *
 * In whichever process marks: the snapshot child or a task. */
#ifndef GC_ENGINE_TRACE_H
#define GC_ENGINE_TRACE_H

#include "gc/mark/mark.h"
#include "gc/mark/unreached.h"
#include "gc/roots/roots.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In memory shared between the marker, which writes it, and the tracer. */
struct trace_result {
    uint32_t done;           /* futex: 1 all below is there, 2 `reason` says why not */
    uint32_t hurry;          /* written in the program's process: it waits for the mark (atomic) */
    int64_t cpu_ns;          /* of the marker, without stop_cpu_ns */
    int64_t helper_cpu_ns;   /* of its helpers */
    int64_t stop_cpu_ns;     /* of it while the program stood still */
    uint64_t objects, bytes; /* in use at the snapshot */
    uint64_t unreachable_objects, unreachable_bytes;
    struct unreached_result leaks;
    struct roots_size roots;
    int64_t index_ns, roots_ns, finish_ns; /* wall, by phase: for tuning */
    uint64_t arm_ns, rounds, dirty_bytes;  /* as in struct md_cycle */
    uint32_t markers;                      /* tasks that marked */
    char reason[64];
};

struct trace {
    struct heap_index index;
    struct mark mark;
    bool nothing_new; /* unreached are only blocks that are known to be lost (candidates.h) */
    bool going;       /* is being freed */
};

/* Index and marker; `block_size` as heap_index_build's.  NULL, or why not. */
const char *trace_begin(struct trace *trace, size_t (*block_size)(const void *block));
/* When everything reachable has been reached: fills the result.  NULL, or why not. */
const char *trace_tell(struct trace *trace, struct trace_result *result);
/* All of it, where nothing moves meanwhile: in a frozen copy, or while the program stands still. */
const char *trace_frozen(struct trace *trace, struct trace_result *result,
                         size_t (*block_size)(const void *block));
/* Where the process goes on afterwards. */
void trace_free(struct trace *trace);
/* In a forked copy: frees what nobody uses here.  Where the fork has met the parent in the middle
 * of that, the rest stays, untouched. */
void trace_postfork_child(struct trace *trace);

#endif
