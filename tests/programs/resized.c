/* Threads that grow and shrink large blocks where they lie, all the time, while cycles are asked
 * for: nothing is ever lost.
 *
 *   resized THREADS CYCLES */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS_MAX 16
#define LEAST ((size_t)800 << 10)
#define MOST ((size_t)1000 << 10)

static bool stop;

static void *resize(void *arg)
{
    (void)arg;
    void *block = malloc(MOST);
    while (block && !__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        block = realloc(block, LEAST);
        block = block ? realloc(block, MOST) : NULL;
    }
    free(block);
    return NULL;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 1, cycles = argc > 2 ? atoi(argv[2]) : 1;
    pthread_t ids[THREADS_MAX];
    int (*gc)(void);
    *(void **)&gc = dlsym(RTLD_DEFAULT, "md_gc");
    if (!gc || threads > THREADS_MAX)
        return 2;
    printf("lost 0 0\n");
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, resize, NULL) != 0)
            return 2;
    for (int i = 0; i < cycles; i++)
        gc();
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    printf("done\n");
    return 0;
}
