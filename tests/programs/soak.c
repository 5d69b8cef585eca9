/* Threads that allocate, link, pass on, free, lose, end and are born, until a number of blocks has
 * been allocated; meanwhile cycles, one after the other, asked for by the first thread.
 *
 *   soak THREADS ALLOCATIONS
 *
 * Each loss is counted when it has happened, so a cycle may find nothing unreachable that has not
 * been lost by its end, and finds what was lost before its beginning, but for what an address in a
 * register or a dead place of a frame still keeps.  One line a cycle:
 *   cycle error=0 lost=N..M chains=N..M   (before ... after)
 */
#include "noinline.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS 32        /* lists that a thread holds */
#define SHARED 256      /* lists that anybody may take */
#define LIFE 20000      /* allocations of a thread, about */
#define LOSE_EVERY 200u /* allocations, about */

extern int md_gc(void) __attribute__((weak));

struct node {
    struct node *next;
    uint64_t filler[];
};

static long allocations_left;
static long lost, chains; /* blocks; lists, each one direct leak at most */
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *shared[SHARED];
static __thread struct node *in_tls[SLOTS];
static pthread_key_t key;

struct worker {
    uint64_t random;
    struct node **slots;
    long left;
};

static uint64_t draw(struct worker *w, uint64_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random % below;
}

/* Nothing of an earlier block stays in it, to its very end: an address there would keep what was
 * lost. */
static void fill(struct node *node)
{
    size_t words = malloc_usable_size(node) / 8;
    for (size_t i = 0; i + 1 < words; i++)
        node->filler[i] = i;
}

static struct node *fresh(struct worker *w)
{
    struct node *node = malloc(16 + 8 * draw(w, draw(w, 50) ? 12 : 3000));
    if (node == NULL)
        abort();
    fill(node);
    w->left--;
    return node;
}

static void push(struct worker *w, unsigned slot)
{
    struct node *node = fresh(w);
    node->next = w->slots[slot];
    w->slots[slot] = node;
}

static void pop(struct worker *w, unsigned slot)
{
    struct node *node = w->slots[slot];
    if (node) {
        w->slots[slot] = node->next;
        free(node);
    }
}

static void free_list(struct worker *w, unsigned slot)
{
    while (w->slots[slot])
        pop(w, slot);
}

/* The first block grows or shrinks, and may move with the list that hangs on it. */
static void resize(struct worker *w, unsigned slot)
{
    struct node *node = w->slots[slot];
    if (!node || !(node = realloc(node, 16 + 8 * draw(w, 600))))
        return;
    fill(node);
    w->slots[slot] = node;
}

static void pass_on(struct worker *w, unsigned slot)
{
    unsigned other = (unsigned)draw(w, SHARED);
    pthread_mutex_lock(&shared_lock);
    struct node *list = shared[other];
    shared[other] = w->slots[slot];
    w->slots[slot] = list;
    pthread_mutex_unlock(&shared_lock);
}

/* A list of its own; some are rings. */
static NOINLINE void lose(struct worker *w)
{
    unsigned length = 1 + (unsigned)draw(w, 4);
    struct node *first = NULL, *last = NULL;
    for (unsigned i = 0; i < length; i++) {
        struct node *node = fresh(w);
        node->next = first;
        first = node;
        last = last ? last : node;
    }
    if (draw(w, 3) == 0)
        last->next = first;
    /* Counted first: what a cycle finds is never more than what was counted at its end. */
    __atomic_fetch_add(&lost, length, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&chains, 1, __ATOMIC_SEQ_CST);
}

static NOINLINE void clear_frames(void)
{
    volatile char room[4096];
    for (unsigned i = 0; i < sizeof room; i++)
        room[i] = 0;
}

static void work(struct worker *w)
{
    for (unsigned slot; w->left > 0;) {
        slot = (unsigned)draw(w, SLOTS);
        switch (draw(w, 16)) {
        default:
            push(w, slot);
            break;
        case 0 ... 5:
            pop(w, slot);
            break;
        case 6:
            free_list(w, slot);
            break;
        case 7:
            resize(w, slot);
            break;
        case 8:
            pass_on(w, slot);
            break;
        }
        if (draw(w, LOSE_EVERY) == 0) {
            lose(w);
            clear_frames();
        }
        /* A hundred threads that never wait would be a test of the scheduler, and have a cycle
         * every few seconds, as the marker gets its turn among them. */
        if (draw(w, 500) == 0)
            usleep(10000);
    }
    for (unsigned slot = 0; slot < SLOTS; slot++)
        free_list(w, slot);
}

/* Where a thread holds its lists: its frame, its TLS, a block that its frame knows, or one that
 * only libc's record of it does. */
static void *thread_main(void *seed)
{
    struct worker w = {.random = (uintptr_t)seed * 0x9e3779b97f4a7c15u | 1, .left = LIFE};
    struct node *in_frame[SLOTS] = {NULL};
    unsigned where = (unsigned)draw(&w, 4);
    w.slots = where == 0 ? in_frame : where == 1 ? in_tls : calloc(SLOTS, sizeof *w.slots);
    if (where == 3)
        pthread_setspecific(key, w.slots);
    work(&w);
    if (where >= 2)
        free(w.slots);
    pthread_setspecific(key, NULL);
    __atomic_fetch_sub(&allocations_left, LIFE, __ATOMIC_RELAXED);
    return NULL;
}

/* Keeps as many threads alive as there are to be. */
static void *breed(void *argument)
{
    long count = *(long *)argument, born = 0;
    pthread_t *threads = calloc((size_t)count, sizeof *threads);
    if (threads == NULL)
        abort();
    for (; born < count; born++)
        pthread_create(&threads[born], NULL, thread_main, (void *)(uintptr_t)(born + 1));
    for (long next = 0; __atomic_load_n(&allocations_left, __ATOMIC_RELAXED) > count * LIFE;
         next = (next + 1) % count) {
        pthread_join(threads[next], NULL);
        if (pthread_create(&threads[next], NULL, thread_main, (void *)(uintptr_t)++born) != 0)
            abort();
    }
    for (long i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    __atomic_store_n(&allocations_left, -1, __ATOMIC_RELEASE);
    return NULL;
}

static int cycle(void)
{
    long lost_before = __atomic_load_n(&lost, __ATOMIC_SEQ_CST);
    long chains_before = __atomic_load_n(&chains, __ATOMIC_SEQ_CST);
    int error = md_gc();
    long lost_after = __atomic_load_n(&lost, __ATOMIC_SEQ_CST);
    long chains_after = __atomic_load_n(&chains, __ATOMIC_SEQ_CST);
    printf("cycle error=%d lost=%ld..%ld chains=%ld..%ld\n", error, lost_before, lost_after,
           chains_before, chains_after);
    return error;
}

int main(int argc, char **argv)
{
    if (argc < 3 || !md_gc)
        return 2;
    static long count;
    static char buffer[1 << 16];
    pthread_t breeder;
    count = atol(argv[1]);
    allocations_left = atol(argv[2]);
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    pthread_key_create(&key, NULL);
    pthread_create(&breeder, NULL, breed, &count);
    while (__atomic_load_n(&allocations_left, __ATOMIC_ACQUIRE) >= 0)
        cycle();
    pthread_join(breeder, NULL);
    clear_frames();
    /* The last must be done; one may be skipped where other programs have all CPUs. */
    for (int tries = 0; tries < 5 && cycle() != 0; tries++)
        ;
    return 0;
}
