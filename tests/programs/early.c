/* Allocates in the resolver of an IFUNC: before libc has set itself up, and before any constructor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 64
static char *blocks[BLOCKS];

static int answer(void)
{
    return 42;
}

__attribute__((used)) static int (*resolve(void))(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(1000 + i);
        if (blocks[i])
            memset(blocks[i], 1, 1000 + i);
    }
    for (size_t i = 0; i < BLOCKS / 2; i++)
        free(blocks[i]);
    return answer;
}

int early(void) __attribute__((ifunc("resolve")));

int main(void)
{
    size_t kept = 0;
    for (size_t i = BLOCKS / 2; i < BLOCKS; i++) {
        kept += blocks[i] != NULL;
        free(blocks[i]);
    }
    printf("%d, %zu kept\n", early(), kept);
    return 0;
}
