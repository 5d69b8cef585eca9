#include "thread_wait.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* System calls that wait.  `of`: the number of the argument that is a descriptor, or the count of
 * some; `time`: the number of the one that is a time, a NULL pointer if there is none, or -1 in
 * milliseconds; NONE: it has no such argument. */
enum { NONE = -1, ALWAYS = -2 };
static const struct call {
    int number;
    const char *name;
    enum thread_wait_kind kind;
    int of, time;
} calls[] = {
    {SYS_read, "read", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_readv, "readv", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_pread64, "pread", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_write, "write", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_writev, "writev", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_pwrite64, "pwrite", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_sendfile, "sendfile", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_splice, "splice", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_recvfrom, "recv", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_recvmsg, "recvmsg", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_recvmmsg, "recvmmsg", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_sendto, "send", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_sendmsg, "sendmsg", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_accept, "accept", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_accept4, "accept", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_connect, "connect", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_ioctl, "ioctl", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_flock, "flock", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_fcntl, "fcntl", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_fsync, "fsync", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_fdatasync, "fdatasync", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_io_uring_enter, "io_uring_enter", THREAD_DESCRIPTOR, 0, NONE},
    {SYS_epoll_pwait, "epoll_wait", THREAD_DESCRIPTOR, 0, 3},
    {SYS_epoll_pwait2, "epoll_wait", THREAD_DESCRIPTOR, 0, 3},
    {SYS_ppoll, "poll", THREAD_POLL, 1, 2},
    {SYS_pselect6, "select", THREAD_POLL, 0, 4},
#ifdef SYS_poll /* machines that are older than those */
    {SYS_epoll_wait, "epoll_wait", THREAD_DESCRIPTOR, 0, 3},
    {SYS_poll, "poll", THREAD_POLL, 1, 2},
    {SYS_select, "select", THREAD_POLL, 0, 4},
    {SYS_pause, "pause", THREAD_SIGNAL, NONE, NONE},
#endif
    {SYS_nanosleep, "nanosleep", THREAD_SLEEP, NONE, ALWAYS},
    {SYS_clock_nanosleep, "clock_nanosleep", THREAD_SLEEP, NONE, ALWAYS},
    {SYS_wait4, "wait4", THREAD_CHILD, NONE, NONE},
    {SYS_waitid, "waitid", THREAD_CHILD, NONE, NONE},
    {SYS_rt_sigtimedwait, "sigwait", THREAD_SIGNAL, NONE, 2},
    {SYS_rt_sigsuspend, "sigsuspend", THREAD_SIGNAL, NONE, NONE},
    {SYS_semop, "semop", THREAD_CALL, NONE, NONE},
    {SYS_semtimedop, "semtimedop", THREAD_CALL, NONE, 3},
    {SYS_msgrcv, "msgrcv", THREAD_CALL, NONE, NONE},
    {SYS_msgsnd, "msgsnd", THREAD_CALL, NONE, NONE},
    {SYS_io_getevents, "io_getevents", THREAD_CALL, NONE, 4},
    {SYS_futex_waitv, "futex_waitv", THREAD_FUTEX, NONE, 3},
};

/* What libc's functions wait for: their names begin so, without underscores in front. */
static const struct {
    const char *prefix;
    enum thread_wait_kind kind;
} functions[] = {
    {"pthread_mutex_", THREAD_MUTEX},   {"pthread_cond_", THREAD_CONDITION},
    {"pthread_rwlock_", THREAD_RWLOCK}, {"pthread_barrier_wait", THREAD_BARRIER},
    {"pthread_once", THREAD_ONCE},      {"pthread_join", THREAD_JOIN},
    {"pthread_clockjoin", THREAD_JOIN}, {"pthread_timedjoin", THREAD_JOIN},
    {"sem_", THREAD_SEMAPHORE},         {"new_sem_", THREAD_SEMAPHORE},
};

static bool is_libc(const char *module)
{
    return strncmp(module, "libc.so", 7) == 0 || strncmp(module, "libpthread.so", 13) == 0 ||
           strncmp(module, "libc-", 5) == 0 || strncmp(module, "libpthread-", 11) == 0;
}

static enum thread_wait_kind futex_by_names(const struct thread_function *frames, size_t count)
{
    for (size_t i = 0; i < count && is_libc(frames[i].module); i++) {
        const char *name = frames[i].function + strspn(frames[i].function, "_");
        for (size_t k = 0; k < sizeof functions / sizeof functions[0]; k++)
            if (strncmp(name, functions[k].prefix, strlen(functions[k].prefix)) == 0)
                return functions[k].kind;
    }
    return THREAD_FUTEX;
}

/* The call that libc's innermost functions are named for; NULL: none is. */
static const struct call *call_by_names(const struct thread_function *frames, size_t count)
{
    for (size_t i = 0; i < count && is_libc(frames[i].module); i++) {
        const char *name = frames[i].function + strspn(frames[i].function, "_");
        for (size_t k = 0; k < sizeof calls / sizeof calls[0]; k++)
            if (strcmp(name, calls[k].name) == 0)
                return &calls[k];
    }
    return NULL;
}

static bool is_timed(const struct call *call, const uint64_t args[6])
{
    if (call->time < 0)
        return call->time == ALWAYS;
    bool is_milliseconds = strcmp(call->name, "epoll_wait") == 0 || strcmp(call->name, "poll") == 0;
    if (is_milliseconds && call->number != SYS_ppoll && call->number != SYS_epoll_pwait2)
        return (int)args[call->time] >= 0;
    return args[call->time] != 0;
}

/* A mutex of glibc: the lock's word, how often it is held, by whom.  One that inherits priorities
 * has its holder in the lock's word.  The end of a thread: its number until then. */
static uint32_t owner_of(const struct thread_wait *wait, const uint64_t args[6],
                         const uint32_t *words)
{
    unsigned operation = (unsigned)args[1] & FUTEX_CMD_MASK;
    if (operation == FUTEX_LOCK_PI || operation == FUTEX_LOCK_PI2)
        return words[0] & FUTEX_TID_MASK;
    return wait->kind == THREAD_MUTEX ? words[2] : wait->kind == THREAD_JOIN ? words[0] : 0;
}

struct thread_wait thread_wait_of(int call, const uint64_t args[6], const uint32_t *words,
                                  const struct thread_function *frames, size_t frame_count)
{
    struct thread_wait wait = {.kind = THREAD_CALL, .number = call, .known = true};
    if (call == SYS_futex) {
        wait.call = "futex";
        wait.address = args[0];
        wait.timed = args[3];
        wait.kind = futex_by_names(frames, frame_count);
        wait.owner = words ? owner_of(&wait, args, words) : 0;
        return wait;
    }
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (calls[i].number != call)
            continue;
        wait.kind = calls[i].kind;
        wait.call = calls[i].name;
        wait.timed = is_timed(&calls[i], args);
        if (wait.kind == THREAD_DESCRIPTOR)
            wait.descriptor = args[calls[i].of];
        else if (wait.kind == THREAD_POLL)
            wait.count = args[calls[i].of];
    }
    return wait;
}

struct thread_wait thread_wait_by_names(const struct thread_function *frames, size_t frame_count)
{
    struct thread_wait wait = {.number = -1};
    const struct call *call = call_by_names(frames, frame_count);
    wait.kind = call ? call->kind : futex_by_names(frames, frame_count);
    wait.call = call ? call->name : NULL;
    if (wait.kind == THREAD_FUTEX)
        wait.kind = THREAD_UNKNOWN;
    return wait;
}

const char *thread_wait_word(enum thread_wait_kind kind)
{
    static const char *const words[] = {
        [THREAD_RUNS] = "running",        [THREAD_UNKNOWN] = "unknown",
        [THREAD_CALL] = "system call",    [THREAD_DESCRIPTOR] = "descriptor",
        [THREAD_POLL] = "poll",           [THREAD_SLEEP] = "sleep",
        [THREAD_CHILD] = "child",         [THREAD_SIGNAL] = "signal",
        [THREAD_MUTEX] = "mutex",         [THREAD_RWLOCK] = "rwlock",
        [THREAD_CONDITION] = "condition", [THREAD_SEMAPHORE] = "semaphore",
        [THREAD_BARRIER] = "barrier",     [THREAD_ONCE] = "once",
        [THREAD_JOIN] = "thread",         [THREAD_FUTEX] = "futex",
    };
    return words[kind];
}
