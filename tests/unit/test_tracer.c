/* The tracer thread: each request is done once, there, and whoever asked waits for it. */
#include "core_test.h"
#include "gc_heap.h"
#include "tap.h"

#include "gc/stop/tracer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>

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
    for (int i = 0; i < STUCK_SECONDS * 1000 && access(path, F_OK) == 0; i++)
        usleep(1000); /* its last moments in the kernel */
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

/* ---- the id of a thread that has ended ---- */

#define NOT_HERE 77

struct reuse {
    int tid;                /* the tracer's */
    int last_pid;           /* /proc/sys/kernel/ns_last_pid */
    uint32_t got, returned; /* another thread has the id; tracer_end is done */
    bool in_vain;           /* nothing came of waiting for that */
};

/* Has the id, and lives until tracer_end has returned. */
static void *have_id(void *ctx)
{
    struct reuse *reuse = ctx;
    __atomic_store_n(&reuse->got, os_gettid() == reuse->tid, __ATOMIC_RELEASE);
    for (int i = 0; i < 20000 && !__atomic_load_n(&reuse->returned, __ATOMIC_ACQUIRE); i++)
        usleep(1000);
    reuse->in_vain = !__atomic_load_n(&reuse->returned, __ATOMIC_ACQUIRE);
    return NULL;
}

/* Gives the id to another thread as soon as it is free. */
static void *reuse_id(void *ctx)
{
    struct reuse *reuse = ctx;
    char text[16];
    pthread_t other;
    while (syscall(SYS_tgkill, getpid(), reuse->tid, 0) == 0)
        ;
    int length = snprintf(text, sizeof text, "%d", reuse->tid - 1);
    if (pwrite(reuse->last_pid, text, (size_t)length, 0) == length &&
        pthread_create(&other, NULL, have_id, reuse) == 0)
        pthread_join(other, NULL);
    return NULL;
}

/* The first process of a PID namespace, so that nobody else takes the id. */
static int in_namespace(void *unused)
{
    (void)unused;
    struct seen seen = {0};
    struct reuse reuse = {0};
    if (mount("proc", "/proc", "proc", 0, NULL) != 0 ||
        (reuse.last_pid = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC)) < 0)
        return NOT_HERE;
    tracer_postfork_child();
    unsigned got = 0;
    for (unsigned i = 0; i < 20 && !reuse.in_vain; i++) {
        pthread_t helper;
        if (tracer_run(note, &seen))
            return 2;
        reuse.tid = seen.tid;
        reuse.got = reuse.returned = 0;
        if (pthread_create(&helper, NULL, reuse_id, &reuse) != 0)
            return 2;
        tracer_end();
        __atomic_store_n(&reuse.returned, 1, __ATOMIC_RELEASE);
        pthread_join(helper, NULL);
        got += reuse.got;
    }
    return got == 0 ? NOT_HERE : reuse.in_vain;
}

static int beside_namespace(void *unused)
{
    return unshare(CLONE_NEWPID | CLONE_NEWNS) != 0 ||
                   mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0
               ? NOT_HERE
               : in_copy(in_namespace, unused);
}

static void test_reused_id(void)
{
    static const char name[] = "tracer_end does not wait for who has been given the thread's id";
    int status = in_copy(beside_namespace, NULL);
    if (status == NOT_HERE)
        tap_skip(name, "needs root, and a kernel with ns_last_pid");
    else
        is(status, 0, "%s", name);
}

int main(void)
{
    ok(th_init(NULL), "set up");
    test_requests();
    test_descriptors();
    test_end();
    test_fork();
    test_reused_id();
    return tap_done();
}
