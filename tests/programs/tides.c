/* tides: memory that grows for 4 s, rests for 5, falls to a half, grows for 3 s and rests.  After
 * each step it prints the time, what it has in use, and what it has allocated and freed so far, in
 * usable bytes, of its own blocks:
 *
 *   1700000000.123456 in_use=1048576 allocated=1048576 freed=0
 *
 * and "rests" when a rest begins.  It then waits to be killed. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 64 << 10, STEP_BLOCKS = 8, BLOCKS = 1000, STEP_MS = 50 };

static void *block[BLOCKS];
static size_t blocks;
static size_t allocated, freed;

static void say(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    printf("%lld.%06ld in_use=%zu allocated=%zu freed=%zu\n", (long long)now.tv_sec,
           now.tv_nsec / 1000, allocated - freed, allocated, freed);
    fflush(stdout);
}

static void rest(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

static void grow(int ms)
{
    for (; ms > 0; ms -= STEP_MS) {
        for (int i = 0; i < STEP_BLOCKS && blocks < BLOCKS; i++) {
            if (!(block[blocks] = malloc(BLOCK)))
                abort();
            memset(block[blocks], 1, BLOCK);
            allocated += malloc_usable_size(block[blocks++]);
        }
        say();
        rest(STEP_MS);
    }
}

int main(void)
{
    grow(4000);
    puts("rests");
    say();
    rest(5000);
    say();
    while (blocks > BLOCKS / 4) {
        freed += malloc_usable_size(block[--blocks]);
        free(block[blocks]);
    }
    say();
    grow(3000);
    puts("rests");
    say();
    for (;;)
        pause();
}
