/* A server that forks first: its worker idles while it goes on allocating, then works.
 *
 *   prefork BEFORE AFTER WORK LOST [THREADS]
 *
 * Blocks of 1000 bytes by the server before and after the fork, by the worker, and of 600 that the
 * worker loses; with THREADS so many begin to allocate at once in the worker, first of all.
 *
 * "worker=PID status=N", -N by a signal.  The worker ends by exit(3). */
#include "noinline.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct block {
    struct block *next;
    char filler[992];
};
static struct block *kept;

static void keep(void *p)
{
    if (!p)
        abort();
    struct block *block = p;
    block->next = kept;
    kept = block;
}

NOINLINE static void before_fork(int count)
{
    for (; count > 0; count--)
        keep(malloc(sizeof(struct block)));
}

/* Of the size that the worker loses too: both have the same addresses for them. */
NOINLINE static void after_fork(int count)
{
    for (; count > 0; count--) {
        keep(malloc(sizeof(struct block)));
        *(void **)kept->filler = malloc(600);
    }
}

NOINLINE static void work(int count)
{
    for (; count > 0; count--)
        keep(malloc(sizeof(struct block)));
}

NOINLINE static void lose(int count)
{
    for (; count > 0; count--) {
        void *volatile lost = malloc(600);
        (void)lost;
    }
}

NOINLINE static void scrub(void)
{
    volatile char bytes[16384];
    memset((void *)bytes, 0, sizeof bytes);
}

static pthread_barrier_t barrier;

static void *churn(void *unused)
{
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 3000; i++) {
        void *volatile block = malloc(100 + (size_t)i % 900);
        free(block);
    }
    return unused;
}

static void begin_together(unsigned count)
{
    pthread_t thread[64];
    pthread_barrier_init(&barrier, NULL, count);
    for (unsigned i = 0; i < count; i++)
        pthread_create(&thread[i], NULL, churn, NULL);
    for (unsigned i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
}

int main(int argc, char **argv)
{
    int pipes[2], status;
    char go = 0;
    if (argc < 5 || pipe(pipes) != 0)
        return 2;
    before_fork(atoi(argv[1]));
    pid_t worker = fork();
    if (worker == 0) {
        close(pipes[1]);
        if (read(pipes[0], &go, 1) != 1)
            _exit(4);
        if (argc > 5)
            begin_together((unsigned)atoi(argv[5]) % 64);
        work(atoi(argv[3]));
        lose(atoi(argv[4]));
        scrub();
        exit(3);
    }
    after_fork(atoi(argv[2]));
    if (worker < 0 || write(pipes[1], &go, 1) != 1 || waitpid(worker, &status, 0) != worker)
        return 2;
    printf("worker=%d status=%d\n", (int)worker,
           WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status));
    return 0;
}
