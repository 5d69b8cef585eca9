#include "service.h"

#include "base/compiler.h"
#include "base/fmt.h"
#include "base/handover.h"
#include "base/lock.h"
#include "base/message.h"
#include "base/options.h"
#include "base/os.h"
#include "dump.h"
#include "gc/gc.h"
#include "gc/stop/restart.h"
#include "gc/sys/proc.h"
#include "leakcheck.h"
#include "limit.h"
#include "malloc/account.h"
#include "malloc/arena.h"
#include "malloc/counts.h"
#include "malloc/stats.h"
#include "prof/prof.h"
#include "prof/record.h"
#include "requests.h"
#include "scavtrace.h"
#include "segment/segment.h"
#include "thread_place.h"
#include "view/leaks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
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
#define TIDY_NS 10000000
#define TRY_NS 10000000
#define KEPT_CHECK_NS 1000000000
#define EXIT_CYCLES_MAX 4
#define SHOW_NS 1000000000 /* of our thread's life, until memtop can see the process anyhow */
#define LAST_CHECK_NS 100000000
/* From one look whether a thread can be started here to the next: at least, and until it is not
 * left to chance any more. */
#define PLACE_NS 5000000
#define PLACE_SURE_NS 50000000
#define NO_PROGRESS_NS INT64_C(10000000000) /* of our thread, while a program at its end waits */

bool service_paces;
bool (*service_wanted)(void);
/* Atomic, all four. */
static uint32_t started; /* 1: there is a thread, or one is being made */
static bool ended;       /* the program is at its end */
static bool main_ended;
static bool refused; /* no thread any more: the process is ending without its main thread */

/* Of the one that has started the last thread. */
static pthread_t thread;
static bool unjoined; /* that one has ended as nothing was asked of it; set before started is 0 */

/* One job at a time is asked for, by the holder of job_lock; our thread does them.  One that it is
 * still at when nobody waits for it any longer is answered late. */
static struct lock job_lock = LOCK_INIT(LOCK_JOB);
static struct handover jobs; /* enum service_job */
static const char *job_path; /* goes with the job; atomic */
static int job_result;       /* of the one done last */
static int service_tid;
static int64_t served_since_ns;

static void futex_wake(uint32_t *word)
{
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    errno = saved;
}

static void futex_wait(uint32_t *word, uint32_t value, int64_t ns)
{
    struct timespec timeout = {ns / 1000000000, ns % 1000000000};
    restart_futex_wait(word, value, &timeout);
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
    int tid = __atomic_load_n(&service_tid, __ATOMIC_RELAXED);
    if (clock_gettime((clockid_t)(~(unsigned)tid << 3 | 6), &ts) != 0)
        return 0;
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Two cycles that tell of leaks, or one that does for two; some more if there are threads whose
 * registers are not seen, which may be so for a moment only. */
static int exit_leak_cycles(void)
{
    struct md_cycle cycle;
    char reason[100];
    struct fmt f = fmt_on(reason, sizeof reason);
    uint32_t flags = MD_CYCLE_AT_EXIT | GC_PATIENT, unseen = 0;
    for (int i = 0, telling = 0; i < EXIT_CYCLES_MAX; i++) {
        if (!gc_cycle(i ? flags : flags | GC_FINAL, &cycle)) {
            leakcheck_failed(cycle.reason);
            return EAGAIN;
        }
        telling += leaks_tell(&cycle);
        unseen = cycle.unseen_threads ? cycle.unseen_threads : unseen;
        if (!cycle.unreachable_objects || cycle.flags & MD_CYCLE_FINAL || telling == 2)
            return 0;
    }
    fmt_text(&f, "the registers of ");
    fmt_u64(&f, unseen);
    fmt_text(&f, " thread(s) were not seen");
    leakcheck_failed(reason);
    return EAGAIN;
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
        return exit_leak_cycles();
    case JOB_EXIT_DUMP:
        return dump_write_exit();
    case JOB_EXIT_LEAKS:
        return leakcheck_report();
    case JOB_DUMP_TO:
        return dump_write_to(path);
    }
    return EINVAL;
}

static void answer(uint32_t bits)
{
    struct md_cycle cycle;
    requests_answer(bits);
    if (bits & SERVICE_CYCLE && segment_identity()->flags & MD_FLAG_GC)
        gc_cycle(GC_UNTOLD, &cycle);
    if (bits & SERVICE_DUMP_SIGNAL)
        dump_write("signal");
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
    record_deferred();
    if (segment_header()->flags & MD_FLAG_GC && !gc_try())
        again = MIN(again, now + TRY_NS);
    if (service_paces) {
        if (gc_due(now, &flags, &next))
            gc_cycle(flags, &cycle);
        gc_due(os_now_ns(), &flags, &next);
        again = MIN(again, next);
    }
    uint64_t allocated = __atomic_load_n(&segment_counters()->alloc_bytes, __ATOMIC_RELAXED);
    again = MIN(again, limit_due(now, segment_in_use()));
    again = MIN(again, scavtrace_due(now));
    again = MIN(again, dump_due(now, allocated, segment_in_use()));
    /* Whoever has asked for cycles can ask memtop about them, though the program may allocate next
     * to nothing.  Not at once: most small programs have ended by then, and a server has given up
     * its user, who could not remove the file. */
    int64_t show_ns = served_since_ns + SHOW_NS;
    if (now < show_ns)
        again = MIN(again, show_ns);
    else if (segment_show())
        again = MIN(again, now + TIDY_NS);
    if (segment_tidy())
        again = MIN(again, now + TIDY_NS);
    return again;
}

bool service_runs(void)
{
    return __atomic_load_n(&started, __ATOMIC_ACQUIRE);
}

void service_outlives_main(void)
{
    __atomic_store_n(&main_ended, true, __ATOMIC_RELEASE);
    service_kick(SERVICE_LOOK);
}

/* Whether every other thread has ended: a main thread that did stays in the list as a zombie. */
static bool is_last_thread(void)
{
    char entries[2048] DIRENTS_ALIGNED, path[64], stat[512];
    bool alone = true;
    long tid;
    int dir = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return false;
    struct proc_numbers tasks = {.fd = dir, .buf = entries, .size = sizeof entries};
    while (alone && (tid = proc_next_number(&tasks)) >= 0) {
        if (own_thread_is((int)tid))
            continue;
        struct fmt f = fmt_on(path, sizeof path);
        fmt_text(&f, "/proc/self/task/");
        fmt_u64(&f, (uint64_t)tid);
        fmt_text(&f, "/stat");
        const char *state = os_read_file(path, stat, sizeof stat) > 0 ? strrchr(stat, ')') : NULL;
        alone = !state || state[2] == 'Z' || state[2] == 'X';
    }
    close(dir);
    return alone;
}

/* The thread that has met a request may be bound to a CPU, or run before all others. */
static void leave_creators_cpu(void)
{
    unsigned long cpus[128];
    struct sched_param ordinary = {0};
    syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &ordinary);
    long bytes = syscall(SYS_sched_getaffinity, getpid(), sizeof cpus, cpus);
    if (bytes > 0)
        syscall(SYS_sched_setaffinity, 0, bytes, cpus);
}

/* Whether the process has this thread for requests alone, and none has come for so long.  A main
 * thread that has ended: then another end is waited for. */
static bool is_quiet(int64_t asked_ns, int64_t *again)
{
    if ((service_wanted && service_wanted()) || __atomic_load_n(&main_ended, __ATOMIC_ACQUIRE))
        return false;
    int64_t quiet_ns = asked_ns + (int64_t)option_number(OPTION_THREADSTAY);
    *again = MIN(*again, quiet_ns);
    return os_now_ns() >= quiet_ns;
}

static void *serve(void *by_request)
{
    bool quiet = false;
    own_thread = true;
    __atomic_store_n(&service_tid, os_gettid(), __ATOMIC_RELAXED);
    own_thread_enter(os_gettid());
    prctl(PR_SET_NAME, "memdebug");
    arena_use_own();
    segment_set_flags(MD_FLAG_THREAD);
    if (by_request)
        leave_creators_cpu();
    int64_t asked_ns = served_since_ns = os_now_ns();
    while (!__atomic_load_n(&ended, __ATOMIC_ACQUIRE)) {
        if (!segment_check())
            break;
        uint32_t *word = &segment_header()->control.request;
        uint32_t bits = __atomic_exchange_n(word, 0, __ATOMIC_ACQUIRE) |
                        __atomic_exchange_n(&early, 0, __ATOMIC_RELAXED);
        uint32_t job = handover_word(&jobs);
        const char *path = __atomic_load_n(&job_path, __ATOMIC_RELAXED);
        if (handover_wanted(job) && handover_take(&jobs, job)) {
            job_result = run_job((enum service_job)handover_wanted(job), path);
            handover_answer(&jobs, job);
            futex_wake(&jobs.answered);
            asked_ns = os_now_ns();
        }
        if (bits & ~SERVICE_LOOK) {
            answer(bits);
            if (bits & REQUESTS_THREAD)
                asked_ns = os_now_ns();
        }
        int64_t again = look(), now = os_now_ns();
        if ((quiet = is_quiet(asked_ns, &again)))
            break;
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
    arena_forget_thread();
    own_thread_leave(os_gettid());
    if (quiet) {
        segment_clear_flags(MD_FLAG_THREAD);
        unjoined = true;
    } else {
        __atomic_store_n(&refused, true, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&started, 0, __ATOMIC_RELEASE);
    return NULL;
}

static int create_thread(bool by_request)
{
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
    if (!stack)
        return ENOMEM;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack + OS_PAGE, STACK_BYTES - OS_PAGE);
    int error = pthread_create(&thread, &attributes, serve, by_request ? &thread : NULL);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return error;
}

/* 0 or an errno value; EBUSY: the one before is still about to end, on the same stack. */
static int start(bool by_request)
{
    uint32_t none = 0;
    if (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) || __atomic_load_n(&refused, __ATOMIC_ACQUIRE) ||
        !segment_check())
        return EBUSY;
    if (!__atomic_compare_exchange_n(&started, &none, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return 0;
    bool outer = counts_as_own(true); /* what glibc allocates for the thread is ours */
    if (unjoined && pthread_tryjoin_np(thread, NULL) == 0)
        unjoined = false;
    int error = unjoined ? EBUSY : create_thread(by_request);
    counts_as_own(outer);
    if (error)
        __atomic_store_n(&started, 0, __ATOMIC_RELEASE);
    return error;
}

bool service_start(void)
{
    return start(false) == 0;
}

/* ---- on a thread of the program's ---- */

/* Starts our thread for a request, if this is a place for it; else the next publication tries. */
static void start_here(void)
{
    static bool trying; /* atomic, both */
    static int64_t looked_ns;
    int64_t now = os_now_ns(), since_ns = now - __atomic_load_n(&looked_ns, __ATOMIC_RELAXED);
    /* One publication of four, by chance: else those of a timer's handler, which come first after
     * each tick, would be the only ones that are looked at. */
    bool passes = since_ns < PLACE_SURE_NS && (now >> 4 & 3);
    if (since_ns < PLACE_NS || passes || __atomic_exchange_n(&trying, true, __ATOMIC_ACQUIRE))
        return;
    __atomic_store_n(&looked_ns, now, __ATOMIC_RELAXED);
    if (thread_place_here()) {
        int error = thread_place_refused();
        if (!error)
            error = start(true);
        if (error && error != EBUSY)
            requests_refuse(error);
    }
    __atomic_store_n(&trying, false, __ATOMIC_RELEASE);
}

void service_answer_here(void)
{
    int saved = errno;
    /* A signal handler may have come in the middle of our own work: then at another publication. */
    if (!service_runs() && !lock_held_here() && !prof_thread.busy && segment_check()) {
        struct md_control *control = &segment_header()->control;
        requests_answer_here(
            __atomic_fetch_and(&control->request, ~REQUESTS_HERE, __ATOMIC_ACQUIRE));
        if (__atomic_load_n(&control->request, __ATOMIC_RELAXED) & REQUESTS_THREAD &&
            segment_identity()->flags & MD_FLAG_ASKABLE)
            start_here();
    }
    errno = saved;
}

/* ---- when it does not answer ---- */

/* Whether `address` is among the loader's own data, where its locks are. */
static bool is_loaders(uintptr_t address)
{
    uintptr_t base = _r_debug.r_ldbase;
    const ElfW(Ehdr) *file = (const void *)base;
    if (!base)
        return false;
    const ElfW(Phdr) *segment = (const void *)(base + file->e_phoff);
    for (unsigned i = 0; i < file->e_phnum; i++)
        if (segment[i].p_type == PT_LOAD && segment[i].p_flags & PF_W &&
            address - base - segment[i].p_vaddr < segment[i].p_memsz)
            return true;
    return false;
}

/* The thread that holds the lock of the loader's for which our thread waits; 0: it waits for none,
 * or that cannot be seen. */
static int loader_held_by(void)
{
    char path[64], text[512];
    struct fmt f = fmt_on(path, sizeof path);
    fmt_text(&f, "/proc/self/task/");
    fmt_u64(&f, (uint64_t)__atomic_load_n(&service_tid, __ATOMIC_RELAXED));
    fmt_text(&f, "/syscall");
    char *end;
    if (os_read_file(path, text, sizeof text) <= 0 || strtol(text, &end, 10) != SYS_futex)
        return 0;
    uintptr_t address = strtoul(end, NULL, 16);
    if (address % _Alignof(pthread_mutex_t) || !is_loaders(address))
        return 0;
    const pthread_mutex_t *lock = (const void *)address;
    return __atomic_load_n(&lock->__data.__owner, __ATOMIC_RELAXED);
}

/* Of one wait. */
struct watch {
    int64_t cpu_ns, moved_ns;
};

/* Why there is no sense in waiting any longer; NULL: there is.  A program that exits from a
 * constructor of a library it loads holds the loader's lock, for which our thread waits: it is seen
 * to.  Else our thread may wait for another one that loads, or for a CPU. */
static const char *why_give_up(struct watch *watch)
{
    int64_t cpu_ns = served_cpu_ns(), now = os_now_ns();
    int holder = loader_held_by();
    if (holder == os_gettid())
        return "the exiting thread is loading a library";
    if (cpu_ns != watch->cpu_ns)
        *watch = (struct watch){cpu_ns, now};
    return now - watch->moved_ns < NO_PROGRESS_NS ? NULL
           : holder ? "another thread has been loading a library for 10 s"
                    : "our thread has got no CPU, or no further, for 10 s";
}

static void say_given_up(enum service_job job, const char *reason)
{
    char line[200];
    struct fmt f = fmt_on(line, sizeof line);
    if (job == JOB_EXIT_LEAKS) {
        leakcheck_failed(reason);
        return;
    }
    fmt_text(&f, "heapprofile: no profile at exit: ");
    fmt_text(&f, reason);
    message(line);
}

int service_do(enum service_job job, const char *path, const void *above)
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
    __atomic_store_n(&job_path, path, __ATOMIC_RELAXED);
    uint32_t request = handover_ask(&jobs, job), seen;
    struct watch watch = {0, os_now_ns()};
    const char *reason = NULL;
    gc_note_wait(above, __builtin_frame_address(0));
    while ((seen = handover_answered(&jobs)) != request && !reason) {
        start(false); /* it may just have ended, as nothing was asked of it */
        service_kick(SERVICE_LOOK);
        futex_wait(&jobs.answered, seen, 100000000);
        if (job == JOB_EXIT_DUMP || job == JOB_EXIT_LEAKS)
            reason = why_give_up(&watch);
    }
    gc_note_wait(NULL, NULL);
    int result = seen == request ? job_result : EDEADLK;
    if (seen != request)
        handover_withdraw(&jobs, request);
    lock_release(&job_lock);
    if (seen != request)
        say_given_up(job, reason);
    return result;
}

void service_postfork_child(void)
{
    own_threads_postfork_child();
    started = 0;
    main_ended = refused = unjoined = false;
    jobs = (struct handover){0};
    lock_postfork_child(&job_lock);
}

void service_end(void)
{
    __atomic_store_n(&ended, true, __ATOMIC_RELEASE);
    if (started)
        service_kick(SERVICE_LOOK);
}
