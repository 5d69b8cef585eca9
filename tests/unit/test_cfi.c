/* Frames by our own reading of the unwinding tables, against libgcc's reading of the same: of
 * threads that a signal has interrupted anywhere, with frames of each kind that is out of the
 * ordinary; and tables that make no sense. */
#include "base/compiler.h"
#include "sanitizers.h"
#include "core_test.h"
#include "stack/cfi.h"
#include "stack/loaded.h"
#include "tap.h"

#include <alloca.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define DEPTH 64

/* In this process all that the tables lead to can be read, or the test is right to die. */
static NO_SANITIZE bool read_here(uintptr_t at, void *to, size_t size)
{
    if (at < 4096 || at >> 47)
        return false;
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)to)[i] = ((const volatile unsigned char *)at)[i];
    return true;
}

static unsigned walk(struct cfi_frame *frame, uintptr_t *pcs, unsigned most, enum cfi_step *end)
{
    unsigned count = 0;
    struct loaded object;
    while (count < most) {
        pcs[count++] = frame->pc;
        if (!loaded_at(frame->pc - frame->is_return, &object) || !object.tables) {
            *end = CFI_UNDESCRIBED;
            break;
        }
        *end = cfi_step(frame, object.tables, read_here);
        if (*end != CFI_STEPPED)
            break;
    }
    return count;
}

/* What the handler has seen. */
static volatile unsigned looked, same, depth_sum;
static char difference[4096];

/* libgcc's own walk begins in the handler; ours at the code that was interrupted. */
static void compare(int number, siginfo_t *info, void *context)
{
    void *theirs[DEPTH + 8];
    uintptr_t ours[DEPTH];
    struct cfi_frame frame;
    enum cfi_step end;
    (void)number, (void)info;
    int their_count = backtrace(theirs, DEPTH + 8), from = 0;
    cfi_of_context(&frame, context);
    unsigned our_count = walk(&frame, ours, DEPTH, &end);
    while (from < their_count && (uintptr_t)theirs[from] != ours[0])
        from++;
    unsigned equal = 0;
    while (equal < our_count && from + (int)equal < their_count &&
           (uintptr_t)theirs[from + (int)equal] == ours[equal])
        equal++;
    looked++;
    depth_sum += our_count;
    if (equal == our_count && (from + (int)equal == their_count || our_count == DEPTH)) {
        same++;
        return;
    }
    if (!difference[0]) {
        int at = snprintf(difference, sizeof difference, "end %d, ours:", (int)end);
        for (unsigned i = 0; i < our_count; i++)
            at += snprintf(difference + at, sizeof difference - (size_t)at, " %lx", (long)ours[i]);
        at += snprintf(difference + at, sizeof difference - (size_t)at, "; theirs:");
        for (int i = 0; i < their_count; i++)
            at +=
                snprintf(difference + at, sizeof difference - (size_t)at, " %lx", (long)theirs[i]);
    }
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(number, &action, NULL);
}

/* ---- work to be interrupted ---- */

static volatile unsigned sink;

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Its stack pointer is aligned anew, and moves. */
static NOINLINE void with_alloca(unsigned size)
{
    int wide[8] __attribute__((aligned(64)));
    char *bytes = alloca(size);
    memset(bytes, (int)size, size);
    memset(wide, 1, sizeof wide);
    __asm__ volatile("" ::"r"(wide), "r"(bytes) : "memory");
    sink += (unsigned char)bytes[size - 1];
}

static NOINLINE void deep(unsigned depth)
{
    if (depth)
        deep(depth - 1);
    else
        with_alloca(100);
    sink++;
}

static NOINLINE void work(void)
{
    int numbers[64];
    char text[128];
    for (int i = 0; i < 64; i++)
        numbers[i] = (i * 37) % 64;
    qsort(numbers, 64, sizeof numbers[0], by_value);
    for (unsigned i = 1; i < 20; i++)
        with_alloca(i * 50);
    deep(20);
    snprintf(text, sizeof text, "%d %s %f", numbers[3], "text", 3.25);
    sink += (unsigned)strlen(text) + (unsigned)atoi(text);
}

static void interrupt_often(unsigned wanted)
{
    struct itimerval each = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    looked = same = depth_sum = 0;
    difference[0] = 0;
    setitimer(ITIMER_REAL, &each, NULL);
    while (looked < wanted)
        work();
    setitimer(ITIMER_REAL, &never, NULL);
    ok(same == looked && depth_sum >= looked * 3,
       "%u stacks of interrupted code are libgcc's, %u frames in all: %s", wanted, depth_sum,
       difference);
}

/* ---- through a signal's frame ---- */

static uintptr_t outer[DEPTH], inner_outer[DEPTH];
static unsigned outer_count, inner_count;

static void in_inner(int number, siginfo_t *info, void *context)
{
    struct cfi_frame frame;
    enum cfi_step end;
    (void)number, (void)info;
    cfi_of_context(&frame, context);
    inner_count = walk(&frame, inner_outer, DEPTH, &end);
}

/* Noted of the code that was interrupted; then the same from a signal in here. */
static void in_outer(int number, siginfo_t *info, void *context)
{
    struct cfi_frame frame;
    enum cfi_step end;
    (void)number, (void)info;
    cfi_of_context(&frame, context);
    outer_count = walk(&frame, outer, DEPTH, &end);
    raise(SIGUSR2);
}

static void test_signal_frames(void)
{
    static char other[65536];
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    sigaltstack(&stack, NULL);
    handle(SIGUSR1, in_outer, SA_ONSTACK);
    handle(SIGUSR2, in_inner, 0);
    raise(SIGUSR1);
    bool ends_the_same =
        inner_count > outer_count && outer_count > 2 &&
        memcmp(outer, inner_outer + inner_count - outer_count, outer_count * sizeof *outer) == 0;
    ok(ends_the_same,
       "from a handler on a stack of its own, what lies below the signal is found: %u of %u",
       outer_count, inner_count);
}

/* ---- what makes no sense ---- */

static void in_damaged(struct cfi_frame *frame, unsigned seed)
{
    /* Each frame's registers are wrong by some bits: it ends, in whatever way. */
    frame->value[seed % CFI_REGISTERS] ^= UINT64_C(1) << (seed / CFI_REGISTERS % 47);
}

/* A page is asked of the kernel, as damaged registers lead anywhere. */
static bool read_asked(uintptr_t at, void *to, size_t size)
{
    static int pipe_of[2] = {-1, -1};
    if (pipe_of[0] < 0 && pipe(pipe_of) != 0)
        return false;
    /* Not by libc's function, as a sanitizer would look at that memory first. */
    return size <= 4096 && syscall(SYS_write, pipe_of[1], at, size) == (long)size &&
           read(pipe_of[0], to, size) == (ssize_t)size;
}

static volatile unsigned damaged_ends;

static void damage(int number, siginfo_t *info, void *context)
{
    struct loaded object;
    (void)number, (void)info;
    for (unsigned seed = 0; seed < CFI_REGISTERS * 47; seed++) {
        struct cfi_frame frame;
        cfi_of_context(&frame, context);
        enum cfi_step end = CFI_STEPPED;
        unsigned count = 0;
        for (; count < DEPTH && end == CFI_STEPPED; count++) {
            if (count == seed % 3)
                in_damaged(&frame, seed);
            if (!loaded_at(frame.pc - frame.is_return, &object) || !object.tables)
                break;
            end = cfi_step(&frame, object.tables, read_asked);
        }
        damaged_ends += count <= DEPTH;
    }
}

static void test_damaged(void)
{
    struct cfi_frame frame = {.pc = (uintptr_t)test_damaged, .known = 1u << CFI_SP};
    struct loaded object = {.start = 0};
    handle(SIGUSR1, damage, 0);
    raise(SIGUSR1);
    ok(damaged_ends == CFI_REGISTERS * 47, "registers that are wrong lead nowhere");
    loaded_at((uintptr_t)test_damaged, &object);
    ok(cfi_step(&frame, object.tables + 1, read_asked) == CFI_BAD && frame.pc,
       "what is no table is told, and the frame stays");
    ok(cfi_step(&frame, 0, read_asked) == CFI_BAD, "nor is what cannot be read");
    frame.pc = object.end + 4096;
    ok(cfi_step(&frame, object.tables, read_asked) != CFI_STEPPED,
       "code behind the object is not described");
}

/* ---- the outermost frame ---- */

static void *in_thread(void *ends)
{
    (void)ends;
    raise(SIGUSR1);
    return NULL;
}

static enum cfi_step thread_end;
static unsigned thread_depth;

static void note_end(int number, siginfo_t *info, void *context)
{
    struct cfi_frame frame;
    uintptr_t pcs[DEPTH];
    (void)number, (void)info;
    cfi_of_context(&frame, context);
    thread_depth = walk(&frame, pcs, DEPTH, &thread_end);
}

static void test_outermost(void)
{
    pthread_t thread;
    handle(SIGUSR1, note_end, 0);
    pthread_create(&thread, NULL, in_thread, NULL);
    pthread_join(thread, NULL);
    ok(thread_end == CFI_OUTERMOST && thread_depth >= 4,
       "a thread's stack is seen to its end: %u frames, then %d", thread_depth, thread_end);
}

int main(void)
{
    void *first[1];
    if (WITH_TSAN) { /* it calls handlers later, from code of its own */
        tap_skip("stacks", "ThreadSanitizer holds signals back");
        return tap_done();
    }
    loaded_begin();
    loaded_init();
    if (!loaded_is_lock_free()) {
        tap_skip("stacks", "this libc has no _dl_find_object");
        return tap_done();
    }
    backtrace(first, 1); /* loads libgcc, outside the handler */
    handle(SIGALRM, compare, SA_RESTART);
    interrupt_often(3000);
    test_signal_frames();
    test_damaged();
    test_outermost();
    return tap_done();
}
