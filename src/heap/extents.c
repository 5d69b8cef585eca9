#include "heap/extents.h"

#include "base/compiler.h"
#include "base/lock.h"
#include "base/os.h"
#include "heap/object_map.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

struct extent *extents;
unsigned extent_count;
/* The table that changes are made in; `extents` is it, or while pinned perhaps the one before. */
static struct extent *table;
static unsigned table_count;
static struct extent *spare; /* the other one of two */
static bool pinned;
static uint64_t total_bytes;
static struct lock extents_lock = LOCK_INIT(LOCK_EXTENTS);

static void publish(void)
{
    if (!pinned) {
        extents = table;
        extent_count = table_count;
    }
}

/* Mapped whole, and resident only as far as it is used. */
static struct extent *map_table(void)
{
    struct extent *map = own_map(EXTENTS_MAX * sizeof *map);
    if (map)
        own_count(-(int64_t)(EXTENTS_MAX * sizeof *map));
    return map;
}

/* Before a change: `table` is there, and nobody reads it.  False: no memory. */
static bool writable(void)
{
    if (!table && !(table = map_table()))
        return false;
    if (!pinned || table != extents)
        return true;
    if (!spare && !(spare = map_table()))
        return false;
    memcpy(spare, table, table_count * sizeof *table);
    struct extent *read = table;
    table = spare;
    spare = read;
    return true;
}

int extents_stable(void)
{
    return __atomic_load_n(&extents_lock.word, __ATOMIC_ACQUIRE) == 0;
}

void extents_renew(void)
{
    lock_renew(&extents_lock);
    pinned = false;
    publish();
}

void extents_pin(void)
{
    lock_take(&extents_lock);
    pinned = true;
    lock_release(&extents_lock);
}

void extents_unpin(void)
{
    lock_take(&extents_lock);
    pinned = false;
    publish();
    lock_release(&extents_lock);
}

const struct extent *extents_live(unsigned *count)
{
    *count = table_count;
    return table;
}

uint64_t extents_bytes(void)
{
    return __atomic_load_n(&total_bytes, __ATOMIC_RELAXED);
}

/* First extent that ends at or behind `start`. */
static unsigned find(uintptr_t start)
{
    unsigned low = 0, high = table_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (table[middle].end < start)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void replace(unsigned at, unsigned old, unsigned new)
{
    memmove(&table[at + new], &table[at + old], (table_count - at - old) * sizeof table[0]);
    table_count += new - old;
}

/* False: the table is full. */
static bool add(uintptr_t start, uintptr_t end)
{
    if (!writable())
        return false;
    unsigned first = find(start), last = first;
    uint64_t before = 0;
    while (last < table_count && table[last].start <= end) {
        before += table[last].end - table[last].start;
        start = MIN(start, table[last].start);
        end = MAX(end, table[last].end);
        last++;
    }
    if (first == last && table_count == EXTENTS_MAX)
        return false;
    replace(first, last - first, 1);
    table[first] = (struct extent){start, end};
    total_bytes += end - start - before;
    publish();
    return true;
}

static void cut(uintptr_t start, uintptr_t end)
{
    if (!writable())
        return; /* stays listed, as below */
    for (unsigned i = find(start + 1); i < table_count && table[i].start < end;) {
        struct extent e = table[i];
        struct extent left = {e.start, MAX(e.start, MIN(start, e.end))};
        struct extent right = {MIN(e.end, MAX(end, e.start)), e.end};
        unsigned pieces = (left.end > left.start) + (right.end > right.start);
        if (pieces == 2 && table_count == EXTENTS_MAX)
            return; /* the hole stays listed: memory that nobody can read is skipped by the tracer
                     */
        replace(i, 1, pieces);
        total_bytes -= MIN(end, e.end) - MAX(start, e.start);
        if (left.end > left.start)
            table[i++] = left;
        if (right.end > right.start)
            table[i++] = right;
    }
    publish();
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
