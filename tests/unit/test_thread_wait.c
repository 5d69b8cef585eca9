/* What a thread waits for, from made-up calls and stacks. */
#include "support/tap.h"

#include "series/thread_wait.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>

static const struct thread_function mutex[] = {
    {"__lll_lock_wait", "libc.so.6"}, {"___pthread_mutex_lock", "libc.so.6"}, {"main", "prog"}};
static const struct thread_function reacquires[] = {{"__pthread_mutex_cond_lock", "libc.so.6"},
                                                    {"pthread_cond_wait", "libc.so.6"}};
static const struct thread_function own[] = {{"pthread_mutex_lock_mine", "prog"},
                                             {"pthread_mutex_lock", "libc.so.6"}};
static const struct thread_function stripped[] = {{"", "libc-2.31.so"}, {"wait_for_it", "prog"}};
static const struct thread_function sleeps[] = {{"__clock_nanosleep", "libc.so.6"},
                                                {"main", "prog"}};

#define COUNT(frames) (sizeof(frames) / sizeof((frames)[0]))

static void test_futex(void)
{
    uint64_t args[6] = {0x1000, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 2, 0};
    uint32_t words[MD_THREAD_WORDS] = {2, 1, 812, 1};
    struct thread_wait wait = thread_wait_of(SYS_futex, args, words, mutex, COUNT(mutex));
    ok(wait.kind == THREAD_MUTEX && wait.owner == 812 && wait.address == 0x1000 && !wait.timed &&
           thread_wait_is_futex(&wait),
       "a mutex, who holds it");
    wait = thread_wait_of(SYS_futex, args, NULL, mutex, COUNT(mutex));
    ok(wait.kind == THREAD_MUTEX && wait.owner == 0, "where its words are not known, that is not");
    wait = thread_wait_of(SYS_futex, args, words, reacquires, COUNT(reacquires));
    ok(wait.kind == THREAD_MUTEX, "after a condition its mutex is waited for");
    wait = thread_wait_of(SYS_futex, args, words, own, COUNT(own));
    ok(wait.kind == THREAD_FUTEX && wait.owner == 0, "a function of the program's tells nothing");
    wait = thread_wait_of(SYS_futex, args, words, stripped, COUNT(stripped));
    ok(wait.kind == THREAD_FUTEX, "nor does libc without names");
    args[1] = FUTEX_LOCK_PI;
    words[0] = 77 | FUTEX_WAITERS;
    wait = thread_wait_of(SYS_futex, args, words, mutex, COUNT(mutex));
    ok(wait.owner == 77, "a mutex that inherits priorities has its holder in the lock");
    args[3] = 0x2000;
    ok(thread_wait_of(SYS_futex, args, words, mutex, COUNT(mutex)).timed, "with a time");
}

static void test_calls(void)
{
    uint64_t descriptor[6] = {5, 0, 1}, forever[6] = {5, 0, 1, (uint64_t)-1}, three[6] = {0, 3, 0};
    struct thread_wait wait = thread_wait_of(SYS_read, descriptor, NULL, NULL, 0);
    ok(wait.kind == THREAD_DESCRIPTOR && wait.descriptor == 5 && strcmp(wait.call, "read") == 0 &&
           !thread_wait_is_futex(&wait),
       "a descriptor");
    ok(!thread_wait_of(SYS_epoll_pwait, forever, NULL, NULL, 0).timed, "-1 ms is no time");
    ok(thread_wait_of(SYS_epoll_pwait, descriptor, NULL, NULL, 0).timed, "0 ms is one");
    wait = thread_wait_of(SYS_ppoll, three, NULL, NULL, 0);
    ok(wait.kind == THREAD_POLL && wait.count == 3 && !wait.timed, "three descriptors, no time");
    wait = thread_wait_of(SYS_getpid, three, NULL, NULL, 0);
    ok(wait.kind == THREAD_CALL && !wait.call && wait.number == SYS_getpid, "any other call");
}

static void test_names(void)
{
    struct thread_wait wait = thread_wait_by_names(sleeps, COUNT(sleeps));
    ok(wait.kind == THREAD_SLEEP && !wait.known && wait.number == -1, "a sleep, by its function");
    ok(thread_wait_by_names(mutex, COUNT(mutex)).kind == THREAD_MUTEX, "a mutex likewise");
    ok(thread_wait_by_names(stripped, COUNT(stripped)).kind == THREAD_UNKNOWN,
       "else it is not known");
    ok(thread_wait_by_names(NULL, 0).kind == THREAD_UNKNOWN, "nor without a stack");
}

int main(void)
{
    test_futex();
    test_calls();
    test_names();
    return tap_done();
}
