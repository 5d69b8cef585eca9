#include "heap/extents.h"

#include "base/compiler.h"
#include "base/lock.h"
#include "base/os.h"
#include "heap/object_map.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

/* Sorted by start, apart from one another. */
struct table {
    struct extent *at;
    unsigned count;
};

/* All of it is written with extents_lock held. */
struct extent *extents;
unsigned extent_count;
/* What changes are made in; `extents` is it, or while pinned perhaps the one before. */
static struct table live;
static struct extent *spare; /* the other one of two */
static bool pinned;
static uint64_t total_bytes;
/* Of `live`, what has come by extents_adopt: it goes by extents_release, and only that. */
static struct table adopted;

static struct lock extents_lock = LOCK_INIT(LOCK_EXTENTS);
static bool torn;
/* Counts the changes of `live`, twice each: odd within one.  So it can be read without the lock:
 * what was read between two equal, even values is whole (begin_change, end_change, extents_copy).
 */
static uint32_t changes;

static void begin_change(void)
{
    lock_take(&extents_lock);
    __atomic_store_n(&changes, changes + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static void end_change(void)
{
    if (!pinned) {
        extents = live.at;
        extent_count = live.count;
    }
    __atomic_store_n(&changes, changes + 1, __ATOMIC_RELEASE);
    lock_release(&extents_lock);
}

/* Mapped whole, and resident only as far as it is used. */
static struct extent *map_table(void)
{
    struct extent *map = own_map(EXTENTS_MAX * sizeof *map);
    if (map)
        own_count(-(int64_t)(EXTENTS_MAX * sizeof *map));
    return map;
}

/* Before a change of `live`: it is there, and nobody keeps it.  False: no memory. */
static bool writable(void)
{
    if (!live.at && !(live.at = map_table()))
        return false;
    if (!pinned || live.at != extents)
        return true;
    if (!spare && !(spare = map_table()))
        return false;
    memcpy(spare, live.at, live.count * sizeof *spare);
    struct extent *read = live.at;
    live.at = spare;
    spare = read;
    return true;
}

int extents_stable(void)
{
    return __atomic_load_n(&extents_lock.word, __ATOMIC_ACQUIRE) == 0;
}

void extents_postfork_child(void)
{
    lock_postfork_child(&extents_lock);
    pinned = false;
    extents = live.at;
    extent_count = live.count;
    torn |= changes & 1;
    changes = 0;
}

bool extents_torn(void)
{
    return torn;
}

void extents_pin(void)
{
    begin_change();
    pinned = true;
    end_change();
}

void extents_unpin(void)
{
    begin_change();
    pinned = false;
    end_change();
}

const struct extent *extents_live(unsigned *count)
{
    *count = live.count;
    return live.at;
}

/* Copies `from`, unless it has more than `room`; returns how many it has.  What it reads may be
 * changing meanwhile. */
static NO_SANITIZE unsigned copy(struct extent *to, unsigned room, const struct extent *from,
                                 unsigned count)
{
    if (count <= room)
        for (unsigned i = 0; i < count; i++)
            to[i] = ((const volatile struct extent *)from)[i];
    return count;
}

/* A change is a moment, but whoever is in it may have lost its CPU. */
#define COPY_TRIES 1000

unsigned extents_copy(struct extent *to, unsigned room)
{
    for (unsigned tries = 0; tries < COPY_TRIES || !pinned; tries++) {
        uint32_t before = __atomic_load_n(&changes, __ATOMIC_ACQUIRE);
        unsigned count = 0;
        if (!(before & 1))
            count = copy(to, room, __atomic_load_n(&live.at, __ATOMIC_RELAXED),
                         __atomic_load_n(&live.count, __ATOMIC_RELAXED));
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!(before & 1) && __atomic_load_n(&changes, __ATOMIC_RELAXED) == before)
            return count;
        sched_yield();
    }
    return copy(to, room, extents, extent_count);
}

uint64_t extents_bytes(void)
{
    return __atomic_load_n(&total_bytes, __ATOMIC_RELAXED);
}

/* First extent that ends at or behind `start`. */
static unsigned find(const struct table *table, uintptr_t start)
{
    unsigned low = 0, high = table->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (table->at[middle].end < start)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void replace(struct table *table, unsigned at, unsigned old, unsigned new)
{
    memmove(&table->at[at + new], &table->at[at + old],
            (table->count - at - old) * sizeof table->at[0]);
    table->count += new - old;
}

/* False: the table is full.  *bytes: by how much it has grown. */
static bool add(struct table *table, uintptr_t start, uintptr_t end, uint64_t *bytes)
{
    unsigned first = find(table, start), last = first;
    uint64_t before = 0;
    while (last < table->count && table->at[last].start <= end) {
        before += table->at[last].end - table->at[last].start;
        start = MIN(start, table->at[last].start);
        end = MAX(end, table->at[last].end);
        last++;
    }
    if (first == last && table->count == EXTENTS_MAX)
        return false;
    replace(table, first, last - first, 1);
    table->at[first] = (struct extent){start, end};
    *bytes = end - start - before;
    return true;
}

/* Returns the bytes taken out.  Where a hole would make more entries than there may be, it stays
 * listed: memory that nobody can read is skipped by the tracer. */
static uint64_t cut(struct table *table, uintptr_t start, uintptr_t end)
{
    uint64_t bytes = 0;
    for (unsigned i = find(table, start + 1); i < table->count && table->at[i].start < end;) {
        struct extent e = table->at[i];
        struct extent left = {e.start, MAX(e.start, MIN(start, e.end))};
        struct extent right = {MIN(e.end, MAX(end, e.start)), e.end};
        unsigned pieces = (left.end > left.start) + (right.end > right.start);
        if (pieces == 2 && table->count == EXTENTS_MAX)
            break;
        replace(table, i, 1, pieces);
        bytes += MIN(end, e.end) - MAX(start, e.start);
        if (left.end > left.start)
            table->at[i++] = left;
        if (right.end > right.start)
            table->at[i++] = right;
    }
    return bytes;
}

static bool add_live_locked(uintptr_t start, uintptr_t end)
{
    uint64_t bytes;
    if (!writable() || !add(&live, start, end, &bytes))
        return false;
    total_bytes += bytes;
    return true;
}

static void cut_live_locked(uintptr_t start, uintptr_t end)
{
    if (writable()) /* else it stays listed */
        total_bytes -= cut(&live, start, end);
}

/* jemalloc's own mmap and munmap, by renaming at build time (src/malloc/embed_jemalloc.sh).  Called
 * under jemalloc's locks; takes only extents_lock, the last in the order. */
void *heap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
int heap_munmap(void *addr, size_t size);

void *heap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
    void *got = os_mmap(addr, size, prot, flags, fd, offset);
    if (got == MAP_FAILED || fd >= 0)
        return got;
    if (!object_map_open(got, size)) {
        os_munmap(got, size);
        errno = ENOMEM;
        return MAP_FAILED;
    }
    begin_change();
    bool known = add_live_locked((uintptr_t)got, (uintptr_t)got + size);
    end_change();
    if (!known) {
        os_munmap(got, size);
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return got;
}

int heap_munmap(void *addr, size_t size)
{
    /* Off the table first: between the two, another thread may be given the same addresses. */
    begin_change();
    cut_live_locked((uintptr_t)addr, (uintptr_t)addr + size);
    end_change();
    int result = os_munmap(addr, size);
    if (result != 0) {
        begin_change();
        add_live_locked((uintptr_t)addr, (uintptr_t)addr + size);
        end_change();
    }
    return result;
}

/* Notes what of the range is not listed.  False: no room. */
static bool add_adopted_locked(uintptr_t start, uintptr_t end)
{
    if (!adopted.at && !(adopted.at = map_table()))
        return false;
    for (unsigned i = find(&live, start + 1); start < end; i++) {
        bool more = i < live.count;
        uintptr_t until = more ? MIN(live.at[i].start, end) : end;
        uint64_t bytes;
        if (until > start && !add(&adopted, start, until, &bytes))
            return false;
        start = more ? MAX(start, live.at[i].end) : end;
    }
    return true;
}

static bool adopts; /* written at boot */

void extents_adopt_all(void)
{
    adopts = true;
}

bool extents_adopt(uintptr_t start, uintptr_t end)
{
    if (!adopts)
        return true;
    lock_take(&extents_lock);
    unsigned i = find(&live, end);
    bool listed = i < live.count && live.at[i].start <= start;
    lock_release(&extents_lock);
    if (listed)
        return true;
    if (!object_map_open((void *)start, end - start))
        return false;
    begin_change();
    if (add_adopted_locked(start, end))
        add_live_locked(start, end);
    end_change();
    return true;
}

void extents_release(uintptr_t start, uintptr_t end)
{
    if (LIKELY(__atomic_load_n(&adopted.count, __ATOMIC_RELAXED) == 0))
        return;
    begin_change();
    for (unsigned i = find(&adopted, start + 1); i < adopted.count && adopted.at[i].start < end;
         i++)
        cut_live_locked(MAX(start, adopted.at[i].start), MIN(end, adopted.at[i].end));
    cut(&adopted, start, end);
    end_change();
}
