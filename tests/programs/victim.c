/* A program that does one thing a library in it might not survive.
 *
 *   victim hello                 prints one line on stdout, one on stderr, exit status 7
 *   victim work SECONDS          says "ready", then allocates and keeps a little until time is up
 *   victim grow                  for each number that it reads, grows to so many MB and says so
 *   victim hold MB               grows to MB of blocks within MB * 5 ms, says "ready", sleeps until
 *                                killed
 *   victim reuse2 FILE           closes 2, opens FILE (gets 2), allocates, runs cycles
 *   victim close2                closes 2 and goes on
 *   victim children              fork, vfork + exec, vfork + _exit, _Fork, raw clone: all allocate
 *   victim vfork                 the first to allocate is a child of vfork; says who it was
 *   victim strict                from now on read, write, exit: all else kills; allocates 256 MB
 *   victim exec N                allocates and execs itself N times
 *   victim plugins PLUGIN N      opens, uses and closes PLUGIN N times
 *   victim cycles N              asks for N cycles and says how many were done
 *   victim exits HOW             ends by exit | quick_exit | _exit | abort | return | pthread_exit
 *   victim forkserver N          N children, each allocates 1 MB and dies by SIGKILL
 *   victim threads               says how many threads there are after some work */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEPT 512
static void *kept[KEPT];
static void *volatile sink;

/* Allocates `bytes` in blocks of 200 to 4000 bytes and keeps every 64th. */
__attribute__((noinline)) static void churn(size_t bytes)
{
    static unsigned at;
    for (size_t done = 0; done < bytes;) {
        size_t size = 200 + (at * 2654435761u >> 8) % 3800;
        char *p = malloc(size);
        if (p == NULL)
            abort();
        memset(p, 1, size);
        done += size;
        if (at++ % 64 == 0) {
            unsigned slot = at / 64 % KEPT;
            free(kept[slot]);
            kept[slot] = p;
        } else {
            free(p);
        }
    }
}

/* A list of blocks; `pause_us` after each MB. */
__attribute__((noinline)) static void *keep_blocks(size_t megabytes, useconds_t pause_us)
{
    void **first = NULL;
    for (size_t i = 0; i < megabytes << 10; i++) {
        void **p = malloc(1000);
        if (p == NULL)
            abort();
        memset(p, 0, 1000);
        *p = first;
        first = p;
        if (pause_us && i % 1024 == 0)
            usleep(pause_us);
    }
    return first;
}

static int grow(void)
{
    static void *all[64];
    size_t megabytes, now = 0;
    for (unsigned i = 0; i < 64 && scanf("%zu", &megabytes) == 1; i++) {
        all[i] = keep_blocks(megabytes - now, 0);
        now = megabytes;
        printf("%zu\n", now);
        fflush(stdout);
    }
    return all[0] == NULL;
}

static int (*md_gc_)(void);

static int cycle(void)
{
    return md_gc_ ? md_gc_() : ENOSYS;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int hello(void)
{
    churn(3 << 20);
    printf("hello on stdout\n");
    fprintf(stderr, "hello on stderr\n");
    return 7;
}

static int work(double seconds)
{
    printf("ready\n");
    fflush(stdout);
    for (double end = now() + seconds; now() < end;) {
        churn(1 << 20);
        usleep(2000);
    }
    return 0;
}

static int reuse2(const char *path)
{
    churn(2 << 20);
    close(2);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file != 2)
        return 3;
    if (write(2, "the program's own file\n", 23) != 23)
        return 4;
    for (int i = 0; i < 4; i++) {
        keep_blocks(8, 0);
        churn(8 << 20);
        cycle();
    }
    printf("done\n");
    return 0;
}

static int close2(void)
{
    churn(2 << 20);
    close(2);
    for (int i = 0; i < 4; i++) {
        churn(8 << 20);
        cycle();
    }
    printf("done\n");
    return 0;
}

static void reap(const char *kind, pid_t child)
{
    int status = -1;
    while (waitpid(child, &status, __WALL) < 0 && errno == EINTR)
        ;
    printf("%s pid=%d status=%d\n", kind, (int)child,
           WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

static int children(char *self)
{
    churn(4 << 20);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        churn(4 << 20);
        cycle();
        exit(11);
    }
    reap("fork-exit", child);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        churn(4 << 20);
        _exit(12);
    }
    reap("fork-_exit", child);
    fflush(stdout);
    child = _Fork();
    if (child == 0) {
        churn(4 << 20);
        _exit(13);
    }
    reap("_Fork", child);
    fflush(stdout);
    child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) {
        churn(4 << 20);
        _exit(14);
    }
    reap("clone", child);
    fflush(stdout);
    char *arguments[] = {self, "hello", NULL};
    child = vfork();
    if (child == 0) {
        sink = malloc(100000); /* the parent's heap */
        execv("/proc/self/exe", arguments);
        _exit(99);
    }
    reap("vfork-exec", child);
    child = vfork();
    if (child == 0) {
        sink = malloc(200000);
        _exit(15);
    }
    free(sink);
    reap("vfork-_exit", child);
    churn(4 << 20);
    printf("parent gc=%d\n", cycle());
    return 0;
}

static int strict(void)
{
    static const char done[] = "done\n";
    churn(4 << 20); /* what the allocator itself needs is there */
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
        return 2;
    for (int i = 0; i < 1 << 18; i++) {
        void *volatile block = malloc(1000);
        free(block);
    }
    bool written = write(1, done, sizeof done - 1) > 0;
    syscall(SYS_exit, !written);
    return 1;
}

/* In its parent's memory, and with it, the child's pid and /proc/self are another's. */
static int vforked(void)
{
    pid_t child = vfork();
    if (child == 0) {
        churn(4 << 20);
        _exit(0);
    }
    reap("vfork", child);
    churn(4 << 20);
    return 0;
}

static int exec_chain(char *self, int times)
{
    char number[16];
    churn(3 << 20);
    if (times == 0) {
        printf("end of the chain\n");
        return 5;
    }
    snprintf(number, sizeof number, "%d", times - 1);
    char *arguments[] = {self, "exec", number, NULL};
    execv("/proc/self/exe", arguments);
    return 99;
}

static int plugins(const char *path, int times)
{
    long sum = 0;
    for (int i = 0; i < times; i++) {
        void *plugin = dlopen(path, RTLD_NOW);
        if (plugin == NULL)
            return 3;
        void *(*allocate)(unsigned long, void *(*)(unsigned long)) =
            (void *(*)(unsigned long, void *(*)(unsigned long)))dlsym(plugin, "plugin_allocate");
        void (*set)(void *) = (void (*)(void *))dlsym(plugin, "plugin_set_tls");
        for (int j = 0; j < 20; j++) {
            char *p = allocate(50000, malloc);
            memset(p, 2, 50000);
            set(p);
            sum += p[777];
            if (j == 0 && i % 10 == 0)
                kept[i / 10 % KEPT] = p;
            else
                free(p);
        }
        set(NULL);
        if (i % 20 == 0)
            cycle();
        dlclose(plugin);
    }
    printf("%ld\n", sum);
    return 0;
}

static int cycles(int times)
{
    int done = 0, last = 0;
    keep_blocks(4, 0);
    for (int i = 0; i < times; i++) {
        last = cycle();
        done += last == 0;
    }
    printf("done=%d last=%d\n", done, last);
    return 0;
}

static void *end_quietly(void *unused)
{
    usleep(50000);
    return unused;
}

static int ends(const char *how)
{
    churn(4 << 20);
    if (strcmp(how, "exit") == 0)
        exit(21);
    if (strcmp(how, "quick_exit") == 0)
        quick_exit(22);
    if (strcmp(how, "_exit") == 0)
        _exit(23);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "pthread_exit") == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, end_quietly, NULL);
        pthread_exit(NULL);
    }
    return 24;
}

static int forkserver(int times)
{
    churn(1 << 20);
    for (int i = 0; i < times; i++) {
        pid_t child = fork();
        if (child == 0) {
            churn(2 << 20);
            raise(SIGKILL);
        }
        int status;
        waitpid(child, &status, 0);
    }
    printf("%d children\n", times);
    return 0;
}

static int threads(void)
{
    churn(8 << 20);
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *d; (d = readdir(tasks)) != NULL;)
        count += d->d_name[0] != '.';
    closedir(tasks);
    printf("threads=%d\n", count);
    return 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "hello", *word = argc > 2 ? argv[2] : "0";
    *(void **)&md_gc_ = dlsym(RTLD_DEFAULT, "md_gc");
    if (strcmp(mode, "hello") == 0)
        return hello();
    if (strcmp(mode, "work") == 0)
        return work(atof(word));
    if (strcmp(mode, "grow") == 0)
        return grow();
    if (strcmp(mode, "hold") == 0) {
        kept[0] = keep_blocks((size_t)atoi(word), 5000);
        printf("ready\n");
        fflush(stdout);
        for (;;)
            pause();
    }
    if (strcmp(mode, "reuse2") == 0)
        return reuse2(word);
    if (strcmp(mode, "close2") == 0)
        return close2();
    if (strcmp(mode, "children") == 0)
        return children(argv[0]);
    if (strcmp(mode, "strict") == 0)
        return strict();
    if (strcmp(mode, "vfork") == 0)
        return vforked();
    if (strcmp(mode, "exec") == 0)
        return exec_chain(argv[0], atoi(word));
    if (strcmp(mode, "plugins") == 0)
        return plugins(word, argc > 3 ? atoi(argv[3]) : 50);
    if (strcmp(mode, "cycles") == 0)
        return cycles(atoi(word));
    if (strcmp(mode, "exits") == 0)
        return ends(word);
    if (strcmp(mode, "forkserver") == 0)
        return forkserver(atoi(word));
    if (strcmp(mode, "threads") == 0)
        return threads();
    return 2;
}
