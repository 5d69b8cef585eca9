#include "gc/sys/task.h"

#include "base/os.h"
#include "gc/sys/raw.h"
#include "gc/sys/seccomp.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define STACK_BYTES ((size_t)64 << 10)
#define CPU_SECONDS 600
#define CHECK_NS 200000000 /* how often to see whether it has been killed */

/* ---- in the task ---- */

_Noreturn void task_exit(void)
{
    for (;;)
        RAW3(SYS_exit_group, 0, 0, 0);
}

static void take_less(const struct task *task)
{
    struct sched_param param = {0};
    RAW3(SYS_sched_setscheduler, 0, task->nice == TASK_IDLE ? SCHED_IDLE : SCHED_OTHER, &param);
    if (task->nice && task->nice != TASK_IDLE) {
        long nice = 20 - RAW3(SYS_getpriority, PRIO_PROCESS, 0, 0); /* the call answers 20 - nice */
        RAW3(SYS_setpriority, PRIO_PROCESS, 0, MIN(nice + task->nice, 19));
    }
    struct rlimit cpu = {CPU_SECONDS, CPU_SECONDS}, core = {0, 0};
    RAW4(SYS_prlimit64, 0, RLIMIT_CPU, &cpu, NULL);
    RAW4(SYS_prlimit64, 0, RLIMIT_CORE, &core, NULL);
}

static void stand_back(const struct task *task)
{
    RAW4(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0);
    if (RAW3(SYS_getppid, 0, 0, 0) != (long)task->starter)
        task_exit();
    RAW4(SYS_prctl, PR_SET_NAME, "md-mark", 0, 0);
    RAW3(SYS_chdir, "/", 0, 0); /* what the program leaves can be unmounted */
    if (seccomp_allows_resources)
        take_less(task);
    uint64_t open = UINT64_C(1) << (SIGSEGV - 1) | UINT64_C(1) << (SIGBUS - 1);
    raw_sigmask(SIG_UNBLOCK, &open, NULL);
}

/* clone(flags, stack): in the child the word at the top of the new stack is the task, with which
 * task_main begins. */
long gc_task_clone(unsigned long flags, void *stack);
_Noreturn void task_main(struct task *task);

_Noreturn void task_main(struct task *task)
{
    stand_back(task);
    task->fn(task->ctx);
    task->cpu_ns = raw_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    __atomic_store_n(&task->done, 1, __ATOMIC_RELEASE);
    raw_futex_wake(&task->done, 1, 0);
    task_exit();
}

/* ---- where it was started ---- */

const char *task_start(struct task *task, void (*fn)(void *ctx), void *ctx, int nice)
{
    if (!task->stack && !(task->stack = own_map(STACK_BYTES)))
        return "no memory for a marker's stack";
    task->fn = fn;
    task->ctx = ctx;
    task->nice = nice;
    task->starter = (uint32_t)RAW3(SYS_getpid, 0, 0, 0);
    task->cpu_ns = 0;
    __atomic_store_n(&task->done, 0, __ATOMIC_RELEASE);
    /* gc_task_clone pops this word, after which the stack is aligned for a call. */
    struct task **top = (struct task **)(task->stack + STACK_BYTES - 24);
    *top = task;
    /* Not CLONE_FS: the kernel takes the set-user-ID bit from whoever shares its directories with
     * another process and execs. */
    long pid = gc_task_clone(CLONE_VM | CLONE_UNTRACED, top);
    if (pid > 0) {
        task->pid = (int)pid;
        return NULL;
    }
    return pid == -EPERM    ? "clone is refused"
           : pid == -EAGAIN ? "no more processes (RLIMIT_NPROC or pids.max)"
           : pid == -ENOMEM ? "no memory for a marker"
                            : "clone failed";
}

/* Somebody else may have reaped it (a program that waits with __WALL): then waitid finds no child,
 * and it has ended. */
bool task_alive(const struct task *task)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    long error =
        raw6(SYS_waitid, P_PID, task->pid, (long)&info, WEXITED | WNOHANG | WNOWAIT | __WALL, 0, 0);
    return error == 0 && info.si_pid == 0;
}

static void reap(struct task *task)
{
    long error;
    do
        error = RAW4(SYS_wait4, task->pid, NULL, __WALL, NULL);
    while (error == -EINTR);
    task->pid = 0;
}

const char *task_wait(struct task *task, int64_t limit_ns)
{
    if (!task->pid)
        return "no marker runs";
    int64_t end = os_now_ns() + limit_ns;
    while (!__atomic_load_n(&task->done, __ATOMIC_ACQUIRE)) {
        int64_t left = end - os_now_ns();
        if (left <= 0)
            return "marking took too long";
        raw_futex_wait(&task->done, 0, MIN(left, CHECK_NS), 0);
        if (!task_alive(task) && !__atomic_load_n(&task->done, __ATOMIC_ACQUIRE)) {
            reap(task);
            return "the marker was killed";
        }
    }
    reap(task);
    return NULL;
}

void task_cancel(struct task *task)
{
    if (!task->pid)
        return;
    /* Seen to be our child and alive, so the number cannot be another process's. */
    if (task_alive(task))
        RAW3(SYS_kill, task->pid, SIGKILL, 0);
    reap(task);
}

bool task_elsewhere(const struct task *task, bool elsewhere)
{
    uint64_t cpus[128] = {0}, others = 0; /* 8192 CPUs; where there are more the kernel refuses */
    unsigned here = 0;
    long bytes = seccomp_allows_resources ? RAW3(SYS_sched_getaffinity, 0, sizeof cpus, cpus) : 0;
    if (bytes <= 0 || RAW3(SYS_getcpu, &here, 0, 0) < 0)
        return false;
    if (elsewhere && here / 64 < ARRAY_LENGTH(cpus))
        cpus[here / 64] &= ~(UINT64_C(1) << here % 64);
    for (long i = 0; i < bytes / 8; i++)
        others |= cpus[i];
    /* Seen to be our child and alive, as in task_cancel. */
    return others && task_runs(task) && task_alive(task) &&
           RAW3(SYS_sched_setaffinity, task->pid, bytes, cpus) >= 0;
}

void task_free(struct task *task)
{
    if (task->stack)
        own_unmap(task->stack, STACK_BYTES);
    task->stack = NULL;
}

void task_postfork_child(struct task *task)
{
    task->pid = 0;
}
