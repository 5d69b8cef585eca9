/* What /proc says of a thread that sits in a system call: which call, its arguments, where its
 * stack is, and whether it has moved since. */
#include "tap.h"

#include "gc/stop/blocked.h"
#include "gc/sys/proc.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int sitter_tid; /* set last, by the thread */
static bool over;
static int pipe_ends[2];
static char byte;

/* The caller's: the thread's stack pointer is a little below it. */
static char *sitter_frame;

static void *sit_in_read(void *arg)
{
    (void)arg;
    sitter_frame = __builtin_frame_address(0);
    __atomic_store_n(&sitter_tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE) &&
           (read(pipe_ends[0], &byte, 1) == 1 || errno == EINTR))
        ;
    return NULL;
}

static void *run(void *arg)
{
    (void)arg;
    __atomic_store_n(&sitter_tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE))
        ;
    return NULL;
}

static pthread_t begin(void *(*function)(void *))
{
    pthread_t thread;
    sitter_tid = 0;
    over = false;
    if (pthread_create(&thread, NULL, function, NULL) != 0)
        abort();
    while (!__atomic_load_n(&sitter_tid, __ATOMIC_ACQUIRE))
        usleep(1000);
    return thread;
}

/* Waits until the thread sits in that call, up to 20 s. */
static bool wait_for_call(int number, struct blocked_call *call)
{
    for (int i = 0; i < 20000; i++) {
        if (blocked_call_of(sitter_tid, call) && call->number == number)
            return true;
        usleep(1000);
    }
    return false;
}

static void test_call(void)
{
    struct blocked_call call, again, later;
    pthread_t thread = begin(sit_in_read);
    ok(wait_for_call(SYS_read, &call), "a thread that reads from an empty pipe");
    ok(call.args[0] == (uint64_t)pipe_ends[0] && call.args[1] == (uintptr_t)&byte &&
           call.args[2] == 1,
       "its arguments");
    ok(call.sp < (uintptr_t)sitter_frame && (uintptr_t)sitter_frame - call.sp < 65536,
       "its stack pointer: %lu bytes below the frame that called",
       (unsigned long)((uintptr_t)sitter_frame - call.sp));
    uint8_t code[2] = {0};
    ok(blocked_read(call.pc - 2, code, 2), "the program's code is read");
#ifdef __x86_64__
    ok(code[0] == 0x0f && code[1] == 0x05, "and its counter is behind a system call");
#endif
    ok(blocked_call_of(sitter_tid, &again) && again.fingerprint == call.fingerprint,
       "it has not moved");
    /* Once through the loop, back into the same call with the same arguments. */
    ok(write(pipe_ends[1], "x", 1) == 1, "it is given a byte");
    struct pollfd pending = {.fd = pipe_ends[0], .events = POLLIN};
    while (poll(&pending, 1, 0) == 1)
        usleep(1000);
    ok(wait_for_call(SYS_read, &later) && later.pc == call.pc && later.sp == call.sp,
       "and is back where it was");
    if (access("/proc/self/schedstat", R_OK) == 0)
        ok(later.fingerprint != call.fingerprint, "which is told from not having moved");
    else
        tap_skip("it has moved", "this kernel does not say how often a thread has run");
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    ok(write(pipe_ends[1], "x", 1) == 1, "it ends");
    pthread_join(thread, NULL);
    /* Whoever is joined may be on its way out yet. */
    for (int i = 0; i < 20000 && blocked_call_of(sitter_tid, &call); i++)
        usleep(1000);
    ok(!blocked_call_of(sitter_tid, &call), "of one that is gone nothing is said");
}

static void test_running(void)
{
    struct blocked_call call;
    pthread_t thread = begin(run);
    unsigned blocked = 0;
    for (int i = 0; i < 100; i++) {
        blocked += blocked_call_of(sitter_tid, &call);
        usleep(100);
    }
    is(blocked, 0, "one that runs, or waits for a CPU, is in no call");
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
}

static void test_read(void)
{
    long page = sysconf(_SC_PAGESIZE);
    char *map =
        mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char text[8] = "";
    if (map == MAP_FAILED)
        abort();
    munmap(map + page, (size_t)page);
    memcpy(map + page - 4, "last", 4);
    ok(blocked_read((uintptr_t)map + (uintptr_t)page - 4, text, 4) && !memcmp(text, "last", 4),
       "the last bytes of a mapping are read");
    ok(!blocked_read((uintptr_t)map + (uintptr_t)page - 4, text, 8), "beyond them nothing is");
    munmap(map, (size_t)page);
    ok(!blocked_read((uintptr_t)map, text, 4), "nor of what is gone");
}

int main(void)
{
    alarm(300);
    if (!proc_open(false) || pipe(pipe_ends) != 0)
        abort();
    blocked_open();
    test_call();
    test_running();
    test_read();
    blocked_close();
    return tap_done();
}
