/* How long one malloc takes, and how long in the worst thousandth: replaces blocks of 16 to 1024
 * bytes, from 32 stacks, in a heap of 100,000 and times each pair of free and malloc.
 *
 *   latency SECONDS      prints "p50 NS p99.9 NS pairs N" */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLOCKS 100000u
#define BUCKETS 4096u

static void *blocks[BLOCKS];
static uint64_t histogram[BUCKETS]; /* by logarithm, 64 an octave */

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static unsigned bucket_of(uint64_t ns)
{
    if (ns < 64)
        return (unsigned)ns;
    unsigned octave = 63 - (unsigned)__builtin_clzll(ns);
    return (octave - 5) * 64 + (unsigned)(ns >> (octave - 6) & 63);
}

static double ns_of(unsigned bucket)
{
    if (bucket < 64)
        return bucket;
    return (double)((UINT64_C(64) + bucket % 64) << (bucket / 64 - 1));
}

static uint64_t draw(void)
{
    static uint64_t x = 88172645463325252u;
    x ^= x << 13;
    x ^= x >> 7;
    return x ^= x << 17;
}

/* From a stack that is `depth` deeper. */
__attribute__((noinline)) static void *allocate(size_t size, unsigned depth)
{
    if (depth == 0)
        return malloc(size);
    void *block = allocate(size, depth - 1);
    __asm__ volatile("" ::: "memory"); /* no jump */
    return block;
}

static double percentile(double share, uint64_t count)
{
    uint64_t seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++)
        if ((double)(seen += histogram[i]) >= share * (double)count)
            return ns_of(i);
    return 0;
}

int main(int argc, char **argv)
{
    int64_t end = now() + (int64_t)(atof(argc > 1 ? argv[1] : "1") * 1e9), begin, after = 0;
    uint64_t pairs = 0;
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = allocate(16 + draw() % 1008, (unsigned)(draw() % 32));
    while (after < end) {
        unsigned at = (unsigned)(draw() % BLOCKS), depth = (unsigned)(draw() % 32);
        size_t size = 16 + draw() % 1008;
        begin = now();
        free(blocks[at]);
        blocks[at] = allocate(size, depth);
        after = now();
        histogram[bucket_of((uint64_t)(after - begin))]++;
        pairs++;
    }
    printf("p50 %.0f p99.9 %.0f pairs %llu\n", percentile(0.5, pairs), percentile(0.999, pairs),
           (unsigned long long)pairs);
    return blocks[0] == NULL;
}
