/* How much a program that wants every CPU is slowed down by cycles: one thread for each CPU (or
 * THREADS) walks down a tree of 64-byte nodes, reads all the way and writes into the upper part,
 * and the main thread lets cycles and periods without one take turns.
 *
 *   mutate MEGABYTES MILLISECONDS CYCLES [THREADS]
 *
 * Prints for each cycle the nodes visited a microsecond during it, and without: the mean of the
 * periods before and after. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define WRITTEN_LEVELS 12

struct node {
    struct node *left, *right;
    uint64_t payload[6];
};

struct walker {
    _Alignas(64) volatile uint64_t visits;
};

static struct node *root;
static volatile int stop;
static struct walker walkers[64];

static struct node *make(size_t count)
{
    if (count == 0)
        return NULL;
    struct node *node = calloc(1, sizeof *node);
    if (!node)
        abort();
    node->left = make((count - 1) / 2);
    node->right = make(count - 1 - (count - 1) / 2);
    return node;
}

static void *walk(void *argument)
{
    struct walker *walker = argument;
    uint64_t state = 88172645463325252ull + (uint64_t)(walker - walkers) * 977;
    while (!stop) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        uint64_t path = state;
        int depth = 0;
        for (struct node *node = root; node; path >>= 1) {
            if (depth++ < WRITTEN_LEVELS)
                node->payload[path % 6]++;
            walker->visits++;
            node = path & 1 ? node->left : node->right;
        }
    }
    return NULL;
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static uint64_t visits(int count)
{
    uint64_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += walkers[i].visits;
    return sum;
}

/* Nodes visited a microsecond: while a cycle runs (0: it was skipped), or for so long. */
static double rate(int count, int (*gc)(void), double period_us)
{
    uint64_t seen = visits(count);
    double begin = now_us();
    if (!gc)
        usleep((useconds_t)period_us);
    else if (gc() != 0)
        return 0;
    return (double)(visits(count) - seen) / (now_us() - begin);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    double period_us = atof(argv[2]) * 1e3;
    int threads = (int)sysconf(_SC_NPROCESSORS_ONLN), (*gc)(void);
    pthread_t thread[64];
    *(void **)&gc = dlsym(RTLD_DEFAULT, "md_gc");
    if (!gc)
        return 1;
    if (argc > 4)
        threads = atoi(argv[4]);
    threads = threads > 64 ? 64 : threads;
    root = make((size_t)atol(argv[1]) * ((1 << 20) / sizeof(struct node)));
    for (int i = 0; i < threads; i++)
        pthread_create(&thread[i], NULL, walk, &walkers[i]);
    gc();
    double before = 0, last = 0;
    for (int cycle = 0; cycle <= atoi(argv[3]);) {
        /* Between two cycles as long as one takes, so that both are of the same minute. */
        double without = rate(threads, NULL, period_us);
        if (before > 0)
            printf("without %.3f with %.3f\n", (last + without) / 2, before);
        fflush(stdout);
        last = without;
        before = rate(threads, gc, 0);
        cycle += before > 0;
    }
    stop = 1;
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    return 0;
}
