/* System calls without libc: no errno, no cancellation point, no lock, no thread-local access.
 * The stop handler, on the program's stacks, calls the system through these only.  What runs while
 * the program's threads are parked, in the snapshot child or in a task does so too, but for clocks
 * and memory of our own (os.h): a parked thread may hold any lock of libc, and those take none.
 *
 * Each returns what the kernel returned: a value, or -errno. */
#ifndef GC_SYS_RAW_H
#define GC_SYS_RAW_H

#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

/* The machine's own:
 *   raw6(number, a … f)  the call itself
 *   raw_restorer         where a handler returns to, and RAW_RESTORER, the flag that says so; NULL
 *                        and 0 where the kernel has a place of its own for that */
#if defined(__x86_64__)
#include "gc/sys/raw_x86_64.h"
#elif defined(__aarch64__)
#include "gc/sys/raw_aarch64.h"
#endif

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

#define RAW4(number, a, b, c, d) raw6((number), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define RAW3(number, a, b, c) RAW4(number, a, b, c, 0)

/* Waits while *word == value, at most `timeout_ns` (negative: for ever).  Returns 0 or -errno; may
 * return early for no reason. */
static ALWAYS_INLINE long raw_futex_wait(uint32_t *word, uint32_t value, int64_t timeout_ns,
                                         int private_flag)
{
    struct timespec ts = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    return RAW4(SYS_futex, word, FUTEX_WAIT | private_flag, value, timeout_ns < 0 ? NULL : &ts);
}

/* The same, until this moment of CLOCK_MONOTONIC. */
static ALWAYS_INLINE long raw_futex_wait_until(uint32_t *word, uint32_t value, int64_t end_ns,
                                               int private_flag)
{
    struct timespec ts = {end_ns / 1000000000, end_ns % 1000000000};
    return raw6(SYS_futex, (long)word, FUTEX_WAIT_BITSET | private_flag, value, (long)&ts, 0,
                FUTEX_BITSET_MATCH_ANY);
}

/* The same, by a call that a signal without a handler does not make the kernel remember
 * (Linux 5.16): what it keeps of one that was interrupted before stays. */
static ALWAYS_INLINE long raw_futex_waitv_until(uint32_t *word, uint32_t value, int64_t end_ns,
                                                int private_flag)
{
    struct {
        uint64_t value, word;
        uint32_t flags, reserved;
    } one = {value, (uintptr_t)word, 2 /* of 32 bits */ | (uint32_t)private_flag, 0};
    struct timespec ts = {end_ns / 1000000000, end_ns % 1000000000};
    return raw6(SYS_futex_waitv, (long)&one, 1, 0, (long)&ts, CLOCK_MONOTONIC, 0);
}

/* How many were woken. */
static ALWAYS_INLINE long raw_futex_wake(uint32_t *word, int count, int private_flag)
{
    return RAW3(SYS_futex, word, FUTEX_WAKE | private_flag, count);
}

static inline void raw_sleep_ns(int64_t ns)
{
    struct timespec ts = {ns / 1000000000, ns % 1000000000};
    RAW3(SYS_nanosleep, &ts, NULL, 0);
}

/* CLOCK_MONOTONIC and CPU time by system call: in the child the vDSO is mapped too, but a program
 * may have unmapped it. */
static inline int64_t raw_clock_ns(int clock)
{
    struct timespec ts = {0, 0};
    RAW3(SYS_clock_gettime, clock, &ts, 0);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* The kernel's struct sigaction, which libc's differs from. */
struct raw_sigaction {
    void (*handler)(int, void *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static inline long raw_sigaction(int signal, const struct raw_sigaction *new,
                                 struct raw_sigaction *old)
{
    return RAW4(SYS_rt_sigaction, signal, new, old, sizeof(uint64_t));
}

/* Installs a handler that runs with all signals blocked; `flags` beside SA_SIGINFO. */
static inline long raw_handle(int signal, void (*handler)(int, void *, void *), unsigned long flags)
{
    struct raw_sigaction action = {.handler = handler,
                                   .flags = flags | SA_SIGINFO | RAW_RESTORER,
                                   .restorer = raw_restorer,
                                   .mask = ~UINT64_C(0)};
    return raw_sigaction(signal, &action, NULL);
}

static inline long raw_sigmask(int how, const uint64_t *new, uint64_t *old)
{
    return RAW4(SYS_rt_sigprocmask, how, new, old, sizeof(uint64_t));
}

#endif
