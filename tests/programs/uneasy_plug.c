/* A library for uneasy.c: allocates in its constructor and its destructor. */
#include <stdlib.h>
#include <string.h>

#define BLOCK 8000
#define BLOCKS 20

static void allocate(void)
{
    char *block[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        block[i] = malloc(BLOCK);
        memset(block[i], i, 16);
    }
    for (int i = 0; i < BLOCKS; i++)
        free(block[i]);
}

static __attribute__((constructor)) void begin(void)
{
    allocate();
}

static __attribute__((destructor)) void end(void)
{
    allocate();
}
