/* The tracer thread: each request is done once, there, and whoever asked waits for it. */
#include "core_test.h"
#include "gc_heap.h"
#include "tap.h"

#include "gc/stop/tracer.h"

#include <errno.h>
#include <stdlib.h>

#define REQUESTS 2000

struct seen {
    int tid, fd;
    unsigned times;
    bool on_stack; /* the thread runs on the stack that it was given */
};

static void note(void *ctx)
{
    struct seen *seen = ctx;
    size_t size;
    const char *stack = tracer_stack(&size), *here = __builtin_frame_address(0);
    seen->tid = os_gettid();
    seen->times++;
    seen->on_stack = here >= stack && here < stack + size;
}

static void open_something(void *ctx)
{
    ((struct seen *)ctx)->fd = open("/proc", O_RDONLY | O_CLOEXEC);
}

static void close_something(void *ctx)
{
    struct seen *seen = ctx;
    seen->times += close(seen->fd) == 0;
}

static void read_mask(void *ctx)
{
    sigset_t *set = ctx;
    pthread_sigmask(SIG_SETMASK, NULL, set);
}

/* A request that lasts, so that whoever would not wait for it is seen. */
static void count_slowly(void *ctx)
{
    unsigned *count = ctx;
    unsigned before = *count;
    for (volatile int i = 0; i < 10000; i++)
        ;
    *count = before + 1;
}

static void test_requests(void)
{
    struct seen seen = {0};
    const char *reason = tracer_run(note, &seen);
    ok(!reason && seen.times == 1 && seen.tid && seen.tid != os_gettid(),
       "a request is done by another thread, and then tracer_run returns: %s",
       reason ? reason : "done");
    ok(seen.on_stack, "on its own stack");
    int tid = seen.tid;
    unsigned count = 0, wrong = 0;
    for (unsigned i = 0; i < REQUESTS; i++)
        wrong += tracer_run(count_slowly, &count) || count != i + 1;
    is(wrong, 0, "%d requests: each is done once, before the next", REQUESTS);
    tracer_run(note, &seen);
    ok(seen.tid == tid && seen.times == 2, "all by the same thread");
    sigset_t set;
    tracer_run(read_mask, &set);
    ok(sigismember(&set, SIGTERM) && sigismember(&set, SIGUSR1) && sigismember(&set, SIGALRM),
       "which takes no signal of the program's");
}

static void test_descriptors(void)
{
    struct seen seen = {0};
    tracer_run(open_something, &seen);
    ok(seen.fd >= 0 && fcntl(seen.fd + 200, F_GETFD) < 0, "it opens a file");
    /* The numbers begin anew there: what is open here under this one is another file. */
    char path[64], link[256] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%d", seen.fd);
    ok(readlink(path, link, sizeof link - 1) < 0 || strcmp(link, "/proc") != 0,
       "in a table of its own");
    tracer_run(close_something, &seen);
    is(seen.times, 1, "where it closes it");
}

static void test_end(void)
{
    struct seen seen = {0};
    tracer_run(note, &seen);
    int tid = seen.tid;
    tracer_end();
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d", tid);
    ok(access(path, F_OK) != 0 && errno == ENOENT, "the thread ends when it is told to");
    tracer_end();
    ok(!tracer_run(note, &seen) && seen.times == 2, "and is there again for the next request");
}

static int in_child(void *ctx)
{
    struct seen *seen = ctx;
    int parents = seen->tid;
    tracer_postfork_child();
    unsigned count = 0, wrong = 0;
    for (unsigned i = 0; i < 100; i++)
        wrong += tracer_run(count_slowly, &count) || count != i + 1;
    wrong += tracer_run(note, seen) || seen->times != 2 || seen->tid == parents;
    return wrong != 0;
}

static void test_fork(void)
{
    struct seen seen = {0};
    tracer_run(note, &seen);
    is(in_copy(in_child, &seen), 0, "a forked copy gets a thread of its own");
    ok(!tracer_run(note, &seen) && seen.times == 2, "the parent's goes on");
    tracer_end();
}

int main(void)
{
    ok(th_init(NULL), "set up");
    test_requests();
    test_descriptors();
    test_end();
    test_fork();
    return tap_done();
}
