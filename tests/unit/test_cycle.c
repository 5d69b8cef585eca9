/* Whole cycles over real threads, by the engine named in the argument (clone): what each kind of
 * root keeps, what nothing keeps, and what the program notices of it. */
#include "gc_heap.h"
#include "sanitizers.h"
#include "tap.h"

#include "base/compiler.h"
#include "gc/stop/world.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <sys/syscall.h>

/* Objects of each kind of root; the sizes differ so that a loss can be told. */
struct pair {
    struct pair *next;
    void *other;
};

static enum md_engine engine;
static struct md_cycle seen;
static unsigned seen_count;

static void on_cycle(const struct md_cycle *cycle)
{
    seen = *cycle;
    seen_count++;
}

/* Again where a thread or task got no CPU in time: this machine may have other work. */
static unsigned late;

static bool cycle_at_last(uint32_t flags, struct md_cycle *cycle)
{
    static const char *const why[] = {"marking took too long", "a thread did not stop",
                                      WORLD_CALLED_OFF};
    for (int tries = 0; !gc_cycle(flags, cycle); tries++, late++) {
        bool patient = false;
        for (unsigned i = 0; i < ARRAY_LENGTH(why); i++)
            patient |= strcmp(cycle->reason, why[i]) == 0;
        if (!patient || tries == 200)
            return false;
        usleep(20000);
    }
    return true;
}

/* A chain of three blocks of `size`: what keeps the first keeps three. */
static void *chain(size_t size)
{
    struct pair *first = NULL;
    for (int i = 0; i < 3; i++) {
        struct pair *pair = th_alloc(size);
        pair->next = first;
        first = pair;
    }
    return first;
}

static struct pair *volatile in_data = (void *)1, *volatile in_bss;
static _Thread_local struct pair *volatile in_tls;
static pthread_key_t key;
static char alternate[65536];
static void **in_pool;
static uint64_t hidden[64];
static unsigned hidden_count;
static pthread_barrier_t ready;
static int finish[2]; /* pipe: threads end when it is closed */

static void hide(void *block)
{
    hidden[hidden_count++] = (uintptr_t)block ^ HIDE;
}

static void wait_for_end(void)
{
    char byte;
    pthread_barrier_wait(&ready);
    while (read(finish[0], &byte, 1) < 0 && errno == EINTR)
        ;
}

/* Holds `hidden_block` in one register only, through a blocking read of the pipe. */
#define HOLD_IN(load, reg)                                                                         \
    static __attribute__((noinline)) void hold_in_##reg(uint64_t hidden_block)                     \
    {                                                                                              \
        char byte;                                                                                 \
        uint64_t mask = HIDE;                                                                      \
        long result;                                                                               \
        __asm__ volatile("mov %[hidden], %%rcx\n\txor %[mask], %%rcx\n\t" load                     \
                         "\n\txor %%ecx, %%ecx\n"                                                  \
                         "1: xor %%eax, %%eax\n\tsyscall\n\tcmp $-4, %%rax\n\tje 1b"               \
                         : "=&a"(result)                                                           \
                         : [hidden] "r"(hidden_block), [mask] "r"(mask), "D"((long)finish[0]),     \
                           "S"(&byte), "d"(1L)                                                     \
                         : "rcx", "r11", "memory", #reg);                                          \
    }
HOLD_IN("mov %%rcx, %%r12", r12)
HOLD_IN("movq %%rcx, %%xmm9", xmm9)
static __attribute__((noinline, target("avx"))) void hold_in_ymm_high(uint64_t hidden_block)
{
    char byte;
    uint64_t mask = HIDE;
    long result;
    __asm__ volatile(
        "mov %[hidden], %%rcx\n\txor %[mask], %%rcx\n\t"
        "vpxor %%ymm11, %%ymm11, %%ymm11\n\tvmovq %%rcx, %%xmm10\n\t"
        "vinsertf128 $1, %%xmm10, %%ymm11, %%ymm11\n\tvpxor %%xmm10, %%xmm10, %%xmm10\n\t"
        "xor %%ecx, %%ecx\n"
        "1: xor %%eax, %%eax\n\tsyscall\n\tcmp $-4, %%rax\n\tje 1b"
        : "=&a"(result)
        : [hidden] "r"(hidden_block), [mask] "r"(mask), "D"((long)finish[0]), "S"(&byte), "d"(1L)
        : "rcx", "r11", "memory", "xmm10", "xmm11");
}

static void *thread_register(void *arg)
{
    pthread_barrier_wait(&ready);
    th_clear_stack();
    hold_in_r12(*(uint64_t *)arg);
    return NULL;
}

static void *thread_xmm(void *arg)
{
    pthread_barrier_wait(&ready);
    th_clear_stack();
    hold_in_xmm9(*(uint64_t *)arg);
    return NULL;
}

static void *thread_ymm(void *arg)
{
    pthread_barrier_wait(&ready);
    th_clear_stack();
    hold_in_ymm_high(*(uint64_t *)arg);
    return NULL;
}

static void *thread_stack(void *arg)
{
    void *volatile here = (void *)(*(uint64_t *)arg ^ HIDE);
    wait_for_end();
    (void)here;
    return NULL; /* a result would be kept in struct pthread */
}

static void *thread_tls(void *arg)
{
    in_tls = (void *)(*(uint64_t *)arg ^ HIDE);
    th_clear_stack();
    wait_for_end();
    return NULL;
}

static void *thread_specific(void *arg)
{
    pthread_setspecific(key, (void *)(*(uint64_t *)arg ^ HIDE));
    th_clear_stack();
    wait_for_end();
    return NULL;
}

static void *thread_deaf(void *arg)
{
    /* Past libc: the stop signal too is blocked. */
    uint64_t all = ~UINT64_C(0);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
    return thread_stack(arg);
}

static void on_usr1(int number)
{
    (void)number;
    wait_for_end();
}

/* In a signal handler on an alternate stack: the ordinary stack is in use too. */
static void *thread_alternate(void *arg)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, before;
    sigaltstack(&stack, &before);
    void *volatile here = (void *)(*(uint64_t *)arg ^ HIDE);
    raise(SIGUSR1);
    (void)here;
    sigaltstack(&before, NULL); /* a sanitizer gives its own one back when the thread ends */
    return NULL;
}

static ucontext_t main_context, coroutine_context;
static void coroutine(unsigned low, unsigned high)
{
    void *volatile here = (void *)(((uint64_t)high << 32 | low) ^ HIDE);
    wait_for_end();
    (void)here;
}

/* Its stack is a block of the heap that nothing else points at, and below the part in use lie old
 * pointers to a leak. */
static void *thread_coroutine(void *arg)
{
    uint64_t *args = arg;
    char *stack = (char *)(args[1] ^ HIDE);
    getcontext(&coroutine_context); /* first: it keeps registers that hold what the rest works on */
    ((uint64_t *)stack)[8] = args[2] ^ HIDE;
    coroutine_context.uc_stack.ss_sp = stack;
    coroutine_context.uc_stack.ss_size = 65536;
    coroutine_context.uc_link = &main_context;
    makecontext(&coroutine_context, (void (*)(void))coroutine, 2, (unsigned)args[0],
                (unsigned)(args[0] >> 32));
    memset(&coroutine_context.uc_stack, 0, sizeof coroutine_context.uc_stack);
    stack = NULL;
    swapcontext(&main_context, &coroutine_context);
    return NULL;
}

static uint64_t live;

static uint64_t keep_chain(size_t size)
{
    uint64_t block = (uintptr_t)chain(size) ^ HIDE;
    live += 3;
    return block;
}

static __attribute__((noinline)) void make_graph(void)
{
    in_data = chain(32);
    in_bss = chain(48);
    in_pool = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    in_pool[77777] = chain(64);
    live += 9;
    /* Interior pointers: into a small block, into the last bytes of one that covers pages, and into
     * a large one. */
    struct pair *interior = th_alloc(4096);
    interior->next = (struct pair *)((char *)th_alloc(10240) + 10239);
    interior->other = (char *)th_alloc(1 << 20) + (1 << 19);
    in_data->other = &interior->other;
    live += 3;
    /* A cycle that is reached, in the last word of a large block. */
    struct pair *a = th_alloc(80), *b = th_alloc(96), *large = th_alloc(300000);
    a->next = b;
    b->next = a;
    *(void **)((char *)large + object_class_size[object_class_of(300000)] - 8) = a;
    in_bss->other = large;
    live += 3;
    /* Not reached: a chain, a cycle, a large one, a pointer one behind the end. */
    hide(chain(32));
    a = th_alloc(112), b = th_alloc(112);
    a->next = b;
    b->next = a;
    hide(a);
    hide(th_alloc(500000));
    in_pool[5] = (char *)th_alloc(14336) + 14336;
    /* Freed: no object, whoever points at it. */
    in_pool[6] = th_alloc(128);
    th_free(in_pool[6]);
}

static const struct {
    const char *name;
    void *(*run)(void *);
} kinds[] = {
    {"a register", thread_register},
    {"an XMM register", thread_xmm},
    {"the upper half of a YMM register", thread_ymm},
    {"a stack", thread_stack},
    {"TLS", thread_tls},
    {"thread-specific data", thread_specific},
    {"the stack of a thread that blocks all signals", thread_deaf},
    {"a stack below a signal handler on an alternate one", thread_alternate},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static pthread_t threads[KINDS + 1];
static uint64_t arguments[KINDS + 1][3];

static __attribute__((noinline)) void start_threads(void)
{
    for (unsigned i = 0; i < KINDS; i++) {
        arguments[i][0] = keep_chain(160);
        if (kinds[i].run == thread_ymm && !__builtin_cpu_supports("avx")) {
            in_pool[100] = (void *)(arguments[i][0] ^ HIDE);
            pthread_create(&threads[i], NULL, thread_stack, arguments[i]);
            continue;
        }
        pthread_create(&threads[i], NULL, kinds[i].run, arguments[i]);
    }
    arguments[KINDS][0] = keep_chain(192);
    arguments[KINDS][1] = (uintptr_t)th_alloc(65536) ^ HIDE;
    live++;
    arguments[KINDS][2] = (uintptr_t)chain(224) ^ HIDE;
    pthread_create(&threads[KINDS], NULL, thread_coroutine, arguments[KINDS]);
    pthread_barrier_wait(&ready);
}

static __attribute__((noinline)) void end_threads(void)
{
    close(finish[1]);
    for (unsigned i = 0; i <= KINDS; i++)
        pthread_join(threads[i], NULL);
}

/* Of this process; the tracer waits otherwise. */
static unsigned threads_in_read(void)
{
    char path[64], call[16];
    unsigned count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
        snprintf(path, sizeof path, "/proc/self/task/%.20s/syscall", task->d_name);
        call[0] = 0;
        if (task->d_name[0] != '.' && os_read_file(path, call, sizeof call) > 0)
            count += call[0] == '0' && call[1] == ' '; /* SYS_read */
    }
    closedir(tasks);
    return count;
}

static void test_roots(void)
{
    th_clear_stack();
    while (threads_in_read() < KINDS + 1)
        usleep(1000);
    struct md_cycle cycle;
    bool done = true, right = true, sums = true;
    for (unsigned i = 0; i < 20; i++) {
        done = cycle_at_last(i & 1 ? MD_CYCLE_FORCED : 0, &cycle);
        right &= cycle.live_objects == live && cycle.unreachable_objects == th_objects - live;
        sums &= cycle.heap_start_bytes == th_in_use_bytes() &&
                cycle.heap_start_bytes == cycle.heap_live_bytes + cycle.unreachable_bytes;
        if (!right || !done) {
            tap_print("# cycle %u: %s live %lu unreachable %lu, %lu bytes", i, cycle.reason,
                      cycle.live_objects, cycle.unreachable_objects, cycle.unreachable_bytes);
            break;
        }
    }
    ok(done, "20 cycles are done");
    ok(right, "each finds %lu objects live of %lu, whatever root keeps them", live, th_objects);
    ok(sums, "A is what is in the object map, and C plus the unreachable bytes");
    ok(cycle.threads == KINDS + 2, "all %u threads were stopped", cycle.threads);
    ok(cycle.stack_bytes > 4096 && cycle.globals_bytes > 4096, "stacks and globals are counted");
    if (SANITIZED)
        tap_skip("clean pages of files are not looked at", "a sanitizer has megabytes of its own");
    else
        ok(cycle.globals_bytes < 1000000, "clean pages of files are not looked at (%lu bytes)",
           cycle.globals_bytes);
    ok(cycle.stop1_ns > 0 && cycle.stop1_ns >= cycle.snapshot_ns && cycle.mark_ns > 0 &&
           cycle.mark_cpu_ns > 0 && cycle.stop1_cpu_ns > 0 &&
           (cycle.stop2_ns > 0) == (engine == MD_ENGINE_WP),
       "clocks are filled");
    is(cycle.snapshot_ns > 0, engine != MD_ENGINE_WP,
       "snapshot_ns is of the first stop, in which wp does nothing");
    is(cycle.engine, engine, "the engine is named");
    is(seen_count, 20 + late, "on_cycle was told each time");
    is(seen.number, 21, "numbers have no gap");
    is(segment_header()->section[MD_SECTION_CYCLES].count, 21 + late, "the ring has them");
}

static void test_each_kind(void)
{
    struct md_cycle cycle;
    cycle_at_last(0, &cycle);
    for (unsigned i = 0; i < KINDS; i++)
        tap_print("# held by %s", kinds[i].name);
    is(cycle.live_objects, 0, "when all roots are gone, all is unreachable");
}

/* errno, open descriptors and interrupted calls of the program. */
static volatile int errno_changed;
static volatile bool stop_watching;

static void *watch(void *arg)
{
    (void)arg;
    errno = 12345;
    while (!stop_watching)
        if (errno != 12345)
            errno_changed++;
    return NULL;
}

static void test_unnoticed(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, watch, NULL);
    int before = dup(0), after;
    close(before);
    struct md_cycle cycle;
    for (int i = 0; i < 20; i++)
        gc_cycle(0, &cycle);
    after = dup(0);
    close(after);
    stop_watching = true;
    pthread_join(thread, NULL);
    is(errno_changed, 0, "errno of a stopped thread stays");
    is(after, before, "no descriptor of the program's is taken");
    errno = 0;
    ok(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "the program has no child to wait for");
}

static void *reap_all(void *arg)
{
    (void)arg;
    while (!stop_watching)
        waitpid(-1, NULL, __WALL);
    return NULL;
}

static void test_reaped(void)
{
    pthread_t thread;
    stop_watching = false;
    pthread_create(&thread, NULL, reap_all, NULL);
    struct md_cycle cycle;
    bool done = true;
    for (int i = 0; i < 20; i++)
        done &= cycle_at_last(0, &cycle);
    stop_watching = true;
    pthread_join(thread, NULL);
    ok(done, "cycles are done beside a thread that reaps every child with __WALL");
}

static volatile bool is_deaf;

static void *deaf_in_read(void *end)
{
    uint64_t all = ~UINT64_C(0);
    char byte;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
    is_deaf = true;
    return (void *)read(*(int *)end, &byte, 1);
}

/* What only a register may lead to is no leak as long as there is one that nobody has seen. */
static void test_unseen(void)
{
    pthread_t thread;
    int ends[2];
    struct md_cycle cycle = {0}, again = {0};
    if (pipe(ends) != 0)
        return;
    cycle_at_last(0, &cycle);
    bool known = cycle.flags & MD_CYCLE_LEAKS;
    pthread_create(&thread, NULL, deaf_in_read, &ends[0]);
    while (!is_deaf)
        usleep(1000);
    for (int tries = 0; tries < 1000 && cycle.unseen_threads != 1; tries++) {
        usleep(1000);
        cycle_at_last(0, &cycle);
    }
    cycle_at_last(0, &again);
    ok(known && cycle.unseen_threads == 1 && again.unseen_threads == 1,
       "a thread that blocks all signals and waits is not seen");
    ok(again.unreachable_objects > 0 && !(again.flags & MD_CYCLE_LEAKS) && !again.leaked_objects,
       "two cycles with it say of %lu unreachable objects nothing", again.unreachable_objects);
    close(ends[1]);
    pthread_join(thread, NULL);
    close(ends[0]);
    cycle_at_last(0, &cycle);
    ok(!cycle.unseen_threads && cycle.flags & MD_CYCLE_LEAKS &&
           cycle.leaked_objects == cycle.unreachable_objects,
       "one without it does, by the last that could");
}

static void *deaf_and_running(void *arg)
{
    uint64_t all = ~UINT64_C(0);
    (void)arg;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
    is_deaf = true;
    while (!stop_watching)
        ;
    return NULL;
}

static void test_skip(void)
{
    pthread_t thread;
    struct md_cycle before, skipped, after;
    uint32_t flags;
    int64_t again;
    cycle_at_last(0, &before);
    stop_watching = is_deaf = false;
    pthread_create(&thread, NULL, deaf_and_running, NULL);
    while (!is_deaf)
        usleep(1000);
    bool done = gc_cycle(MD_CYCLE_FORCED, &skipped);
    stop_watching = true;
    pthread_join(thread, NULL);
    ok(!done && skipped.flags == (MD_CYCLE_SKIPPED | MD_CYCLE_FORCED) && skipped.number == 0,
       "a cycle that cannot be done is skipped and has no number");
    /* The last of them is called off where the tracer has had no CPU. */
    bool known = strcmp(skipped.reason, "a thread did not stop") == 0 ||
                 strcmp(skipped.reason, WORLD_CALLED_OFF) == 0;
    ok(known && skipped.attempts == 4, "it says why: %s, after %u attempts", skipped.reason,
       skipped.attempts);
    ok(skipped.stop1_ns > 30000000 && skipped.live_objects == 0,
       "and what it cost: %lu us of pause", skipped.stop1_ns / 1000);
    uint64_t hidden_big = (uintptr_t)th_alloc(2 * th_in_use_bytes() + (8 << 20)) ^ HIDE;
    ok(!gc_due(os_now_ns(), &flags, &again) && gc_ask_bytes() == UINT64_MAX,
       "the next one, though the heap has grown, waits for a while, and is not asked for "
       "meanwhile");
    th_free((void *)(hidden_big ^ HIDE));
    ok(cycle_at_last(0, &after) && after.number == before.number + 1,
       "the next one has the next number");
}

/* The tracer gets no CPU in a stop: here it sleeps until the threads go on without it. */
static volatile uint64_t ticks;

static void *tick(void *arg)
{
    (void)arg;
    while (!stop_watching)
        ticks++;
    return NULL;
}

static void sleep_in_stop(void)
{
    uint64_t before = ticks;
    while (ticks == before)
        usleep(1000);
}

static void test_called_off(void)
{
    pthread_t thread;
    struct md_cycle before, skipped = {0}, after;
    cycle_at_last(0, &before);
    stop_watching = false;
    pthread_create(&thread, NULL, tick, NULL);
    while (ticks == 0)
        usleep(1000);
    th_in_stop = sleep_in_stop;
    /* Of the attempts at least the last must have come as far as the snapshot: on a busy machine
     * the thread may be the one without a CPU.  Anything else ends it. */
    do
        gc_cycle(0, &skipped);
    while (strcmp(skipped.reason, "a thread did not stop") == 0);
    th_in_stop = NULL;
    ok(skipped.flags & MD_CYCLE_SKIPPED && strcmp(skipped.reason, WORLD_CALLED_OFF) == 0,
       "where the tracer gets no CPU in a stop, the threads go on, and the cycle is skipped: %s",
       skipped.reason);
    ok(skipped.attempts == 4 && skipped.stop1_ns > 0 && skipped.snapshot_ns == 0 &&
           skipped.live_objects == 0,
       "after %u attempts and %lu us of pause", skipped.attempts, skipped.stop1_ns / 1000);
    stop_watching = true;
    pthread_join(thread, NULL);
    ok(cycle_at_last(0, &after) && after.number == before.number + 1 &&
           after.live_objects == before.live_objects &&
           after.unreachable_objects == before.unreachable_objects,
       "the next one is done, and says what the one before has said");
}

/* What the pacer is told: goals and when to look again. */
static void test_due(void)
{
    struct md_cycle cycle;
    uint32_t flags = 0;
    int64_t again = 0;
    cycle_at_last(0, &cycle);
    int64_t now = os_now_ns();
    ok(!gc_due(now, &flags, &again) && again > now, "right after a cycle none is due");
    is(segment_header()->heap_goal_bytes, MAX(UINT64_C(4) << 20, 2 * th_in_use_bytes()),
       "the goal is published: twice what is in use, or the least heap");
    is(gc_ask_bytes(), segment_header()->heap_goal_bytes,
       "and is asked for again when it is reached");
    is(gc_due(again, &flags, &again), 1, "one is due when the interval is over");
    is(flags, MD_CYCLE_TIMED, "by time");
    uint64_t hidden_big = (uintptr_t)th_alloc(8 << 20) ^ HIDE;
    /* The last one's cost is waited for: some seconds on a busy machine, or where marks are
     * checked. */
    option_set("gcinterval", "off");
    ok(gc_due(now + INT64_C(1000000000), &flags, &again) || gc_due(again, &flags, &again),
       "one is due when the heap has grown");
    option_set("gcinterval", "auto");
    is(flags, 0, "by growth");
    cycle_at_last(0, &cycle);
    is(segment_header()->heap_goal_bytes, 2 * th_in_use_bytes(),
       "then the goal is twice what is in use");
    th_free((void *)(hidden_big ^ HIDE));
}

static void test_end(void)
{
    struct md_cycle cycle;
    unsigned stopped[2] = {0, 0};
    bool done = true;
    for (int i = 0; i < 10; i++) {
        gc_end();
        done &= cycle_at_last(0, &cycle);
        stopped[i & 1] = cycle.threads;
    }
    ok(done && stopped[0] == 1 && stopped[1] == 1, "the thread can end and start again");
}

static void test_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        gc_postfork_child();
        struct md_cycle cycle;
        bool done = cycle_at_last(0, &cycle);
        _exit(done && cycle.threads == 1 && cycle.heap_start_bytes == th_in_use_bytes() ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    is(status, 0, "a forked copy does cycles of its own");
}

int main(int argc, char **argv)
{
    alarm(600);
    if (!ok(th_init(on_cycle), "set up"))
        return tap_done();
    if (argc > 1)
        option_set("gcengine", argv[1]);
    engine = argc < 2 || !strcmp(argv[1], "clone") ? MD_ENGINE_CLONE
             : !strcmp(argv[1], "wp")              ? MD_ENGINE_WP
                                                   : MD_ENGINE_STOP;
    cycle_at_last(0, &seen);
    if (engine == MD_ENGINE_WP && seen.flags & MD_CYCLE_SKIPPED &&
        (strstr(seen.reason, "kernel") || strstr(seen.reason, "refused"))) {
        tap_print("ok %d - the engine wp # SKIP %s", ++tap_count, seen.reason);
        return tap_done();
    }
    seen_count = late = 0;
    if (pipe(finish) != 0)
        return 1;
    pthread_barrier_init(&ready, NULL, KINDS + 2);
    pthread_key_create(&key, NULL);
    signal(SIGUSR1, on_usr1);
    struct sigaction action = {.sa_handler = on_usr1, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    make_graph();
    start_threads();
    test_roots();
    end_threads();
    in_data = in_bss = NULL;
    munmap(in_pool, 1 << 20);
    memset(&coroutine_context, 0, sizeof coroutine_context);
    memset(&main_context, 0, sizeof main_context);
    memset(threads, 0, sizeof threads);
    memset(alternate, 0, sizeof alternate);
    th_clear_stack();
    test_each_kind();
    test_unnoticed();
    test_reaped();
    test_unseen();
    test_skip();
    test_called_off();
    test_due();
    test_end();
    test_fork();
    return tap_done();
}
