#include "gc/permit.h"

#include "base/options.h"
#include "base/os.h"
#include "gc/proc.h"
#include "gc/raw.h"

#include <asm/prctl.h>
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

static struct filters at_load;
static bool tried;
static const char *trial_result;
bool permit_resources = true;

#define TRIAL_NS INT64_C(1000000000)

static struct filters filters_in(const char *status)
{
    struct filters found = {0, 0};
    proc_field(status, "Seccomp:", 10, &found.mode);
    proc_field(status, "Seccomp_filters:", 10, &found.count);
    return found;
}

void permit_init(void)
{
    char status[4096];
    if (os_read_file("/proc/self/status", status, sizeof status) > 0)
        at_load = filters_in(status);
}

/* ---- the trial ---- */

enum step { NOTHING, MAY_WAIT, ALL_DONE };

/* What the copy has survived; in memory shared with it. */
struct trial {
    uint32_t step;    /* enum step; futex */
    uint32_t refused; /* a call that there is no doing without */
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

/* In the copy: each call that the tracer thread and the stop handler make, to no effect. */
static _Noreturn void try_needed(struct trial *trial)
{
    char buf[512];
    uint64_t mask = ~UINT64_C(0);
    siginfo_t info;
    struct raw_sigaction action;
    long pid = RAW3(SYS_getpid, 0, 0, 0), tid = RAW3(SYS_gettid, 0, 0, 0);
    RAW4(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0); /* no core, no report */
    RAW4(SYS_prctl, PR_SET_NAME, "md-try", 0, 0);
    RAW4(SYS_wait4, -1, NULL, WNOHANG, NULL);
    reach(trial, MAY_WAIT);
    trial->refused = raw6(SYS_waitid, P_ALL, 0, 0, WEXITED | WNOHANG, 0, 0) != -ECHILD;
    RAW3(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE);
    long fd = RAW4(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY, 0);
    RAW3(SYS_lseek, fd, 0, 0);
    RAW3(SYS_getdents64, fd, buf, sizeof buf);
    RAW3(SYS_fstat, fd, buf, 0);
    RAW3(SYS_read, fd, buf, 1);
    RAW4(SYS_pread64, fd, buf, 1, 0);
    RAW3(SYS_ioctl, fd, 0, 0);
    RAW3(SYS_close, fd, 0, 0);
    memset(&info, 0, sizeof info);
    info.si_code = SI_TIMER;
    RAW4(SYS_rt_tgsigqueueinfo, pid, tid, 0, &info);
    raw_sigaction(33, NULL, &action);
    raw_sigmask(SIG_SETMASK, &mask, NULL);
    RAW3(SYS_rt_sigpending, &mask, sizeof mask, 0);
    RAW3(SYS_restart_syscall, 0, 0, 0);
    RAW3(SYS_arch_prctl, ARCH_GET_FS, buf, 0);
    raw_sleep_ns(1);
    RAW3(SYS_sched_yield, 0, 0, 0);
    RAW3(SYS_sched_getaffinity, 0, sizeof buf, buf);
    raw_clock_ns(CLOCK_MONOTONIC);
    void *page = (void *)raw6(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    RAW3(SYS_madvise, page, 4096, MADV_NORMAL);
    RAW3(SYS_munmap, page, 4096, 0);
    RAW3(SYS_tgkill, pid, tid, 0);
    RAW3(SYS_kill, pid, 0, 0);
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

/* Runs `in_copy` in a copy of the process.  NULL: it has come to its end. */
static const char *run_copy(void (*in_copy)(struct trial *trial), struct trial *trial)
{
    uint64_t all = ~UINT64_C(0), before;
    *trial = (struct trial){NOTHING, 0};
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
    }
    if (__atomic_load_n(&trial->step, __ATOMIC_ACQUIRE) != ALL_DONE)
        return "seccomp would kill the program";
    return trial->refused ? "waitid is refused (seccomp)" : NULL;
}

static const char *try_all(void)
{
    struct trial *trial =
        mmap(NULL, OS_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (trial == MAP_FAILED)
        return "no memory or process for a trial under seccomp";
    const char *reason = run_copy(try_needed, trial);
    if (!reason)
        permit_resources = !run_copy(try_resources, trial);
    munmap(trial, OS_PAGE);
    return reason;
}

const char *permit_trial(void)
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

const char *permit_cycle(void)
{
    static char status[4096], names[16384];
    /* Whoever names an engine wants a cycle. */
    if (option_number(OPTION_GCENGINE) != 0)
        return NULL;
    if (proc_self_read("status", status, sizeof status) <= 0)
        return "/proc/self/status cannot be read";
    bool found = is_stricter(status);
    long fd = proc_self_open("task", O_RDONLY | O_DIRECTORY), n;
    if (fd < 0)
        return "/proc/self/task cannot be read";
    while (!found && (n = RAW3(SYS_getdents64, fd, names, sizeof names)) > 0) {
        for (long at = 0; at < n && !found;) {
            /* struct linux_dirent64: u64 inode, s64 offset, u16 length, u8 type, name */
            uint16_t length;
            memcpy(&length, names + at + 16, sizeof length);
            int tid = (int)proc_number(names + at + 19, 10, NULL);
            at += length;
            found = tid && proc_task_read(tid, "status", status, sizeof status) > 0 &&
                    is_stricter(status);
        }
    }
    RAW3(SYS_close, fd, 0, 0);
    return found ? "the program has sandboxed itself (seccomp)" : NULL;
}
