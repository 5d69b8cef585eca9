/* Tasks that share memory, and loads that may fault in them. */
#include "tap.h"

#include "base/os.h"
#include "gc/sys/fault.h"
#include "gc/sys/raw.h"
#include "gc/sys/task.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

static struct task task, inner;
static volatile uintptr_t sum;
static uintptr_t *range;
static size_t range_words;

static void give_up(void)
{
    task_exit();
}

static void add(void *ctx)
{
    sum += *(uintptr_t *)ctx;
}

static void sleep_long(void *ctx)
{
    (void)ctx;
    raw_sleep_ns(60000000000);
}

static void spin(void *ctx)
{
    int64_t end = raw_clock_ns(CLOCK_PROCESS_CPUTIME_ID) + *(int64_t *)ctx;
    while (raw_clock_ns(CLOCK_PROCESS_CPUTIME_ID) < end)
        ;
}

static void add_range(void *ctx)
{
    fault_handle(give_up);
    uintptr_t total = 0;
    for (size_t i = 0; i < range_words; i++)
        total += fault_load(&range[i]);
    *(volatile uintptr_t *)ctx = total;
}

static void probe_range(void *ctx)
{
    fault_handle(give_up);
    uintptr_t total = 0;
    for (size_t i = 0; i < range_words; i += 512)
        total = total << 1 | fault_readable(&range[i]);
    *(volatile uintptr_t *)ctx = total;
}

static void stray(void *ctx)
{
    fault_handle(give_up);
    *(volatile int *)ctx = 1;
}

static void inner_faults(void *ctx)
{
    fault_handle(give_up);
    const char *reason = task_start(&inner, ctx == NULL ? sleep_long : spin, ctx, 0);
    if (!reason)
        reason = task_wait(&inner, 2000000000);
    sum = reason == NULL;
}

static void times_of_loads(void)
{
    enum { WORDS = 1 << 14, ROUNDS = 2000 };
    static uintptr_t words[WORDS];
    int64_t best[2] = {INT64_MAX, INT64_MAX};
    volatile uintptr_t sink;
    for (int pass = 0; pass < 10; pass++)
        for (int way = 0; way < 2; way++) {
            int64_t begin = os_now_ns();
            uintptr_t total = 0;
            for (int round = 0; round < ROUNDS / 10; round++)
                for (int i = 0; i < WORDS; i++) {
                    uintptr_t word = way ? fault_load(&words[i]) : ((volatile uintptr_t *)words)[i];
                    total += word - 17 < 1000;
                }
            sink = total;
            int64_t took = os_now_ns() - begin;
            best[way] = took < best[way] ? took : best[way];
        }
    (void)sink;
    tap_print("# a word: %.3f ns plain, %.3f ns with fault_load",
              (double)best[0] / (ROUNDS / 10) / WORDS, (double)best[1] / (ROUNDS / 10) / WORDS);
}

int main(void)
{
    uint64_t all = ~UINT64_C(0);
    raw_sigmask(SIG_SETMASK, &all, NULL);

    uintptr_t seven = 7;
    ok(!task_start(&task, add, &seven, 0), "a task starts");
    ok(!task_wait(&task, 2000000000), "and ends");
    is(sum, 7, "it has written into our memory");
    ok(!task_runs(&task), "and is gone");
    ok(waitpid(-1, NULL, __WALL | WNOHANG) == -1 && errno == ECHILD, "no zombie is left");

    int64_t cpu = 20000000;
    ok(!task_start(&task, spin, &cpu, 5) && !task_wait(&task, 20000000000), "a second, nicer");
    ok(task.cpu_ns >= cpu && task.cpu_ns < 10 * cpu, "its CPU time is told: %lld ns",
       (long long)task.cpu_ns);

    ok(!task_start(&task, sleep_long, NULL, TASK_IDLE), "one that does not end");
    const char *reason = task_wait(&task, 1000000);
    ok(reason && !strcmp(reason, "marking took too long") && task_runs(&task), "is waited for: %s",
       reason ? reason : "");
    task_cancel(&task);
    ok(!task_runs(&task), "and cancelled");

    ok(!task_start(&task, sleep_long, NULL, 0), "one that somebody kills");
    kill(task.pid, SIGKILL);
    reason = task_wait(&task, 5000000000);
    ok(reason && !strcmp(reason, "the marker was killed"), "is missed: %s", reason ? reason : "");

    ok(!task_start(&task, sleep_long, NULL, 0), "one that somebody kills and reaps");
    kill(task.pid, SIGKILL);
    waitpid(task.pid, NULL, __WALL);
    reason = task_wait(&task, 5000000000);
    ok(reason && !task_runs(&task), "is missed: %s", reason ? reason : "");

    int64_t little = 1000000;
    ok(!task_start(&task, inner_faults, &little, 0) && !task_wait(&task, 5000000000) && sum == 1,
       "a task starts a task");

    /* Three pages: the middle one cannot be read, then is not there. */
    char *pages = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    range = (uintptr_t *)pages;
    struct sigaction before; /* a sanitizer has one of its own */
    sigaction(SIGSEGV, NULL, &before);
    range_words = 3 * 512;
    for (size_t i = 0; i < range_words; i++)
        range[i] = 1;
    uintptr_t total = 0;
    ok(!task_start(&task, add_range, &total, 0) && !task_wait(&task, 5000000000) && total == 1536,
       "words are read");
    is(fault_count, 0, "without a fault");
    mprotect(pages + 4096, 4096, PROT_NONE);
    ok(!task_start(&task, add_range, &total, 0) && !task_wait(&task, 5000000000) && total == 1024,
       "a protected page reads as zeros");
    is(fault_count, 512, "each load a fault");
    ok(!task_start(&task, probe_range, &total, 0) && !task_wait(&task, 5000000000) && total == 5,
       "or is felt to be so");
    munmap(pages + 4096, 4096);
    ok(!task_start(&task, add_range, &total, 0) && !task_wait(&task, 5000000000) && total == 1024,
       "and a page that is gone");
    munmap(pages, 3 * 4096);
    int64_t begin = os_now_ns();
    ok(!task_start(&task, add_range, &total, 0) && !task_wait(&task, 5000000000) && total == 0,
       "and all of it");
    tap_print("# %.2f us a fault", (double)(os_now_ns() - begin) / 1e3 / 1536);
    char *hole = mmap(NULL, 4 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    range = (uintptr_t *)hole;
    range_words = (4 << 20) / 8;
    ok(!task_start(&task, add_range, &total, 0) && task_wait(&task, 20000000000),
       "too many faults end the task");
    ok(!task_start(&task, stray, hole, 0) && task_wait(&task, 5000000000),
       "as does one that is in no table");
    struct sigaction action;
    ok(sigaction(SIGSEGV, NULL, &action) == 0 && action.sa_handler == before.sa_handler,
       "the program's own handlers are as they were");
    times_of_loads();
    return tap_done();
}
