/* What only another thread knows: its registers, its stack, its TLS, and libc's record of it. */
#include "truth.h"

#include <dlfcn.h>
#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <ucontext.h>
#include <unistd.h>

static struct actor actor;

NOINLINE static uintptr_t hidden_object(size_t size, enum fate fate)
{
    uintptr_t p = hide(object(size, fate));
    scrub();
    return p;
}

/* ------------------------------------------------------------------------------- registers */

/* In one register of a thread that runs: `load` takes the address in rcx, which is cleared. */
#define SPIN(load)                                                                                 \
    uintptr_t p = hidden_object(64, LIVE), mask = MASK;                                            \
    scrub();                                                                                       \
    __asm__ volatile("mov %[p], %%rcx\n xor %[mask], %%rcx\n" load "\n xor %%ecx, %%ecx\n"         \
                     "movl $1, %[done]\n 1: pause\n cmpl $1, %[step]\n je 1b\n"                    \
                     : [done] "+m"(a->done)                                                        \
                     : [p] "r"(p), [mask] "r"(mask), [step] "m"(a->step)                           \
                     : "rcx", "rbx", "r12", "xmm9", "memory", "cc")

static void hold_rbx(struct actor *a)
{
    SPIN("mov %%rcx, %%rbx");
}

static void hold_r12(struct actor *a)
{
    SPIN("mov %%rcx, %%r12");
}

static void hold_xmm(struct actor *a)
{
    SPIN("movq %%rcx, %%xmm9");
}

static void hold_xmm_high(struct actor *a)
{
    SPIN("movq %%rcx, %%xmm9\n pslldq $8, %%xmm9");
}

static void hold_mmx(struct actor *a)
{
    SPIN("movq %%rcx, %%mm3");
    __asm__ volatile("emms");
}

__attribute__((target("avx"))) static void hold_ymm_high(struct actor *a)
{
    SPIN("vmovq %%rcx, %%xmm9\n vperm2f128 $0x08, %%ymm9, %%ymm9, %%ymm9");
}

__attribute__((target("avx512f"))) static void hold_zmm(struct actor *a)
{
    SPIN("vpbroadcastq %%rcx, %%zmm9\n vextracti64x4 $1, %%zmm9, %%ymm9\n"
         "vpxord %%zmm25, %%zmm25, %%zmm25\n vinserti64x4 $1, %%ymm9, %%zmm25, %%zmm25\n"
         "vpxor %%xmm9, %%xmm9, %%xmm9");
}

static void hold_ymm_or_less(struct actor *a)
{
    __builtin_cpu_supports("avx") ? hold_ymm_high(a) : hold_xmm_high(a);
}

static void hold_zmm_or_less(struct actor *a)
{
    __builtin_cpu_supports("avx512f") ? hold_zmm(a) : hold_ymm_or_less(a);
}

/* Below the stack pointer, where a leaf function may keep things. */
static void hold_red_zone(struct actor *a)
{
    SPIN("mov %%rcx, -120(%%rsp)");
}

/* In a register, through a system call. */
static void hold_system_call(struct actor *a)
{
    uintptr_t p = hidden_object(64, LIVE), mask = MASK;
    int *word = &a->step;
    __asm__ volatile("mov %[mask], %%rbx\n xor %[p], %%rbx\n"
                     "movl $1, %[done]\n"
                     "1: movl %[futex], %%eax\n mov %[word], %%rdi\n movl %[wait], %%esi\n"
                     "movl $1, %%edx\n xor %%r10d, %%r10d\n syscall\n"
                     "cmpl $1, (%[word])\n je 1b\n xor %%ebx, %%ebx\n"
                     : [done] "+m"(a->done)
                     : [p] "r"(p), [mask] "r"(mask), [word] "r"(word), [futex] "i"(SYS_futex),
                       [wait] "i"(FUTEX_WAIT_PRIVATE)
                     : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r10", "r11", "memory", "cc");
}

/* Forgotten: the same with a mask that is not undone. */
static void hold_nothing(struct actor *a)
{
    a->hidden = hidden_object(64, DIRECT);
    scrub();
    actor_holds(a);
    actor_wait(a);
}

/* ---------------------------------------------------------------------------- stack and TLS */

static void hold_stack(struct actor *a)
{
    void *volatile mine[20];
    for (int i = 0; i < 20; i++)
        mine[i] = chain(2, LIVE, LIVE);
    scrub();
    actor_holds(a);
    actor_wait(a);
    (void)mine[0];
}

static void hold_stack_blocked(struct actor *a)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    hold_stack(a);
}

static __thread void *volatile own_tls;
static __thread void *volatile own_tls_table[50];
static pthread_key_t low_key, high_key;
static tss_t c11_key;
static void (*plugin_set_tls)(void *);

static void hold_tls(struct actor *a)
{
    own_tls = chain(3, LIVE, LIVE);
    own_tls_table[49] = chain(4, LIVE, LIVE);
    scrub();
    actor_holds(a);
    actor_wait(a);
}

static void main_tls_body(void)
{
    own_tls = chain(3, LIVE, LIVE);
    own_tls_table[49] = chain(4, LIVE, LIVE);
}

static void make_keys(void)
{
    pthread_key_t filler;
    pthread_key_create(&low_key, NULL);
    tss_create(&c11_key, NULL);
    for (int i = 0; i < 40; i++)
        pthread_key_create(&filler, NULL);
    pthread_key_create(&high_key, NULL); /* beyond the 32 that a thread's own block holds */
    pthread_setspecific(high_key, (void *)1);
}

static void main_specific_body(void)
{
    pthread_setspecific(low_key, chain(3, LIVE, LIVE));
    pthread_setspecific(high_key, chain(4, LIVE, LIVE));
    tss_set(c11_key, chain(5, LIVE, LIVE));
}

static void open_plugin(void)
{
    void *plugin = dlopen(truth_plugin, RTLD_NOW);
    if (!plugin)
        abort();
    *(void **)&plugin_set_tls = dlsym(plugin, "plugin_set_tls");
}

/* Sets up what a thread allocates of its own, before the first cycle; then waits twice. */
static struct actor prepared;

static void *prepared_thread(void *argument)
{
    struct actor *a = argument;
    if (plugin_set_tls)
        plugin_set_tls(NULL);
    if (high_key)
        pthread_setspecific(high_key, (void *)1);
    actor_holds(a);
    while (__atomic_load_n(&a->step, __ATOMIC_ACQUIRE) == 0)
        usleep(500);
    if (plugin_set_tls)
        plugin_set_tls(chain(4, LIVE, LIVE));
    if (high_key) {
        pthread_setspecific(low_key, chain(5, LIVE, LIVE));
        pthread_setspecific(high_key, chain(6, LIVE, LIVE));
    }
    scrub();
    actor_holds(a);
    actor_wait(a);
    return NULL;
}

static void start_prepared(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, prepared_thread, &prepared);
    while (!__atomic_load_n(&prepared.done, __ATOMIC_ACQUIRE))
        usleep(500);
    prepared.done = 0;
}

static void before_plugin_tls(void)
{
    open_plugin();
    start_prepared();
}

static void before_specific(void)
{
    make_keys();
    start_prepared();
}

static void prepared_body(void)
{
    actor_go(&prepared);
}

/* ------------------------------------------------------------------------- libc's record */

static void *take_argument(void *argument)
{
    (void)argument;
    scrub();
    __atomic_store_n(&actor.done, 1, __ATOMIC_RELEASE);
    __asm__ volatile("xor %%edi, %%edi\n xor %%ebx, %%ebx\n xor %%ebp, %%ebp\n"
                     "1: pause\n cmpl $0, %0\n je 1b" ::"m"(actor.step)
                     : "rdi", "rbx", "cc", "memory");
    return NULL;
}

static void *give_result(void *argument)
{
    void *result = chain(3, LIVE, LIVE);
    (void)argument;
    scrub();
    return result;
}

static void *nothing(void *argument)
{
    return argument;
}

static pthread_t thread;

/* libc keeps a thread's stack, and the block of its TLS pointers, for the next one. */
static void spare_thread(void)
{
    pthread_t spare;
    pthread_create(&spare, NULL, nothing, NULL);
    pthread_join(spare, NULL);
}

/* Only struct pthread has it: libc's own frames and registers of it may too. */
static void argument_body(void)
{
    pthread_create(&thread, NULL, take_argument, chain(3, LIVE, LIVE));
    while (!__atomic_load_n(&actor.done, __ATOMIC_ACQUIRE))
        usleep(500);
}

/* It has ended; nobody has joined it. */
static void result_body(void)
{
    char path[64];
    pthread_create(&thread, NULL, give_result, NULL);
    (void)path;
    for (int i = 0; i < 100; i++) /* joinable, so its record stays; give it time to end */
        usleep(500);
}

static void *drop_thread(void *argument)
{
    own_tls = chain(5, DIRECT, INDIRECT);
    chain(3, DIRECT, INDIRECT);
    scrub();
    return argument;
}

static void dead_thread_body(void)
{
    pthread_create(&thread, NULL, drop_thread, NULL);
    pthread_join(thread, NULL);
    scrub();
}

static void *drop_result(void *argument)
{
    void *result = chain(3, DIRECT, INDIRECT);
    (void)argument;
    scrub();
    return result;
}

/* On a stack of the program's own, which it then unmaps. */
static void dead_stack_body(void)
{
    enum { SIZE = 1 << 20 };
    pthread_attr_t attributes;
    void *stack = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack, SIZE);
    pthread_create(&thread, &attributes, drop_result, NULL);
    pthread_join(thread, NULL); /* and the result is not looked at */
    pthread_attr_destroy(&attributes);
    munmap(stack, SIZE);
    scrub();
}

/* Memory of the program behind a mapping without access, and a stack that it hands out above that:
 * to the kernel the two are one mapping. */
static struct node **below_stack;

static void make_below_stack(void *(*on_stack)(void *))
{
    enum { PAGE = 4096, SIZE = 1 << 20 };
    pthread_attr_t attributes;
    char *memory =
        mmap(NULL, 2 * PAGE + SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(memory, PAGE, PROT_NONE);
    below_stack = (struct node **)(memory + PAGE);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, memory + 2 * PAGE, SIZE);
    pthread_create(&thread, &attributes, on_stack, NULL);
    pthread_attr_destroy(&attributes);
}

static void *stay(void *argument)
{
    for (;;)
        pause();
    return argument;
}

static void before_below_live(void)
{
    make_below_stack(stay);
}

static void before_below_dead(void)
{
    make_below_stack(nothing);
    pthread_join(thread, NULL);
}

static void below_stack_body(void)
{
    *below_stack = chain(3, LIVE, LIVE);
    scrub();
}

static void before_dead_stack(void)
{
    enum { SIZE = 1 << 20 };
    pthread_attr_t attributes;
    void *stack = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack, SIZE);
    pthread_create(&thread, &attributes, nothing, NULL);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    munmap(stack, SIZE);
}

/* Two stacks that adjoin, each with a guard at its start.  Where Linux can mark pages as guards the
 * two are one mapping; so are libc's own from glibc 2.42 on. */
enum { ADJOINING_BYTES = 1 << 20 };
static char *adjoining;
static int upper_may_drop;

static void on_adjoining(int which, void *(*run)(void *))
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, adjoining + (size_t)which * ADJOINING_BYTES,
                          ADJOINING_BYTES);
    pthread_create(&thread, &attributes, run, NULL);
    pthread_attr_destroy(&attributes);
}

/* Deeper on the stack than scrub() goes. */
NOINLINE static void drop_below(void)
{
    struct node *frames[16384];
    frames[0] = chain(3, DIRECT, INDIRECT);
    __asm__ volatile("" : : "r"(frames) : "memory");
}

static void *drop_and_stay(void *argument)
{
    while (!__atomic_load_n(&upper_may_drop, __ATOMIC_ACQUIRE))
        usleep(500);
    drop_below();
    scrub();
    __atomic_store_n(&actor.done, 1, __ATOMIC_RELEASE);
    return stay(argument);
}

static void *drop_and_end(void *argument)
{
    drop_below();
    return drop_thread(argument);
}

static void before_adjoining(void)
{
    enum { PAGE = 4096, GUARD_INSTALL = 102 };
    adjoining =
        mmap(NULL, 2 * ADJOINING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (char *start = adjoining; start < adjoining + 2 * ADJOINING_BYTES; start += ADJOINING_BYTES)
        if (madvise(start, PAGE, GUARD_INSTALL) != 0)
            mprotect(start, PAGE, PROT_NONE);
    on_adjoining(0, nothing);
    pthread_join(thread, NULL);
    on_adjoining(1, drop_and_stay);
}

static void adjoining_body(void)
{
    on_adjoining(0, drop_and_end);
    pthread_join(thread, NULL);
    __atomic_store_n(&upper_may_drop, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&actor.done, __ATOMIC_ACQUIRE))
        usleep(500);
    scrub();
}

/* -------------------------------------------------- a coroutine on another thread's stack */

static ucontext_t back, there;

static void coroutine(void)
{
    void *volatile mine = chain(7, LIVE, LIVE);
    scrub();
    look();
    swapcontext(&there, &back);
    (void)mine;
}

/* The thread lends a part of its frame. */
static void lend_frame(struct actor *a)
{
    _Alignas(16) char room[300 << 10];
    memset(room, 0, sizeof room);
    a->memory = room;
    __asm__ volatile("" : : "r"(room) : "memory");
    actor_holds(a);
    actor_wait(a);
}

static void borrowed_body(void)
{
    actor_go(&actor);
    getcontext(&there);
    there.uc_stack.ss_sp = actor.memory;
    there.uc_stack.ss_size = 300 << 10;
    there.uc_link = &back;
    makecontext(&there, coroutine, 0);
    swapcontext(&back, &there);
}

/* ------------------------------------------------------------------------- forked copies */

static void *volatile kept;

static void in_child(void (*body)(void))
{
    pid_t child = fork();
    if (child == 0) {
        look_once();
        body();
        scrub();
        look_once();
        look_once();
        _exit(0);
    }
    int status = -1;
    if (waitpid(child, &status, 0) != child || status != 0)
        abort();
}

static void child_leaks(void)
{
    chain(4, DIRECT, INDIRECT);
    kept = chain(5, LIVE, LIVE);
}

/* Its own, not its parent's. */
static void fork_body(void)
{
    in_child(child_leaks);
}

static void no_more(void)
{
}

/* What the parent has leaked is leaked in the copy. */
static void fork_inherits_body(void)
{
    kept = chain(6, LIVE, LIVE);
    chain(3, DIRECT, INDIRECT);
    scrub();
    in_child(no_more);
}

#define ACTOR(name, how)                                                                           \
    static void before_##name(void)                                                                \
    {                                                                                              \
        actor.hold = how;                                                                          \
        actor_start(&actor);                                                                       \
    }
ACTOR(rbx, hold_rbx)
ACTOR(r12, hold_r12)
ACTOR(xmm, hold_xmm)
ACTOR(xmm_high, hold_xmm_high)
ACTOR(mmx, hold_mmx)
ACTOR(ymm, hold_ymm_or_less)
ACTOR(zmm, hold_zmm_or_less)
ACTOR(red_zone, hold_red_zone)
ACTOR(system_call, hold_system_call)
ACTOR(nothing, hold_nothing)
ACTOR(stack, hold_stack)
ACTOR(blocked, hold_stack_blocked)
ACTOR(tls, hold_tls)
ACTOR(lender, lend_frame)

static void actor_body(void)
{
    actor_go(&actor);
}

#define LIBC_RECORD "does not look into libc's record of a thread"
#define FORKED "a forked copy is not asked"

const struct truth_case truth_threads[] = {
    {"register-rbx", before_rbx, actor_body, NULL, 0, 0},
    {"register-r12", before_r12, actor_body, NULL, 0, 0},
    {"register-xmm", before_xmm, actor_body, NULL, 0, 0},
    {"register-xmm-high", before_xmm_high, actor_body, NULL, 0, 0},
    {"register-mmx", before_mmx, actor_body, NULL, 0, 0},
    {"register-ymm-high", before_ymm, actor_body, NULL, 0, 0},
    {"register-zmm", before_zmm, actor_body, NULL, 0, 0},
    {"red-zone", before_red_zone, actor_body, "does not look below the stack pointer", 1, 0},
    {"register-in-system-call", before_system_call, actor_body, NULL, 0, 0},
    {"register-lost", before_nothing, actor_body, NULL, 0, 0},
    {"thread-stack", before_stack, actor_body, NULL, 0, 0},
    {"thread-signals-blocked", before_blocked, actor_body, NULL, 0, 0},
    {"thread-tls", before_tls, actor_body, NULL, 0, 0},
    {"main-tls", NULL, main_tls_body, NULL, 0, 0},
    {"main-specific", make_keys, main_specific_body, NULL, 0, 0},
    {"thread-specific", before_specific, prepared_body, NULL, 0, 0},
    {"thread-plugin-tls", before_plugin_tls, prepared_body, NULL, 0, 0},
    {"thread-argument", spare_thread, argument_body, LIBC_RECORD, 1, 2},
    {"thread-result", spare_thread, result_body, LIBC_RECORD, 1, 2},
    {"dead-thread", spare_thread, dead_thread_body, NULL, 0, 0},
    {"dead-thread-own-stack", before_dead_stack, dead_stack_body, NULL, 0, 0},
    {"below-live-stack", before_below_live, below_stack_body, UNMAPPED, 1, 2},
    {"below-dead-stack", before_below_dead, below_stack_body, UNMAPPED, 1, 2},
    {"adjoining-stacks", before_adjoining, adjoining_body, NULL, 0, 0},
    {"on-coroutine-in-thread", before_lender, borrowed_body, NULL, 0, 0},
    {"fork", NULL, fork_body, FORKED, -1, -1},
    {"fork-inherits", NULL, fork_inherits_body, FORKED, -1, -1},
    {NULL, NULL, NULL, NULL, 0, 0},
};
