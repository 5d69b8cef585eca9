/* The one thread of ours: runs cycles, writes profiles, answers requests from outside.  In
 * processes whose options need it, it is started when they do, and again in a forked child when
 * something needs it there.  In any other it is started by a request: at a publication, where that
 * is safe (thread_place.h).  There it ends when none has come for a while (threadstay), and the
 * process is as it was before: it never waits, it is no thread that a program's own rules meet.
 *
 * It sleeps on the segment's request word (a futex), so memtop, signal handlers and the allocation
 * path wake it in the same way; the allocation path does so when a cycle is due, and when the
 * tables have moved. */
#ifndef SERVICE_H
#define SERVICE_H

#include "requests.h"
#include "segment/segment.h"

#include <stdbool.h>
#include <stdint.h>

/* Beside MD_REQUEST_* in the request word. */
#define SERVICE_LOOK (1u << 30)        /* something may be due */
#define SERVICE_CYCLE (1u << 28)       /* a cycle, whatever the pacer says: builds for tests */
#define SERVICE_DUMP_SIGNAL (1u << 29) /* the dump signal has come */

/* Whether cycles run by themselves (gc=observe), not only when asked for. */
extern bool service_paces;
/* Whether options need the thread: else it is for requests alone.  NULL: they do. */
extern bool (*service_wanted)(void);
/* Wakes the thread; starts nothing.  Async-signal-safe. */
void service_kick(uint32_t bits);
/* On a thread of the program's, at a publication: whether anything is asked of this process; and
 * sees to it where there is no thread of ours: does what such a thread can do (sets a key, tells
 * what the allocator has, or who pins its slabs), starts ours for all else. */
static inline bool service_asked(void)
{
    return __atomic_load_n(&segment_header()->control.request, __ATOMIC_RELAXED) &
           (REQUESTS_HERE | REQUESTS_THREAD);
}
void service_answer_here(void);
/* Starts it if there is none.  False: the system refused a thread. */
bool service_start(void);

enum service_job {
    JOB_CYCLE = 1,
    JOB_EXIT_CYCLE,
    JOB_EXIT_LEAK_CYCLES, /* two; one where nothing is unreachable or nothing else runs */
    JOB_EXIT_DUMP,
    JOB_EXIT_LEAKS, /* the report */
    JOB_DUMP_TO
};
/* Has a job done and waits for it; on the calling thread where there can be no thread of ours.
 * `above`: of gc_spill, where a cycle is waited for.
 * Returns 0 or an errno value; EDEADLK: JOB_EXIT_DUMP or JOB_EXIT_LEAKS has been given up, as our
 * thread waits for the calling one, or has got no further for 10 s.  That has been said. */
int service_do(enum service_job job, const char *path, const void *above);

/* The program's main thread has ended by itself: from now on our thread looks each 100 ms whether
 * it is the last one, and ends if so, upon which glibc ends the process as it would without us. */
void service_outlives_main(void);
/* Whether there is such a thread, or one is being made. */
bool service_runs(void);

/* In a forked child: the thread is gone. */
void service_postfork_child(void);
/* Nothing more is started or written after this. */
void service_end(void);

#endif
