/* Holds as much memory as it is told to, in blocks of 1000 and of 100000 bytes, half each.
 *
 *   levels       reads lines: a number: from then on so many MB are held, and it says the number;
 *                "churn N": N MB are allocated and freed at once, and it says "churned"
 *                "trim": malloc_trim(0), and it says "trimmed"
 *                "give back": md_free_os_memory(), and it says what that has returned */
#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct block {
    struct block *next;
    size_t size;
};
static struct block *held;
static size_t held_bytes;

__attribute__((noinline)) static void *fill(size_t size)
{
    struct block *block = malloc(size);
    if (!block)
        abort();
    memset(block, 1, size);
    return block;
}

__attribute__((noinline)) static void raise_to(size_t bytes)
{
    for (size_t small = 0; held_bytes < bytes; small++) {
        struct block *block = fill(small % 101 ? 1000 : 100000);
        block->size = small % 101 ? 1000 : 100000;
        block->next = held;
        held = block;
        held_bytes += block->size;
    }
}

static void lower_to(size_t bytes)
{
    while (held && held_bytes > bytes) {
        struct block *block = held;
        held = block->next;
        held_bytes -= block->size;
        free(block);
    }
}

int main(void)
{
    char line[64];
    size_t megabytes;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "churn %zu", &megabytes) == 1) {
            for (size_t i = 0; i < megabytes << 4; i++)
                free(fill(65536));
            printf("churned\n");
        } else if (strcmp(line, "trim\n") == 0) {
            malloc_trim(0);
            printf("trimmed\n");
        } else if (strcmp(line, "give back\n") == 0) {
            int (*give_back)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "md_free_os_memory");
            printf("%d\n", give_back ? give_back() : -1);
        } else if (sscanf(line, "%zu", &megabytes) == 1) {
            raise_to(megabytes << 20);
            lower_to(megabytes << 20);
            printf("%zu\n", megabytes);
        }
        fflush(stdout);
    }
    return 0;
}
