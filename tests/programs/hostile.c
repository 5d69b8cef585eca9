/* Does what is hard on a tracer that stops its threads and copies it, for a second or a number of
 * times, while it allocates; checks itself, and says so in one line.
 *
 *   hostile MODE [NUMBER]       see the table at the end */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUN_SECONDS 1.0

struct node {
    struct node *next;
    uint64_t number, check;
};

static struct node *list;
static unsigned listed;
static volatile int stop;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A little work on the heap: some of it kept, on a list that is checked at the end. */
static void work(unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        void *gone = malloc(16 + i % 500);
        struct node *node = malloc(sizeof *node);
        if (node && listed < 200000) {
            *node = (struct node){list, listed, listed * 0x9e3779b97f4a7c15u};
            list = node;
            listed++;
        } else {
            free(node);
        }
        free(gone);
    }
}

static int list_is_whole(void)
{
    unsigned count = 0;
    for (struct node *node = list; node; node = node->next, count++)
        if (node->number != listed - 1 - count || node->check != node->number * 0x9e3779b97f4a7c15u)
            return 0;
    return count == listed;
}

static void work_for(double seconds)
{
    for (double end = now() + seconds; now() < end;) {
        work(100);
        usleep(500);
    }
}

static int finish(const char *mode, long count)
{
    printf("%s count=%ld list=%s\n", mode, count, list_is_whole() ? "whole" : "broken");
    fflush(stdout);
    return 0;
}

/* ---- threads ---- */

static volatile long born;

static void *sleep_until_stop(void *unused)
{
    (void)unused;
    void *mine = malloc(100);
    while (!stop)
        usleep(20000);
    free(mine);
    return NULL;
}

static void *live_briefly(void *unused)
{
    (void)unused;
    free(malloc(1000));
    __atomic_add_fetch(&born, 1, __ATOMIC_RELAXED);
    return NULL;
}

static pthread_attr_t small_stacks(void)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    return attr;
}

static void *breed(void *times)
{
    pthread_attr_t attr = small_stacks();
    for (long i = 0; i < (long)times; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &attr, live_briefly, NULL) == 0)
            pthread_join(thread, NULL);
    }
    return NULL;
}

/* So many sleepers, while others are born and die. */
static int threads(long number)
{
    pthread_attr_t attr = small_stacks();
    pthread_t *sleepers = calloc((size_t)number, sizeof *sleepers), breeders[4];
    long made = 0;
    while (made < number && pthread_create(&sleepers[made], &attr, sleep_until_stop, NULL) == 0)
        made++;
    for (int i = 0; i < 4; i++)
        pthread_create(&breeders[i], NULL, breed, (void *)1500);
    work_for(RUN_SECONDS);
    for (int i = 0; i < 4; i++)
        pthread_join(breeders[i], NULL);
    stop = 1;
    for (long i = 0; i < made; i++)
        pthread_join(sleepers[i], NULL);
    printf("made=%ld born=%ld ", made, born);
    return finish("threads", made);
}

/* All signals blocked, 33 too, which libc would not do. */
static void block_everything(void)
{
    uint64_t all = ~UINT64_C(0);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
}

static int ends[2];
static volatile long spins;

static void *read_deaf(void *unused)
{
    char byte;
    (void)unused;
    block_everything();
    return read(ends[0], &byte, 1) == 1 ? NULL : (void *)1;
}

static void *spin_deaf(void *unused)
{
    (void)unused;
    block_everything();
    while (!stop)
        spins++;
    return NULL;
}

/* NUMBER 1: and one of them never sleeps. */
static int deaf(long running)
{
    pthread_t readers[8], spinner;
    long failed = 0;
    if (pipe(ends) != 0)
        return 3;
    for (int i = 0; i < 8; i++)
        pthread_create(&readers[i], NULL, read_deaf, NULL);
    if (running)
        pthread_create(&spinner, NULL, spin_deaf, NULL);
    work_for(RUN_SECONDS);
    stop = 1;
    if (write(ends[1], "12345678", 8) != 8)
        return 3;
    for (int i = 0; i < 8; i++) {
        void *result;
        pthread_join(readers[i], &result);
        failed += result != NULL;
    }
    if (running)
        pthread_join(spinner, NULL);
    return finish("deaf", failed);
}

/* Threads in vfork cannot answer until the child is gone; their children exec. */
static void *vfork_often(void *times)
{
    for (long i = 0; i < (long)times; i++) {
        int status = -1;
        pid_t pid = vfork();
        if (pid == 0) {
            struct timespec ts = {0, 3000000};
            syscall(SYS_nanosleep, &ts, NULL);
            if (i % 2)
                execl("/bin/true", "true", (char *)NULL);
            _exit(0);
        }
        if (waitpid(pid, &status, 0) != pid || status != 0)
            __atomic_add_fetch(&born, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void *fork_often(void *times)
{
    for (long i = 0; i < (long)times; i++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0) {
            free(malloc(10000));
            _exit(i % 7);
        }
        if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != i % 7)
            __atomic_add_fetch(&born, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* Children of all kinds while cycles run; `count` is how many did not end as they should. */
static int children(long number)
{
    pthread_t makers[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&makers[i], NULL, i % 2 ? fork_often : vfork_often, (void *)number);
    work_for(RUN_SECONDS);
    for (int i = 0; i < 4; i++)
        pthread_join(makers[i], NULL);
    /* No child of ours is left to the program, and none of the program's was taken. */
    errno = 0;
    if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
        born++;
    return finish("children", born);
}

/* ---- what a program may do to its own signals ---- */

static int handlers(long unused)
{
    long failed = 0;
    for (double end = now() + RUN_SECONDS; now() < end;) {
        for (int number = 1; number < 65; number++) {
            uint64_t standard[4] = {0};
            if (number != SIGSEGV && number != SIGBUS && number != SIGCHLD)
                failed += syscall(SYS_rt_sigaction, number, standard, NULL, 8) != 0 &&
                          number != SIGKILL && number != SIGSTOP;
        }
        work(200);
        usleep(2000);
    }
    (void)unused;
    return finish("handlers", failed);
}

static void *wait_for_any_signal(void *unused)
{
    sigset_t all;
    int number;
    (void)unused;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    do
        if (sigwait(&all, &number) != 0)
            return (void *)1;
    while (number == SIGALRM);
    return number == SIGUSR2 ? NULL : (void *)1;
}

/* A thread that waits for all signals gets the program's, and no other. */
static int sigwaits(long unused)
{
    pthread_t thread;
    void *result;
    sigset_t all;
    (void)unused;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    pthread_create(&thread, NULL, wait_for_any_signal, NULL);
    for (int i = 0; i < 20; i++) {
        work_for(RUN_SECONDS / 20);
        pthread_kill(thread, SIGALRM);
    }
    pthread_kill(thread, SIGUSR2);
    pthread_join(thread, &result);
    return finish("sigwaits", result != NULL);
}

static int setids(long unused)
{
    pthread_t sleepers[8];
    long failed = 0;
    (void)unused;
    for (int i = 0; i < 8; i++)
        pthread_create(&sleepers[i], NULL, sleep_until_stop, NULL);
    for (double end = now() + RUN_SECONDS; now() < end;) {
        failed += setgid(getgid()) != 0 || setuid(getuid()) != 0;
        work(50);
    }
    stop = 1;
    for (int i = 0; i < 8; i++)
        pthread_join(sleepers[i], NULL);
    return finish("setids", failed);
}

/* ---- limits ---- */

static void limit(int resource, rlim_t value)
{
    struct rlimit r;
    getrlimit(resource, &r);
    r.rlim_cur = value;
    setrlimit(resource, &r);
}

static int no_queue(long unused)
{
    (void)unused;
    limit(RLIMIT_SIGPENDING, 0);
    work_for(RUN_SECONDS);
    return finish("no_queue", 0);
}

static int nofile(long number)
{
    limit(RLIMIT_NOFILE, (rlim_t)number);
    work_for(RUN_SECONDS);
    int fd = open("/dev/null", O_RDONLY);
    return finish("nofile", number > 3 ? fd < 0 : fd >= 0);
}

static void *allocate_first(void *unused)
{
    (void)unused;
    void *block = malloc(100); /* may be refused, no more */
    free(block);
    return NULL;
}

/* The address space is used up, with cached stacks left for new threads. */
static int address_space(long megabytes)
{
    pthread_t thread[16];
    for (int i = 0; i < 16; i++)
        pthread_create(&thread[i], NULL, sleep_until_stop, NULL);
    stop = 1;
    for (int i = 0; i < 16; i++)
        pthread_join(thread[i], NULL);
    limit(RLIMIT_AS, (rlim_t)megabytes << 20);
    long refused = 0, made = 0;
    while (malloc(1000))
        ;
    for (size_t size = 1 << 20; size >= 4096; size /= 2)
        while (mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
            ;
    for (int i = 0; i < 200; i++) {
        refused += malloc(100000) == NULL;
        if (pthread_create(&thread[0], NULL, allocate_first, NULL) == 0) {
            pthread_join(thread[0], NULL);
            made++;
        }
        usleep(1000);
    }
    printf("made=%ld ", made);
    return finish("address_space", refused);
}

static int no_children(long number)
{
    limit(RLIMIT_NPROC, (rlim_t)number);
    work_for(RUN_SECONDS);
    return finish("no_children", 0);
}

static long resident_kb(void)
{
    char text[4096] = {0}, *line;
    int fd = open("/proc/self/status", O_RDONLY);
    long n = read(fd, text, sizeof text - 1);
    close(fd);
    line = n > 0 ? strstr(text, "VmRSS:") : NULL;
    return line ? strtol(line + 6, NULL, 10) : -1;
}

static int locked(long unused)
{
    (void)unused;
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        printf("mlockall: %s\n", strerrorname_np(errno));
        return 0;
    }
    work_for(RUN_SECONDS);
    printf("resident=%ld ", resident_kb());
    return finish("locked", 0);
}

/* ---- sandboxes of its own ---- */

static void forbid(void)
{
    static const int calls[] = {SYS_clone, SYS_userfaultfd, SYS_rt_tgsigqueueinfo,
                                436,       SYS_waitid,      SYS_rt_sigpending};
    struct sock_filter code[20] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    unsigned n = 1;
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        code[n++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog filter = {(unsigned short)n, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0)
        abort();
}

static void *in_sandbox(void *unused)
{
    (void)unused;
    forbid();
    while (!stop)
        usleep(1000);
    return NULL;
}

/* NUMBER 0: the whole program at once; 1: one thread only. */
static int sandbox(long one_thread)
{
    pthread_t thread;
    work_for(RUN_SECONDS / 4);
    if (one_thread)
        pthread_create(&thread, NULL, in_sandbox, NULL);
    else
        forbid();
    work_for(RUN_SECONDS);
    stop = 1;
    if (one_thread)
        pthread_join(thread, NULL);
    return finish("sandbox", 0);
}

/* ---- descriptors, libraries ---- */

static int close_all(long unused)
{
    long failed = 0;
    (void)unused;
    for (double end = now() + RUN_SECONDS; now() < end;) {
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        int one = open("/dev/null", O_RDONLY), two = open("/dev/null", O_RDONLY);
        failed += one != 3 || two != 4;
        work(100);
    }
    return finish("close_all", failed);
}

static void *load_often(void *path)
{
    while (!stop) {
        void *handle = dlopen(path, RTLD_NOW);
        if (!handle)
            __atomic_add_fetch(&born, 1, __ATOMIC_RELAXED);
        else
            dlclose(handle);
    }
    return NULL;
}

static const char *libraries[] = {"libresolv.so.2", "libutil.so.1", "libnsl.so.1", "libanl.so.1"};

static int load(long unused)
{
    pthread_t loaders[4];
    (void)unused;
    int usable[4] = {0};
    for (int i = 0; i < 4; i++) {
        void *handle = dlopen(libraries[i], RTLD_NOW);
        usable[i] = handle != NULL;
        if (handle)
            dlclose(handle);
        if (usable[i])
            pthread_create(&loaders[i], NULL, load_often, (void *)(uintptr_t)libraries[i]);
    }
    work_for(RUN_SECONDS);
    stop = 1;
    for (int i = 0; i < 4; i++)
        if (usable[i])
            pthread_join(loaders[i], NULL);
    return finish("load", born);
}

/* A program that is stopped and goes on, as under a shell's ^Z. */
static int stopped(long times)
{
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        for (long i = 0; i < times; i++) {
            kill(self, SIGSTOP);
            usleep(20000);
            kill(self, SIGCONT);
            usleep(20000);
        }
        _exit(0);
    }
    int status;
    do
        work_for(0.01);
    while (waitpid(pid, &status, WNOHANG) == 0);
    return finish("stopped", status);
}

static int plain(long unused)
{
    (void)unused;
    pthread_t thread;
    pthread_create(&thread, NULL, sleep_until_stop, NULL);
    work_for(RUN_SECONDS);
    stop = 1;
    pthread_join(thread, NULL);
    return finish("plain", 0);
}

static const struct {
    const char *name;
    int (*run)(long number);
} modes[] = {
    {"threads", threads},
    {"deaf", deaf},
    {"children", children},
    {"handlers", handlers},
    {"sigwaits", sigwaits},
    {"setids", setids},
    {"no_queue", no_queue},
    {"nofile", nofile},
    {"address_space", address_space},
    {"no_children", no_children},
    {"locked", locked},
    {"sandbox", sandbox},
    {"close_all", close_all},
    {"load", load},
    {"stopped", stopped},
    {"plain", plain},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(modes[i].name, argv[1]) == 0)
            return modes[i].run(argc > 2 ? atol(argv[2]) : 0);
    return 2;
}
