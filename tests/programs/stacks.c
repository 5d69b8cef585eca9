/* Threads on stacks of a few KiB, and on alternate ones, that are stopped there.
 *
 *   stacks coroutines BYTES    sixteen coroutines on stacks of that size, blocks of the heap; says
 * how many of them have written below their stack, and how much was used stacks alternate BYTES
 * threads that work in a signal handler on an alternate stack stacks switching           threads
 * that switch between coroutines all the time */
#include "hostile.h"

#include <asm/prctl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

#define COROUTINES 16
#define GUARD 32768
#define FILL 0xa5

static struct coroutine {
    ucontext_t context;
    unsigned char *block; /* GUARD bytes, then the stack */
    volatile int started;
} coroutines[COROUTINES];
static ucontext_t caller;
static int current;
static double until;

/* Little of its own, so that what is used is what the stop needs. */
static void spin(void)
{
    int me = current;
    coroutines[me].started = 1;
    while (now() < until) {
        struct timespec ts = {0, 200000};
        nanosleep(&ts, NULL);
        swapcontext(&coroutines[me].context, &caller);
    }
}

static long deepest(long size, long *overflowed)
{
    long most = 0;
    *overflowed = 0;
    for (int i = 0; i < COROUTINES; i++) {
        long unused = 0;
        while (unused < GUARD + size && coroutines[i].block[unused] == FILL)
            unused++;
        *overflowed += unused < GUARD;
        if (GUARD + size - unused > most)
            most = GUARD + size - unused;
    }
    return most;
}

static int coroutines_of(long size)
{
    for (int i = 0; i < COROUTINES; i++) {
        struct coroutine *c = &coroutines[i];
        c->block = malloc(GUARD + (size_t)size);
        memset(c->block, FILL, GUARD + (size_t)size);
        getcontext(&c->context);
        c->context.uc_stack.ss_sp = c->block + GUARD;
        c->context.uc_stack.ss_size = (size_t)size;
        c->context.uc_link = &caller;
        makecontext(&c->context, spin, 0);
    }
    until = now() + RUN_SECONDS;
    while (now() < until) {
        for (current = 0; current < COROUTINES; current++)
            swapcontext(&caller, &coroutines[current].context);
        work(10);
    }
    long overflowed, most = deepest(size, &overflowed);
    printf("frame=%lu used=%ld ", getauxval(AT_MINSIGSTKSZ), most);
    return finish("coroutines", overflowed);
}

/* ---- alternate stacks ---- */

static volatile long handled;

static void on_signal(int number)
{
    (void)number;
    double end = now() + 0.02;
    volatile char here[256];
    memset((char *)here, 1, sizeof here);
    while (now() < end)
        for (size_t i = 0; i < sizeof here; i++)
            if (here[i] != 1)
                abort();
    __atomic_add_fetch(&handled, 1, __ATOMIC_RELAXED);
}

static void *with_alternate(void *bytes)
{
    size_t size = (size_t)bytes;
    stack_t stack = {.ss_sp = malloc(size), .ss_size = size};
    if (sigaltstack(&stack, NULL) != 0)
        return (void *)1;
    while (!stop)
        raise(SIGUSR1);
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
    free(stack.ss_sp);
    return NULL;
}

static int alternate(long bytes)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    pthread_t threads[4];
    long failed = 0;
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, with_alternate, (void *)bytes);
    work_for(RUN_SECONDS);
    stop = 1;
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        failed += result != NULL;
    }
    printf("frame=%lu handled=%s ", getauxval(AT_MINSIGSTKSZ), handled > 4 ? "yes" : "no");
    return finish("alternate", failed);
}

/* ---- switching all the time ---- */

struct pair {
    ucontext_t one, two;
    long switches;
    struct node *held;
};

static void answer(unsigned high, unsigned low)
{
    struct pair *pair = (struct pair *)((uintptr_t)high << 32 | low);
    struct node *mine = malloc(sizeof *mine); /* on this stack and nowhere else */
    *mine = (struct node){NULL, 7, 7};
    for (;;) {
        pair->switches += mine->number == 7 && mine->check == 7;
        swapcontext(&pair->two, &pair->one);
    }
}

static void *switch_often(void *unused)
{
    (void)unused;
    struct pair *pair = calloc(1, sizeof *pair);
    size_t size = 64 << 10;
    getcontext(&pair->two);
    pair->two.uc_stack.ss_sp =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pair->two.uc_stack.ss_size = size;
    makecontext(&pair->two, (void (*)(void))answer, 2, (unsigned)((uintptr_t)pair >> 32),
                (unsigned)(uintptr_t)pair);
    long asked = 0;
    while (!stop) {
        asked++;
        swapcontext(&pair->one, &pair->two);
    }
    return (void *)(asked - pair->switches);
}

static int switching(long unused)
{
    pthread_t threads[4];
    long failed = 0;
    (void)unused;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, switch_often, NULL);
    work_for(RUN_SECONDS);
    stop = 1;
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        failed += (long)wrong;
    }
    return finish("switching", failed);
}

/* ---- a thread made past libc ---- */

static volatile int bare_runs;
static volatile long bare_wrong;

/* Without a thread pointer: nothing here may look at a thread-local, errno included. */
__attribute__((used, no_stack_protector)) static void bare_main(void)
{
    struct timespec ts = {0, 3000000};
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(SYS_arch_prctl), "D"(ARCH_SET_FS), "S"(0)
                     : "rcx", "r11", "memory");
    bare_runs = 1;
    while (!stop) {
        __asm__ volatile("mov %[nanosleep], %%eax\n\tsyscall"
                         : "=&a"(result)
                         : [nanosleep] "i"(SYS_nanosleep), "D"(&ts), "S"(NULL)
                         : "rcx", "r11", "memory");
        bare_wrong += result != 0;
    }
    bare_runs = 0;
    __asm__ volatile("syscall" : : "a"(SYS_exit), "D"(0) : "rcx", "r11", "memory");
    __builtin_unreachable();
}

__attribute__((naked, used)) static long clone_bare(unsigned long flags, void *top)
{
    __asm__("mov $56, %eax\n\t"
            "xor %edx, %edx\n\t"
            "xor %r10d, %r10d\n\t"
            "xor %r8d, %r8d\n\t"
            "syscall\n\t"
            "test %rax, %rax\n\t"
            "jz 1f\n\t"
            "ret\n"
            "1:\n\t"
            "xor %ebp, %ebp\n\t"
            "call bare_main");
}

static int bare(long unused)
{
    size_t size = 64 << 10;
    char *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)unused;
    if (clone_bare(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
                   room + size - 64) < 0)
        return 3;
    work_for(RUN_SECONDS);
    long ran = bare_runs;
    stop = 1;
    for (int i = 0; i < 2000 && bare_runs; i++)
        usleep(1000);
    return finish("bare", bare_wrong + (ran != 1) + bare_runs);
}

int main(int argc, char **argv)
{
    static const struct mode modes[] = {
        {"coroutines", coroutines_of},
        {"alternate", alternate},
        {"switching", switching},
        {"bare", bare},
        {NULL, NULL},
    };
    return run_mode(modes, argc, argv);
}
