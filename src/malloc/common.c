/* What both variants share: statistics, trimming, operator new when memory is refused, and
 * jemalloc's memmove. */
#include "base/fmt.h"
#include "base/machine.h"
#include "base/message.h"
#include "malloc/jemalloc.h"
#include "malloc/stats.h"
#include "malloc/variants.h"
#include "segment/segment.h"
#include "malloc/counts.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

int common_malloc_trim(size_t pad)
{
    (void)pad; /* jemalloc has no top of the heap to leave room at */
    stats_refresh();
    uint64_t before = stats_value("stats.resident");
    stats_give_back();
    return stats_value("stats.resident") < before;
}

/* glibc's fields, with what they mean here: arena, the bytes mapped; hblkhd, those of them in large
 * blocks (not told apart: 0); uordblks and fordblks, in use and not. */
struct mallinfo2 common_mallinfo2(void)
{
    struct mallinfo2 info;
    memset(&info, 0, sizeof info);
    stats_refresh();
    info.arena = stats_value("stats.mapped");
    info.uordblks = stats_value("stats.allocated");
    info.fordblks = info.arena > info.uordblks ? info.arena - info.uordblks : 0;
    info.keepcost = stats_value("stats.active") > info.uordblks
                        ? stats_value("stats.resident") - stats_value("stats.active")
                        : 0;
    if (info.keepcost > info.fordblks)
        info.keepcost = 0;
    return info;
}

static int clamp(size_t n)
{
    return n > INT_MAX ? INT_MAX : (int)n;
}

struct mallinfo common_mallinfo(void)
{
    struct mallinfo2 wide = common_mallinfo2();
    struct mallinfo info;
    memset(&info, 0, sizeof info);
    info.arena = clamp(wide.arena);
    info.uordblks = clamp(wide.uordblks);
    info.fordblks = clamp(wide.fordblks);
    info.keepcost = clamp(wide.keepcost);
    return info;
}

/* A C program has no libstdc++, and a C++ program that allocates with operator new has one: from
 * its start, or with a library that it opens.  The loader is asked when there is no other way: in a
 * forked copy its lock may be held for ever. */
typedef void handler(void);
__attribute__((weak)) handler *get_new_handler(void) __asm__("_ZSt15get_new_handlerv");
__attribute__((weak)) void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv");

static struct {
    handler *(*get_handler)(void);
    void (*throw_bad_alloc)(void); /* the last to be set */
    void *(*nothrow)(size_t size, const void *tag);
    void *(*aligned_nothrow)(size_t size, size_t alignment, const void *tag);
} cxx;

static void find_cxx(void)
{
    *(void **)&cxx.get_handler = dlsym(RTLD_NEXT, "_ZSt15get_new_handlerv");
    *(void **)&cxx.nothrow = dlsym(RTLD_NEXT, "_ZnwmRKSt9nothrow_t");
    *(void **)&cxx.aligned_nothrow = dlsym(RTLD_NEXT, "_ZnwmSt11align_val_tRKSt9nothrow_t");
    void *last = dlsym(RTLD_NEXT, "_ZSt17__throw_bad_allocv");
    __atomic_store_n((void **)&cxx.throw_bad_alloc, last, __ATOMIC_RELEASE);
}

void common_init(void)
{
    /* Without, each look-up would fail, and the loader allocate for its error. */
    if (get_new_handler && throw_bad_alloc)
        find_cxx();
}

/* A new handler may throw, and only C++ can catch: libstdc++'s own nothrow operators call the
 * throwing ones, which are ours, and catch. */
static void *new_nothrow(size_t alignment, size_t size)
{
    static const char tag;
    if (alignment)
        return cxx.aligned_nothrow ? cxx.aligned_nothrow(size, alignment, &tag) : NULL;
    return cxx.nothrow ? cxx.nothrow(size, &tag) : NULL;
}

COLD void *new_failed(void *(*again)(size_t alignment, size_t size), size_t alignment, size_t size,
                      int nothrow)
{
    handler *run;
    if (!__atomic_load_n((void **)&cxx.throw_bad_alloc, __ATOMIC_ACQUIRE))
        find_cxx();
    if (nothrow)
        return cxx.get_handler && cxx.get_handler() ? new_nothrow(alignment, size) : NULL;
    while ((run = cxx.get_handler ? cxx.get_handler() : NULL)) {
        run();
        void *ptr = again(alignment, size);
        if (ptr)
            return ptr;
    }
    if (cxx.throw_bad_alloc)
        cxx.throw_bad_alloc();
    message("operator new: out of memory, and no C++ library to throw with");
    abort();
}

/* What jemalloc moves are words: the addresses of the free blocks in a thread's cache (5.3.1
 * whenever it fills one), and a few numbers; what else a compiler may take it for is moved too.
 * libc's memmove leaves them in vector registers, which belong to the program: one of these blocks,
 * allocated and lost, would be reachable from there until something else is moved.  So they are
 * cleared, as any call may do; of few words a loop is quicker, of which the compiler must not make
 * a call of memmove. */
#define LOOP_BYTES 64u

void *cleared_memmove(void *to, const void *from, size_t bytes);

void *cleared_memmove(void *to, const void *from, size_t bytes)
{
    if (bytes > LOOP_BYTES) {
        memmove(to, from, bytes);
        cpu_clear_vectors();
        return to;
    }
    uintptr_t *target = to;
    const uintptr_t *source = from;
    size_t words = bytes / sizeof *target;
    unsigned char *target_byte = to;
    const unsigned char *source_byte = from;
    if ((uintptr_t)to <= (uintptr_t)from) {
        for (size_t i = 0; i < words; i++) {
            target[i] = source[i];
            __asm__ volatile("" ::: "memory");
        }
        for (size_t i = words * sizeof *target; i < bytes; i++) {
            target_byte[i] = source_byte[i];
            __asm__ volatile("" ::: "memory");
        }
    } else {
        for (size_t i = bytes; i > words * sizeof *target; i--) {
            target_byte[i - 1] = source_byte[i - 1];
            __asm__ volatile("" ::: "memory");
        }
        for (size_t i = words; i > 0; i--) {
            target[i - 1] = source[i - 1];
            __asm__ volatile("" ::: "memory");
        }
    }
    return to;
}
