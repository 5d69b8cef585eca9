/* The stop: nobody runs while the world is stopped, whatever the threads are doing, and all run
 * again afterwards. */
#include "gc_heap.h"
#include "tap.h"

#include "base/options.h"
#include "gc/stop/restart_probe.h"
#include "gc/stop/tracer.h"
#include "gc/stop/world.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile uint64_t ticks[64];
static volatile bool over;

static void *count(void *arg)
{
    volatile uint64_t *mine = &ticks[(uintptr_t)arg];
    while (!over)
        ++*mine;
    return NULL;
}

static uint64_t sum(void)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < 64; i++)
        total += ticks[i];
    return total;
}

/* What one stop on the tracer thread found. */
struct stop {
    const char *reason;
    unsigned parked, blocked;
    bool still, unchanged;
    int64_t ns;
    int64_t hold_ns; /* how long to hold it */
};

/* The tests below are about something else than a tracer without CPU. */
#define LONG_NS INT64_C(20000000000)

static void stop_once(void *ctx)
{
    struct stop *stop = ctx;
    int64_t begin = os_now_ns();
    stop->reason = world_stop(0, LONG_NS);
    stop->ns = os_now_ns() - begin;
    if (stop->reason)
        return;
    uint64_t before = sum();
    raw_sleep_ns(stop->hold_ns);
    stop->still = sum() == before;
    stop->unchanged = world_unchanged();
    stop->parked = world.parked;
    stop->blocked = world.blocked;
    world_resume();
}

static struct stop try_stop(int64_t hold_ns)
{
    struct stop stop = {.hold_ns = hold_ns};
    const char *reason = tracer_run(stop_once, &stop);
    if (reason)
        stop.reason = reason;
    return stop;
}

/* Again if a thread, or the tracer, got no CPU in time, as a cycle does: this machine may have
 * other work. */
static struct stop run_stop(int64_t hold_ns)
{
    struct stop stop = try_stop(hold_ns);
    for (int i = 0; i < 200 && stop.reason &&
                    (strstr(stop.reason, "did not stop") || !strcmp(stop.reason, WORLD_CALLED_OFF));
         i++) {
        usleep(20000);
        stop = try_stop(hold_ns);
    }
    return stop;
}

static void test_running(void)
{
    pthread_t threads[8];
    for (uintptr_t i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, count, (void *)i);
    unsigned done = 0, still = 0, complete = 0, runs_again = 0;
    int64_t worst = 0;
    for (int i = 0; i < 20; i++) {
        struct stop stop = run_stop(1000000);
        done += !stop.reason;
        still += stop.still;
        complete += stop.parked == 9;
        worst = MAX(worst, stop.ns);
        uint64_t before = sum();
        for (int tries = 0; tries < 1000 && sum() == before; tries++)
            usleep(1000);
        runs_again += sum() != before;
    }
    over = true;
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    is(done, 20, "20 stops of 8 running threads (slowest %ld us)", (long)(worst / 1000));
    is(still, 20, "nobody runs meanwhile");
    is(complete, 20, "all are in the handler");
    is(runs_again, 20, "and run again");
    over = false;
}

/* A tracer that gets no CPU while the world is stopped: here it sleeps. */
struct lost {
    int64_t work_ns, hold_ns;
    const char *reason;
    bool run_on; /* threads ran before it was back */
    bool stood;
    int64_t pause_ns;
    unsigned parked;
};

static void stop_and_sleep(void *ctx)
{
    struct lost *lost = ctx;
    lost->reason = world_stop(0, lost->work_ns);
    if (lost->reason)
        return;
    uint64_t before = sum();
    raw_sleep_ns(lost->hold_ns);
    /* For ever, if they wait for us. */
    while (lost->hold_ns > WORLD_HOLD_NS && sum() == before)
        raw_sleep_ns(1000000);
    lost->run_on = sum() != before;
    lost->parked = world.parked;
    lost->stood = world_resume();
    lost->pause_ns = world.end_ns - world.begin_ns;
}

static void test_called_off(void)
{
    pthread_t threads[2];
    for (uintptr_t i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, count, (void *)i);
    struct lost lost;
    unsigned tries = 0;
    do {
        lost = (struct lost){.hold_ns = 10 * WORLD_HOLD_NS};
        tracer_run(stop_and_sleep, &lost);
    } while (lost.reason && ++tries < 200);
    ok(!lost.reason && lost.run_on, "threads that nobody resumes go on: %s",
       lost.reason ? lost.reason : "");
    ok(!lost.stood, "and the tracer is told");
    ok(lost.pause_ns > 0 && lost.pause_ns <= WORLD_HOLD_NS + 32 * WORLD_THREAD_NS,
       "the pause was that of the program: %ld us", (long)(lost.pause_ns / 1000));

    /* Stops that end about when they would be called off. */
    unsigned stood = 0, called_off = 0, wrong = 0, failed = 0;
    for (unsigned i = 0; i < 1000 && (stood < 100 || called_off < 100); i++) {
        lost = (struct lost){.work_ns = 2000000 - WORLD_HOLD_NS, .hold_ns = (i % 16) * 250000};
        tracer_run(stop_and_sleep, &lost);
        failed += lost.reason != NULL;
        stood += !lost.reason && lost.stood;
        called_off += !lost.reason && !lost.stood;
        wrong += !lost.reason && lost.stood && lost.run_on;
    }
    is(wrong, 0, "in a stop that has stood no thread has run (%u stood, %u called off, %u failed)",
       stood, called_off, failed);
    over = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    over = false;
    struct stop after = run_stop(0);
    ok(!after.reason && after.parked == 1, "stops work as before");
}

static void *short_life(void *arg)
{
    __atomic_fetch_add((uint64_t *)arg, 1, __ATOMIC_RELAXED);
    return NULL;
}

static void *breed(void *arg)
{
    while (!over) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, short_life, arg) == 0)
            pthread_join(thread, NULL);
    }
    return NULL;
}

static void test_births(void)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, breed, (void *)&ticks[i]);
    unsigned done = 0, still = 0, changed = 0;
    /* One that has just been born must get a CPU within the 10 ms of an attempt: on a busy machine
     * hardly any does. */
    for (int i = 0; i < 200 && done < 50; i++) {
        struct stop stop = try_stop(500000);
        /* One that waited in the kernel may have gone on: a cycle begins again then. */
        changed += !stop.reason && !stop.unchanged;
        done += !stop.reason && stop.unchanged;
        still += !stop.reason && stop.unchanged && stop.still;
        usleep(1000);
    }
    over = true;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    over = false;
    if (done)
        is(still, done,
           "in %u stops while threads are born and die no thread is born or runs (%u void)", done,
           changed);
    else
        tap_skip("stops while threads are born and die", "no CPU for those who are born");
}

static volatile int deaf_tid;

static void *deaf(void *arg)
{
    deaf_tid = (int)RAW3(SYS_gettid, 0, 0, 0);
    uint64_t all = ~UINT64_C(0);
    raw_sigmask(SIG_SETMASK, &all, NULL);
    char byte;
    while (read(*(int *)arg, &byte, 1) < 0 && errno == EINTR)
        ;
    return NULL;
}

static void *deaf_and_running(void *arg)
{
    uint64_t all = ~UINT64_C(0);
    raw_sigmask(SIG_SETMASK, &all, NULL);
    return count(arg);
}

/* Until the task sits in a system call of this number. */
static void wait_until_in(int tid, int number)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
    do {
        usleep(1000);
        if (os_read_file(path, text, sizeof text) <= 0)
            return;
    } while (text[0] < '0' || text[0] > '9' || atoi(text) != number);
}

static void test_deaf(void)
{
    int ends[2];
    pthread_t thread;
    if (pipe(ends) != 0)
        return;
    pthread_create(&thread, NULL, deaf, &ends[0]);
    while (!deaf_tid)
        usleep(1000);
    wait_until_in(deaf_tid, SYS_read);
    struct stop first = run_stop(0), second = run_stop(0);
    ok(!first.reason && first.blocked == 1 && first.parked == 1 && first.unchanged,
       "a thread that blocks all signals and sits in read counts as stopped");
    ok(!second.reason && second.blocked == 1 && second.parked == 1, "and in the next stop (%ld us)",
       (long)(second.ns / 1000));
    close(ends[1]);
    pthread_join(thread, NULL);

    uint64_t before = ticks[0];
    pthread_create(&thread, NULL, deaf_and_running, NULL);
    while (ticks[0] == before)
        usleep(1000);
    before = ticks[0];
    struct stop never = try_stop(0);
    ok(never.reason && strstr(never.reason, "did not stop"), "one that runs cannot be stopped: %s",
       never.reason ? never.reason : "stopped");
    ok(never.ns < 40 * WORLD_STOP_NS, "which is given up soon (%ld us)", (long)(never.ns / 1000));
    for (int tries = 0; tries < 60000 && ticks[0] == before; tries++)
        usleep(1000);
    ok(ticks[0] != before, "and it runs on");
    over = true;
    pthread_join(thread, NULL);
    over = false;
    struct stop after = run_stop(0);
    ok(!after.reason && after.parked == 1 && after.blocked == 0,
       "when it is gone, stops work again");
}

/* A thread that moves while the world is stopped: seen by world_unchanged. */
static void *deaf_sleeper(void *arg)
{
    uint64_t all = ~UINT64_C(0);
    (void)arg;
    raw_sigmask(SIG_SETMASK, &all, NULL);
    raw_sleep_ns(60000000);
    while (!over)
        raw_sleep_ns(1000000);
    return NULL;
}

static void test_moved(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, deaf_sleeper, NULL);
    usleep(20000);
    struct stop stop = run_stop(100000000);
    ok(!stop.reason && !stop.unchanged, "a blocked thread that wakes up during a stop is noticed");
    over = true;
    pthread_join(thread, NULL);
    over = false;
}

/* Programs that set every signal to its default, and the handler of another. */
static void test_signal_taken(void)
{
    for (int number = 1; number < 65; number++) {
        struct raw_sigaction standard = {0};
        if (number != SIGALRM && number != SIGSEGV)
            raw_sigaction(number, &standard, NULL);
    }
    struct stop stop = run_stop(0);
    ok(!stop.reason && stop.parked == 1, "stops work after all signals were set to default");
}

/* glibc's own use of the signal goes on: setuid in a program of threads. */
static void test_setxid(void)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, count, (void *)i);
    unsigned stops = 0, set = 0;
    for (int i = 0; i < 50; i++) {
        struct stop stop = run_stop(0);
        stops += !stop.reason;
        if (stop.reason)
            tap_print("# %s", stop.reason);
        set += setgid(getgid()) == 0;
    }
    over = true;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    over = false;
    is(stops, 50, "stops between setgid calls");
    is(set, 50, "setgid reaches all threads, the tracer's too");
}

/* Calls that signal(7) lets return EINTR: they go on.  Each runs on a thread while the world is
 * stopped again and again. */
static volatile int caught;
static int pipe_ends[2];
static sem_t never;

static void catch (int number)
{
    caught = number;
}

static long call_nanosleep(void)
{
    struct timespec ts = {0, 200000000};
    return nanosleep(&ts, NULL) ? -errno : 0;
}

static long call_long_sleep(void)
{
    struct timespec ts = {4, 0};
    return nanosleep(&ts, NULL) ? -errno : 0;
}

static long call_nanosleep_left(void)
{
    struct timespec ts = {0, 200000000};
    return nanosleep(&ts, &ts) ? -errno : 0;
}

static long call_clock_nanosleep(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_nsec += 200000000;
    ts.tv_sec += ts.tv_nsec / 1000000000;
    ts.tv_nsec %= 1000000000;
    return -clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static long call_poll(void)
{
    struct pollfd fd = {.fd = pipe_ends[0], .events = POLLIN};
    return poll(&fd, 1, 200) < 0 ? -errno : 0;
}

static long call_sem_timedwait(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += 200000000;
    ts.tv_sec += ts.tv_nsec / 1000000000;
    ts.tv_nsec %= 1000000000;
    return sem_timedwait(&never, &ts) && errno != ETIMEDOUT ? -errno : 0;
}

static const struct {
    const char *name;
    long (*call)(void);
    bool signal;
    long expected;
} calls[] = {
    {"nanosleep", call_nanosleep, false, 0},
    {"nanosleep with what is left", call_nanosleep_left, false, 0},
    {"clock_nanosleep until", call_clock_nanosleep, false, 0},
    {"poll", call_poll, false, 0},
    {"sem_timedwait", call_sem_timedwait, false, 0},
    {"nanosleep, until a signal", call_long_sleep, true, -EINTR},
};

struct call_run {
    long (*call)(void);
    long result;
    volatile int64_t begin; /* 0: not yet */
    int64_t ns;
    volatile bool done;
};

static void *run_call(void *arg)
{
    struct call_run *run = arg;
    run->begin = os_now_ns();
    run->result = run->call();
    run->ns = os_now_ns() - run->begin;
    run->done = true;
    return NULL;
}

static void test_calls(void)
{
    struct sigaction action = {.sa_handler = catch};
    sigaction(SIGUSR2, &action, NULL);
    if (pipe(pipe_ends) != 0)
        return;
    sem_init(&never, 0, 0);
    for (unsigned i = 0; i < ARRAY_LENGTH(calls); i++) {
        struct call_run run = {.call = calls[i].call};
        pthread_t thread;
        caught = 0;
        pthread_create(&thread, NULL, run_call, &run);
        while (!run.begin)
            sched_yield();
        const int64_t begin = run.begin;
        unsigned stops = 0;
        bool sent = false;
        while (!run.done && os_now_ns() - begin < INT64_C(30000000000)) {
            stops += !run_stop(0).reason;
            usleep(500);
            if (!sent && os_now_ns() - begin > 200000000) {
                sent = true;
                if (calls[i].signal)
                    pthread_kill(thread, SIGUSR2);
            }
        }
        ok(run.done && run.result == calls[i].expected && stops > 1,
           "%s goes on through %u stops, and ends beside them", calls[i].name, stops);
        ok(run.ns > 195000000, "%s does not end early: %ld us", calls[i].name,
           (long)(run.ns / 1000));
        if (calls[i].signal)
            is(caught, SIGUSR2, "%s: the handler has run", calls[i].name);
        pthread_join(thread, NULL);
    }
}

/* gcstop=quiet: a wait for a time that begins anew with the call is left alone, where it is
 * interrupted otherwise; a thread that wakes up meanwhile and goes back into it has moved. */
static long call_epoll(void)
{
    struct epoll_event event;
    int empty = epoll_create1(0);
    long result = epoll_wait(empty, &event, 1, 300) < 0 ? -errno : 0;
    close(empty);
    return result;
}

static void *epoll_often(void *arg)
{
    struct epoll_event event;
    int empty = epoll_create1(0);
    (void)arg;
    while (!over)
        epoll_wait(empty, &event, 1, 20);
    close(empty);
    return NULL;
}

/* A call that would go on if its number could be read is left alone as long as it is not known that
 * libc's can be, and interrupted where only the program makes such a one. */
static long call_bare_poll(void)
{
    return syscall(SYS_poll, NULL, 0, 300) < 0 ? -errno : 0;
}

static void test_unread(void)
{
    bool known = restart_proved;
    for (int proved = 0; proved < 2; proved++) {
        struct call_run run = {.call = call_bare_poll};
        pthread_t thread;
        restart_proved = proved;
        pthread_create(&thread, NULL, run_call, &run);
        usleep(50000);
        struct stop stop = run_stop(0);
        pthread_join(thread, NULL);
        ok(!stop.reason && stop.unchanged && stop.blocked == (unsigned)!proved,
           "poll by syscall(), libc's calls %s: stopped", proved ? "can be read" : "not tried yet");
        is(run.result, proved ? -EINTR : 0, "and it returns %s", proved ? "EINTR" : "in time");
    }
    restart_proved = known;
}

static void *prove(void *unused)
{
    while (!restart_probe())
        usleep(1000);
    return unused;
}

static void test_quiet(void)
{
    for (int quiet = 0; quiet < 2; quiet++) {
        struct call_run run = {.call = call_epoll};
        pthread_t thread;
        is(option_set("gcstop", quiet ? "quiet" : "auto"), 0, "gcstop is set");
        pthread_create(&thread, NULL, run_call, &run);
        usleep(50000);
        struct stop stop = run_stop(0);
        pthread_join(thread, NULL);
        ok(!stop.reason && stop.unchanged && stop.blocked == (unsigned)quiet,
           "epoll_wait with a time, gcstop=%s: stopped", quiet ? "quiet" : "auto");
        is(run.result, quiet ? 0 : -EINTR, "and it returns %s", quiet ? "in time" : "EINTR");
    }
    pthread_t thread;
    pthread_create(&thread, NULL, epoll_often, NULL);
    usleep(5000);
    unsigned stops = 0, noticed = 0;
    for (int i = 0; i < 20; i++) {
        struct stop stop = run_stop(50000000);
        if (!stop.reason && stop.blocked == 1) {
            stops++;
            noticed += !stop.unchanged;
        }
    }
    over = true;
    pthread_join(thread, NULL);
    over = false;
    ok(stops >= 5, "%u stops of a thread that waits 20 ms at a time", stops);
    struct stat schedstat;
    if (stat("/proc/self/schedstat", &schedstat) == 0)
        is(noticed, stops, "that it has moved in 50 ms, and is back where it was, is noticed");
    else
        tap_skip("a thread that is back where it was", "this kernel has no schedstat");
    is(option_set("gcstop", "auto"), 0, "gcstop is set back");
}

/* A thousand stops within one sleep do not grow the stack. */
static uintptr_t lowest_frame;

static void note_frame(void *ctx)
{
    if (!world_stop(0, LONG_NS)) {
        for (unsigned i = 0; i < world.count; i++)
            if (world_state_of(&world.threads[i]) == WORLD_PARKED &&
                world.threads[i].tid != *(int *)ctx)
                lowest_frame = (uintptr_t)world.threads[i].context;
        world_resume();
    }
}

static long sleep_half(void)
{
    struct timespec ts = {0, 500000000};
    return nanosleep(&ts, NULL) ? -errno : 0;
}

static void test_long_sleep(void)
{
    struct call_run run = {.call = sleep_half};
    pthread_t thread;
    uintptr_t first = 0, last = 0;
    int self = getpid();
    unsigned stops = 0;
    pthread_create(&thread, NULL, run_call, &run);
    usleep(20000);
    while (!run.done) {
        lowest_frame = 0;
        tracer_run(note_frame, &self);
        if (lowest_frame && !run.done) {
            if (stops++ == 1)
                first = last = lowest_frame;
            last = MIN(last, lowest_frame); /* at its end it may be met outside the call */
        }
    }
    pthread_join(thread, NULL);
    ok(stops > 100, "%u stops within one sleep", stops);
    ok(first - last < 65536, "use %ld bytes of stack", (long)(first - last));
    is(run.result, 0, "and it ends as if there had been none");
}

static void *sleeper(void *arg)
{
    (void)arg;
    while (!over)
        usleep(100000);
    return NULL;
}

static void test_many(void)
{
    enum { MANY = 1000 };
    static pthread_t threads[MANY];
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    unsigned made = 0;
    while (made < MANY && pthread_create(&threads[made], &attr, sleeper, NULL) == 0)
        made++;
    struct stop stop = {0};
    int64_t best = INT64_MAX;
    unsigned done = 0;
    for (int i = 0; i < 100 && done < 10; i++) {
        stop = run_stop(0);
        if (!stop.reason && stop.parked == made + 1) {
            done++;
            best = MIN(best, stop.ns);
        }
        usleep(5000);
    }
    over = true;
    for (unsigned i = 0; i < made; i++)
        pthread_join(threads[i], NULL);
    over = false;
    ok(done == 10 && made >= 100, "%u stops of %u threads (best %ld us)", done, made,
       (long)(best / 1000));
}

/* In a process whose main thread has called pthread_exit. */
static void *last_thread(void *arg)
{
    (void)arg;
    char text[512] = "";
    for (int i = 0; i < 2000 && !strstr(text, "\nState:\tZ");
         i++) { /* until the main thread is gone */
        usleep(10000);
        os_read_file("/proc/self/status", text, sizeof text);
    }
    struct stop stop = run_stop(0);
    struct stop again = run_stop(0);
    _exit(!stop.reason && !again.reason && again.parked == 1 ? 0 : 1);
}

static void test_main_gone(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        gc_postfork_child();
        pthread_create(&thread, NULL, last_thread, NULL);
        pthread_exit(NULL);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    is(status, 0, "a main thread that has called pthread_exit is left out");
}

/* In vfork the parent's thread cannot answer until the child is gone. */
static void *vforker(void *arg)
{
    (void)arg;
    pid_t pid = vfork();
    if (pid == 0) {
        raw_sleep_ns(200000000);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    return NULL;
}

static void test_vfork(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, vforker, NULL);
    usleep(50000);
    struct stop stop = run_stop(0);
    ok(!stop.reason && stop.blocked == 1 && stop.unchanged, "a thread in vfork counts as stopped");
    pthread_join(thread, NULL);
}

int main(void)
{
    alarm(600);
    pthread_t prover;
    ok(th_init(NULL), "set up");
    pthread_create(&prover, NULL, prove, NULL);
    pthread_join(prover, NULL);
    ok(restart_proved, "libc's calls can be read");
    test_running();
    test_called_off();
    test_births();
    test_deaf();
    test_moved();
    test_setxid();
    test_calls();
    test_quiet();
    test_unread();
    test_long_sleep();
    test_many();
    test_main_gone();
    test_vfork();
    test_signal_taken();
    return tap_done();
}
