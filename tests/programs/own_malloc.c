/* A program with a malloc of its own: a bump allocator that never frees. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA (64u << 20)
static unsigned char *arena;
static size_t used, calls;

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    if (arena == NULL)
        arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size = (size + 31) & ~(size_t)15;
    if (size > ARENA - used)
        return NULL;
    unsigned char *p = arena + used;
    used += size;
    calls++;
    *(size_t *)(void *)p = size - 16;
    return p + 16;
}

__attribute__((visibility("default"))) void free(void *p)
{
    (void)p;
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size)
{
    void *p = malloc(n * size); /* fresh pages are zero and nothing is used twice */
    return p;
}

__attribute__((visibility("default"))) void *realloc(void *old, size_t size)
{
    void *p = malloc(size);
    if (p && old) {
        size_t before = *(size_t *)(void *)((unsigned char *)old - 16);
        memcpy(p, old, before < size ? before : size);
    }
    return p;
}

int main(void)
{
    for (int i = 0; i < 1000; i++) {
        char *p = malloc(100);
        memset(p, i, 100);
    }
    printf("own malloc: %s\n", calls >= 1000 ? "used" : "not used");
    return 0;
}
