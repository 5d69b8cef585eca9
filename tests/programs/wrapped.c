/* A cache and a leak of blocks of one size through the same two wrappers, one of a usual name
 * (mem_alloc) and one of its own (take_buffer).  The cache is full when it says "ready", and its
 * entries come and go from then on; what is lost by then is twice the cache, and grows. */
#include "noinline.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 2048, SLOTS = 2000 };

static char *cache[SLOTS];
static unsigned next_slot;

NOINLINE static void *mem_alloc(size_t size)
{
    void *block = malloc(size);
    if (!block)
        abort();
    memset(block, 0, size);
    return block;
}

NOINLINE static char *take_buffer(void)
{
    char *buffer = mem_alloc(BLOCK);
    buffer[0] = 1;
    return buffer;
}

NOINLINE static void cache_put(void)
{
    unsigned slot = next_slot++ % SLOTS;
    free(cache[slot]);
    cache[slot] = take_buffer();
}

NOINLINE static void lose_the_message_of_a_session(void)
{
    char *volatile message = take_buffer();
    message = NULL;
    (void)message;
}

int main(void)
{
    /* One call of each: one stack of each. */
    for (unsigned i = 0;; i++) {
        if (i == 2 * SLOTS && write(STDOUT_FILENO, "ready\n", 6) != 6) /* stdio would allocate */
            return 1;
        if (i >= 2 * SLOTS)
            usleep(10000);
        if (i % 2)
            cache_put();
        lose_the_message_of_a_session();
    }
}
