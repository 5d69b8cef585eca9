/* A program with jemalloc's settings of its own: the variables that jemalloc's interface has for
 * it. */
#include <stddef.h>
#include <stdio.h>

int mallctl(const char *name, void *old, size_t *old_size, void *new_value, size_t new_size);
void malloc_stats_print(void (*write)(void *, const char *), void *data, const char *options);
extern void (*malloc_message)(void *data, const char *text);

const char *malloc_conf = "narenas:3";

static unsigned messages;

static void count(void *data, const char *text)
{
    (void)data, (void)text;
    messages++;
}

int main(void)
{
    unsigned arenas = 0;
    size_t size = sizeof arenas;
    mallctl("opt.narenas", &arenas, &size, NULL, 0);
    malloc_message = count;
    malloc_stats_print(NULL, NULL, NULL);
    printf("%u arenas, messages %s\n", arenas, messages ? "taken" : "lost");
    return 0;
}
