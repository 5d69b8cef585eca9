/* Loses a little beside much traffic: blocks of 32 and 48 bytes to which nothing points any more,
 * among blocks of all sizes, these two among them, that are freed again.
 *
 *   slow_leak SECONDS TRAFFIC_MB LOST_BYTES [free]   so much of both in each second
 *       free: as fast as it goes, with a cycle after each five of these "seconds"
 *
 * Prints "ready", and at its end the objects and bytes lost, how many blocks of 32 usable bytes
 * serve() has allocated, and the CPU time that all has taken. */
#include "noinline.h"
#include "truth/scrub.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOTS 4096u
#define PART 100u /* of a second */

static void *slots[SLOTS];
static uint64_t state = 88172645463325252u, lost_objects, lost_bytes, served_32;

static uint64_t draw(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1du >> 20;
}

static NOINLINE void *serve(size_t size)
{
    void *block = malloc(size);
    if (!block)
        abort();
    served_32 += malloc_usable_size(block) == 32;
    memset(block, 0x5a, size < 64 ? size : 64);
    return block;
}

/* Sizes that are as often below 256 as above. */
static NOINLINE void traffic(uint64_t bytes)
{
    for (uint64_t done = 0; done < bytes;) {
        uint64_t random = draw();
        size_t size = (16u << random % 8) + (random >> 8) % (16u << random % 8);
        void **slot = &slots[random >> 24 & (SLOTS - 1)];
        free(*slot);
        *slot = serve(size);
        done += size;
    }
}

/* Ids that nobody keeps. */
static NOINLINE void lose(size_t size)
{
    static void *volatile last;
    last = malloc(size);
    if (!last)
        abort();
    last = NULL;
    lost_objects++;
    lost_bytes += size;
}

static void lose_up_to(uint64_t bytes)
{
    while (lost_bytes < bytes)
        lose(lost_objects % 18 ? 32 : 48);
    scrub();
}

/* A machine with no time for a cycle has some later. */
static bool cycle(int (*gc)(void))
{
    for (int tries = 0; gc && tries < 500; tries++) {
        if (gc() == 0)
            return true;
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    uint64_t seconds = strtoull(argv[1], NULL, 10), mb = strtoull(argv[2], NULL, 10);
    uint64_t lost = strtoull(argv[3], NULL, 10);
    bool paced = argc < 5;
    int (*gc)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "md_gc");
    struct timespec next, cpu;
    clock_gettime(CLOCK_MONOTONIC, &next);
    puts("ready");
    fflush(stdout);
    for (uint64_t part = 1; part <= seconds * PART; part++) {
        traffic((mb << 20) / PART);
        lose_up_to(lost * part / PART);
        if (!paced && part % (5 * PART) == 0 && !cycle(gc))
            return 3;
        next.tv_nsec += 1000000000 / PART;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        if (paced)
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("truth lose objects=%llu bytes=%llu\ntruth serve objects_32=%llu\ncpu_ms=%ld\n",
           (unsigned long long)lost_objects, (unsigned long long)lost_bytes,
           (unsigned long long)served_32, cpu.tv_sec * 1000 + cpu.tv_nsec / 1000000);
    return 0;
}
