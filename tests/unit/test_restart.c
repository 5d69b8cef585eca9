/* Which of libc's calls can be read where they are interrupted: tried by restart_probe on the libc
 * that runs, and held against what the kernel says of a thread that sits in one. */
#include "gc_heap.h"
#include "sanitizers.h"
#include "tap.h"

#include "gc/stop/blocked.h"
#include "gc/stop/restart.h"
#include "gc/stop/restart_probe.h"
#include "gc/stop/restart_x86_64.h"
#include "gc/stop/tracer.h"
#include "gc/stop/world.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"
#include "gc/sys/seccomp.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <unistd.h>

static int pair[2];   /* in which nothing comes */
static int polled;    /* an epoll of nothing */
static int semaphore; /* System V, 0 */
static int queue;     /* System V, empty */
static sem_t never;
static const struct timespec endless = {1000000, 0};

static struct timespec far_off(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += endless.tv_sec;
    return ts;
}

static void in_nanosleep(void)
{
    nanosleep(&endless, NULL);
}

static void in_clock_nanosleep(void)
{
    struct timespec ts = far_off();
    clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL);
}

static void in_poll(void)
{
    poll(NULL, 0, -1);
}

static void in_ppoll(void)
{
    ppoll(NULL, 0, &endless, NULL);
}

static void in_select(void)
{
    select(0, NULL, NULL, NULL, NULL);
}

static void in_epoll(void)
{
    struct epoll_event event;
    epoll_wait(polled, &event, 1, -1);
}

static void in_semop(void)
{
    struct sembuf take = {0, -1, 0};
    semop(semaphore, &take, 1);
}

static void in_msgrcv(void)
{
    struct {
        long type;
        char text[8];
    } message;
    msgrcv(queue, &message, sizeof message.text, 0, 0);
}

static void in_sem_timedwait(void)
{
    struct timespec ts = far_off();
    sem_timedwait(&never, &ts);
}

static void in_cond_timedwait(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    struct timespec ts = far_off();
    pthread_mutex_lock(&mutex);
    pthread_cond_timedwait(&cond, &mutex, &ts);
    pthread_mutex_unlock(&mutex);
}

static void in_sigwaitinfo(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    sigwaitinfo(&set, NULL);
}

static void in_pause(void)
{
    pause();
}

static void in_epoll_timed(void)
{
    struct epoll_event event;
    epoll_wait(polled, &event, 1, 1000000);
}

static void in_read(void)
{
    char byte;
    if (read(pair[0], &byte, 1) != 1)
        abort();
}

static void in_bare_poll(void)
{
    syscall(SYS_poll, NULL, 0, -1);
}

static const struct {
    const char *name;
    void (*call)(void);
    enum restart_fate fate;
} calls[] = {
    {"nanosleep", in_nanosleep, RESTART_GOES_ON},
    {"clock_nanosleep", in_clock_nanosleep, RESTART_GOES_ON},
    {"poll", in_poll, RESTART_GOES_ON},
    {"ppoll", in_ppoll, RESTART_GOES_ON},
    {"select", in_select, RESTART_GOES_ON},
    {"epoll_wait", in_epoll, RESTART_GOES_ON},
    {"semop", in_semop, RESTART_GOES_ON},
    {"msgrcv", in_msgrcv, RESTART_GOES_ON},
    {"sem_timedwait", in_sem_timedwait, RESTART_GOES_ON},
    {"pthread_cond_timedwait", in_cond_timedwait, RESTART_GOES_ON},
    {"sigwaitinfo", in_sigwaitinfo, RESTART_GOES_ON},
    {"pause", in_pause, RESTART_GOES_ON},
    {"epoll_wait with a time", in_epoll_timed, RESTART_ENDS},
    {"read", in_read, RESTART_ENDS},
    {"poll by syscall()", in_bare_poll, RESTART_UNREAD},
};
#define CALLS ARRAY_LENGTH(calls)

struct sitter {
    void (*call)(void);
    bool cancellable;
    int tid;
};

static void *sit(void *arg)
{
    struct sitter *sitter = arg;
    if (!sitter->cancellable)
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    __atomic_store_n(&sitter->tid, os_gettid(), __ATOMIC_RELEASE);
    sitter->call();
    return NULL;
}

/* Until it sleeps: the same call at two looks. */
static bool seated(int tid, struct blocked_call *call)
{
    struct blocked_call before = {.number = -1};
    for (int tries = 0; tries < 10000; tries++) {
        if (blocked_call_of(tid, call) && call->number >= 0 &&
            call->fingerprint == before.fingerprint)
            return true;
        before = *call;
        usleep(1000);
    }
    return false;
}

static void test_fates(bool cancellable)
{
    static struct sitter sitters[2 * CALLS];
    for (size_t i = 0; i < CALLS; i++) {
        struct sitter *sitter = &sitters[i + (cancellable ? 0 : CALLS)];
        struct blocked_call call = {0};
        pthread_t thread;
        *sitter = (struct sitter){calls[i].call, cancellable, 0};
        pthread_create(&thread, NULL, sit, sitter);
        pthread_detach(thread); /* some end with their semaphore or queue, some with the process */
        while (!__atomic_load_n(&sitter->tid, __ATOMIC_ACQUIRE))
            usleep(100);
        ok(seated(sitter->tid, &call), "a thread sits in %s", calls[i].name);
        is(restart_fate(call.number, call.args, call.pc, call.sp, blocked_read), calls[i].fate,
           "%s%s: %s", calls[i].name, cancellable ? "" : ", not to be cancelled",
           calls[i].fate == RESTART_GOES_ON ? "goes on"
           : calls[i].fate == RESTART_ENDS  ? "ends"
                                            : "cannot be read");
    }
}

static volatile bool met; /* it was in its call */
static long nap_result;

/* As the kernel leaves a thread whose sleep something without a handler has interrupted, until it
 * runs again: in front of a call of restart_syscall(2).  What is left of the sleep is there until a
 * handler returns. */
static void on_signal(int number, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)number, (void)info;
    if (regs[REG_RAX] != -EINTR)
        return;
    met = true;
    regs[REG_RAX] = SYS_restart_syscall;
    regs[REG_RIP] -= 2;
    restart_call(context);
}

static void nap(void)
{
    struct timespec ts = {0, 300000000};
    nap_result = nanosleep(&ts, NULL);
}

static void test_finish(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    struct sitter sitter = {.call = nap};
    sigfillset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    int64_t begin = 0, end = 0;
    for (int tries = 0; tries < 100 && !met; tries++) { /* it may have woken before we look */
        struct blocked_call call;
        pthread_t thread;
        begin = os_now_ns();
        sitter.tid = 0;
        pthread_create(&thread, NULL, sit, &sitter);
        while (!__atomic_load_n(&sitter.tid, __ATOMIC_ACQUIRE))
            usleep(100);
        if (seated(sitter.tid, &call))
            pthread_kill(thread, SIGUSR1);
        pthread_join(thread, NULL);
        end = os_now_ns();
    }
    ok(met && nap_result == 0 && end - begin >= 300000000,
       "a sleep that the kernel was about to go on with goes on: %ld after %ld ms", nap_result,
       (long)((end - begin) / 1000000));
}

/* ---- a thread that something without a handler meets while it is parked ---- */

struct halts {
    volatile int wanted, done;
};
static struct halts *halts; /* shared with the process that stops and continues this one */

static void start_halting(void)
{
    int parent = getpid();
    halts = mmap(NULL, OS_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fork() != 0)
        return;
    while (getppid() == parent && halts->done == 0) {
        usleep(1000);
        if (!halts->wanted)
            continue;
        kill(parent, SIGSTOP);
        usleep(20000);
        kill(parent, SIGCONT);
        halts->done = 1;
    }
    _exit(0);
}

static void stop_and_halt(void *reason)
{
    *(const char **)reason = seccomp_cycle();
    if (!*(const char **)reason)
        *(const char **)reason = world_stop(INT64_C(10000000000), INT64_C(10000000000));
    if (*(const char **)reason)
        return;
    halts->wanted = 1;
    while (!halts->done)
        raw_sleep_ns(1000000);
    if (!world_resume())
        *(const char **)reason = WORLD_CALLED_OFF;
}

static long halted_results[2] = {-1, -1};

static void halted_nanosleep(void)
{
    halted_results[0] = nanosleep(&(struct timespec){1, 0}, NULL);
}

static void halted_poll(void)
{
    halted_results[1] = poll(NULL, 0, 1000);
}

static void test_halted(void)
{
    static struct sitter sitters[] = {{.call = halted_nanosleep}, {.call = halted_poll}};
    pthread_t threads[ARRAY_LENGTH(sitters)];
    struct blocked_call call;
    const char *reason;
    if (WITH_TSAN) { /* as in the whole of test_world */
        tap_skip("halted and continued while its threads are parked", "beyond ThreadSanitizer");
        return;
    }
    start_halting();
    for (size_t i = 0; i < ARRAY_LENGTH(sitters); i++) {
        pthread_create(&threads[i], NULL, sit, &sitters[i]);
        while (!__atomic_load_n(&sitters[i].tid, __ATOMIC_ACQUIRE))
            usleep(100);
        seated(sitters[i].tid, &call);
    }
    const char *refused = tracer_run(stop_and_halt, &reason);
    ok(!refused && !reason, "halted and continued while its threads are parked: %s",
       refused  ? refused
       : reason ? reason
                : "the stop stands");
    for (size_t i = 0; i < ARRAY_LENGTH(sitters); i++)
        pthread_join(threads[i], NULL);
    if (raw6(SYS_futex_waitv, 0, 0, 0, 0, 0, 0) == -ENOSYS)
        tap_skip("what goes on then", "Linux 5.16 is needed");
    else {
        is(halted_results[0], 0, "nanosleep goes on");
        is(halted_results[1], 0, "poll goes on");
    }
}

static void *try(void *took)
{
    int64_t begin = os_now_ns();
    while (!restart_probe())
        usleep(1000);
    *(int64_t *)took = os_now_ns() - begin;
    return NULL;
}

int main(void)
{
    alarm(600);
    ok(proc_open(false), "set up");
    blocked_open();
    int64_t took;
    pthread_t thread;
    ok(restart_probe() && !restart_proved, "in a process of one thread nothing is known");
    pthread_create(&thread, NULL, try, &took);
    pthread_join(thread, NULL);
    ok(restart_proved, "glibc %s: each of its calls can be read (tried in %ld us)",
       gnu_get_libc_version(), (long)(took / 1000));
    unsigned major = 0, minor = 0;
    sscanf(gnu_get_libc_version(), "%u.%u", &major, &minor);
    bool one_place = major > 2 || minor >= 41;
    is(restart_stub.pc != 0, one_place, "it has %s",
       one_place ? "one place for all that can be cancelled" : "no place for all");
    if (one_place)
        printf("# number in word %d, of %u calls\n", __builtin_ctzll(restart_stub.words),
               restart_stub.calls);
    ok(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && (polled = epoll_create1(0)) >= 0, "files");
    semaphore = semget(IPC_PRIVATE, 1, 0600);
    queue = msgget(IPC_PRIVATE, 0600);
    sem_init(&never, 0, 0);
    test_fates(true);
    test_fates(false);
    test_finish();
    test_halted();
    semctl(semaphore, 0, IPC_RMID);
    msgctl(queue, IPC_RMID, NULL);
    return tap_done();
}
