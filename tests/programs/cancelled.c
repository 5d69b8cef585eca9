/* A thread whose cancellation is pending, and that only allocates and frees, goes on to its end. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static volatile int go;

static void *allocate(void *unused)
{
    while (!go)
        ;
    for (size_t done = 0; done < 64u << 20; done += 1000) {
        char *volatile block = malloc(1000);
        free(block);
    }
    return unused;
}

int main(void)
{
    pthread_t thread;
    void *result = &thread;
    if (pthread_create(&thread, NULL, allocate, NULL) != 0)
        return 2;
    pthread_cancel(thread);
    go = 1;
    pthread_join(thread, &result);
    puts(result == PTHREAD_CANCELED ? "cancelled inside an allocation" : "to its end");
    return 0;
}
