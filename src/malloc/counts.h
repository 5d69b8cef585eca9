/* Bytes and objects that the program allocates and frees, by thread, added up in the segment's
 * counters.  The bytes are jemalloc's own per-thread counts, read when its thread events fire (each
 * 64 KiB that a thread allocates or frees) and when a thread ends: nothing on the hot path. */
#ifndef MALLOC_COUNTS_H
#define MALLOC_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

struct thread_counts {
    uint64_t alloc_objects, free_objects; /* by the tracked variant, not published yet */
    uint64_t alloc_seen, free_seen;       /* jemalloc's byte counts that have been published */
};
extern _Thread_local struct thread_counts thread_counts __attribute__((tls_model("initial-exec")));

/* Once jemalloc is up.  0 or an errno value. */
int counts_init(void);
/* Bytes that the calling thread has allocated, by jemalloc's count; 0 before counts_init. */
uint64_t counts_allocated(void);
/* Adds the calling thread's share now. */
void counts_publish(void);
/* Bytes that the calling thread has freed and jemalloc has not counted. */
void counts_freed(uint64_t bytes);
/* Whether a thread of the program does our work from here on; returns what it was.  What it
 * allocated before is the program's, what it allocates meanwhile is not. */
bool counts_as_own(bool own);
/* Called after each publication; may be NULL. */
extern void (*counts_on_publish)(void);
/* Called by a thread of the program as it ends (not at exit of the process); may be NULL. */
extern void (*counts_on_thread_end)(void);

#endif
