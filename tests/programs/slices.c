/* 100,000 slices, one kept: the exercise of Go's profiling workshops.
 *
 *   slices        the others are freed
 *   slices leak   the others are forgotten */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICES 100000
#define SLICE_SIZE 1024

static char *kept;

__attribute__((noinline)) static char *make_slice(void)
{
    char *slice = malloc(SLICE_SIZE);
    if (slice == NULL)
        abort();
    memset(slice, 0, SLICE_SIZE);
    return slice;
}

/* Overwrites what dead frames and registers still hold of the last slices. */
__attribute__((noinline)) static void forget(void)
{
    volatile char frames[16384];
    memset((char *)frames, 0, sizeof frames);
    __asm__ volatile("" : : "r"(frames) : "memory", "rbx", "r12", "r13", "r14", "r15");
}

__attribute__((noinline)) static void make_all(int leak)
{
    for (int i = 0; i < SLICES; i++) {
        char *slice = make_slice();
        if (i == 0)
            kept = slice;
        else if (!leak)
            free(slice);
    }
}

int main(int argc, char **argv)
{
    make_all(argc > 1 && strcmp(argv[1], "leak") == 0);
    forget();
    printf("%d slices, kept %d\n", SLICES, kept != NULL);
    return 0;
}
