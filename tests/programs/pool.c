/* A program whose memory is mostly not malloc's, as a JVM's: a pool of its own mapping, most of it
 * data, with pointers to a few MB of blocks here and there, some of which move between cycles.
 *
 *   pool beside MB CYCLES [move]   asks for cycles (md_gc); "lost OBJECTS BYTES" is printed first.
 *                                  With `move` the pointers are put elsewhere in the pool before
 *                                  each, and parts of it are given back, mapped anew, and moved; in
 *                                  the last quarter of it a thread moves others all the time
 *   pool write MB SECONDS          all of the pool is written to over and over; checked at the end
 *   pool burst MB SECONDS          the same for the second half of that time only, until when there
 *                                  are three quarters of it, at rest */
#include "hostile.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>

#define PAGE 4096u
#define CHUNK ((size_t)2 << 20)
#define BLOCKS 3000u
#define LOST 40u
#define SLOTS (PAGE / sizeof(void *))

static char *pool;
static size_t pool_size;
static uint64_t state = 88172645463325252u;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* Data that is no address of anything. */
static void fill(char *start, size_t size)
{
    for (size_t i = 0; i < size / 8; i++)
        ((uint64_t *)start)[i] = i * 0x9e3779b97f4a7c15u | UINT64_C(1) << 63;
}

static bool map_pool(size_t megabytes)
{
    pool_size = megabytes << 20;
    pool =
        mmap(NULL, pool_size + CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pool == MAP_FAILED)
        return false;
    pool = (char *)(((uintptr_t)pool + CHUNK - 1) & ~(CHUNK - 1));
    return true;
}

/* ---- beside ---- */

/* Where the pointer to each block is: not its address, which would keep it. */
static uint32_t place_of[BLOCKS]; /* word of the pool */

static void **place(unsigned block)
{
    return (void **)pool + place_of[block];
}

static bool place_is_taken(uint32_t word)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        if (place_of[i] == word)
            return true;
    return false;
}

static void put(unsigned block, void *pointer)
{
    uint32_t word;
    /* Half of them where many others are. */
    do
        word = (uint32_t)(next_random() % (block % 2 ? pool_size / 32 * 3 : pool_size / 64));
    while (place_is_taken(word));
    place_of[block] = word;
    *place(block) = pointer;
}

static __attribute__((noinline)) void make_blocks(void)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        put(i, memset(malloc(64), (char)i, 64));
}

static __attribute__((noinline)) void lose_blocks(void)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < LOST; i++) {
        void *volatile lost = malloc(500);
        bytes += malloc_usable_size(lost);
        lost = NULL;
    }
    printf("lost %u %zu\n", LOST, bytes);
    fflush(stdout);
}

static __attribute__((noinline)) void clear_stack(void)
{
    volatile char old[16384];
    for (unsigned i = 0; i < sizeof old; i++)
        old[i] = 0;
}

/* Pointers whose place is in [start, end) of the pool go elsewhere. */
static void clear_out(size_t start, size_t end)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        while (place_of[i] >= start / 8 && place_of[i] < end / 8) {
            void *pointer = *place(i);
            *place(i) = NULL;
            put(i, pointer);
        }
}

/* All that may become of a range's pages.  Afterwards pointers are put there by a write, but for
 * those that come along with the pages. */
static void change_chunk(unsigned how)
{
    size_t chunks = pool_size / 4 * 3 / CHUNK, at = next_random() % chunks,
           from = next_random() % chunks;
    char *start = pool + at * CHUNK, *other = pool + from * CHUNK;
    clear_out(at * CHUNK, (at + 1) * CHUNK);
    switch (how % 5) {
    case 0:
        madvise(start, CHUNK, MADV_DONTNEED);
        break;
    case 1: /* another mapping in its place */
        if (mmap(start, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                 0) == MAP_FAILED)
            abort();
        break;
    case 2: /* the pages of another, with all that they hold; and new ones there */
        if (at == from)
            break;
        if (mremap(other, CHUNK, CHUNK, MREMAP_MAYMOVE | MREMAP_FIXED, start) != start ||
            mmap(other, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                 0) != other)
            abort();
        for (unsigned i = 0; i < BLOCKS; i++)
            if (place_of[i] >= from * CHUNK / 8 && place_of[i] < (from + 1) * CHUNK / 8)
                place_of[i] += (uint32_t)((at - from) * CHUNK / 8);
        break;
    case 3: /* without access for a moment */
        mprotect(start, CHUNK, PROT_NONE);
        mprotect(start, CHUNK, PROT_READ | PROT_WRITE);
        break;
    default:
        fill(start, CHUNK / 2);
    }
    for (unsigned n = 0; n < 4; n++) { /* whichever comes to lie here */
        unsigned block = (unsigned)(next_random() % BLOCKS);
        void *pointer = *place(block);
        *place(block) = NULL;
        do
            place_of[block] = (uint32_t)((at * CHUNK + next_random() % CHUNK) / 8);
        while (place_of[block] == UINT32_MAX);
        while (*place(block) && (uintptr_t)*place(block) >> 63 == 0) /* another's */
            place_of[block] = (uint32_t)((at * CHUNK + next_random() % CHUNK) / 8);
        *place(block) = pointer;
    }
}

static __attribute__((noinline)) void move_some(unsigned cycle)
{
    for (unsigned n = 0; n < 100; n++) {
        unsigned block = (unsigned)(next_random() % BLOCKS);
        void *pointer = *place(block);
        *place(block) = NULL;
        put(block, pointer);
    }
    for (unsigned n = 0; n < 5; n++)
        change_chunk(cycle + n);
    /* Blocks where none has been before. */
    unsigned block = (unsigned)(next_random() % BLOCKS);
    free(*place(block));
    *place(block) = memset(malloc(64), (char)block, 64);
}

/* Of the thread's own blocks, in its quarter. */
#define MOVED 400u

static void *mover(void *unused)
{
    static void **at[MOVED];
    void **quarter = (void **)(pool + pool_size / 4 * 3);
    size_t words = pool_size / 4 / 8;
    uint64_t random = 1234567;
    (void)unused;
    for (unsigned step = 0; !stop; step++) {
        unsigned block = step % MOVED;
        random = random * 6364136223846793005u + 1442695040888963407u;
        void **to = quarter + (random >> 33) % words;
        if ((uintptr_t)*to >> 63 == 0) /* there is one */
            continue;
        *(void *volatile *)to = at[block] ? *at[block] : memset(malloc(64), (char)block, 64);
        if (at[block])
            *(uint64_t volatile *)at[block] = UINT64_C(1) << 63;
        at[block] = to;
        if (step >= MOVED && step % 16 == 0)
            usleep(1000);
    }
    long wrong = 0;
    for (unsigned i = 0; i < MOVED; i++)
        wrong += at[i] && ((char *)*at[i])[63] != (char)i;
    return (void *)wrong;
}

static long wrong_blocks(void)
{
    long wrong = 0;
    for (unsigned i = 0; i < BLOCKS; i++)
        wrong += ((char *)*place(i))[0] != (char)i || ((char *)*place(i))[63] != (char)i;
    return wrong;
}

static int beside(long megabytes, long cycles, bool moving)
{
    int (*gc)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "md_gc");
    if (!map_pool((size_t)megabytes))
        return 77;
    fill(pool, pool_size);
    pthread_t thread;
    void *wrong = NULL;
    make_blocks();
    if (moving && pthread_create(&thread, NULL, mover, NULL) != 0)
        return 77;
    lose_blocks();
    for (long i = 0; i < cycles; i++) {
        if (moving && i % 4 != 3) /* now and then nothing happens */
            move_some((unsigned)i);
        clear_stack();
        for (int tries = 0; gc && gc() == EAGAIN && tries < 10; tries++)
            usleep(50000);
    }
    stop = 1;
    if (moving)
        pthread_join(thread, &wrong);
    return finish("beside", wrong_blocks() + (long)wrong);
}

/* ---- write ---- */

static int write_all(long megabytes, double rest, double seconds)
{
    if (!map_pool((size_t)megabytes))
        return 77;
    long wrong = 0;
    fill(pool, pool_size / 4 * 3);
    work_for(rest);
    fill(pool, pool_size);
    for (double end = now() + seconds; now() < end; work(100))
        for (size_t at = 0; at < pool_size; at += PAGE) {
            uint64_t *word = (uint64_t *)(pool + at);
            wrong += *word != (at / 8 * 0x9e3779b97f4a7c15u | UINT64_C(1) << 63);
            __atomic_store_n(word, *word, __ATOMIC_RELAXED);
        }
    return finish("write", wrong);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    long megabytes = atol(argv[2]), number = atol(argv[3]);
    if (strcmp(argv[1], "beside") == 0)
        return beside(megabytes, number, argc > 4);
    double seconds = (double)number;
    return strcmp(argv[1], "burst") == 0 ? write_all(megabytes, seconds / 2, seconds / 2)
                                         : write_all(megabytes, 0, seconds);
}
