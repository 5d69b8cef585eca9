/* What a thread waits for, from the system call that it is in and the names of the functions that
 * have made it.  Pure. */
#ifndef MEMTOP_THREAD_WAIT_H
#define MEMTOP_THREAD_WAIT_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum thread_wait_kind {
    THREAD_RUNS,       /* in no system call, or in one that is not known to wait */
    THREAD_UNKNOWN,    /* it sleeps, and nothing says for what */
    THREAD_CALL,       /* in a system call that is none of these */
    THREAD_DESCRIPTOR, /* a file, pipe or socket, or an epoll of some */
    THREAD_POLL,       /* one of several descriptors */
    THREAD_SLEEP,
    THREAD_CHILD,
    THREAD_SIGNAL,
    THREAD_MUTEX, /* from here on it waits for a futex */
    THREAD_RWLOCK,
    THREAD_CONDITION,
    THREAD_SEMAPHORE,
    THREAD_BARRIER,
    THREAD_ONCE,
    THREAD_JOIN,
    THREAD_FUTEX /* of nobody knows what */
};

struct thread_wait {
    enum thread_wait_kind kind;
    const char *call;    /* the system call's name; NULL: it has none here */
    int number;          /* its number; -1: not known */
    uint64_t descriptor; /* THREAD_DESCRIPTOR */
    uint64_t count;      /* THREAD_POLL: descriptors */
    uint64_t address;    /* of the futex */
    uint32_t owner;      /* THREAD_MUTEX: the tid of who holds it; THREAD_JOIN: of whose end; 0: not
                            known */
    bool timed;          /* it ends by itself */
    bool known;          /* the call and its arguments are; else its kind alone */
};

/* A frame's function and the base name of its module, "" where not known. */
struct thread_function {
    const char *function, *module;
};

/* `words`: MD_THREAD_WORDS from the futex on; NULL: not known.  `frames`: the innermost first. */
struct thread_wait thread_wait_of(int call, const uint64_t args[6], const uint32_t *words,
                                  const struct thread_function *frames, size_t frame_count);
/* The same of a thread that sleeps in a call which nobody has seen, but for its functions' names:
 * as it was interrupted before, and goes on with that. */
struct thread_wait thread_wait_by_names(const struct thread_function *frames, size_t frame_count);
static inline bool thread_wait_is_futex(const struct thread_wait *wait)
{
    return wait->kind >= THREAD_MUTEX;
}
/* "mutex", "condition", … */
const char *thread_wait_word(enum thread_wait_kind kind);

#endif
