/* Leaks blocks and ends with status 7 where it is hard to look for them.
 *
 *   endings count N SIZE        N blocks of SIZE bytes; nothing else happens
 *   endings busy N              beside N threads that never rest, each with a block that its
 *                               thread-local keeps
 *   endings deaf MS             beside a thread that hears no signal, nor sleeps, for so long
 *   endings loading PLUGIN      while another thread is in PLUGIN's constructor, until stdin has a
 *                               byte or its end; by quick_exit, as exit waits for the loader itself
 *   endings constructor PLUGIN  from that constructor
 *
 * But for `count` it is 5 blocks of 333 bytes. */
#include "noinline.h"
#include "truth/scrub.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void *volatile last;
static __thread void *volatile kept;
static int ready[2];

static NOINLINE void lose(int count, size_t size)
{
    for (int i = 0; i < count; i++) {
        last = malloc(size);
        memset(last, 1, size);
    }
    last = NULL;
}

static void *spin(void *unused)
{
    kept = malloc(64);
    if (write(ready[1], "x", 1) != 1)
        abort();
    for (;;)
        ;
    return unused;
}

/* The stop's signal too: libc keeps that one open, the bare call does not. */
static void *be_deaf(void *milliseconds)
{
    unsigned long all = ~0ul;
    struct timespec now, end;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, sizeof all);
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += atol(milliseconds) * 1000000;
    if (write(ready[1], "x", 1) != 1)
        abort();
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - end.tv_sec) * 1000000000 + now.tv_nsec - end.tv_nsec < 0);
    syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &all, NULL, sizeof all);
    return spin(NULL);
}

static void *load(void *path)
{
    if (!dlopen(path, RTLD_NOW))
        abort();
    return NULL;
}

int main(int argc, char **argv)
{
    const char *how = argc > 2 ? argv[1] : "";
    pthread_t thread;
    char byte;
    if (argc < 3 || pipe(ready) != 0)
        return 2;
    if (strcmp(how, "count") == 0)
        lose(atoi(argv[2]), argc > 3 ? (size_t)atol(argv[3]) : 333);
    else
        lose(5, 333);
    scrub();
    if (strcmp(how, "busy") == 0) {
        int count = atoi(argv[2]);
        for (int i = 0; i < count; i++)
            if (pthread_create(&thread, NULL, spin, NULL) != 0)
                return 2;
        for (int i = 0; i < count; i++)
            if (read(ready[0], &byte, 1) != 1)
                return 2;
    } else if (strcmp(how, "deaf") == 0) {
        if (pthread_create(&thread, NULL, be_deaf, argv[2]) != 0 || read(ready[0], &byte, 1) != 1)
            return 2;
    } else if (strcmp(how, "loading") == 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", ready[1]);
        setenv("SLOW_TELL", number, 1);
        if (pthread_create(&thread, NULL, load, argv[2]) != 0 || read(ready[0], &byte, 1) != 1)
            return 2;
        quick_exit(7);
    } else if (strcmp(how, "constructor") == 0) {
        load(argv[2]);
    }
    exit(7);
}
