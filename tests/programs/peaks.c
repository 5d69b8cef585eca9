/* A program whose heap is greatest while one of its functions holds it, and at its end another's.
 *
 *   peaks        reads lines: "early N" and "late N": that function holds N blocks of 1000 bytes
 * from then on; it says the line when it is so */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS_MAX 100000
#define SIZE 1000

struct holder {
    void *block[BLOCKS_MAX];
    size_t count;
};
static struct holder early_blocks, late_blocks;

static void hold(struct holder *holder, void *block)
{
    if (!block || holder->count == BLOCKS_MAX)
        abort();
    holder->block[holder->count++] = memset(block, 1, SIZE);
}

__attribute__((noinline)) static void early(void)
{
    hold(&early_blocks, malloc(SIZE));
}

__attribute__((noinline)) static void late(void)
{
    hold(&late_blocks, malloc(SIZE));
}

static void hold_so_many(struct holder *holder, size_t count, void (*more)(void))
{
    while (holder->count < count)
        more();
    while (holder->count > count)
        free(holder->block[--holder->count]);
}

int main(void)
{
    char line[64];
    size_t count;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "early %zu", &count) == 1)
            hold_so_many(&early_blocks, count, early);
        else if (sscanf(line, "late %zu", &count) == 1)
            hold_so_many(&late_blocks, count, late);
        fputs(line, stdout);
        fflush(stdout);
    }
    return 0;
}
