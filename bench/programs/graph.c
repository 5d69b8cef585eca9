/* A live graph of 64-byte nodes, collected a number of times while a second thread writes into it.
 * Built twice: with malloc, where the cycles are memdebug's and their lines have the figures, and
 * with -DWITH_BDWGC on bdwgc, which prints its own times.
 *
 *   graph MEGABYTES CYCLES [tree|random] [nowriter|MB/s] [leaks] [awake=N]
 *
 * The writer walks and writes as fast as it can, or writes runs of neighbouring nodes, a page of
 * them at a time, so many megabytes a second.  With "leaks" a block is lost before each cycle, so
 * that there is something new to be found.  awake: so many threads more, which count and never
 * rest. Told with each cycle: the writer's longest gap between two looks at the clock. */
#ifdef WITH_BDWGC
#define GC_THREADS
#include <gc.h>
#define ALLOCATE(size) GC_MALLOC(size)
#else
#include <dlfcn.h>
#define ALLOCATE(size) calloc(1, size)
#endif
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct node {
    struct node *left, *right;
    uint64_t payload[6];
};

static struct node *root;
static volatile int stop;
static uint64_t random_state = 88172645463325252ull;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* A tree of `count` nodes, each allocated before those below it. */
static struct node *make(size_t count)
{
    if (count == 0)
        return NULL;
    struct node *node = ALLOCATE(sizeof *node);
    if (node == NULL)
        abort();
    node->left = make((count - 1) / 2);
    node->right = make(count - 1 - (count - 1) / 2);
    return node;
}

/* The same nodes linked at random: each points at the next of a permutation and at any other. */
static struct node *make_random(size_t count)
{
    struct node **all = ALLOCATE(count * sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[i] = ALLOCATE(sizeof **all);
    for (size_t i = count - 1; i > 0; i--) {
        size_t j = next_random(&random_state) % (i + 1);
        struct node *t = all[i];
        all[i] = all[j];
        all[j] = t;
    }
    for (size_t i = 0; i + 1 < count; i++) {
        all[i]->left = all[i + 1];
        all[i]->right = all[next_random(&random_state) % count];
    }
    struct node *first = all[0];
    memset(all, 0, count * sizeof *all);
#ifdef WITH_BDWGC
    GC_FREE(all);
#else
    free(all);
#endif
    return first;
}

/* Walks down at random and writes, all the time. */
static void *writer(void *unused)
{
    uint64_t state = 2463534242ull;
    while (!stop) {
        struct node *node = root;
        uint64_t path = next_random(&state);
        for (int i = 0; i < 64 && node; i++, path >>= 1) {
            node->payload[i % 6]++;
            node = path & 1 ? node->left : node->right;
        }
    }
    return unused;
}

static void *awake(void *unused)
{
    for (volatile uint64_t count = 0; !stop; count++)
        ;
    return unused;
}

static double now_ms(void);

/* All nodes in the order of their allocation, disguised; in memory that no collector looks at. */
static uintptr_t *nodes;
static size_t node_count;
static double rate_mb;
static volatile double longest_gap;
#define DISGUISE UINT64_C(0x8badf00d00000000)

static void note_nodes(struct node *node)
{
    for (; node; node = node->right) {
        nodes[node_count++] = (uintptr_t)node ^ DISGUISE;
        note_nodes(node->left);
    }
}

static void *paced_writer(void *unused)
{
    const size_t run = 4096 / sizeof(struct node);
    double start = now_ms(), last = start, written = 0;
    for (size_t at = 0; !stop; at = (at + 7919 * run) % (node_count - run)) {
        for (size_t i = at; i < at + run; i++) {
            struct node *node = (struct node *)(nodes[i] ^ DISGUISE);
            for (int j = 0; j < 6; j++)
                ((volatile uint64_t *)node->payload)[j]++;
        }
        written += 4096;
        double now;
        do {
            now = now_ms();
            if (now - last > longest_gap)
                longest_gap = now - last;
            last = now;
        } while (!stop && written > (now - start) * 1e3 * rate_mb);
    }
    return unused;
}

static __attribute__((noinline)) void leak(void)
{
    void *volatile lost = ALLOCATE(sizeof(struct node));
    lost = NULL; /* nor on the stack */
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    size_t count = (argc > 1 ? (size_t)atol(argv[1]) : 100) * ((1 << 20) / sizeof(struct node));
    int cycles = argc > 2 ? atoi(argv[2]) : 10;
    int is_random = argc > 3 && strcmp(argv[3], "random") == 0;
    int leaks = 0, others = 0;
    for (int i = 5; i < argc; i++) {
        leaks |= strcmp(argv[i], "leaks") == 0;
        sscanf(argv[i], "awake=%d", &others);
    }
    int writes = !(argc > 4 && strcmp(argv[4], "nowriter") == 0);
    pthread_t thread, awakes[others + 1];
#ifdef WITH_BDWGC
    GC_INIT();
#else
    int (*gc)(void);
    *(void **)&gc = dlsym(RTLD_DEFAULT, "md_gc");
#endif
    root = is_random ? make_random(count) : make(count);
    rate_mb = argc > 4 ? atof(argv[4]) : 0;
    if (rate_mb > 0) {
        nodes = mmap(NULL, count * sizeof *nodes, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        note_nodes(root);
    }
    if (writes)
        pthread_create(&thread, NULL, rate_mb > 0 ? paced_writer : writer, NULL);
    for (int i = 0; i < others; i++)
        pthread_create(&awakes[i], NULL, awake, NULL);
    for (int i = 0; i < cycles; i++) {
        if (leaks)
            leak();
        usleep(100000);
        longest_gap = 0;
        double start = now_ms();
#ifdef WITH_BDWGC
        GC_gcollect();
        printf("collected %.3f ms, gap %.3f\n", now_ms() - start, longest_gap);
#else
        int error = gc ? gc() : -1;
        printf("cycle %.3f ms error %d, gap %.3f\n", now_ms() - start, error, longest_gap);
#endif
        fflush(stdout);
    }
    stop = 1;
    if (writes)
        pthread_join(thread, NULL);
    for (int i = 0; i < others; i++)
        pthread_join(awakes[i], NULL);
    return 0;
}
