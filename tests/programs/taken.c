/* Takes the addresses of malloc and free: where the executable is not position-independent these
 * are stubs of its own, as if it defined the functions. */
#include <stdio.h>
#include <stdlib.h>

static void *(*volatile allocate)(size_t) = malloc;
static void (*volatile release)(void *) = free;

int main(void)
{
    for (int i = 0; i < 1000; i++)
        release(allocate(100));
    printf("taken: %s\n", allocate == malloc && release == free ? "the same" : "others");
    return 0;
}
