/* A program whose blocks of 512 bytes lie in slabs as it knows: which of its functions keeps how
 * much free room.
 *
 *   pins holes    seven blocks of eight are `passing` and freed, the eighth is `survivor`'s: in
 * each slab one remains; `packed` has slabs of its own, which are full pins rounds   the same again
 * and again, with a table of `packed` blocks that come and go: what `passing` frees is taken by
 * others
 *
 * It says "ready BYTES BYTES BYTES": the free room that blocks of passing, survivor and packed
 * keep, each its share of its page's, by the addresses that it was given.  Blocks that are alone on
 * a page at its start are sampled ones, or the last of their slab: they count as the latter.  Then
 * it frees and allocates one buffer of 64 KiB, now and then, and ends with its stdin. */
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE 512
#define PAGE 4096
#define BLOCKS 200000 /* at most, of all sites */

enum site { PASSING, SURVIVOR, PACKED, SITES };

static struct block {
    char *at;
    enum site site;
} blocks[BLOCKS];
static size_t count;

static void *filled(char *block)
{
    if (!block)
        abort();
    memset(block, 1, SIZE);
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

static void keep(char *block, enum site site)
{
    if (count == BLOCKS)
        abort();
    blocks[count++] = (struct block){block, site};
}

__attribute__((noinline)) static void passing(void)
{
    keep(filled(malloc(SIZE)), PASSING);
}

__attribute__((noinline)) static void survivor(void)
{
    keep(filled(malloc(SIZE)), SURVIVOR);
}

__attribute__((noinline)) static void packed(void)
{
    keep(filled(malloc(SIZE)), PACKED);
}

/* Frees all blocks of a site but each `but`th; 0: all. */
static void drop(enum site site, unsigned but)
{
    size_t kept = 0;
    unsigned seen = 0;
    for (size_t i = 0; i < count; i++) {
        if (blocks[i].site == site && !(but && seen++ % but == 0))
            free(blocks[i].at);
        else
            blocks[kept++] = blocks[i];
    }
    count = kept;
}

static void holes(unsigned slabs)
{
    for (unsigned i = 0; i < slabs; i++) {
        for (unsigned k = 0; k < 7; k++)
            passing();
        survivor();
    }
}

static int by_page(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct block *)a)->at / PAGE;
    uintptr_t y = (uintptr_t)((const struct block *)b)->at / PAGE;
    return (x > y) - (x < y);
}

static void say_truth(void)
{
    double room[SITES] = {0};
    qsort(blocks, count, sizeof blocks[0], by_page);
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i; next < count && by_page(&blocks[i], &blocks[next]) == 0;)
            next++;
        double share = (double)(PAGE - (next - i) * SIZE) / (double)(next - i);
        for (size_t k = i; k < next; k++)
            room[blocks[k].site] += share;
    }
    printf("ready %.0f %.0f %.0f\n", room[PASSING], room[SURVIVOR], room[PACKED]);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    bool rounds = strcmp(argv[1], "rounds") == 0;
    for (unsigned i = 0; i < (rounds ? 20 : 1); i++) {
        holes(rounds ? 1000 : 10000);
        if (rounds) /* what is left of it comes and goes, and takes the room of passing ones */
            drop(PACKED, 2);
        for (unsigned k = 0; k < (rounds ? 1000 : 10000); k++)
            packed();
        drop(PASSING, 0);
    }
    say_truth();
    for (;;) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        char *volatile buffer = malloc(64 << 10);
        free(buffer);
        if (poll(&input, 1, 5) != 0)
            return 0;
    }
}
