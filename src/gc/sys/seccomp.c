#include "gc/sys/seccomp.h"

#include "base/fmt.h"
#include "base/options.h"
#include "base/os.h"
#include "gc/sys/frame.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

struct filters {
    uint64_t mode;  /* 0 none, 1 strict, 2 filter */
    uint64_t count; /* Linux 5.9; before, 0 */
};

static struct filters at_load; /* written by seccomp_init alone */
/* What the trial has shown: written by seccomp_trial alone, on the thread that calls gc_cycle. */
static bool tried;
static const char *trial_result;
bool seccomp_allows_resources = true;
static bool waitv_survives = true; /* the filters at load let a thread live that calls it */
bool seccomp_allows_waitv;

#define TRIAL_NS INT64_C(1000000000)

static struct filters filters_in(const char *status)
{
    struct filters found = {0, 0};
    proc_field(status, "Seccomp:", 10, &found.mode);
    proc_field(status, "Seccomp_filters:", 10, &found.count);
    return found;
}

void seccomp_init(void)
{
    char status[4096];
    if (os_read_file("/proc/self/status", status, sizeof status) > 0)
        at_load = filters_in(status);
}

/* ---- the trial ---- */

enum step { NOTHING, MAY_WAIT, ALL_DONE };

/* What the copy has survived; in memory shared with it.  The names lie in what both have. */
struct trial {
    uint32_t step;       /* enum step; futex */
    const char *calling; /* the last that it tried: what killed it */
    const char *refused; /* a call that there is no doing without */
};

static void reach(struct trial *trial, enum step step)
{
    __atomic_store_n(&trial->step, step, __ATOMIC_RELEASE);
    raw_futex_wake(&trial->step, 1, 0);
}

static _Noreturn void leave(void)
{
    for (;;)
        RAW3(SYS_exit_group, 0, 0, 0);
}

#define TRY6(name, a, b, c, d, e, f)                                                               \
    (__atomic_store_n(&trial->calling, #name, __ATOMIC_RELAXED),                                   \
     raw6(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)))
#define TRY(name, a, b, c, d) TRY6(name, a, b, c, d, 0, 0)

/* A copy has no children, so a wait that is allowed answers ECHILD. */
static void must_wait(struct trial *trial, long result)
{
    if (result != -ECHILD && !trial->refused)
        trial->refused = trial->calling;
}

/* In the copy: makes each call that the tracer thread, the stop handler and whoever writes a line
 * make, with arguments by which it has no effect. */
static _Noreturn void try_needed(struct trial *trial)
{
    char buf[512];
    uint64_t mask = ~UINT64_C(0);
    siginfo_t info;
    struct raw_sigaction action;
    struct timespec nap = {0, 1};
    long pid = RAW3(SYS_getpid, 0, 0, 0), tid = RAW3(SYS_gettid, 0, 0, 0);
    TRY(prctl, PR_SET_DUMPABLE, 0, 0, 0); /* no core, no report */
    TRY(prctl, PR_SET_NAME, "md-try", 0, 0);
    must_wait(trial, TRY(wait4, -1, NULL, WNOHANG, NULL));
    reach(trial, MAY_WAIT);
    must_wait(trial, TRY(waitid, P_ALL, 0, 0, WEXITED | WNOHANG));
    /* In the program's own table what is opened here would stay when a later call kills.  Without
     * one of its own the tracer thread does nothing, and says so itself. */
    if (TRY(close_range, 0, ~0u, CLOSE_RANGE_UNSHARE, 0) < 0 &&
        TRY(unshare, CLONE_FILES, 0, 0, 0) < 0) {
        reach(trial, ALL_DONE);
        leave();
    }
    long fd = TRY(openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY, 0);
    TRY(readlinkat, fd, "none", buf, sizeof buf);
    TRY(lseek, fd, 0, 0, 0);
    TRY(getdents64, fd, buf, sizeof buf, 0);
    TRY(fstat, fd, buf, 0, 0);
    TRY(read, fd, buf, 1, 0);
    TRY(pread64, fd, buf, 1, 0);
    TRY(ioctl, fd, 0, 0, 0);
    TRY(fcntl, fd, F_GETFL, 0, 0);
    TRY(close, fd, 0, 0, 0);
    TRY(write, -1, buf, 0, 0);
#ifdef SYS_poll
    TRY(poll, NULL, 0, 0, 0);
#else
    TRY(ppoll, NULL, 0, &nap, NULL);
#endif
    TRY(chdir, "/", 0, 0, 0);
    TRY(getppid, 0, 0, 0, 0);
    TRY(geteuid, 0, 0, 0, 0);
    memset(&info, 0, sizeof info);
    info.si_code = SI_TIMER;
    TRY(rt_tgsigqueueinfo, pid, tid, 0, &info);
    TRY(rt_sigaction, 33, NULL, &action, sizeof mask);
    TRY(rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
    TRY(rt_sigpending, &mask, sizeof mask, 0, 0);
    TRY(restart_syscall, 0, 0, 0, 0);
#ifdef SYS_arch_prctl
    TRY(arch_prctl, ARCH_GET_FS, buf, 0, 0);
#endif
    TRY(nanosleep, &nap, NULL, 0, 0);
    TRY(sched_yield, 0, 0, 0, 0);
    TRY(sched_getaffinity, 0, sizeof buf, buf, 0);
    TRY(clock_gettime, CLOCK_MONOTONIC, &nap, 0, 0);
    long page = TRY6(mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TRY(mprotect, page, 4096, PROT_READ, 0);
    TRY(madvise, page, 4096, MADV_NORMAL, 0);
    TRY(munmap, page, 4096, 0, 0);
    TRY(tgkill, pid, tid, 0, 0);
    TRY(kill, pid, 0, 0, 0);
    reach(trial, ALL_DONE);
    leave();
}

/* Likewise, what makes the marker a better neighbour: systemd's @resources. */
static _Noreturn void try_resources(struct trial *trial)
{
    struct sched_param param = {0};
    struct rlimit limit;
    uint64_t cpus[128];
    unsigned here;
    RAW4(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0);
    reach(trial, MAY_WAIT); /* known from the first trial */
    RAW4(SYS_prlimit64, 0, RLIMIT_CPU, NULL, &limit);
    RAW3(SYS_getpriority, PRIO_PROCESS, 0, 0);
    RAW3(SYS_setpriority, PRIO_PROCESS, 0, 19);
    RAW3(SYS_sched_setscheduler, 0, SCHED_OTHER, &param);
    RAW3(SYS_getcpu, &here, 0, 0);
    long bytes = RAW3(SYS_sched_getaffinity, 0, sizeof cpus, cpus);
    if (bytes > 0)
        RAW3(SYS_sched_setaffinity, 0, bytes, cpus);
    reach(trial, ALL_DONE);
    leave();
}

/* Likewise, how a parked thread waits best. */
static _Noreturn void try_waitv(struct trial *trial)
{
    RAW4(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0);
    reach(trial, MAY_WAIT);
    RAW4(SYS_futex_waitv, NULL, 0, 0, NULL);
    reach(trial, ALL_DONE);
    leave();
}

/* Runs `in_copy` in a copy of the process.  NULL: it has come to its end. */
static const char *run_copy(void (*in_copy)(struct trial *trial), struct trial *trial)
{
    uint64_t all = ~UINT64_C(0), before;
    *trial = (struct trial){.calling = "wait4"};
    raw_sigmask(SIG_SETMASK, &all, &before);
    long pid = raw6(SYS_clone, CLONE_FILES | CLONE_UNTRACED, 0, 0, 0, 0, 0);
    if (pid == 0)
        in_copy(trial);
    raw_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return pid == -EAGAIN || pid == -ENOMEM ? "no memory or process for a trial under seccomp"
                                                : "clone is refused (seccomp)";
    tried = true;
    /* Waiting may be what kills: then the copy stays as a zombie. */
    int64_t end = os_now_ns() + TRIAL_NS;
    while (__atomic_load_n(&trial->step, __ATOMIC_ACQUIRE) == NOTHING && os_now_ns() < end)
        raw_futex_wait(&trial->step, NOTHING, TRIAL_NS / 10, 0);
    if (trial->step != NOTHING) {
        long error;
        do
            error = RAW4(SYS_wait4, pid, NULL, __WALL, NULL);
        while (error == -EINTR);
        /* Refused: then it is not known when it ends, and it stays as a zombie. */
        while (error < 0 && __atomic_load_n(&trial->step, __ATOMIC_ACQUIRE) == MAY_WAIT &&
               os_now_ns() < end)
            raw_futex_wait(&trial->step, MAY_WAIT, TRIAL_NS / 10, 0);
    }
    static char told[64];
    struct fmt f = fmt_on(told, sizeof told);
    if (__atomic_load_n(&trial->step, __ATOMIC_ACQUIRE) != ALL_DONE) {
        fmt_text(&f, "seccomp would kill the program for ");
        fmt_text(&f, trial->calling);
        return told;
    }
    if (!trial->refused)
        return NULL;
    fmt_text(&f, trial->refused);
    fmt_text(&f, " is refused (seccomp)");
    return told;
}

static const char *try_all(void)
{
    struct trial *trial =
        os_mmap(NULL, OS_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (trial == MAP_FAILED)
        return "no memory or process for a trial under seccomp";
    const char *reason = run_copy(try_needed, trial);
    if (!reason) {
        seccomp_allows_resources = !run_copy(try_resources, trial);
        waitv_survives = !run_copy(try_waitv, trial);
    }
    os_munmap(trial, OS_PAGE);
    return reason;
}

const char *seccomp_trial(void)
{
    if (!tried && at_load.mode)
        trial_result = try_all();
    return trial_result;
}

/* ---- each cycle ---- */

static bool is_stricter(const char *status)
{
    struct filters now = filters_in(status);
    return now.mode > at_load.mode || now.count > at_load.count;
}

/* NULL: no thread has a filter that was not there at load. */
static const char *later_filter(void)
{
    static char status[4096], names[16384] DIRENTS_ALIGNED;
    if (proc_self_read("status", status, sizeof status) <= 0)
        return "/proc/self/status cannot be read";
    bool found = is_stricter(status);
    long fd = proc_self_open("task", O_RDONLY | O_DIRECTORY), tid;
    if (fd < 0)
        return "/proc/self/task cannot be read";
    struct proc_numbers tasks = {.fd = fd, .buf = names, .size = sizeof names};
    while (!found && (tid = proc_next_number(&tasks)) >= 0)
        found =
            proc_task_read((int)tid, "status", status, sizeof status) > 0 && is_stricter(status);
    RAW3(SYS_close, fd, 0, 0);
    return found ? "the program has sandboxed itself (seccomp)" : NULL;
}

const char *seccomp_cycle(void)
{
    const char *reason = later_filter();
    seccomp_allows_waitv = waitv_survives && !reason;
    /* Whoever has named an engine wants cycles whatever they risk. */
    return option_number(OPTION_GCENGINE) == GCENGINE_AUTO ? reason : NULL;
}
