#include "base/lock.h"

#include "base/compiler.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef NDEBUG
static THREAD_LOCAL uint32_t held_ranks; /* bit r: a lock of rank r is held by this thread */
#endif

static void note_taken(struct lock *lock)
{
#ifndef NDEBUG
    assert((held_ranks >> lock->rank) == 0 && "locks are taken in rising rank");
    held_ranks |= 1u << lock->rank;
#else
    (void)lock;
#endif
}

bool lock_try(struct lock *lock)
{
    uint32_t expected = 0;
    if (!__atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return false;
    note_taken(lock);
    return true;
}

static COLD void wait_for(struct lock *lock)
{
    int saved = errno;
    for (int i = 0; i < 100; i++) {
        uint32_t expected = 0;
        if (__atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return;
        __builtin_ia32_pause();
    }
    while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0)
        syscall(SYS_futex, &lock->word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
    errno = saved;
}

void lock_take(struct lock *lock)
{
    uint32_t expected = 0;
    if (!__atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        wait_for(lock);
    note_taken(lock);
}

void lock_release(struct lock *lock)
{
#ifndef NDEBUG
    held_ranks &= ~(1u << lock->rank);
#endif
    if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2) {
        int saved = errno;
        syscall(SYS_futex, &lock->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        errno = saved;
    }
}

void lock_renew(struct lock *lock)
{
    lock->word = 0;
#ifndef NDEBUG
    held_ranks = 0;
#endif
}
