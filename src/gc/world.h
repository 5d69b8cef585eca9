/* Stops and resumes the program's threads.
 *
 * A stop signals every task of the process, which parks in a signal handler on its own stack (so
 * its registers lie there, vector registers too) until it is resumed.  A task that cannot answer
 * because it sits in a system call counts as parked as long as /proc says it has not moved
 * (seat.h); with gcstop=quiet so does one whose call would return EINTR, which is then not
 * signalled at all.
 *
 * Promises: nothing between world_stop and world_resume takes a lock or allocates; no attempt parks
 * anyone for longer than WORLD_STOP_NS plus 20 us a thread until it has failed; a thread that is
 * not resumed for WORLD_PARKED_NS goes on by itself, whatever has become of the tracer, and
 * world_unchanged() then says so.  errno and all registers of the parked thread are as before, and
 * an interrupted system call goes on (restart.h).
 *
 * All functions but world_renew are called by the tracer thread only. */
#ifndef GC_WORLD_H
#define GC_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#define WORLD_STOP_NS 10000000
#define WORLD_PARKED_NS INT64_C(3000000000)

enum world_state {
    WORLD_FREE,
    WORLD_SIGNALLED,
    WORLD_PARKED,  /* in our handler: all fields are known */
    WORLD_BLOCKED, /* in a system call: sp is known, registers are not */
    WORLD_GONE,    /* it ended, or has no user state */
    WORLD_READ     /* within world_stop: what it said of itself is being read */
};

struct world_thread {
    int tid;
    uint64_t state;       /* enum world_state, low 3 bits; above them the stop's generation */
    uintptr_t sp;         /* of the interrupted code */
    uintptr_t frame;      /* lowest address used by the handler; equals sp if BLOCKED */
    uintptr_t fs;         /* thread pointer; 0 if not known */
    uint64_t fingerprint; /* BLOCKED: of what /proc said, to see whether it has moved */
};

struct world {
    struct world_thread *threads;
    unsigned count; /* entries in use, of any state */
    unsigned parked, blocked;
    unsigned stuck; /* of those, at most so many that sleep uninterruptibly: with a lock, perhaps */
    /* The pause: from before the first thread is signalled until nobody is left to be woken, which
     * whoever has been woken says too if it runs in the tracer's place. */
    int64_t begin_ns, end_ns;
};
extern struct world world;

/* Opens what is needed of /proc and prefaults tables.  In the tracer thread.  NULL, or why not. */
const char *world_open(void);
/* Before the tracer thread ends: its descriptors go with it. */
void world_close(void);
/* One attempt.  NULL: all are parked.  Else the reason, and all run again. */
const char *world_stop(void);
/* Whether all that world_stop found parked have been so ever since. */
bool world_unchanged(void);
void world_resume(void);
/* In a forked copy: forgets the parent's stop. */
void world_renew(void);

static inline enum world_state world_state_of(const struct world_thread *thread)
{
    return (enum world_state)(thread->state & 7);
}

#endif
