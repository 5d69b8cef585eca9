/* A program of known memory that stands still: blocks of which one in so many is kept, threads that
 * wait, blocks that are never touched.
 *
 *   fragments BLOCKS SIZE KEEP THREADS UNTOUCHED
 *
 * It allocates BLOCKS of SIZE bytes and writes to them, and frees all but each KEEPth.  It says
 * "ready KEPT_BYTES FREED_BYTES" and goes on to free and allocate one buffer of 64 KiB, now and
 * then, so that it can be asked something without a thread of memdebug's.  It ends with its
 * stdin. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STACK_BYTES (32 << 10)

static pthread_barrier_t started;

static void *wait_for_ever(void *unused)
{
    volatile char used[STACK_BYTES];
    (void)unused;
    for (size_t i = 0; i < sizeof used; i += 1024)
        used[i] = 1;
    pthread_barrier_wait(&started);
    for (;;)
        pause();
    return NULL;
}

int main(int count, char **argument)
{
    if (count != 6)
        return 2;
    size_t blocks = strtoul(argument[1], NULL, 10), size = strtoul(argument[2], NULL, 10);
    size_t keep = strtoul(argument[3], NULL, 10), untouched = strtoul(argument[5], NULL, 10);
    unsigned threads = (unsigned)strtoul(argument[4], NULL, 10);
    static char **block, *never;
    block = malloc(blocks * sizeof *block);
    never = malloc(untouched);
    for (size_t i = 0; i < blocks; i++)
        memset(block[i] = malloc(size), 1, size);
    size_t kept = 0;
    for (size_t i = 0; i < blocks; i++) {
        if (i % keep == 0)
            kept++;
        else
            free(block[i]);
    }
    pthread_barrier_init(&started, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
            return 1;
    }
    pthread_barrier_wait(&started);
    printf("ready %zu %zu\n", kept * size, (blocks - kept) * size);
    fflush(stdout);
    for (;;) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        char *volatile buffer = malloc(64 << 10);
        free(buffer);
        if (poll(&input, 1, 20) != 0)
            return never == NULL;
    }
}
