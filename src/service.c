#include "service.h"

#include "base/compiler.h"
#include "base/fmt.h"
#include "base/lock.h"
#include "base/message.h"
#include "base/options.h"
#include "base/os.h"
#include "dump.h"
#include "gc/gc.h"
#include "leakcheck.h"
#include "malloc/arena.h"
#include "malloc/counts.h"
#include "segment/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES (1u << 20)
#define LONGEST_SLEEP_NS 60000000000
#define KEPT_CHECK_NS 1000000000
#define LAST_CHECK_NS 100000000
#define STUCK_NS 2000000000

bool service_paces;
static uint32_t started; /* 1: there is a thread, or one is being made */
static bool ended;
static bool main_ended;
static bool refused; /* no thread any more: the process is ending without its main thread */

/* One job at a time, guarded by job_lock; `job_state` is the futex between the two threads. */
static struct lock job_lock = LOCK_INIT(LOCK_NONE);
enum { NO_JOB, JOB_WAITS, JOB_DONE };
static uint32_t job_state;
static enum service_job job_kind;
static const char *job_path;
static int job_result;

static void futex_wake(uint32_t *word)
{
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    errno = saved;
}

static void futex_wait(uint32_t *word, uint32_t value, int64_t ns)
{
    struct timespec timeout = {ns / 1000000000, ns % 1000000000};
    syscall(SYS_futex, word, FUTEX_WAIT, value, &timeout, NULL, 0);
}

/* Asked of a forked copy that has no segment of its own yet (a signal comes to it): the word in
 * sight is the parent's. */
static uint32_t early;

void service_kick(uint32_t bits)
{
    if (segment_forked()) {
        __atomic_fetch_or(&early, bits, __ATOMIC_RELAXED);
        return;
    }
    if (!segment_check())
        return; /* with follow=none the parent's stays in sight */
    uint32_t *word = &segment_header()->control.request;
    if ((__atomic_fetch_or(word, bits, __ATOMIC_RELEASE) & bits) != bits)
        futex_wake(word);
}

/* CPU time of our thread; the clock's name is made of its id. */
static int64_t served_cpu_ns(void)
{
    struct timespec ts;
    if (clock_gettime((clockid_t)(~(unsigned)own_tids[0] << 3 | 6), &ts) != 0)
        return 0;
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int run_job(enum service_job job, const char *path)
{
    struct md_cycle cycle;
    switch (job) {
    case JOB_CYCLE:
        return gc_cycle(MD_CYCLE_FORCED, &cycle) ? 0 : EAGAIN;
    case JOB_EXIT_CYCLE:
        return gc_cycle(MD_CYCLE_AT_EXIT, &cycle) ? 0 : EAGAIN;
    case JOB_EXIT_LEAK_CYCLES:
        if (gc_cycle(MD_CYCLE_AT_EXIT | GC_FINAL, &cycle) &&
            (!cycle.unreachable_objects || cycle.flags & MD_CYCLE_FINAL ||
             gc_cycle(MD_CYCLE_AT_EXIT, &cycle)))
            return 0;
        leakcheck_failed(cycle.reason);
        return EAGAIN;
    case JOB_EXIT_DUMP:
        return dump_write("exit");
    case JOB_EXIT_LEAKS:
        return leakcheck_report();
    case JOB_DUMP_TO:
        return dump_write_to(path);
    }
    return EINVAL;
}

static void set_option(struct md_control *control)
{
    char text[sizeof control->set];
    memcpy(text, control->set, sizeof text);
    text[sizeof text - 1] = 0;
    char *value = strchr(text, '=');
    if (value)
        *value++ = 0;
    control->result = value ? option_set(text, value) : EINVAL;
    segment_publish_options();
}

static void answer(uint32_t bits)
{
    struct md_control *control = &segment_header()->control;
    struct md_cycle cycle;
    if (bits & MD_REQUEST_SET)
        set_option(control);
    if (bits & MD_REQUEST_GC)
        control->result = !(segment_header()->flags & MD_FLAG_GC) ? ENOTSUP
                          : gc_cycle(MD_CYCLE_FORCED, &cycle)     ? 0
                                                                  : EAGAIN;
    if (bits & MD_REQUEST_DUMP)
        control->result = dump_write("request");
    if (bits & SERVICE_CYCLE)
        gc_cycle(GC_UNTOLD, &cycle);
    if (bits & SERVICE_DUMP_SIGNAL)
        dump_write("signal");
    if (bits & (MD_REQUEST_SET | MD_REQUEST_GC | MD_REQUEST_DUMP)) {
        __atomic_fetch_add(&control->served, 1, __ATOMIC_RELEASE);
        futex_wake(&control->served);
    }
}

/* Does what is due; returns when to look again. */
static int64_t look(void)
{
    int64_t now = os_now_ns(), again = now + LONGEST_SLEEP_NS, next;
    uint32_t flags;
    struct md_cycle cycle;
    if (message_kept()) {
        message_check();
        again = now + KEPT_CHECK_NS;
    }
    if (service_paces) {
        if (gc_due(now, &flags, &next))
            gc_cycle(flags, &cycle);
        gc_due(os_now_ns(), &flags, &next);
        again = MIN(again, next);
    }
    again = MIN(again, dump_due(now));
    return again;
}

void service_outlives_main(void)
{
    if (!__atomic_load_n(&started, __ATOMIC_ACQUIRE))
        return;
    __atomic_store_n(&main_ended, true, __ATOMIC_RELEASE);
    service_kick(SERVICE_LOOK);
}

static bool is_own(int tid)
{
    for (int i = 0; i < OWN_TIDS; i++)
        if (__atomic_load_n(&own_tids[i], __ATOMIC_RELAXED) == tid)
            return true;
    return false;
}

static void set_own(int from, int to)
{
    for (int i = 0; i < OWN_TIDS; i++)
        if (__atomic_compare_exchange_n(&own_tids[i], &(int){from}, to, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return;
}

/* Whether every other thread has ended: a main thread that did stays in the list as a zombie. */
static bool is_last_thread(void)
{
    char entries[2048], path[64], stat[512];
    bool alone = true;
    long n;
    int dir = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return false;
    while (alone && (n = syscall(SYS_getdents64, dir, entries, sizeof entries)) > 0) {
        for (long at = 0; at < n && alone;) {
            struct {
                uint64_t ino;
                int64_t off;
                uint16_t length;
                uint8_t type;
                char name[];
            } *entry = (void *)(entries + at);
            at += entry->length;
            int tid = atoi(entry->name);
            if (tid == 0 || is_own(tid))
                continue;
            struct fmt f = fmt_on(path, sizeof path);
            fmt_text(&f, "/proc/self/task/");
            fmt_text(&f, entry->name);
            fmt_text(&f, "/stat");
            const char *state =
                os_read_file(path, stat, sizeof stat) > 0 ? strrchr(stat, ')') : NULL;
            alone = !state || state[2] == 'Z' || state[2] == 'X';
        }
    }
    close(dir);
    return alone;
}

static void *serve(void *unused)
{
    (void)unused;
    own_thread = true;
    set_own(0, os_gettid());
    prctl(PR_SET_NAME, "memdebug");
    arena_use_own();
    segment_set_flags(MD_FLAG_THREAD);
    while (!__atomic_load_n(&ended, __ATOMIC_ACQUIRE)) {
        if (!segment_check())
            break;
        uint32_t *word = &segment_header()->control.request;
        uint32_t bits = __atomic_exchange_n(word, 0, __ATOMIC_ACQUIRE) |
                        __atomic_exchange_n(&early, 0, __ATOMIC_RELAXED);
        if (__atomic_load_n(&job_state, __ATOMIC_ACQUIRE) == JOB_WAITS) {
            job_result = run_job(job_kind, job_path);
            __atomic_store_n(&job_state, JOB_DONE, __ATOMIC_RELEASE);
            futex_wake(&job_state);
        }
        if (bits & ~SERVICE_LOOK)
            answer(bits);
        int64_t again = look(), now = os_now_ns();
        if (__atomic_load_n(&main_ended, __ATOMIC_ACQUIRE)) {
            if (is_last_thread())
                break;
            again = MIN(again, now + LAST_CHECK_NS);
        }
        /* The tables may have moved meanwhile: whoever moved them kicked the old word. */
        if (again > now && word == &segment_header()->control.request)
            futex_wait(word, 0, again - now);
    }
    /* glibc now may run exit on this thread, if it was the last: then the program's handlers run
     * here, and what is still to be done at exit is done here too. */
    gc_end();
    set_own(os_gettid(), 0);
    __atomic_store_n(&refused, true, __ATOMIC_RELEASE);
    __atomic_store_n(&started, 0, __ATOMIC_RELEASE);
    return NULL;
}

bool service_start(void)
{
    uint32_t none = 0;
    if (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) || __atomic_load_n(&refused, __ATOMIC_ACQUIRE) ||
        !segment_check())
        return false;
    if (!__atomic_compare_exchange_n(&started, &none, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return true;
    /* The program's signals are not for us.  glibc keeps 32 and 33 open whatever the mask: setuid
     * in the program works by them, and so does our own stop. */
    static char *stack; /* on record as ours: the tracer takes no roots from it; kept for ever */
    sigset_t all, saved;
    pthread_attr_t attributes;
    if (!stack) {
        stack = own_map(STACK_BYTES);
        if (stack)
            mprotect(stack, OS_PAGE, PROT_NONE);
    }
    if (!stack) {
        __atomic_store_n(&started, 0, __ATOMIC_RELEASE);
        return false;
    }
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack + OS_PAGE, STACK_BYTES - OS_PAGE);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool outer = counts_as_own(true); /* what glibc allocates for the thread is ours */
    int error = pthread_create(&thread, &attributes, serve, NULL);
    counts_as_own(outer);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (error)
        __atomic_store_n(&started, 0, __ATOMIC_RELEASE);
    return !error;
}

int service_do(enum service_job job, const char *path)
{
    if (!segment_check())
        return EAGAIN;
    if (!service_start()) {
        bool outer = counts_as_own(true);
        int result = job == JOB_CYCLE ? EAGAIN : run_job(job, path);
        counts_as_own(outer);
        return result;
    }
    if (job != JOB_CYCLE && job != JOB_DUMP_TO)
        gc_hurry();
    lock_take(&job_lock);
    job_kind = job;
    job_path = path;
    __atomic_store_n(&job_state, JOB_WAITS, __ATOMIC_RELEASE);
    int64_t cpu = 0, moved = os_now_ns();
    while (__atomic_load_n(&job_state, __ATOMIC_ACQUIRE) == JOB_WAITS) {
        service_kick(SERVICE_LOOK);
        futex_wait(&job_state, JOB_WAITS, 100000000);
        if (job != JOB_EXIT_DUMP && job != JOB_EXIT_LEAKS)
            continue;
        /* A program that exits from a constructor of a library it loads holds the loader's lock,
         * for which our thread waits: the last profile and the leaks are lost then. */
        int64_t cpu_now = served_cpu_ns(), now = os_now_ns();
        if (cpu_now != cpu) {
            cpu = cpu_now;
            moved = now;
        } else if (now - moved > STUCK_NS) {
            message(job == JOB_EXIT_DUMP
                        ? "heapprofile: no profile at exit: the exiting thread is loading a library"
                        : "leakcheck: no report at exit: the exiting thread is loading a library");
            lock_release(&job_lock);
            return EDEADLK;
        }
    }
    int result = job_result;
    __atomic_store_n(&job_state, NO_JOB, __ATOMIC_RELEASE);
    lock_release(&job_lock);
    return result;
}

void service_renew(void)
{
    memset(own_tids, 0, sizeof own_tids);
    started = 0;
    main_ended = refused = false;
    job_state = NO_JOB;
    lock_renew(&job_lock);
}

void service_end(void)
{
    __atomic_store_n(&ended, true, __ATOMIC_RELEASE);
    if (started)
        service_kick(SERVICE_LOOK);
}
