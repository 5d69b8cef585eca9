/* A tree of 64-byte nodes that is all reachable, and a hundred blocks that are not; then it ends,
 * and whoever checks for leaks at exit does.  Says on stderr when: `end SECONDS` of
 * CLOCK_MONOTONIC.
 *
 *   leakcheck MEGABYTES */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct node {
    struct node *left, *right;
    uint64_t payload[6];
};

struct node *root; /* for all to see: nobody may leave it out */
static void *volatile last;

/* Level by level, from one place: recursion would be as many stacks as nodes. */
static void make(size_t count)
{
    struct node **all = malloc(count * sizeof *all);
    for (size_t i = 0; i < count; i++) {
        all[i] = calloc(1, sizeof **all);
        if (!all[i])
            abort();
        if (i) {
            struct node *parent = all[(i - 1) / 2];
            *(i % 2 ? &parent->left : &parent->right) = all[i];
        }
    }
    root = all[0];
    free(all);
}

__attribute__((noinline)) static void lose(void)
{
    for (int i = 0; i < 100; i++)
        last = malloc(100);
    last = NULL;
}

int main(int argc, char **argv)
{
    struct timespec t;
    make((size_t)atoi(argc > 1 ? argv[1] : "100") * (1 << 20) / sizeof(struct node));
    lose();
    clock_gettime(CLOCK_MONOTONIC, &t);
    fprintf(stderr, "end %lld.%09ld\n", (long long)t.tv_sec, t.tv_nsec);
    return 0;
}
