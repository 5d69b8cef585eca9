#include "gc/stop/tracer.h"

#include "base/handover.h"
#include "base/os.h"
#include "gc/stop/world.h"
#include "gc/sys/pagemap.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define STACK_BYTES ((size_t)256 << 10)
#define STACK_MAX ((size_t)64 << 20) /* the program's static TLS lies on it */

/* What goes with a request is `request`, and what the thread tells with its answer its id and
 * `unusable` (handover.h).  The rest is the caller's. */
enum { RUN = 1, END };
static struct handover requests;
static bool started;
static pthread_t thread;
static int tid;
static char *stack;
static size_t stack_size;
static const char *unusable; /* why the thread can do nothing; NULL: it can */
static struct {
    void (*fn)(void *ctx);
    void *ctx;
} request; /* of RUN */

static void open_all(void)
{
    unusable = proc_open(true) ? world_open() : proc_refusal;
    if (!unusable)
        pagemap_open();
}

static void *tracer_main(void *ctx)
{
    (void)ctx;
    own_thread = true;
    tid = os_gettid();
    own_thread_enter(tid);
    RAW3(SYS_prctl, 15 /* PR_SET_NAME */, "memdebug-gc", 0);
    open_all();
    for (;;) {
        uint32_t word;
        while (!handover_wanted(word = handover_word(&requests)))
            raw_futex_wait(&requests.asked, word, -1, FUTEX_PRIVATE_FLAG);
        if (handover_wanted(word) == END)
            break;
        if (!handover_take(&requests, word))
            continue;
        if (unusable) /* it may have been for a moment only */
            open_all();
        if (!unusable)
            request.fn(request.ctx);
        handover_answer(&requests, word);
        raw_futex_wake(&requests.answered, 1, FUTEX_PRIVATE_FLAG);
    }
    world_close();
    return NULL;
}

/* pthread_create with all signals but 32 and 33 blocked in the thread from its birth. */
static int create(void *memory, size_t size)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstack(&attr, memory, size);
    uint64_t blocked = ~(UINT64_C(3) << 31), before;
    raw_sigmask(SIG_BLOCK, &blocked, &before);
    bool own_before = own_thread;
    own_thread = true; /* what libc allocates for the thread is ours */
    int error = pthread_create(&thread, &attr, tracer_main, NULL);
    own_thread = own_before;
    raw_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return error;
}

static const char *start(void)
{
    int error = EINVAL;
    for (size_t size = STACK_BYTES; error == EINVAL && size <= STACK_MAX; size *= 2) {
        if (stack && stack_size < size)
            stack = NULL; /* too small: it stays, it may be on a list of libc's */
        if (!stack)
            stack = own_map(size);
        stack_size = size;
        if (!stack)
            return "no memory for the tracer thread";
        /* The part that a cycle uses: a page fault in the pause may wait for the mmap lock, which a
         * parked thread's system call may hold. */
        for (size_t page = size - 65536; page < size; page += OS_PAGE)
            ((volatile char *)stack)[page] = 0;
        requests = (struct handover){0};
        error = create(stack, size);
    }
    started = error == 0;
    return started ? NULL : "the tracer thread cannot be started";
}

static uint32_t ask(uint32_t what)
{
    uint32_t number = handover_ask(&requests, what);
    raw_futex_wake(&requests.asked, 1, FUTEX_PRIVATE_FLAG);
    return number;
}

const char *tracer_run(void (*fn)(void *ctx), void *ctx)
{
    if (!started) {
        const char *reason = start();
        if (reason)
            return reason;
    }
    request.fn = fn;
    request.ctx = ctx;
    uint32_t number = ask(RUN), seen;
    while ((seen = handover_answered(&requests)) != number)
        raw_futex_wait(&requests.answered, seen, -1, FUTEX_PRIVATE_FLAG);
    return unusable;
}

const void *tracer_stack(size_t *size)
{
    *size = stack_size;
    return stack;
}

void tracer_end(void)
{
    if (!started)
        return;
    ask(END);
    /* Gone by the kernel's word, which libc waits for: only then may the stack be used again.  That
     * nobody has its id would not tell, as a thread of the program's may have been given it. */
    bool own_before = own_thread;
    own_thread = true; /* what libc has allocated for the thread goes */
    pthread_join(thread, NULL);
    own_thread = own_before;
    own_thread_leave(tid);
    started = false;
}

void tracer_postfork_child(void)
{
    /* The stack stays: after a raw clone libc still has its thread on a list. */
    stack = NULL;
    started = false;
    unusable = NULL;
}
