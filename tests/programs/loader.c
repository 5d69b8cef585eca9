/* Samples and the loader: whoever is inside the loader, or inside libunwind, an allocation goes on.
 *
 *   loader handler COUNT            a handler that unwinds, in the middle of allocations, COUNT
 * times loader fork COUNT PLUGIN        COUNT forks beside threads that load and unload PLUGIN;
 * each child allocates enough for samples loader reuse PLUGIN... -- KEEP  loads and unloads each in
 * turn, which allocates KEEP blocks loader stale COUNT PLUGIN      COUNT allocations by a function
 * without unwind information, beside a thread that loads and unloads PLUGIN: what lies where frames
 * are looked for points into it
 *
 * Each ends with a line of what it found. */
#define UNW_LOCAL_ONLY
#include <dlfcn.h>
#include <errno.h>
#include <libunwind.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv);

static pthread_t main_thread;
static volatile sig_atomic_t stop, handled, unreached;

static void on_signal(int number)
{
    void *pcs[128];
    int depth = unw_backtrace(pcs, 128);
    bool reached = false;
    (void)number;
    for (int i = 0; i < depth; i++)
        reached |= (char *)pcs[i] - (char *)main < 4096 && (char *)pcs[i] > (char *)main;
    handled++;
    unreached += !reached;
}

/* Only as fast as they are handled.  Who gets no CPU for a while may handle two as one. */
static void *send_signals(void *count)
{
    for (long sent = 0; sent < (long)count; sent++) {
        sig_atomic_t before = handled;
        pthread_kill(main_thread, SIGUSR2);
        for (int i = 0; i < 1000 && handled == before; i++)
            usleep(i < 20 ? 1 : 100);
    }
    stop = 1;
    return NULL;
}

/* Each bit of `path` is another call site, so that nearly every stack is new. */
__attribute__((noinline)) static void *by_path(unsigned path, int depth, size_t size)
{
    void *p;
    if (depth == 0)
        return malloc(size);
    if (path & 1) {
        p = by_path(path >> 1, depth - 1, size);
        __asm__ volatile("" : "+r"(p));
    } else {
        p = by_path(path >> 1, depth - 1, size + 1);
        __asm__ volatile("nop" : "+r"(p));
    }
    return p;
}

static unsigned next(unsigned r)
{
    return r * 1664525 + 1013904223;
}

static int run_handler(long count)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    pthread_t thread;
    main_thread = pthread_self();
    sigaction(SIGUSR2, &action, NULL);
    pthread_create(&thread, NULL, send_signals, (void *)count);
    for (unsigned r = 1; !stop; r = next(r))
        free(by_path(r >> 3, 24, r >> 20));
    pthread_join(thread, NULL);
    printf("handled=%s unreached=%d\n", handled > count / 2 ? "most" : "few", (int)unreached);
    return 0;
}

static void *load_unload(void *path)
{
    while (!stop) {
        void *plugin = dlopen(path, RTLD_NOW);
        if (!plugin)
            return NULL;
        dlclose(plugin);
    }
    return path;
}

static int run_fork(int count, char *path)
{
    pthread_t threads[3];
    int hung = 0, failed = 0;
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, load_unload, path);
    for (int i = 0; i < count; i++) {
        int status;
        unsigned r = (unsigned)i;
        void *blocks[512];
        pid_t child = fork();
        if (child == 0) {
            alarm(60); /* ends one that stands still */
            for (int k = 0; k < 512; k++, r = next(r))
                blocks[k] = by_path(r >> 3, 8, 8000);
            for (int k = 0; k < 512; k++)
                free(blocks[k]);
            _exit(0);
        }
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        hung += WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
        failed += status != 0;
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    printf("children=%d hung=%d failed=%d\n", count, hung, failed);
    return 0;
}

static int run_reuse(char **paths, int count)
{
    static void *kept[64][64];
    const char *first = NULL;
    int at_first = 0, keep = atoi(paths[count - 1]);
    /* What the first samples and loads map is there, so that each comes to lie where the last was.
     */
    for (int i = 0; i < count - 2; i++) {
        void *plugin = dlopen(paths[i], RTLD_NOW);
        free(by_path((unsigned)i, 8, 1000));
        if (plugin)
            dlclose(plugin);
    }
    for (int i = 0; i < count - 2 && i < 64; i++) {
        void *plugin = dlopen(paths[i], RTLD_NOW);
        if (!plugin)
            return 1;
        Dl_info info;
        void *(*allocate)(unsigned long, void *(*)(unsigned long));
        *(void **)&allocate = dlsym(plugin, "plugin_allocate");
        dladdr(*(void **)&allocate, &info);
        first = first ? first : info.dli_fbase;
        at_first += first == info.dli_fbase;
        for (int k = 0; k < keep && k < 64; k++)
            kept[i][k] = allocate(1000, malloc);
        dlclose(plugin);
    }
    printf("loaded=%d at_one_place=%d\n", count - 2, at_first);
    return kept[0][0] == NULL;
}

#if defined(__x86_64__)
struct frame {
    struct frame *next;
    uintptr_t back;
};

/* malloc(size) with `frame` for a frame pointer, and a place for return addresses. */
void *allocate_below(const struct frame *frame, size_t size);
extern const char places[65536];
__asm__(".text\n"
        "allocate_below:\n"
        "push %rbp\n"
        "mov %rdi, %rbp\n"
        "mov %rsi, %rdi\n"
        "call malloc@PLT\n"
        "pop %rbp\n"
        "ret\n"
        "places: .skip 65536, 0x90\n");

static uintptr_t in_plugin;

static void *load_tell_unload(void *path)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        void *plugin = dlopen(path, RTLD_NOW);
        if (!plugin)
            return NULL;
        __atomic_store_n(&in_plugin, (uintptr_t)dlsym(plugin, "plugin_allocate"), __ATOMIC_RELAXED);
        dlclose(plugin);
    }
    return path;
}

static int run_stale(unsigned count, char *path)
{
    pthread_t thread;
    void *ended;
    pthread_create(&thread, NULL, load_tell_unload, path);
    while (!__atomic_load_n(&in_plugin, __ATOMIC_RELAXED))
        sched_yield();
    for (unsigned i = 0; i < count; i++) {
        volatile struct frame frames[2];
        frames[0].next = (struct frame *)&frames[1];
        frames[0].back = __atomic_load_n(&in_plugin, __ATOMIC_RELAXED) + 1 + i % 1000;
        frames[1].next = NULL;
        frames[1].back = (uintptr_t)places + 1 + i / 1000 % sizeof places;
        free(allocate_below((const struct frame *)frames, 64));
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, &ended);
    printf("allocated=%u loaded=%s\n", count, ended ? "always" : "never");
    return 0;
}
#else
static int run_stale(unsigned count, char *path)
{
    (void)count;
    (void)path;
    return 3;
}
#endif

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "handler") == 0)
        return run_handler(atol(argv[2]));
    if (argc == 4 && strcmp(argv[1], "fork") == 0)
        return run_fork(atoi(argv[2]), argv[3]);
    if (argc == 4 && strcmp(argv[1], "stale") == 0)
        return run_stale((unsigned)atoi(argv[2]), argv[3]);
    if (argc > 4 && strcmp(argv[1], "reuse") == 0)
        return run_reuse(argv + 2, argc - 2);
    return 2;
}
