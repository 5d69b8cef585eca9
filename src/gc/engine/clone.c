#include "gc/engine/clone.h"
#include "gc/mark/mark_pace.h"

#include "base/os.h"
#include "gc/ask/ask.h"
#include "gc/engine/allocated.h"
#include "gc/engine/dontfork.h"
#include "gc/engine/headroom.h"
#include "gc/engine/thp.h"
#include "gc/sys/pagemap.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"
#include "gc/sys/seccomp.h"
#include "heap/extents.h"
#include "heap/object_map.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define CHILD_CPU_SECONDS 600
/* A page costs 0.1 to 0.16 us, on a virtual machine; elsewhere it may be more, so it is learned. */
#define PAGE_NS INT64_C(150)
#define PAGES_MIN 4096u
/* Pages that turned out not to be readable, before the child takes it for an error of its own. */
#define CHILD_FAULTS 65536

/* The tracer thread's, but for `faults`, which is the child's.  `shared` is MAP_SHARED: the child
 * writes it, then `done` (release), and the tracer reads it after that (acquire); `hurry` is
 * written by any thread (atomic). */
static struct trace_result *shared;
static int child; /* pid; 0: none */
static unsigned faults;
static uint64_t pages;  /* of the process, before the stop */
static int64_t page_ns; /* CPU time that a clone has cost for each */
static uint64_t faults_before;

/* ---- in the child ---- */

static _Noreturn void child_exit(const char *reason)
{
    if (reason)
        strncpy(shared->reason, reason, sizeof shared->reason - 1);
    shared->cpu_ns = raw_clock_ns(CLOCK_THREAD_CPUTIME_ID) + shared->helper_cpu_ns;
    __atomic_store_n(&shared->done, reason ? 2 : 1, __ATOMIC_RELEASE);
    raw_futex_wake(&shared->done, 1, 0);
    for (;;)
        RAW3(SYS_exit_group, 0, 0, 0);
}

/* A page of the program that is in no copy (MADV_DONTFORK), lies behind the end of its file or has
 * no access: it reads as zeros from here on.  Only in the child's own address space. */
static void on_fault(int number, void *info_pointer, void *context)
{
    const siginfo_t *info = info_pointer;
    uintptr_t page = (uintptr_t)info->si_addr & ~(uintptr_t)4095;
    (void)number, (void)context;
    if (++faults > CHILD_FAULTS || page < 65536 ||
        raw6(SYS_mmap, (long)page, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
             0) != (long)page)
        child_exit("the marker read what it may not");
}

static void handle_faults(void)
{
    raw_handle(SIGSEGV, on_fault, 0);
    raw_handle(SIGBUS, on_fault, 0);
    uint64_t open = UINT64_C(1) << (SIGSEGV - 1) | UINT64_C(1) << (SIGBUS - 1);
    raw_sigmask(SIG_UNBLOCK, &open, NULL);
}

static void take_less(void)
{
    /* A program under a real-time policy has no use for a marker under one. */
    struct sched_param param = {0};
    RAW3(SYS_sched_setscheduler, 0, SCHED_OTHER, &param);
    long nice =
        20 - RAW3(SYS_getpriority, PRIO_PROCESS, 0, 0); /* the bare call answers 20 - nice */
    RAW3(SYS_setpriority, PRIO_PROCESS, 0, MIN(nice + mark_nice(), 19));
    struct rlimit limit = {CHILD_CPU_SECONDS, CHILD_CPU_SECONDS};
    RAW4(SYS_prlimit64, 0, RLIMIT_CPU, &limit, NULL);
}

/* Steps out of the program's way.  Files of /proc that are not readable for all are opened before
 * the child is no longer dumpable: then they are root's. */
static void stand_back(uint32_t parent)
{
    RAW4(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0);
    if (RAW3(SYS_getppid, 0, 0, 0) != (long)parent)
        child_exit("the program has ended");
    RAW4(SYS_prctl, PR_SET_NAME, "md-mark", 0, 0);
    RAW3(SYS_chdir, "/", 0, 0); /* what the program leaves can be unmounted */
    pagemap_open();
    long fd = proc_self_open("oom_score_adj", O_WRONLY);
    if (fd >= 0) {
        RAW3(SYS_write, fd, "1000", 4);
        RAW3(SYS_close, fd, 0, 0);
    }
    if (seccomp_allows_resources)
        take_less();
    /* A crash of ours is no report about the program.  Of its own memory only. */
    RAW4(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0);
}

/* What the copy may still come to, as the program writes, and so much more. */
static uint64_t asked_private_bytes, asked_in_use_bytes;
static const char *room_for(uint64_t bytes)
{
    struct headroom_need need = headroom_need(asked_private_bytes, asked_in_use_bytes);
    need.most += bytes;
    need.likely += bytes;
    return headroom_for_copy(need);
}

/* Blocks that count for nothing are none of the index any more. */
static const char *answer(struct trace *trace, const struct engine_cycle *cycle)
{
    if (!heap_index_build(&trace->index, cycle->block_size))
        return "no memory to mark in";
    trace->mark.index = &trace->index;
    allocated_settle(&trace->mark);
    asked_private_bytes = cycle->private_bytes;
    asked_in_use_bytes = cycle->in_use_bytes;
    return ask_answer(&trace->index, trace->mark.doubted, trace->mark.doubted_count, room_for);
}

static _Noreturn void child_main(uint32_t parent, const struct engine_cycle *cycle)
{
    own_thread = true;
    stand_back(parent);
    handle_faults();

    /* In memory on record as ours: the index holds the address of the first block, and where we are
     * linked into a program our static data are roots. */
    struct trace *trace = own_map(sizeof *trace);
    dontfork_copied();
    const char *reason = trace ? NULL : "no memory to mark in";
    if (!reason && !object_map)
        reason = allocated_fill(cycle->allocated);
    else if (!reason && ALLOCATED_CHECKED && cycle->allocated)
        reason = allocated_check(cycle->allocated);
    if (!reason)
        reason =
            cycle->asks ? answer(trace, cycle) : trace_frozen(trace, shared, cycle->block_size);
    child_exit(reason);
}

/* ---- in the process ---- */

/* How long the clone may take, by the pages that there are and what it has cost so far. */
static int64_t expected_ns(void)
{
    char status[4096];
    uint64_t resident_kb = 0, swapped_kb = 0;
    if (proc_self_read("status", status, sizeof status) > 0) {
        proc_field(status, "VmRSS:", 10, &resident_kb);
        proc_field(status, "VmSwap:", 10, &swapped_kb);
    }
    pages = (resident_kb + swapped_kb) / 4;
    return (int64_t)pages * 2 * MAX(page_ns, PAGE_NS);
}

static const char *clone_prepare(struct engine_cycle *cycle)
{
    if (!shared && !(shared = own_map_as(OS_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, OS_PAGE)))
        return "no memory for the result";
    memset(shared, 0, sizeof *shared);
    const char *reason =
        headroom_for_copy(headroom_need(cycle->private_bytes, cycle->in_use_bytes));
    if (reason)
        return reason;
    if (!cycle->at_exit) /* nobody feels that pause */
        thp_collapse();
    dontfork_before();
    faults_before = proc_faults();
    cycle->stop_ns = expected_ns();
    return NULL;
}

static const char *clone_in_stop(struct engine_cycle *cycle)
{
    uint32_t self = (uint32_t)RAW3(SYS_getpid, 0, 0, 0);
    /* The descriptor table that is copied is the tracer thread's own (tracer.h): the child holds no
     * socket and no file lock of the program's.  Not CLONE_FS: the kernel takes the set-user-ID bit
     * from whoever shares its directories with another process and execs.  CLONE_UNTRACED: a
     * debugger would take the child for a thread. */
    int64_t cpu = os_thread_cpu_ns();
    long pid = raw6(SYS_clone, CLONE_UNTRACED, 0, 0, 0, 0, 0);
    if (pid == 0)
        child_main(self, cycle);
    if (pid > 0) {
        child = (int)pid;
        /* Of few pages most is what any clone costs, which the stop has time for. */
        int64_t cost = (os_thread_cpu_ns() - cpu) / (int64_t)MAX(pages, PAGES_MIN);
        page_ns = MAX(cost, page_ns - page_ns / 8);
        return NULL;
    }
    return pid == -EPERM    ? "clone is refused"
           : pid == -EAGAIN ? "no more processes (RLIMIT_NPROC or pids.max)"
           : pid == -ENOMEM ? "no memory for a snapshot"
                            : "clone failed";
}

/* Whether the child still runs.  Somebody else may have reaped it; then it does not. */
static bool child_runs(void)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    long error =
        raw6(SYS_waitid, P_PID, child, (long)&info, WEXITED | WNOHANG | WNOWAIT | __WALL, 0, 0);
    return error == 0 && info.si_pid == 0;
}

static void reap(void)
{
    long error;
    do
        error = RAW4(SYS_wait4, child, NULL, __WALL, NULL);
    while (error == -EINTR);
    child = 0;
}

/* Ends a child whose snapshot is not wanted, if there is one, and forgets what it has said. */
static void cancel(void)
{
    /* Seen to be our child and alive, so the number cannot be another process's. */
    if (child && child_runs())
        RAW3(SYS_kill, child, SIGKILL, 0);
    if (child)
        reap();
    /* It may have come to its end before. */
    shared->done = 0;
    memset(&shared->cpu_ns, 0, sizeof *shared - offsetof(struct trace_result, cpu_ns));
}

/* Waits for the child.  Where the cgroup has a limit the child is ended as soon as room runs out.
 */
static const char *wait_for_child(struct trace_result *result, int64_t limit_ns)
{
    int64_t end = os_now_ns() + limit_ns, look_again_ns = INT64_C(200000000);
    const char *reason = NULL;
    while (!__atomic_load_n(&shared->done, __ATOMIC_ACQUIRE)) {
        if (!child_runs() && !__atomic_load_n(&shared->done, __ATOMIC_ACQUIRE)) {
            reason = "the marker was killed";
            break;
        }
        int64_t left = end - os_now_ns();
        if (left <= 0) {
            reason = "marking took too long";
            cancel();
            break;
        }
        if (headroom_is_limited() && (reason = headroom_runs_out(&look_again_ns))) {
            cancel();
            break;
        }
        raw_futex_wait(&shared->done, 0, MIN(left, look_again_ns), 0);
    }
    *result = *shared;
    if (!reason && result->done != 1)
        reason = result->reason;
    if (child)
        reap();
    return reason;
}

static const char *clone_after(struct engine_cycle *cycle)
{
    dontfork_after();
    const char *reason = wait_for_child(&cycle->result, engine_limit_ns(cycle));
    /* The first write to a page that the copy has too is a fault, as is that to a new one. */
    headroom_note_copy(cycle->private_bytes, (proc_faults() - faults_before) * OS_PAGE);
    cycle->another_may = false;
    if (!reason && dontfork_any()) {
        cycle->another_may = true;
        reason = "memory that no copy has (MADV_DONTFORK)";
    }
    return reason;
}

static void clone_hurry(void)
{
    if (shared)
        __atomic_store_n(&shared->hurry, 1, __ATOMIC_RELAXED);
}

static void clone_postfork_child(void)
{
    if (shared) {
        own_unmap(shared, OS_PAGE);
        shared = NULL;
    }
    child = 0;
    dontfork_postfork_child();
    headroom_postfork_child();
}

const struct engine engine_clone = {
    .prepare = clone_prepare,
    .stops =
        {{.in_stop = clone_in_stop, .reads_extents = true, .undo = cancel, .after = clone_after}},
    .stop_count = 1,
    .hurry = clone_hurry,
    .postfork_child = clone_postfork_child,
};
