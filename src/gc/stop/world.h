/* Stops and resumes the program's threads.
 *
 * A stop signals every task of the process, which parks in a signal handler on its own stack (so
 * its registers lie there, vector registers too) until it is resumed.  A task that cannot answer
 * because it sits in a system call counts as parked as long as /proc says it has not moved
 * (blocked.h).  So does one that is not signalled at all, as its call would return EINTR: with
 * gcstop=quiet, and where libc's calls cannot be read (restart_probe.h).
 *
 * A stop stands until the tracer resumes it, but only for so long: a tracer that gets no CPU
 * resumes nobody.  Then a parked thread calls it off, all go on, and what was seen in it is void.
 *
 * Promises: nothing between world_stop and world_resume takes a lock of the program's or anything
 * from its heap.  Nobody is parked for longer than WORLD_HOLD_NS, WORLD_THREAD_NS for each thread
 * and what world_stop was told that parking and the work in the stop may take, whatever has become
 * of the tracer.  errno and all registers of the parked thread are as before, and an interrupted
 * system call goes on (restart.h).
 *
 * All functions are called by the tracer thread only, but world_postfork_child, and world_state_of
 * by whoever marks. */
#ifndef GC_STOP_WORLD_H
#define GC_STOP_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#define WORLD_STOP_NS 10000000            /* until all are parked, or the attempt has failed */
#define WORLD_HOLD_NS (2 * WORLD_STOP_NS) /* until it is called off */
#define WORLD_THREAD_NS INT64_C(20000)    /* more of both, for each thread */

/* Why an attempt came to nothing, when it was called off. */
#define WORLD_CALLED_OFF "the stop took too long and was called off"

enum world_state {
    WORLD_FREE,
    WORLD_SIGNALLED,
    WORLD_ANSWERING, /* its handler fills in the fields; nobody else writes to them */
    WORLD_PARKED,    /* in our handler: all fields are known */
    WORLD_BLOCKED,   /* in a system call: sp is known, registers are not */
    WORLD_GONE       /* it ended, or has no user state */
};

/* One of the program's.  The tracer gives the entry to a thread, and fills it in for one that it
 * finds blocked; a parked thread's handler fills it in before it sets PARKED (release), which the
 * tracer reads (acquire). */
struct world_thread {
    int tid;
    uint64_t state;            /* enum world_state, low 3 bits; above them the stop's generation */
    uintptr_t sp;              /* of the program's code (restart_context) */
    uintptr_t pointer;         /* thread pointer; 0 if not known */
    uint64_t fingerprint;      /* BLOCKED: of what /proc said, to see whether it has moved */
    const ucontext_t *context; /* PARKED: what the handler was given */
};

/* Written by the tracer alone.  Handlers read `threads` and `generation`. */
struct world {
    struct world_thread *threads;
    unsigned count;      /* entries in use, of any state */
    uint32_t generation; /* number of the stop; atomic */
    unsigned parked, blocked;
    bool in_vain;   /* the attempt has failed, and so would each other: signals cannot be sent */
    unsigned stuck; /* of the blocked, at most so many that sleep uninterruptibly: perhaps with a
                       lock of the kernel's */
    /* The pause.  It begins before the first thread is signalled.  It ends when nobody is left to
     * be woken, as seen by whoever wakes last; where the stop was called off, at the moment from
     * which that could be. */
    int64_t begin_ns, end_ns;
};
extern struct world world;

/* Opens what is needed of /proc and prefaults tables.  In the tracer thread.  NULL, or why not. */
const char *world_open(void);
/* Before the tracer thread ends: its descriptors go with it. */
void world_close(void);
/* One attempt; `patience_ns`: more than WORLD_STOP_NS until all are parked, where nobody feels it;
 * `work_ns`: how long the work in the stop may take, beyond what a stop has anyhow.  NULL: all are
 * parked.  Else the reason, and all run again. */
const char *world_stop(int64_t patience_ns, int64_t work_ns);
/* How long the stop will stand from now on; negative: it may have been called off. */
int64_t world_left_ns(void);
/* Whether those that sat in system calls have done so ever since. */
bool world_unchanged(void);
/* True: the stop has stood until now; false: it was called off, what was seen in it counts for
 * nothing. */
bool world_resume(void);
/* In a forked copy: forgets the parent's stop. */
void world_postfork_child(void);

/* What the thread is in this stop.  An entry may still carry an earlier stop's number, where a
 * handler of that stop is late: then it is FREE. */
static inline enum world_state world_state_of(const struct world_thread *thread)
{
    uint64_t state = __atomic_load_n(&thread->state, __ATOMIC_ACQUIRE);
    return state >> 3 == world.generation ? (enum world_state)(state & 7) : WORLD_FREE;
}

#endif
