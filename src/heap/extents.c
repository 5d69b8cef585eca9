#include "heap/extents.h"

#include "base/compiler.h"
#include "base/lock.h"
#include "base/os.h"
#include "heap/object_map.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

struct extent *extents;
unsigned extent_count;
static uint64_t total_bytes;
static struct lock extents_lock = LOCK_INIT(LOCK_EXTENTS);

int extents_stable(void)
{
    return __atomic_load_n(&extents_lock.word, __ATOMIC_ACQUIRE) == 0;
}

void extents_renew(void)
{
    lock_renew(&extents_lock);
}

uint64_t extents_bytes(void)
{
    return __atomic_load_n(&total_bytes, __ATOMIC_RELAXED);
}

/* First extent that ends at or behind `start`. */
static unsigned find(uintptr_t start)
{
    unsigned low = 0, high = extent_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (extents[middle].end < start)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void replace(unsigned at, unsigned old, unsigned new)
{
    memmove(&extents[at + new], &extents[at + old], (extent_count - at - old) * sizeof extents[0]);
    extent_count += new - old;
}

/* False: the table is full. */
static bool add(uintptr_t start, uintptr_t end)
{
    if (!extents) {
        /* The table is mapped whole, and resident only as far as it is used. */
        extents = own_map(EXTENTS_MAX * sizeof extents[0]);
        if (!extents)
            return false;
        own_count(-(int64_t)(EXTENTS_MAX * sizeof extents[0]));
    }
    unsigned first = find(start), last = first;
    uint64_t before = 0;
    while (last < extent_count && extents[last].start <= end) {
        before += extents[last].end - extents[last].start;
        start = MIN(start, extents[last].start);
        end = MAX(end, extents[last].end);
        last++;
    }
    if (first == last && extent_count == EXTENTS_MAX)
        return false;
    replace(first, last - first, 1);
    extents[first] = (struct extent){start, end};
    total_bytes += end - start - before;
    return true;
}

static void cut(uintptr_t start, uintptr_t end)
{
    for (unsigned i = find(start + 1); i < extent_count && extents[i].start < end;) {
        struct extent e = extents[i];
        struct extent left = {e.start, MAX(e.start, MIN(start, e.end))};
        struct extent right = {MIN(e.end, MAX(end, e.start)), e.end};
        unsigned pieces = (left.end > left.start) + (right.end > right.start);
        if (pieces == 2 && extent_count == EXTENTS_MAX)
            return; /* the hole stays listed: memory that nobody can read is skipped by the tracer
                     */
        replace(i, 1, pieces);
        total_bytes -= MIN(end, e.end) - MAX(start, e.start);
        if (left.end > left.start)
            extents[i++] = left;
        if (right.end > right.start)
            extents[i++] = right;
    }
}

/* jemalloc's own mmap and munmap, by renaming at build time (src/malloc/embed_jemalloc.sh).  Called
 * under jemalloc's locks; takes only extents_lock, the last in the order. */
void *heap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
int heap_munmap(void *addr, size_t size);

void *heap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
    void *got = mmap(addr, size, prot, flags, fd, offset);
    if (got == MAP_FAILED || fd >= 0)
        return got;
    if (!object_map_open(got, size)) {
        munmap(got, size);
        errno = ENOMEM;
        return MAP_FAILED;
    }
    lock_take(&extents_lock);
    bool known = add((uintptr_t)got, (uintptr_t)got + size);
    lock_release(&extents_lock);
    if (!known) {
        munmap(got, size);
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return got;
}

int heap_munmap(void *addr, size_t size)
{
    /* Off the table first: between the two, another thread may be given the same addresses. */
    lock_take(&extents_lock);
    cut((uintptr_t)addr, (uintptr_t)addr + size);
    lock_release(&extents_lock);
    int result = munmap(addr, size);
    if (result != 0) {
        lock_take(&extents_lock);
        add((uintptr_t)addr, (uintptr_t)addr + size);
        lock_release(&extents_lock);
    }
    return result;
}
