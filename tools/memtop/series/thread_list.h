/* The threads of a process: what the kernel says of each, and what the answer to the question
 * "threads" has of it (MD_ANSWER_THREAD), with the names of its functions. */
#ifndef MEMTOP_THREAD_LIST_H
#define MEMTOP_THREAD_LIST_H

#include "series/thread_wait.h"
#include "target/threads.h"
#include "view/snapshot.h"
#include "view/symbolize.h"

#define THREAD_NONE SIZE_MAX

struct thread_frame {
    const char *function, *file, *module; /* "" where not known; cleaned when they are printed */
    uint64_t pc;
    uint64_t address; /* in the module's symbol tables; without a module the pc */
    uint32_t line;
};

struct thread_row {
    struct proc_thread kernel;
    const struct md_answer_thread *seen; /* NULL: it is not in the answer */
    struct thread_frame *frames;         /* the innermost first */
    size_t frame_count;
    struct thread_wait wait;
    size_t owner;       /* row of who holds what it waits for; THREAD_NONE: not known */
    size_t place_owner; /* row on whose stack that lies; likewise */
    bool stopped_by_us; /* it last ran when a stop of ours ended: it may have waited longer */
    bool in_deadlock;   /* it waits for one that waits … for it */
};

struct thread_list {
    struct thread_row *rows;
    size_t count;
    /* Private. */
    struct symbolizer *symbolizer;
    struct md_module *modules;
    size_t module_count;
};

/* Until when stops of ours have interrupted threads, CLOCK_MONOTONIC; 0: there was none.  The
 * snapshot has SNAPSHOT_CYCLES and SNAPSHOT_ANSWER. */
int64_t thread_stop_ns(const struct snapshot *snapshot);

/* Takes over `threads` (malloc'ed), which were looked at when `stop_ns` was as above.  What it says
 * of an answer is borrowed from the snapshot, which has SNAPSHOT_ANSWER where `answered`.  False:
 * no memory.  thread_list_fini may follow either way. */
bool thread_list_make(struct thread_list *list, struct proc_thread *threads, size_t count,
                      const struct snapshot *snapshot, bool answered, int64_t stop_ns,
                      const struct symbolizer_options *symbols);
void thread_list_fini(struct thread_list *list);

/* Whether the two have the same stack, wait for the same kind of thing, and are of the same mind
 * about it. */
bool thread_rows_alike(const struct thread_row *a, const struct thread_row *b);
/* Whether nobody that is seen can wake it. */
static inline bool thread_row_unreached(const struct thread_row *row)
{
    return row->seen && row->seen->flags & MD_THREAD_UNREACHED;
}

#endif
