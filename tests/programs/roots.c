/* Known live and leaked objects in every kind of root.
 *
 * Each phase makes (or drops) a known number of objects, then asks for a cycle.  The program prints
 * what it knows ("phase NAME live=+N leaked=+N bytes=+N", changes against the cycle before); the
 * cycle's own line stands on stderr.  Whatever may allocate on its own account (threads, dlopen,
 * TLS blocks) happens before the first cycle, so that each change is the program's alone.
 *
 * The truth must be true: an address that survives by accident in a dead frame or a register would
 * make a leak look reachable.  So objects are made in functions whose frames are overwritten
 * afterwards, and all registers that a call may leave dirty are cleared.
 *
 *   roots PLUGIN [fork|main-exits|lost]
 *
 * "lost" is the check of the register phases themselves: the registers get a value that is no
 * address, and the same objects must be unreachable.  */
#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "noinline.h"
#include "truth/scrub.h"

#define MASK 0x5a5a5a5a5a5a5a5aul

struct node {
    struct node *left, *right;
    uint64_t payload[2];
};

/* ------------------------------------------------------------------ what the program knows */

static long live, leaked, leaked_bytes; /* since the last cycle */

static void say(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (write(STDOUT_FILENO, line, (size_t)n) != n)
        _exit(9);
}

static int (*gc)(void);

NOINLINE static void cycle(const char *phase)
{
    int error = -1;
    for (int tries = 0; gc && tries < 100; tries++) {
        scrub();
        error = gc();
        if (error != EAGAIN)
            break;
        usleep(50000); /* the stop did not succeed; its skip line says why */
    }
    say("phase %s live=%ld leaked=%ld bytes=%ld error=%d\n", phase, live, leaked, leaked_bytes,
        error);
    live = leaked = leaked_bytes = 0;
}

/* -------------------------------------------------------------------------- making objects */

enum fate { LIVE, LEAKED };

static void *object(size_t size, enum fate fate)
{
    void *p = calloc(1, size);
    if (p == NULL)
        abort();
    if (fate == LIVE) {
        live++;
    } else {
        leaked++;
        leaked_bytes += (long)malloc_usable_size(p);
    }
    return p;
}

static struct node *chain(int length, size_t size, enum fate fate)
{
    struct node *head = NULL;
    for (int i = 0; i < length; i++) {
        struct node *node = object(size, fate);
        node->left = head;
        head = node;
    }
    return head;
}

static struct node *tree(int depth, enum fate fate)
{
    struct node *node = object(sizeof *node, fate);
    if (depth > 1) {
        node->left = tree(depth - 1, fate);
        node->right = tree(depth - 1, fate);
    }
    return node;
}

static struct node *ring(int length, enum fate fate)
{
    struct node *head = chain(length, sizeof *head, fate), *last = head;
    while (last->left != NULL)
        last = last->left;
    last->left = head;
    return head;
}

/* ---------------------------------------------------------------------------------- globals */

/* volatile: the compiler must not see that nobody reads them. */
static void *volatile in_data = (void *)0x10; /* .data: an initial value that is not zero */
static struct node *volatile in_bss, *volatile in_bss_table[100];
static char *volatile interior_small, *volatile interior_large, *volatile interior_last;

NOINLINE static void make_globals(void)
{
    in_data = chain(10, 24, LIVE);
    in_bss = chain(1000, 48, LIVE);
    for (int i = 0; i < 100; i++)
        in_bss_table[i] = object((size_t)16 << (i % 12), LIVE);
}

NOINLINE static void drop_chain(void)
{
    long count = 0, bytes = 0;
    for (struct node *n = in_bss; n != NULL; n = n->left) {
        count++;
        bytes += (long)malloc_usable_size(n);
    }
    in_bss = NULL;
    live -= count;
    leaked += count;
    leaked_bytes += bytes;
}

NOINLINE static void make_interior(void)
{
    interior_small = (char *)object(200, LIVE) + 37;
    interior_large = (char *)object(1 << 20, LIVE) + 700001;
    interior_last = (char *)object(96, LIVE) + 95;
}

/* ------------------------------------------------------------------------------ heap shapes */

static void **volatile big_table;
static struct node *volatile shapes[4];

NOINLINE static void make_heap(void)
{
    shapes[0] = chain(5000, 32, LIVE);
    shapes[1] = tree(12, LIVE);
    shapes[2] = ring(300, LIVE);
    big_table = object(20000 * sizeof *big_table, LIVE);
    for (int i = 0; i < 2000; i++)
        big_table[i * 10] = object((size_t)(16 + i % 3000), LIVE);
}

NOINLINE static void resize_table(void)
{
    /* A block that moves takes everything below it along. */
    void **moved = realloc(big_table, 400000 * sizeof *big_table);
    memset(moved + 20000, 0, 380000 * sizeof *big_table);
    big_table = moved;
}

NOINLINE static void leak_shapes(void)
{
    tree(10, LEAKED);
    ring(100, LEAKED);
    object(100000, LEAKED);
    for (int i = 0; i < 50; i++) {
        struct node *a = object(64, LEAKED);
        a->left = object(1000, LEAKED);
        /* points at what is alive: no matter */
        a->right = shapes[0];
    }
}

/* ------------------------------------------------------------------- mapped pool, coroutine */

static void **pool;

NOINLINE static void make_pool(void)
{
    for (int i = 0; i < 64; i++)
        pool[i * 100] = chain(3, 80, LIVE);
}

static ucontext_t main_context, coroutine_context;
static volatile int coroutine_asks;

static void coroutine(void)
{
    struct node *volatile mine = chain(7, 64, LIVE);
    coroutine_asks = 1;
    scrub();
    swapcontext(&coroutine_context, &main_context);
    cycle("on-coroutine"); /* the stack pointer lies in a heap block */
    if (mine == NULL)
        abort();
    swapcontext(&coroutine_context, &main_context);
}

static void *coroutine_stack;

NOINLINE static void make_coroutine(void)
{
    enum { SIZE = 256 << 10 };
    coroutine_stack = object(SIZE, LIVE);
    getcontext(&coroutine_context);
    coroutine_context.uc_stack.ss_sp = coroutine_stack;
    coroutine_context.uc_stack.ss_size = SIZE;
    coroutine_context.uc_link = &main_context;
    makecontext(&coroutine_context, coroutine, 0);
    swapcontext(&main_context, &coroutine_context);
}

/* --------------------------------------------------------------------------------- threads */

/* A thread does one step each time it is told to, then waits in a way that is part of the test. */
enum step { IDLE, HOLD, QUIT };
struct actor {
    const char *name;
    void (*hold)(struct actor *); /* returns when `step` is no longer HOLD */
    pthread_t thread;
    int step, done; /* futex words */
    stack_t alternate;
};

static void futex_wait(int *word, int value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(int *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1 << 20, NULL, NULL, 0);
}

static int step_of(struct actor *a)
{
    return __atomic_load_n(&a->step, __ATOMIC_ACQUIRE);
}

static void tell(struct actor *a, enum step step)
{
    __atomic_store_n(&a->step, step, __ATOMIC_RELEASE);
    futex_wake(&a->step);
}

static void holding(struct actor *a)
{
    __atomic_store_n(&a->done, 1, __ATOMIC_RELEASE);
    futex_wake(&a->done);
}

static void wait_while_holding(struct actor *a)
{
    while (step_of(a) == HOLD)
        futex_wait(&a->step, HOLD);
}

static uintptr_t unmask = MASK; /* 0 with "lost" */

NOINLINE static uintptr_t hidden(size_t size)
{
    return (uintptr_t)object(size, unmask ? LIVE : LEAKED) ^ MASK;
}

NOINLINE static uintptr_t hidden_scrubbed(size_t size)
{
    uintptr_t p = hidden(size);
    scrub();
    return p;
}

/* The object's only pointer is in a callee-saved register of a thread that runs. */
static void hold_in_register(struct actor *a)
{
    uintptr_t p = hidden_scrubbed(56);
    __asm__ volatile("mov %[mask], %%r12\n"
                     "xor %[p], %%r12\n"
                     "movl $1, %[done]\n"
                     "1: pause\n"
                     "cmpl %[hold], %[step]\n"
                     "je 1b\n"
                     "xor %%r12d, %%r12d\n"
                     : [done] "+m"(a->done)
                     : [p] "r"(p), [mask] "m"(unmask), [step] "m"(a->step), [hold] "i"(HOLD)
                     : "r12", "memory", "cc");
}

/* ... in the upper half of a vector register. */
static void hold_in_vector(struct actor *a)
{
    uintptr_t p = hidden_scrubbed(72), mask = unmask;
    __asm__ volatile("movq %[p], %%xmm9\n"
                     "movq %[mask], %%xmm10\n"
                     "pxor %%xmm10, %%xmm9\n"
                     "pslldq $8, %%xmm9\n"
                     "movl $1, %[done]\n"
                     "1: pause\n"
                     "cmpl %[hold], %[step]\n"
                     "je 1b\n"
                     "pxor %%xmm9, %%xmm9\n"
                     : [done] "+m"(a->done)
                     : [p] "r"(p), [mask] "r"(mask), [step] "m"(a->step), [hold] "i"(HOLD)
                     : "xmm9", "xmm10", "memory", "cc");
}

/* ... in a callee-saved register of a thread that is blocked in a system call. */
static void hold_in_system_call(struct actor *a)
{
    uintptr_t p = hidden_scrubbed(88);
    int *word = &a->step;
    __asm__ volatile("mov %[mask], %%rbx\n"
                     "xor %[p], %%rbx\n"
                     "movl $1, %[done]\n"
                     "1: movl %[futex], %%eax\n"
                     "mov %[word], %%rdi\n"
                     "movl %[wait], %%esi\n"
                     "movl %[hold], %%edx\n"
                     "xor %%r10d, %%r10d\n"
                     "syscall\n"
                     "cmpl %[hold], (%[word])\n"
                     "je 1b\n"
                     "xor %%ebx, %%ebx\n"
                     : [done] "+m"(a->done)
                     : [p] "r"(p), [mask] "m"(unmask), [word] "r"(word), [hold] "i"(HOLD),
                       [futex] "i"(SYS_futex), [wait] "i"(FUTEX_WAIT_PRIVATE)
                     : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r10", "r11", "memory", "cc");
}

static void hold_on_stack(struct actor *a)
{
    struct node *mine[20];
    for (int i = 0; i < 20; i++)
        mine[i] = chain(2, 40, LIVE);
    __asm__ volatile("" : : "r"(mine) : "memory");
    scrub();
    holding(a);
    wait_while_holding(a);
    memset(mine, 0, sizeof mine);
    __asm__ volatile("" : : "r"(mine) : "memory");
}

static __thread struct node *volatile own_tls;
static __thread struct node *volatile own_tls_table[50];
static pthread_key_t low_key, high_key;
static void (*plugin_set_tls)(void *);
static void **plugin_data, **plugin_zero;

static void fill_tls(void)
{
    own_tls = chain(11, 24, LIVE);
    for (int i = 0; i < 50; i++)
        own_tls_table[i] = object(120, LIVE);
}

static void hold_in_tls(struct actor *a)
{
    fill_tls();
    scrub();
    holding(a);
    wait_while_holding(a);
}

static void hold_in_specific(struct actor *a)
{
    pthread_setspecific(low_key, chain(5, 56, LIVE));
    pthread_setspecific(high_key, chain(6, 56, LIVE));
    scrub();
    holding(a);
    wait_while_holding(a);
    pthread_setspecific(low_key, (void *)1);
    pthread_setspecific(high_key, (void *)1);
}

static void hold_in_plugin_tls(struct actor *a)
{
    plugin_set_tls(chain(9, 100, LIVE));
    scrub();
    holding(a);
    wait_while_holding(a);
}

/* All signals blocked, as the helper threads of GLib and glibc do. */
static void hold_with_signals_blocked(struct actor *a)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    hold_on_stack(a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* In a signal handler on an alternate stack: one object there, one on the normal stack. */
static __thread struct actor *in_handler;

static void on_user_signal(int number)
{
    struct node *volatile mine = chain(3, 64, LIVE);
    (void)number;
    scrub();
    holding(in_handler);
    wait_while_holding(in_handler);
    mine = NULL;
    (void)mine;
}

static void hold_on_alternate_stack(struct actor *a)
{
    struct node *volatile mine = chain(4, 64, LIVE);
    in_handler = a;
    sigaltstack(&a->alternate, NULL);
    scrub(); /* the frames that stay dead under the handler's, and the registers that it finds */
    raise(SIGUSR1);
    mine = NULL;
    (void)mine;
}

/* Whatever these allocate is there before the first cycle. */
static void touch_tls(void)
{
    pthread_setspecific(low_key, (void *)1);
    pthread_setspecific(high_key, (void *)1);
    plugin_set_tls(NULL);
}

static void *act(void *argument)
{
    struct actor *a = argument;
    touch_tls();
    holding(a);
    for (;;) {
        while (step_of(a) == IDLE)
            futex_wait(&a->step, IDLE);
        if (step_of(a) == QUIT)
            return NULL;
        a->hold(a);
        scrub();
    }
}

static void await(struct actor *a)
{
    while (!__atomic_load_n(&a->done, __ATOMIC_ACQUIRE))
        usleep(1000); /* not on the futex: hold_in_register wakes nobody */
    __atomic_store_n(&a->done, 0, __ATOMIC_RELEASE);
}

static struct actor actors[] = {
    {.name = "thread-stack", .hold = hold_on_stack},
    {.name = "register", .hold = hold_in_register},
    {.name = "vector-register", .hold = hold_in_vector},
    {.name = "register-in-system-call", .hold = hold_in_system_call},
    {.name = "thread-tls", .hold = hold_in_tls},
    {.name = "thread-specific", .hold = hold_in_specific},
    {.name = "thread-plugin-tls", .hold = hold_in_plugin_tls},
    {.name = "signals-blocked", .hold = hold_with_signals_blocked},
    {.name = "alternate-stack", .hold = hold_on_alternate_stack},
};
#define ACTORS (sizeof actors / sizeof actors[0])

/* ---------------------------------------------------------------- threads that come and go */

/* Forgets its objects and ends. */
static void *leaking_thread(void *unused)
{
    chain(150, 72, LEAKED);
    scrub();
    return unused;
}

/* Ends with its objects in its TLS. */
static void *ending_thread(void *unused)
{
    own_tls = chain(120, 72, LEAKED);
    own_tls_table[7] = object(333, LEAKED);
    scrub();
    return unused;
}

/* On a stack of the program's own, or of glibc's, which keeps stacks that have served (and the
 * block of pointers to TLS that belongs to each). */
static void run_thread(void *(*body)(void *), bool own_stack)
{
    enum { SIZE = 1 << 20 };
    pthread_t thread;
    pthread_attr_t attributes;
    void *stack = NULL;
    pthread_attr_init(&attributes);
    if (own_stack) {
        stack = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pthread_attr_setstack(&attributes, stack, SIZE);
    }
    if (pthread_create(&thread, &attributes, body, NULL) != 0)
        abort();
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    if (own_stack)
        munmap(stack, SIZE);
}

static void *nothing(void *unused)
{
    return unused;
}

NOINLINE static void make_main_tls(void)
{
    fill_tls();
    pthread_setspecific(low_key, chain(13, 56, LIVE));
    pthread_setspecific(high_key, chain(14, 56, LIVE));
    plugin_set_tls(chain(15, 56, LIVE));
}

NOINLINE static void make_plugin_data(void)
{
    *plugin_data = chain(21, 48, LIVE);
    plugin_zero[11] = chain(22, 48, LIVE);
}

/* ------------------------------------------------------------------------------------ main */

static void open_plugin(const char *path)
{
    void *plugin = dlopen(path, RTLD_NOW);
    if (plugin == NULL) {
        say("no plugin: %s\n", dlerror());
        exit(2);
    }
    plugin_data = dlsym(plugin, "plugin_data");
    plugin_zero = dlsym(plugin, "plugin_zero");
    *(void **)&plugin_set_tls = dlsym(plugin, "plugin_set_tls");
    plugin_set_tls(NULL);
}

static void all_phases(void)
{
    struct node *volatile on_stack[30];

    make_globals();
    cycle("globals");
    for (int i = 0; i < 30; i++)
        on_stack[i] = chain(2, 144, LIVE);
    cycle("stack");
    make_interior();
    cycle("interior");
    make_heap();
    cycle("heap");
    resize_table();
    cycle("realloc");
    make_pool();
    cycle("pool");
    make_main_tls();
    cycle("main-tls");
    make_plugin_data();
    cycle("plugin-data");
    for (unsigned i = 0; i < ACTORS; i++) {
        tell(&actors[i], HOLD);
        await(&actors[i]);
        cycle(actors[i].name);
    }
    make_coroutine();
    cycle("coroutine");
    swapcontext(&main_context, &coroutine_context);
    cycle("nothing-new");
    leak_shapes();
    cycle("leaks");
    drop_chain();
    cycle("dropped");
    for (int i = 0; i < 30; i++) {
        for (struct node *n = on_stack[i]; n != NULL; n = n->left) {
            live--;
            leaked++;
            leaked_bytes += (long)malloc_usable_size(n);
        }
        on_stack[i] = NULL;
    }
    cycle("dropped-stack");
    run_thread(leaking_thread, false);
    cycle("leaking-thread");
    run_thread(ending_thread, true);
    cycle("ended-thread-tls");
    run_thread(ending_thread, false); /* its TLS stays mapped, in a stack that waits for use */
    cycle("ended-thread-tls-kept");
}

/* Fills what the first thread's end has given back: the allocator's thread-locals of it, which lie
 * in memory that stays, still hold addresses there. */
NOINLINE static void leak_where_main_was(void)
{
    int (*mallctl)(const char *, void *, size_t *, void *, size_t) = dlsym(RTLD_DEFAULT, "mallctl");
    unsigned first = 0;
    if (mallctl == NULL || mallctl("thread.arena", NULL, NULL, &first, sizeof first) != 0)
        abort();
    for (int i = 0; i < 20000; i++)
        object(48, LEAKED);
}

/* A process whose first thread has ended goes on. */
static void *after_main(void *unused)
{
    touch_tls(); /* so that the allocator has what it keeps for this thread before main gives up its
                  */
    usleep(50000);
    run_thread(nothing, false); /* this thread has the stack that was spare */
    cycle("start");
    leak_where_main_was();
    cycle("where-main-was");
    all_phases();
    exit(0);
    return unused;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    const char *mode = argc > 2 ? argv[2] : "";
    if (strcmp(mode, "lost") == 0)
        unmask = 0;
    *(void **)&gc = dlsym(RTLD_DEFAULT, "md_gc");
    pthread_key_t filler;
    pthread_key_create(&low_key, NULL);
    for (int i = 0; i < 40; i++)
        pthread_key_create(&filler, NULL);
    pthread_key_create(&high_key, NULL); /* beyond the 32 that the thread's own block holds */
    open_plugin(argv[1]);
    touch_tls();
    pool = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = {.sa_handler = on_user_signal, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    for (unsigned i = 0; i < ACTORS; i++) {
        actors[i].alternate.ss_size = 256 << 10;
        actors[i].alternate.ss_sp =
            mmap(NULL, 256 << 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pthread_create(&actors[i].thread, NULL, act, &actors[i]) != 0)
            return 3;
        await(&actors[i]);
    }
    run_thread(nothing, false); /* whatever the first end of a thread sets up */
    run_thread(nothing, true);
    cycle("warm-up");
    if (strcmp(mode, "main-exits") == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, after_main, NULL);
        pthread_exit(NULL);
    }
    cycle("start");
    all_phases();
    if (strcmp(mode, "fork") == 0) {
        pid_t child = fork();
        if (child == 0) {
            cycle("child"); /* the other threads are gone: what only they held is unreachable */
            make_interior();
            cycle("child-2");
            _exit(0);
        }
        int status = -1;
        waitpid(child, &status, 0);
        cycle("parent-after-fork");
        if (status != 0)
            return 4;
    }
    return 0;
}
