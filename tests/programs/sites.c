/* Known allocation by call site: each site_* function allocates a known number of blocks of one
 * size and keeps a known part of them.  Prints the truth, counted here and by malloc_usable_size
 * alone, and writes a heap profile while the kept blocks are alive.
 *
 *   sites BYTES_PER_SITE PROFILE [RATE...]      RATE: md_set("memprofilerate", RATE) as first
 * thing; of several, the next one after each thousand blocks that the first thread has accounted
 * for */
#include "noinline.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SITE NOINLINE __attribute__((used))
/* Keeps the compiler from turning the allocation into a tail call: the site must be on the stack.
 */
#define STAY(p) __asm__ volatile("" : "+r"(p) : : "memory")

static unsigned serial;

SITE static void *site_malloc_16(void)
{
    void *p = malloc(16);
    STAY(p);
    return p;
}

SITE static void *site_malloc_40(void)
{
    void *p = malloc(40);
    STAY(p);
    return p;
}

SITE static void *site_calloc_100(void)
{
    void *p = calloc(4, 25);
    STAY(p);
    return p;
}

SITE static void *site_freed_512(void)
{
    void *p = malloc(512);
    STAY(p);
    return p;
}

SITE static void *site_memalign_256(void)
{
    void *p = NULL;
    if (posix_memalign(&p, 256, 200) != 0)
        abort();
    STAY(p);
    return p;
}

SITE static void *site_aligned_1k(void)
{
    void *p = aligned_alloc(64, 1024);
    STAY(p);
    return p;
}

SITE static void *site_before_realloc(void)
{
    void *p = malloc(1000);
    STAY(p);
    return p;
}

SITE static void *site_realloc_3000(void *old)
{
    void *p = realloc(old, 3000);
    STAY(p);
    return p;
}

SITE static void *site_reallocarray_6k(void)
{
    void *p = reallocarray(NULL, 100, 60);
    STAY(p);
    return p;
}

SITE static void *site_strdup_30(void)
{
    void *p = strdup("a string of twenty-nine bytes");
    STAY(p);
    return p;
}

SITE static void *site_thread_2k(void)
{
    void *p = malloc(2000);
    STAY(p);
    return p;
}

SITE static void *site_large_20k(void)
{
    void *p = malloc(20000);
    STAY(p);
    return p;
}

SITE static void *site_large_200k(void)
{
    void *p = malloc(200000);
    STAY(p);
    return p;
}

SITE static void *site_huge_1m(void)
{
    void *p = calloc(1, 1 << 20);
    STAY(p);
    return p;
}

/* Where the program's own books live: not in the heap. */
static void *book(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        abort();
    return p;
}

struct tally {
    const char *name;
    uint64_t alloc_objects, alloc_space, inuse_objects, inuse_space;
};

static char **rates; /* of several, and how many */
static int rate_count;
static int (*set_option)(const char *, const char *);

static void change_rate(void)
{
    static unsigned born_so_far;
    if (rate_count > 1 && ++born_so_far % 1000 == 0 &&
        set_option("memprofilerate", rates[born_so_far / 1000 % (unsigned)rate_count]) != 0)
        abort();
}

static void *born(struct tally *t, void *p)
{
    change_rate();
    uint64_t size = malloc_usable_size(p);
    t->alloc_objects++;
    t->alloc_space += size;
    t->inuse_objects++;
    t->inuse_space += size;
    return p;
}

static void dead(struct tally *t, void *p)
{
    t->inuse_objects--;
    t->inuse_space -= malloc_usable_size(p);
}

static void say(const struct tally *t)
{
    printf("truth %s alloc_objects=%lu alloc_space=%lu inuse_objects=%lu inuse_space=%lu\n",
           t->name, t->alloc_objects, t->alloc_space, t->inuse_objects, t->inuse_space);
}

static uint64_t count_of(uint64_t bytes, uint64_t size)
{
    return bytes / size > 8 ? bytes / size : 8;
}

/* Allocates in batches, keeps every fourth block, frees the others in another order. */
static void simple(const char *name, void *(*site)(void), uint64_t count, bool keep)
{
    struct tally t = {.name = name};
    enum { BATCH = 64 };
    void *batch[BATCH];
    void **kept = book((count + 1) * sizeof *kept);
    for (uint64_t done = 0; done < count;) {
        unsigned n = 0;
        for (; n < BATCH && done < count; n++, done++)
            batch[n] = born(&t, site());
        for (unsigned i = 0; i < n; i++) {
            unsigned at = (i * 37 + serial) % n;
            if (batch[at] == NULL)
                at = i;
            if (batch[at] == NULL)
                continue;
            if (keep && at % 4 == 0) {
                kept[at + done - n] = batch[at];
            } else {
                dead(&t, batch[at]);
                free(batch[at]);
            }
            batch[at] = NULL;
        }
        for (unsigned i = 0; i < n; i++)
            if (batch[i] != NULL) {
                dead(&t, batch[i]);
                free(batch[i]);
            }
        serial++;
    }
    say(&t);
}

static void through_realloc(uint64_t count)
{
    struct tally before = {.name = "site_before_realloc"}, after = {.name = "site_realloc_3000"};
    void **kept = book((count + 1) * sizeof *kept);
    for (uint64_t i = 0; i < count; i++) {
        void *p = born(&before, site_before_realloc());
        dead(&before, p);
        p = born(&after, site_realloc_3000(p));
        if (i % 4 == 0) {
            kept[i] = p;
        } else {
            dead(&after, p);
            free(p);
        }
    }
    say(&before);
    say(&after);
}

#define THREADS 4
static void **thread_blocks[THREADS];
static uint64_t thread_count;

static void *worker(void *argument)
{
    void **blocks = argument;
    for (uint64_t i = 0; i < thread_count; i++)
        blocks[i] = site_thread_2k();
    return NULL;
}

static void in_threads(uint64_t count)
{
    struct tally t = {.name = "site_thread_2k"};
    pthread_t thread[THREADS];
    thread_count = count / THREADS + 1;
    for (int i = 0; i < THREADS; i++) {
        thread_blocks[i] = book((thread_count + 1) * sizeof(void *));
        pthread_create(&thread[i], NULL, worker, thread_blocks[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < THREADS; i++)
        for (uint64_t j = 0; j < thread_count; j++) {
            born(&t, thread_blocks[i][j]);
            if (j % 4 != 0) { /* freed by a thread that did not allocate it */
                dead(&t, thread_blocks[i][j]);
                free(thread_blocks[i][j]);
            }
        }
    say(&t);
}

/* A new rate is in force at a thread's next sample: spends the gap that was drawn at the old one.
 */
__attribute__((noinline)) static void spend_gap(void)
{
    for (int i = 0; i < 64; i++) {
        void *volatile p = malloc(1 << 20);
        free(p);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    uint64_t bytes = strtoull(argv[1], NULL, 10);
    if (argc > 3) {
        set_option = (int (*)(const char *, const char *))dlsym(RTLD_DEFAULT, "md_set");
        rates = argv + 3;
        rate_count = argc - 3;
        int error = set_option ? set_option("memprofilerate", argv[3]) : -1;
        if (error != 0) {
            fprintf(stderr, "md_set: %d\n", error);
            return 3;
        }
        spend_gap();
    }
    simple("site_malloc_16", site_malloc_16, count_of(bytes, 16), true);
    simple("site_malloc_40", site_malloc_40, count_of(bytes, 48), true);
    simple("site_calloc_100", site_calloc_100, count_of(bytes, 112), true);
    simple("site_freed_512", site_freed_512, count_of(bytes, 512), false);
    simple("site_memalign_256", site_memalign_256, count_of(bytes, 256), true);
    simple("site_aligned_1k", site_aligned_1k, count_of(bytes, 1024), true);
    through_realloc(count_of(bytes, 1024));
    simple("site_reallocarray_6k", site_reallocarray_6k, count_of(bytes, 6144), true);
    simple("site_strdup_30", site_strdup_30, count_of(bytes, 32), true);
    in_threads(count_of(bytes, 2048));
    simple("site_large_20k", site_large_20k, count_of(bytes, 20480), true);
    simple("site_large_200k", site_large_200k, count_of(bytes, 200000), true);
    simple("site_huge_1m", site_huge_1m, count_of(bytes, 1 << 20), true);
    fflush(stdout);
    int (*profile)(const char *) = (int (*)(const char *))dlsym(RTLD_DEFAULT, "md_heap_profile");
    int error = profile ? profile(argv[2]) : -1;
    if (error != 0) {
        fprintf(stderr, "md_heap_profile: %d\n", error);
        return 4;
    }
    return 0;
}
