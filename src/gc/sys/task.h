/* A task of ours that shares the process's memory and nothing else with it: what marks in place,
 * and what helps a marker.  A process made by clone(CLONE_VM), not a thread: it has a signal table
 * of its own, so that reading memory which the program has just unmapped is a fault of ours to
 * handle (fault.h), it is in nobody's list of threads, and no signal of the program's reaches it.
 *
 * It ends when the thread that started it ends (the program exits, or execs).  It has no
 * thread-local storage of its own: the thread pointer is its starter's.  What runs in it therefore
 * takes no lock of libc's, and calls of libc only what at worst writes errno there: nobody who
 * starts tasks looks at errno while they run.  It may start tasks in its turn, which inherit its
 * signal handlers.
 *
 * Of the attributes that belong to the memory rather than to the task it changes none: it sets no
 * dumpability, no OOM score. */
#ifndef GC_SYS_TASK_H
#define GC_SYS_TASK_H

#include <stdbool.h>
#include <stdint.h>

/* `nice` of a task that is to run only where a CPU is idle (SCHED_IDLE). */
#define TASK_IDLE 100

/* Zeroed before the first use; in memory that outlives the task.  The starter writes all but the
 * last two, and sets `done` to 0.  The task writes cpu_ns, then `done` (release); whoever has read
 * 1 there (acquire) may read cpu_ns. */
struct task {
    void (*fn)(void *ctx);
    void *ctx;
    char *stack; /* own memory; kept for the next start */
    int pid;     /* 0: none runs */
    int nice;
    uint32_t starter; /* pid of the process that starts it */
    uint32_t done;    /* futex: 1 when fn has returned */
    int64_t cpu_ns;   /* valid when done */
};

/* Runs fn(ctx) in a task, `nice` steps nicer than the caller.  All signals must be blocked in the
 * caller (the task opens SIGSEGV and SIGBUS).  NULL: started; else the reason. */
const char *task_start(struct task *task, void (*fn)(void *ctx), void *ctx, int nice);
/* Waits until it has ended, at most `limit_ns`.  NULL: fn has returned, and the task is gone. Else
 * the reason; task_runs() then tells whether it runs on. */
const char *task_wait(struct task *task, int64_t limit_ns);
static inline bool task_runs(const struct task *task)
{
    return task->pid != 0;
}
/* Whether it is alive: one that was started may have been killed, and reaped, by others. */
bool task_alive(const struct task *task);
/* Kills it if it runs.  What fn had mapped stays mapped. */
void task_cancel(struct task *task);
/* Has it run on any CPU of the caller's but the one that the caller is on; or on any again.
 * Meanwhile os_cpu_count() in it says one fewer.  False: there is no other, or it is refused. */
bool task_elsewhere(const struct task *task, bool elsewhere);
/* Gives its stack back; it must not run. */
void task_free(struct task *task);
/* In a forked copy: the task is the parent's. */
void task_postfork_child(struct task *task);
/* Ends the calling task at once, fn not having returned: its starter sees it as killed. */
_Noreturn void task_exit(void);

#endif
