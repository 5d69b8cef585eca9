#include "thread_place.h"

#include "base/compiler.h"
#include "base/os.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"
#include "prof/prof.h"
#include "prof/record.h"
#include "segment/segment.h"
#include "stack/loaded.h"
#include "stack/unwind.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>

/* Code from the entry of a program to where main's caller returns to. */
#define ENTRY_BYTES 64u
/* Frames of libc's that a stack begins with: in a thread what runs its function and clone, in the
 * main one what calls main and what calls that. */
#define BASE_FRAMES 2u

enum ground {
    PROGRAM, /* or not known */
    LIBC,
    UNSAFE, /* the loader, the kernel's page, this library */
};

/* What their code lies in, by the loader's records; NULL: it is not there. */
struct system_objects {
    const void *libc, *threads /* libc itself since 2.34 */, *loader, *kernel;
};

static const void *object_with(uintptr_t address)
{
    struct loaded object;
    return address && loaded_at(address, &object) ? object.identity : NULL;
}

static enum ground ground_of(uintptr_t pc, const struct system_objects *system)
{
    const void *object = object_with(pc);
    if (pc - own_text_start < own_text_end - own_text_start)
        return UNSAFE;
    if (!object)
        return PROGRAM;
    if (object == system->loader || object == system->kernel)
        return UNSAFE;
    return object == system->libc || object == system->threads ? LIBC : PROGRAM;
}

enum stack_end { WHOLE, CUT, BELOW_SYSTEM };

/* The stack is the program's from its innermost frame to its base, and what comes then is only
 * what has begun it. */
static enum stack_end end_of(const uint64_t *pcs, unsigned depth)
{
    struct system_objects system = {
        .libc = object_with((uintptr_t)gnu_get_libc_version),
        .threads = object_with((uintptr_t)pthread_join),
        .loader = object_with(_r_debug.r_ldbase),
        .kernel = object_with(getauxval(AT_SYSINFO_EHDR)),
    };
    unsigned own = 0, base;
    if (!depth || !system.libc || !system.loader)
        return BELOW_SYSTEM;
    while (own < depth && ground_of(pcs[own] - 1, &system) == PROGRAM)
        own++;
    if (own == depth)
        return CUT;
    for (base = own; base < depth && ground_of(pcs[base] - 1, &system) == LIBC;)
        base++;
    bool ends = base == depth;
    bool starts = base + 1 == depth && pcs[base] - getauxval(AT_ENTRY) < ENTRY_BYTES;
    return own && base - own <= BASE_FRAMES && (ends || starts) ? WHOLE : BELOW_SYSTEM;
}

static bool on_alternate_stack(void)
{
    stack_t stack;
    return sigaltstack(NULL, &stack) != 0 || stack.ss_flags & SS_ONSTACK;
}

/* Whether a handler of this signal has more signals blocked while it runs than are blocked now. */
static bool handler_blocks_more(int signal, uint64_t blocked)
{
    struct raw_sigaction action = {0};
    return raw_sigaction(signal, NULL, &action) == 0 &&
           (uintptr_t)action.handler != (uintptr_t)SIG_DFL &&
           (uintptr_t)action.handler != (uintptr_t)SIG_IGN && action.mask & ~blocked;
}

/* What the stack does not show: a handler runs with its own signal blocked and all those that it
 * was installed with.  So if each signal that is blocked has a handler that would block more, the
 * thread has blocked them itself, as a JVM's do SIGQUIT. */
static bool may_be_in_handler(const sigset_t *blocked)
{
    uint64_t bits = 0;
    for (int signal = 1; signal <= 64; signal++)
        bits |= (uint64_t)(sigismember(blocked, signal) == 1) << (signal - 1);
    for (int signal = 1; signal <= 64; signal++)
        if (bits >> (signal - 1) & 1 && !handler_blocks_more(signal, bits))
            return true;
    return false;
}

bool thread_place_here(void)
{
    int saved = errno;
    sigset_t blocked;
    struct record record;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    if (segment_is_guest() || prof_thread.closings || sigismember(&blocked, SIGSEGV))
        return false;
    record_look(&record);
    enum stack_end end = end_of(record.pcs, record.depth);
    record_looked(&record);
    bool here =
        end == WHOLE || (end == CUT && !may_be_in_handler(&blocked) && !on_alternate_stack());
    errno = saved;
    return here;
}

/* A number of a status file, which may lack it: then it stays.  False: the file cannot be read, or
 * not whole. */
static bool read_status(const char *file, char *buf, size_t size, const char *key, uint64_t *number)
{
    int saved = errno, cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    long length = os_read_file(file, buf, size);
    pthread_setcancelstate(cancel, &cancel);
    errno = saved;
    if (length <= 0 || (size_t)length + 1 >= size)
        return false;
    proc_field(buf, key, 10, number);
    return true;
}

int thread_place_refused(void)
{
    static char status[8192]; /* not on what may be a coroutine's stack */
    uint64_t mode = 0;        /* of a kernel without it */
    return !read_status("/proc/thread-self/status", status, sizeof status, "Seccomp:", &mode) ||
                   mode
               ? EACCES
               : 0;
}

extern char __libc_single_threaded __attribute__((weak)); /* glibc 2.32 */

/* Once there has been a thread of ours, libc says no more that there is none. */
bool thread_place_alone(void)
{
    char status[8192];
    uint64_t threads = UINT64_MAX;
    unsigned own = own_thread_count();
    return (&__libc_single_threaded && __libc_single_threaded) ||
           (own && read_status("/proc/self/status", status, sizeof status, "Threads:", &threads) &&
            threads <= own + 1);
}
