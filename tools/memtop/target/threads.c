#include "threads.h"

#include "view/plain_text.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The names that threads of memdebug have (src/service.c, src/gc/stop/tracer.c). */
static bool is_own(const char *name)
{
    return strcmp(name, "memdebug") == 0 || strcmp(name, "memdebug-gc") == 0;
}

/* Reads a file of a thread; "" where it cannot. */
static void read_task(pid_t pid, pid_t tid, const char *name, char *text, size_t size)
{
    char path[80];
    snprintf(path, sizeof path, "/proc/%d/task/%d/%s", (int)pid, (int)tid, name);
    FILE *file = fopen(path, "re");
    size_t got = file ? fread(text, 1, size - 1, file) : 0;
    text[got] = 0;
    if (file)
        fclose(file);
}

/* When the scheduler last had a task on a CPU, by that CPU's own clock; -1: it does not say. */
static int64_t exec_start_ns(pid_t pid, pid_t tid)
{
    char text[4096];
    double ms;
    read_task(pid, tid, "sched", text, sizeof text);
    const char *at = strstr(text, "se.exec_start");
    return at && (at = strchr(at, ':')) && sscanf(at + 1, "%lf", &ms) == 1 ? (int64_t)(ms * 1e6)
                                                                           : -1;
}

/* The CPU that a task ran on last; -1: not known. */
static int cpu_of(pid_t pid, pid_t tid)
{
    char text[1024];
    int cpu;
    read_task(pid, tid, "stat", text, sizeof text);
    const char *at = strrchr(text, ')');
    return at && sscanf(
                     at + 1,
                     " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                     "%*d %*u %*u %*d %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*d %d",
                     &cpu) == 1
               ? cpu
               : -1;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Where a thread ran last, and when by the clock there; -1: not known. */
struct ran {
    int cpu;
    int64_t exec_ns;
};

/* Finds how far that clock is behind CLOCK_MONOTONIC on one CPU after the other: they go apart, as
 * each leaves out what interrupts and the host of a virtual machine take.  Where we run there, our
 * own time is now. */
static void read_clocks(struct proc_thread *threads, const struct ran *ran, size_t count)
{
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        size_t first = 0;
        while (first < count && ran[first].cpu != cpu)
            first++;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (first == count || sched_setaffinity(0, sizeof one, &one) != 0)
            continue;
        sched_yield(); /* has it written down */
        int64_t exec = exec_start_ns(getpid(), (pid_t)gettid()), now = now_ns();
        for (size_t i = first; exec >= 0 && i < count; i++)
            if (ran[i].cpu == cpu && ran[i].exec_ns >= 0)
                threads[i].ran_ns = now - (ran[i].exec_ns < exec ? exec - ran[i].exec_ns : 0);
    }
    sched_setaffinity(0, sizeof allowed, &allowed);
}

/* "NUMBER ARG*6 SP PC", "-1 SP PC" or "running". */
static void read_call(pid_t pid, struct proc_thread *thread)
{
    char text[256];
    uint64_t a[6];
    int number;
    thread->call = -1;
    read_task(pid, thread->tid, "syscall", text, sizeof text);
    if (sscanf(text, "%d %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64,
               &number, &a[0], &a[1], &a[2], &a[3], &a[4], &a[5]) != 7)
        return;
    thread->call = number;
    memcpy(thread->args, a, sizeof a);
}

static bool read_thread(pid_t pid, pid_t tid, struct proc_thread *thread)
{
    char text[4096];
    *thread = (struct proc_thread){.tid = tid, .own_tid = tid, .state = '?', .ran_ns = -1};
    read_task(pid, tid, "comm", text, sizeof text);
    text[strcspn(text, "\n")] = 0;
    plain_text(thread->name, sizeof thread->name, text, strlen(text));
    read_task(pid, tid, "status", text, sizeof text);
    const char *line = strstr(text, "\nState:");
    if (!line || is_own(thread->name))
        return false;
    line += strspn(line + 7, " \t") + 7;
    thread->state = *line;
    if ((line = strstr(text, "\nNSpid:")) != NULL)
        for (line += 7; *line && *line != '\n'; line += strspn(line, "0123456789")) {
            line += strspn(line, " \t");
            if (*line >= '0' && *line <= '9')
                thread->own_tid = (pid_t)atoi(line);
        }
    read_call(pid, thread);
    return true;
}

size_t proc_threads(pid_t pid, struct proc_thread **threads)
{
    char path[64];
    size_t count = 0, room = 0;
    struct ran *ran = NULL;
    *threads = NULL;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        pid_t tid = (pid_t)atoi(entry->d_name);
        if (count == room) {
            room = room ? 2 * room : 64;
            struct proc_thread *more = realloc(*threads, room * sizeof *more);
            struct ran *more_ran = more ? realloc(ran, room * sizeof *ran) : NULL;
            *threads = more ? more : *threads;
            ran = more_ran ? more_ran : ran;
            if (!more_ran)
                break;
        }
        struct proc_thread *thread = &(*threads)[count];
        if (tid <= 0 || !read_thread(pid, tid, thread))
            continue;
        ran[count].cpu = cpu_of(pid, tid);
        ran[count].exec_ns = exec_start_ns(pid, tid);
        if (cpu_of(pid, tid) != ran[count].cpu) /* it has moved meanwhile */
            ran[count].exec_ns = -1;
        count++;
    }
    if (dir)
        closedir(dir);
    read_clocks(*threads, ran, count);
    free(ran);
    return count;
}

bool proc_descriptor(pid_t pid, uint64_t descriptor, char *text, size_t size)
{
    char path[64], link[PATH_MAX];
    if (descriptor > INT_MAX)
        return false;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, (int)descriptor);
    ssize_t length = readlink(path, link, sizeof link);
    if (length <= 0)
        return false;
    plain_text(text, size, link, (size_t)length);
    return true;
}
