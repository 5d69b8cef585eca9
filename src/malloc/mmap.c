#include "malloc/mmap.h"

#include "base/compiler.h"
#include "base/os.h"
#include "memdebug/segment.h"
#include "prof/mapping.h"
#include "segment/segment.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#define HIDDEN __attribute__((visibility("hidden")))

typedef void *start_routine(void *argument);

/* ---- until whoever has the calls next is known: constructors that run before ours ---- */

static int early_pthread_create(pthread_t *thread, const pthread_attr_t *attr, start_routine *start,
                                void *argument)
{
    int (*next)(pthread_t *, const pthread_attr_t *, start_routine *, void *);
    *(void **)&next = dlsym(RTLD_NEXT, "pthread_create");
    return next ? next(thread, attr, start, argument) : ENOSYS;
}

/* glibc's own second name. */
void *__sbrk(intptr_t increment);
#define early_mmap os_mmap
#define early_mmap64 os_mmap
#define early_munmap os_munmap
#define early_mremap os_mremap
#define early_sbrk __sbrk

/* Where the exported symbol jumps to (stubs_x86_64.S), and where what records goes on to. */
#define SLOTS(name)                                                                                \
    extern void *slot_##name HIDDEN;                                                               \
    void *slot_##name = (void *)early_##name;                                                      \
    static __typeof__(&early_##name) next_##name = early_##name;
SLOTS(mmap)
SLOTS(mmap64)
SLOTS(munmap)
SLOTS(mremap)
SLOTS(sbrk)
SLOTS(pthread_create)

/* ---- what records ---- */

static void *record_mmap(void *got, size_t size, int flags)
{
    enum md_label what = flags & MAP_ANONYMOUS ? MD_LABEL_MMAP_ANONYMOUS : MD_LABEL_MMAP_FILE;
    if (got == MAP_FAILED)
        return got;
    /* Of huge pages of another size than the usual this says less. */
    if (flags & MAP_HUGETLB)
        size = (size + ((size_t)2 << 20) - 1) & ~(((size_t)2 << 20) - 1);
    mapping_add((uintptr_t)got, size, what);
    return got;
}

static void *recording_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
    return record_mmap(next_mmap(addr, size, prot, flags, fd, offset), size, flags);
}

static void *recording_mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
    return record_mmap(next_mmap64(addr, size, prot, flags, fd, offset), size, flags);
}

static int recording_munmap(void *addr, size_t size)
{
    uint64_t moment = mapping_moment();
    int result = next_munmap(addr, size);
    if (result == 0)
        mapping_remove((uintptr_t)addr, size, moment);
    return result;
}

/* What has moved or grown is a mapping of this call's, as realloc's result is a block of its. */
static void *recording_mremap(void *old, size_t old_size, size_t size, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    void *to = va_arg(arguments, void *);
    va_end(arguments);
    uint64_t moment = mapping_moment();
    enum md_label what;
    mapping_has((uintptr_t)old, &what);
    void *got = next_mremap(old, old_size, size, flags, to);
    if (got == MAP_FAILED)
        return got;
#ifdef MREMAP_DONTUNMAP
    if (!(flags & MREMAP_DONTUNMAP))
#endif
        mapping_remove((uintptr_t)old, old_size, moment);
    mapping_add((uintptr_t)got, size, what);
    return got;
}

static void *recording_sbrk(intptr_t increment)
{
    uint64_t moment = mapping_moment();
    char *old = next_sbrk(increment);
    if (old == (void *)-1 || increment == 0)
        return old;
    if (increment > 0)
        mapping_add((uintptr_t)old, (size_t)increment, MD_LABEL_MMAP_BREAK);
    else
        mapping_remove((uintptr_t)old + (uintptr_t)increment, (size_t)-increment, moment);
    return old;
}

#define CONTROL_BLOCK_ALIGNMENT 64u /* struct pthread's */
/* How far above a call its callers' frames are looked for: a coroutine's stack may end there. */
#define CALLERS_MAX (UINT64_C(64) << 10)

/* Bytes that libc will map for such a thread's stack, its guard among them; 0: the program has
 * mapped one itself. */
static size_t stack_size(const pthread_attr_t *attr)
{
    pthread_attr_t usual;
    void *own = NULL;
    size_t size = 0, guard = 0;
    if (attr && pthread_attr_getstack(attr, &own, &size) == 0 && (uintptr_t)own + size != 0)
        return 0;
    pthread_attr_init(&usual);
    pthread_attr_getstacksize(attr ? attr : &usual, &size);
    pthread_attr_getguardsize(attr ? attr : &usual, &guard);
    pthread_attr_destroy(&usual);
    return os_page_up(size) + os_page_up(guard);
}

/* Whether that word may still be read.  The new thread may have given back what it lies in, and
 * libc, which writes it before that thread begins, does not look at it again.  It can be read on
 * the caller's own stack, and in what nobody has mapped but the heap and the loader, who keep it.
 */
static bool still_there(const pthread_t *thread)
{
    uintptr_t at = (uintptr_t)thread, here = (uintptr_t)__builtin_frame_address(0);
    if (at > here && at < cpu_stack_limit((uintptr_t)pthread_self()) && at - here < CALLERS_MAX)
        return true;
    enum md_label what;
    return !mapping_has(at, &what) && os_can_read(at);
}

/* libc maps a stack and its guard as one and lays the thread's control block, whose address is the
 * pthread_t, at its end (allocatestack.c), or takes one that a thread has left, which may be
 * larger.  Nothing of the thread is looked at: it may have ended.  Where another thing has come to
 * lie in the word since, it hardly ever looks like one: a control block is aligned, and there. */
static void record_stack(pthread_t thread, size_t size)
{
    uintptr_t limit = cpu_stack_limit((uintptr_t)thread);
    if (limit > size && (uintptr_t)thread % CONTROL_BLOCK_ALIGNMENT == 0 && os_can_read(limit - 8))
        mapping_add(limit - size, size, MD_LABEL_MMAP_STACK);
}

static int recording_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                                    start_routine *start, void *argument)
{
    size_t size = cpu_stack_limit((uintptr_t)pthread_self()) ? stack_size(attr) : 0;
    int error = next_pthread_create(thread, attr, start, argument);
    int saved = errno;
    if (!error && size && still_there(thread))
        record_stack(*thread, size);
    else if (!error && size)
        COUNT_ADD(lost_mappings, 1);
    errno = saved;
    return error;
}

/* ---- */

void mmap_init(void)
{
#define FIND(name)                                                                                 \
    {                                                                                              \
        void *found = dlsym(RTLD_NEXT, #name);                                                     \
        if (found) {                                                                               \
            *(void **)&next_##name = found;                                                        \
            slot_##name = found;                                                                   \
        }                                                                                          \
    }
    FIND(mmap)
    FIND(mmap64)
    FIND(munmap)
    FIND(mremap)
    FIND(sbrk)
    FIND(pthread_create)
}

void mmap_record(void)
{
    mapping_begin();
    slot_mmap = (void *)recording_mmap;
    slot_mmap64 = (void *)recording_mmap64;
    slot_munmap = (void *)recording_munmap;
    slot_mremap = (void *)recording_mremap;
    slot_sbrk = (void *)recording_sbrk;
    slot_pthread_create = (void *)recording_pthread_create;
}
