#include "base/lock.h"

#include "base/compiler.h"
#include "base/machine.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

static THREAD_LOCAL uint32_t held_ranks; /* bit r: a lock of rank r is held by this thread */
/* Of those, what a signal handler holds that has come between its thread's note and its lock. */
static THREAD_LOCAL uint32_t nested_ranks;

/* Before the lock is had and until after it is free: a signal in between finds it noted. */
static void note(struct lock *lock)
{
    assert((held_ranks >> lock->rank) == 0 && "locks are taken in rising rank");
    held_ranks |= 1u << lock->rank;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void unnote(struct lock *lock)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    uint32_t bit = 1u << lock->rank;
    if (nested_ranks & bit)
        nested_ranks &= ~bit;
    else
        held_ranks &= ~bit;
}

bool lock_held_here(void)
{
    return held_ranks != 0;
}

bool lock_try(struct lock *lock)
{
    uint32_t expected = 0, before = held_ranks, bit = 1u << lock->rank;
    /* Whoever does not wait keeps no order; and what is being tried may be held by this very thread
     * (a handler), or be about to be. */
    held_ranks |= bit;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (__atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED)) {
        nested_ranks |= before & bit;
        return true;
    }
    held_ranks = before;
    return false;
}

static COLD void wait_for(struct lock *lock)
{
    int saved = errno;
    for (int i = 0; i < 100; i++) {
        uint32_t expected = 0;
        if (__atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return;
        cpu_relax();
    }
    while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0)
        syscall(SYS_futex, &lock->word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
    errno = saved;
}

void lock_take(struct lock *lock)
{
    uint32_t expected = 0;
    note(lock);
    if (!__atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        wait_for(lock);
}

void lock_release(struct lock *lock)
{
    bool waited = __atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2;
    unnote(lock);
    if (waited) {
        int saved = errno;
        syscall(SYS_futex, &lock->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        errno = saved;
    }
}

void lock_postfork_child(struct lock *lock)
{
    lock->word = 0;
    held_ranks = nested_ranks = 0;
}
