/* mapper MODE: maps, unmaps and moves memory in functions of known names, and threads' stacks.
 * After each step it says which, and waits for SIGUSR1.
 *
 * - calls: mmap, mmap64, munmap in the middle, mremap, sbrk
 * - threads N: N threads that come and go, three times over, then N that stay
 * - vanish N: N threads, each of which unmaps at once where its own pthread_t lies
 * - signals: a timer's handler maps and unmaps while the program does; prints how often
 * - fork: a child unmaps what its parent has mapped, and maps */
#include "noinline.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static volatile int keep_frame;

NOINLINE static void *site_mmap(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    keep_frame++;
    return p;
}

NOINLINE static void *site_mmap64(size_t size)
{
    void *p = mmap64(NULL, size, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    keep_frame++;
    return p;
}

NOINLINE static void *site_fixed(void *at, size_t size)
{
    void *p = mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    keep_frame++;
    return p;
}

NOINLINE static void *site_mremap(void *old, size_t old_size, size_t size)
{
    void *p = mremap(old, old_size, size, MREMAP_MAYMOVE);
    keep_frame++;
    return p;
}

NOINLINE static void *site_sbrk(intptr_t increment)
{
    void *p = sbrk(increment);
    keep_frame++;
    return p;
}

static void step(const char *what)
{
    sigset_t set;
    int signal;
    printf("%s %d\n", what, (int)getpid());
    fflush(stdout);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigwait(&set, &signal);
}

/* 90 MiB of site_mmap, of them 20 and then 30 go; 6 of site_mmap64; 5 of site_fixed in the place of
 * as much; 40 of site_mremap, from 10 of them; 3 of site_sbrk, of which one goes. */
static int calls(void)
{
    char *a = site_mmap(90 * MIB);
    site_mmap64(6 * MIB);
    site_sbrk((intptr_t)(3 * MIB));
    step("mapped");
    munmap(a + 10 * MIB, 20 * MIB);
    site_fixed(a + 40 * MIB, 5 * MIB);
    site_sbrk(-(intptr_t)MIB);
    char *b = site_mremap(a, 10 * MIB, 40 * MIB);
    step("changed");
    munmap(a, 90 * MIB);
    munmap(b, 40 * MIB);
    step("unmapped");
    return 0;
}

static pthread_barrier_t barrier;

static void *worker(void *stays)
{
    volatile char used[20000];
    used[0] = used[19999] = 1;
    if (stays) {
        pthread_barrier_wait(&barrier);
        pause();
    }
    return NULL;
}

NOINLINE static int site_thread(pthread_t *thread, void *stays)
{
    int error = pthread_create(thread, NULL, worker, stays);
    keep_frame++;
    return error;
}

static int threads(int count)
{
    pthread_t thread[1024];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < count; i++)
            if (site_thread(&thread[i], NULL))
                return 1;
        for (int i = 0; i < count; i++)
            pthread_join(thread[i], NULL);
    }
    step("gone");
    pthread_barrier_init(&barrier, NULL, (unsigned)count + 1);
    for (int i = 0; i < count; i++)
        if (site_thread(&thread[i], &barrier))
            return 1;
    pthread_barrier_wait(&barrier);
    step("there");
    return 0;
}

static volatile int vanished;
static void *volatile word; /* where the thread's pthread_t lies */

static void *vanish(void *unused)
{
    (void)unused;
    munmap(word, 4096);
    __atomic_fetch_add(&vanished, 1, __ATOMIC_RELAXED);
    return NULL;
}

static int vanishing(int count)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < count; i++) {
        word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pthread_create(word, &attr, vanish, NULL) != 0)
            return 1;
        while (__atomic_load_n(&vanished, __ATOMIC_RELAXED) <= i)
            sched_yield();
    }
    step("vanished");
    return 0;
}

static volatile int handled;

static void handler(int signal)
{
    (void)signal;
    handled++;
    void *p = site_mmap(MIB);
    munmap(p, MIB);
}

static int signals(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct itimerval each = {{0, 1000}, {0, 1000}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &each, NULL);
    for (int i = 0; i < 20000; i++) {
        void *p = site_mmap(MIB);
        if (p == MAP_FAILED || munmap(p, MIB) != 0)
            return 1;
    }
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    site_mmap64(6 * MIB);
    printf("%d handled\n", handled);
    step("done");
    return 0;
}

static int forks(void)
{
    char *a = site_mmap(50 * MIB);
    pid_t child = fork();
    if (child == 0) {
        free(malloc(MIB)); /* the first record makes its tables */
        munmap(a + 10 * MIB, 40 * MIB);
        site_fixed(NULL, 16 * MIB);
        step("child");
        _exit(0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    step("parent");
    return status;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (strcmp(mode, "calls") == 0)
        return calls();
    if (strcmp(mode, "threads") == 0 && argc > 2)
        return threads(atoi(argv[2]));
    if (strcmp(mode, "vanish") == 0 && argc > 2)
        return vanishing(atoi(argv[2]));
    if (strcmp(mode, "signals") == 0)
        return signals();
    if (strcmp(mode, "fork") == 0)
        return forks();
    return 2;
}
