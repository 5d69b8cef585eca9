#include "gc/stop/restart_probe.h"

#include "base/compiler.h"
#include "base/os.h"
#include "gc/stop/restart_x86_64.h"
#include "gc/sys/raw.h"

#include <errno.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ENDLESS_SECONDS 1000000
/* That a copy may take: beside 5 ms, what it waits for a CPU. */
#define NS_MAX INT64_C(10000000000)
#define SIGNAL_US 50 /* from one of a copy's signals to the next */

bool restart_proved;

extern char __libc_single_threaded __attribute__((weak)); /* glibc 2.32 */

/* ---- what is tried ---- */

static int polled; /* an epoll without descriptors */
static sem_t never;
static sigset_t but_ours;
static const struct timespec endless = {ENDLESS_SECONDS, 0};

static struct timespec far_on(clockid_t clock)
{
    struct timespec ts = {0, 0};
    clock_gettime(clock, &ts);
    ts.tv_sec += ENDLESS_SECONDS;
    return ts;
}

static void call_nanosleep(void)
{
    nanosleep(&endless, NULL);
}

static void call_clock_nanosleep(void)
{
    struct timespec ts = far_on(CLOCK_MONOTONIC);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static void call_poll(void)
{
    poll(NULL, 0, -1);
}

static void call_ppoll(void)
{
    ppoll(NULL, 0, &endless, NULL);
}

static void call_select(void)
{
    select(0, NULL, NULL, NULL, &(struct timeval){ENDLESS_SECONDS, 0});
}

static void call_pselect(void)
{
    pselect(0, NULL, NULL, NULL, &endless, NULL);
}

static void call_epoll_wait(void)
{
    struct epoll_event event;
    epoll_wait(polled, &event, 1, -1);
}

static void call_epoll_pwait(void)
{
    struct epoll_event event;
    epoll_pwait(polled, &event, 1, -1, &but_ours);
}

static void call_pause(void)
{
    pause();
}

static void call_sigsuspend(void)
{
    sigsuspend(&but_ours);
}

static void call_sigwaitinfo(void)
{
    sigwaitinfo(&but_ours, NULL);
}

static void call_sem_timedwait(void)
{
    struct timespec ts = far_on(CLOCK_REALTIME);
    sem_timedwait(&never, &ts);
}

static const struct kind {
    void (*call)(void);
    int numbers[2]; /* by one of which libc makes it */
} kinds[] = {
    {call_nanosleep, {SYS_clock_nanosleep, SYS_nanosleep}},
    {call_clock_nanosleep, {SYS_clock_nanosleep, -1}},
    {call_poll, {SYS_poll, SYS_ppoll}},
    {call_ppoll, {SYS_ppoll, -1}},
    {call_select, {SYS_pselect6, SYS_select}},
    {call_pselect, {SYS_pselect6, -1}},
    {call_epoll_wait, {SYS_epoll_wait, SYS_epoll_pwait}},
    {call_epoll_pwait, {SYS_epoll_pwait, -1}},
    {call_pause, {SYS_pause, SYS_ppoll}},
    {call_sigsuspend, {SYS_rt_sigsuspend, -1}},
    {call_sigwaitinfo, {SYS_rt_sigtimedwait, -1}},
    {call_sem_timedwait, {SYS_futex, -1}},
};
/* Each by a thread that can be cancelled in it, and by one that cannot: libc has two ways. */
#define TRIES (2 * (uint32_t)ARRAY_LENGTH(kinds))

/* ---- in the copy ---- */

/* In memory shared with it. */
struct probe {
    uint32_t at;         /* the try under way */
    uint8_t seen[TRIES]; /* enum restart_seen */
    struct restart_stub stub;
};
static struct probe *probe;

static void on_signal(int number, void *info, void *context)
{
    (void)number, (void)info;
    enum restart_seen seen = restart_learn(context, kinds[probe->at / 2].numbers);
    if (seen == RESTART_NO_CALL)
        return; /* too early: another signal will come */
    probe->seen[probe->at] = (uint8_t)seen;
    probe->stub = restart_stub;
}

/* Signals come from a timer, until each call has met one: nobody need be awake for it.  False: it
 * is refused. */
static bool take_signals(void)
{
    uint64_t open = UINT64_C(1) << (SIGALRM - 1);
    struct itimerval often = {{0, SIGNAL_US}, {0, SIGNAL_US}};
    sigfillset(&but_ours);
    sigdelset(&but_ours, SIGALRM);
    raw_handle(SIGALRM, on_signal, 0);
    raw_sigmask(SIG_UNBLOCK, &open, NULL);
    return RAW3(SYS_setitimer, ITIMER_REAL, &often, NULL) == 0;
}

static _Noreturn void copy_main(long parent)
{
    RAW4(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0);
    RAW4(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0); /* no core, no report */
    RAW4(SYS_prctl, PR_SET_NAME, "md-try", 0, 0);
    if (RAW3(SYS_getppid, 0, 0, 0) == parent) {
        /* An own, empty table of descriptors: a copy of the program's would hold its sockets open,
         * and what is opened in its own would be the program's. */
        polled = RAW3(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE) == 0
                     ? (int)RAW3(SYS_epoll_create1, 0, 0, 0)
                     : -1;
        bool signals = take_signals();
        while (signals && probe->at < TRIES) {
            pthread_setcancelstate(probe->at % 2 ? PTHREAD_CANCEL_DISABLE : PTHREAD_CANCEL_ENABLE,
                                   NULL);
            kinds[probe->at / 2].call();
            probe->at++;
        }
    }
    for (;;)
        RAW3(SYS_exit_group, 0, 0, 0);
}

/* ---- in the process ---- */

static enum { UNTRIED, RUNNING, DONE } state;
static long copy; /* pid, while RUNNING */
static int64_t copy_end_ns;

static bool start_copy(void)
{
    uint64_t all = ~UINT64_C(0), before;
    long self = RAW3(SYS_getpid, 0, 0, 0);
    raw_sigmask(SIG_SETMASK, &all, &before);
    copy = raw6(SYS_clone, CLONE_FILES | CLONE_UNTRACED, 0, 0, 0, 0, 0);
    if (copy == 0)
        copy_main(self);
    raw_sigmask(SIG_SETMASK, &before, NULL);
    copy_end_ns = os_now_ns() + NS_MAX;
    return copy > 0;
}

/* Somebody else may have reaped it; then it has ended too. */
static bool copy_has_ended(int flags)
{
    long result;
    do
        result = RAW4(SYS_wait4, copy, NULL, flags | __WALL, NULL);
    while (result == -EINTR);
    return result != 0;
}

static void conclude(void)
{
    unsigned read = 0, not_read = 0;
    for (uint32_t i = 0; i < TRIES; i++) {
        read += probe->seen[i] == RESTART_READ;
        not_read += probe->seen[i] == RESTART_NOT_READ;
    }
    restart_proved = probe->at == TRIES && read && !not_read;
    os_munmap(probe, OS_PAGE);
    state = DONE;
}

bool restart_probe(void)
{
    switch (state) {
    case UNTRIED:
        /* A process of one thread makes its calls another way than one of more. */
        if (&__libc_single_threaded && __libc_single_threaded)
            return true;
        probe = os_mmap(NULL, OS_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (probe == MAP_FAILED) {
            state = DONE;
            return true;
        }
        break;
    case RUNNING:
        if (!copy_has_ended(WNOHANG)) {
            if (os_now_ns() < copy_end_ns)
                return false;
            RAW3(SYS_kill, copy, SIGKILL, 0);
            copy_has_ended(0);
            conclude();
            return true;
        }
        restart_stub = probe->stub;
        if (probe->at < TRIES) /* it was killed for that call: so would the program be */
            probe->at++;
        if (probe->at < TRIES)
            break;
        conclude();
        return true;
    case DONE:
        return true;
    }
    if (start_copy()) {
        state = RUNNING;
        return false;
    }
    conclude();
    return true;
}

void restart_probe_postfork_child(void)
{
    if (state != RUNNING)
        return;
    os_munmap(probe, OS_PAGE);
    state = UNTRIED;
}
