/* Threads that allocate, link, free, leak, exit and are born, for a given number of allocations,
 * and know what they have leaked.
 *
 *   soak THREADS ALLOCATIONS
 *
 * Each thread keeps a table of lists, some of whose nodes it hands on to others through a shared
 * table, and drops a list of LEAK_NODES nodes once in LEAK_EVERY allocations.  Every 20 ms, and at
 * the end when all threads are gone, a line "truth @SECONDS leaked=N allocations=N" (seconds of
 * CLOCK_MONOTONIC). */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LISTS 64
#define SHARED 256
#define LEAK_EVERY 20000
#define LEAK_NODES 10
#define LIFE 200000 /* allocations of one thread, at most */

struct node {
    struct node *next;
    uint64_t check;
};

static atomic_ullong budget, allocations, leaked;
static _Atomic(struct node *) shared[SHARED];

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static struct node *make(struct node *next, uint64_t *random)
{
    static const unsigned char sizes[] = {16, 24, 40, 64, 64, 96, 200, 250};
    struct node *node = malloc(sizes[draw(random) % sizeof sizes]);
    if (!node) {
        fprintf(stderr, "soak: out of memory\n");
        exit(1);
    }
    node->next = next;
    node->check = (uintptr_t)node * 0x9e3779b97f4a7c15u;
    return node;
}

static void drop(struct node *node)
{
    while (node) {
        struct node *next = node->next;
        if (node->check != (uintptr_t)node * 0x9e3779b97f4a7c15u) {
            fprintf(stderr, "soak: a node was changed\n");
            abort();
        }
        free(node);
        node = next;
    }
}

/* In a frame of its own, which is overwritten afterwards: the head must not stay behind. */
static __attribute__((noinline)) void leak(uint64_t *random)
{
    struct node *head = NULL;
    for (int i = 0; i < LEAK_NODES; i++)
        head = make(head, random);
    *(struct node *volatile *)&head = NULL;
    atomic_fetch_add(&leaked, LEAK_NODES);
}

static __attribute__((noinline)) void overwrite(void)
{
    volatile char room[1024];
    for (size_t i = 0; i < sizeof room; i++)
        room[i] = 0;
}

static void *work(void *seed)
{
    struct node *lists[LISTS] = {NULL};
    uint64_t random = (uintptr_t)seed * 0x9e3779b97f4a7c15u + 1;
    unsigned done = 0, life = LIFE / 2 + draw(&random) % (LIFE / 2);
    for (; done < life; done++) {
        if (done % 256 == 0) {
            unsigned long long left = atomic_load(&budget);
            while (left &&
                   !atomic_compare_exchange_weak(&budget, &left, left < 256 ? 0 : left - 256))
                ;
            if (!left)
                break;
            atomic_fetch_add(&allocations, 256);
            if (done % 8192 == 0) /* most threads of a real program wait for something */
                usleep(2000);
        }
        uint64_t r = draw(&random);
        struct node **list = &lists[r % LISTS];
        if (r >> 32 & 7)
            *list = make(*list, &random);
        else if (r >> 35 & 1) {
            drop(*list);
            *list = make(NULL, &random);
        } else {
            *list = atomic_exchange(&shared[(r >> 40) % SHARED], make(*list, &random));
        }
        if (done % LEAK_EVERY == LEAK_EVERY - 1) {
            leak(&random);
            overwrite();
        }
    }
    for (int i = 0; i < LISTS; i++)
        drop(lists[i]);
    return NULL;
}

static void tell(void)
{
    struct timespec now;
    unsigned long long sum = atomic_load(&leaked), count = atomic_load(&allocations);
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("truth @%lld.%06ld leaked=%llu allocations=%llu\n", (long long)now.tv_sec,
           now.tv_nsec / 1000, sum, count);
}

static void *watch(void *unused)
{
    while (atomic_load(&budget)) {
        tell();
        usleep(20000);
    }
    return unused;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    int threads = atoi(argv[1]);
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    atomic_store(&budget, strtoull(argv[2], NULL, 10));
    pthread_t watcher, *pool = calloc((size_t)threads, sizeof *pool);
    pthread_create(&watcher, NULL, watch, NULL);
    uintptr_t seed = 1;
    for (int i = 0; i < threads; i++)
        pthread_create(&pool[i], NULL, work, (void *)seed++);
    /* Whoever ends is followed by a new one. */
    for (int i = 0; atomic_load(&budget); i = (i + 1) % threads) {
        pthread_join(pool[i], NULL);
        pthread_create(&pool[i], NULL, work, (void *)seed++);
    }
    for (int i = 0; i < threads; i++)
        pthread_join(pool[i], NULL);
    pthread_join(watcher, NULL);
    free(pool);
    for (int i = 0; i < SHARED; i++)
        drop(atomic_exchange(&shared[i], NULL));
    int (*gc)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "md_gc");
    tell();
    if (gc && gc() != 0)
        fprintf(stderr, "soak: no last cycle\n");
    tell();
    return 0;
}
