/* glibc's other names for its malloc, mixed with the usual ones, as wrappers of malloc mix them. */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);
void __libc_free(void *block);
__asm__(".symver old_cfree, cfree@GLIBC_2.2.5");
void old_cfree(void *block);

static unsigned wrong;

/* Writes to all that the block claims to have. */
static void *use(void *block, size_t size, size_t alignment)
{
    size_t usable = malloc_usable_size(block);
    wrong += !block || usable < size || usable > 2 * size + 8192 || (uintptr_t)block % alignment;
    if (block)
        memset(block, 0x5a, usable);
    return block;
}

int main(void)
{
    for (size_t size = 1; size < 200000; size += size / 3 + 1) {
        free(use(__libc_malloc(size), size, 16));
        free(use(__libc_calloc(2, size), 2 * size, 16));
        free(use(__libc_memalign(256, size), size, 256));
        free(use(__libc_valloc(size), size, 4096));
        free(use(__libc_pvalloc(size), size, 4096));
        free(use(__libc_realloc(use(malloc(size), size, 16), 2 * size), 2 * size, 16));
        free(use(realloc(use(__libc_malloc(size), size, 16), 2 * size), 2 * size, 16));
        __libc_free(use(malloc(size), size, 16));
        old_cfree(use(calloc(1, size), size, 16));
        __libc_free(use(memalign(64, size), size, 64));
    }
    printf("doors: %u wrong\n", wrong);
    return 0;
}
