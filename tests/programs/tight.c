/* A program with little room: allocates on a small stack, forks among threads that allocate. */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static void allocate(int times)
{
    for (int i = 0; i < times; i++) {
        char *block = malloc(1000);
        *(volatile char *)block = 1;
        if (i % 3)
            free(block);
    }
}

/* On a coroutine's stack; says how much of it was used. */
static ucontext_t caller, coroutine;

static void on_coroutine(void)
{
    allocate(30000);
}

static int stack(void)
{
    const size_t size = 64 << 10;
    unsigned char *room =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(room, 0xa5, size);
    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = room;
    coroutine.uc_stack.ss_size = size;
    coroutine.uc_link = &caller;
    makecontext(&coroutine, on_coroutine, 0);
    swapcontext(&caller, &coroutine);
    size_t unused = 0;
    while (unused < size && room[unused] == 0xa5)
        unused++;
    printf("stack=%zu\n", size - unused);
    return 0;
}

/* A stack for each value of `bits`, so that the unwinder has something to look up. */
static __attribute__((noinline)) void *deep(unsigned bits, int depth)
{
    void *block;
    if (depth == 0)
        return malloc(64 + (bits & 1023));
    if (bits & 1) {
        block = deep(bits >> 1, depth - 1);
    } else {
        block = deep(bits >> 1, depth - 1);
        __asm__ volatile("");
    }
    __asm__ volatile("");
    return block;
}

static volatile int stop;

static void *churn(void *seed)
{
    for (unsigned s = (unsigned)(size_t)seed; !stop;) {
        s = s * 1103515245 + 12345;
        free(deep(s >> 8, 14 + (int)(s >> 28)));
    }
    return NULL;
}

/* Children that allocate and load a library; how many never end. */
static int forks(int count)
{
    pthread_t threads[4];
    int hung = 0;
    for (size_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(i * 7919 + 1));
    for (int i = 0; i < count && !hung; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            for (unsigned k = 0; k < 100; k++)
                free(deep(k * 2654435761u, 14));
            dlopen("libresolv.so.2", RTLD_NOW);
            _exit(0);
        }
        int left = 5000;
        while (waitpid(pid, NULL, WNOHANG) == 0 && --left)
            usleep(1000);
        if (!left) {
            hung++;
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
    }
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("hung=%d\n", hung);
    return 0;
}

/* A child that does nothing is sent a signal. */
static int signalled_child(int number)
{
    allocate(3000);
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        pause();
        _exit(0);
    }
    usleep(200000);
    kill(pid, number);
    usleep(500000);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "", *word = argc > 2 ? argv[2] : "";
    if (strcmp(mode, "stack") == 0)
        return stack();
    if (strcmp(mode, "fork") == 0)
        return forks(atoi(word));
    if (strcmp(mode, "signal") == 0)
        return signalled_child(atoi(word));
    if (strcmp(mode, "limits") == 0) {
        /* Some memory in small blocks, then as much in one as word says. */
        allocate(20000);
        void *block = malloc(strtoul(word, NULL, 10));
        printf("block=%s\n", block ? "yes" : "no");
        return 0;
    }
    return 2;
}
