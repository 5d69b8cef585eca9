#include "prof/mapping.h"

#include "base/compiler.h"
#include "base/lock.h"
#include "base/machine.h"
#include "base/os.h"
#include "prof/prof.h"
#include "prof/record.h"
#include "prof/table.h"
#include "segment/segment.h"
#include "segment/tables.h"

#include <errno.h>
#include <string.h>

static bool recording;
static uint64_t serial; /* of the newest record; atomic, written with the tables locked */

/* The ranges do not overlap.  `order` has their entries in the section, by address; it lies in
 * private memory, as free entries' numbers do behind its end: [0, count) are ranges, [count, used)
 * are free, and all below `used` stand there once. */
static uint32_t *order;
static uint32_t room, count, used;
#define ROOM_MIN 1024u

static uint32_t stacks; /* ranges that are a thread's stack */
static uint32_t made;   /* of those, since the last sweep */
#define SWEEP_MIN 16u

/* All that has ever been mapped; atomic.  Most of it is never touched, so the segment is due at
 * this many times of what is due of the heap. */
static uint64_t total_bytes;
#define DUE_FACTOR 32u

static struct md_mapping *entry(uint32_t slot)
{
    return (struct md_mapping *)segment_table(MD_SECTION_MAPPINGS) + slot;
}

static void charge_locked(uint32_t bucket, unsigned calls_at, unsigned calls, uint64_t bytes)
{
    if (bucket < segment_count(MD_SECTION_BUCKETS))
        bucket_charge_locked(bucket, calls_at, calls, bytes);
}

/* The first range that ends behind `address`. */
static uint32_t find(uintptr_t address)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (entry(order[middle])->limit > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Room for one more in `order` and in the section; puts a free entry at order[count]. */
static bool reserve(void)
{
    if (count < used)
        return true;
    if (used == room) {
        uint32_t more = room ? room * 2 : ROOM_MIN;
        uint32_t *fresh = own_map(more * sizeof *fresh);
        if (!fresh)
            return false;
        if (order) {
            memcpy(fresh, order, used * sizeof *order);
            own_unmap(order, room * sizeof *order);
        }
        order = fresh;
        room = more;
    }
    if (!segment_grow(MD_SECTION_MAPPINGS, (uint64_t)used + 1))
        return false;
    segment_set_count(MD_SECTION_MAPPINGS, (uint64_t)used + 1);
    order[used] = used;
    used++;
    return true;
}

/* At place `at`, which is where its address belongs.  False: no room. */
static bool insert(uint32_t at, struct md_mapping mapping)
{
    if (!reserve())
        return false;
    uint32_t slot = order[count];
    memmove(order + at + 1, order + at, (count - at) * sizeof *order);
    order[at] = slot;
    count++;
    struct md_mapping *e = entry(slot);
    e->limit = mapping.limit;
    e->serial = mapping.serial;
    e->bucket = mapping.bucket;
    e->flags = mapping.flags;
    __atomic_store_n(&e->start, mapping.start, __ATOMIC_RELEASE);
    stacks += (mapping.flags & MD_MAPPING_STACK) != 0;
    return true;
}

static void erase(uint32_t at)
{
    uint32_t slot = order[at];
    stacks -= (entry(slot)->flags & MD_MAPPING_STACK) && stacks > 0;
    __atomic_store_n(&entry(slot)->start, 0, __ATOMIC_RELEASE);
    count--;
    memmove(order + at, order + at + 1, (count - at) * sizeof *order);
    order[count] = slot;
}

/* Takes [start, limit) out of whatever is not younger than `moment`. */
static void cut_locked(uintptr_t start, uintptr_t limit, uint64_t moment)
{
    for (uint32_t at = find(start); at < count && entry(order[at])->start < limit;) {
        struct md_mapping *e = entry(order[at]), whole = *e;
        if (whole.serial > moment) {
            at++;
            continue;
        }
        uintptr_t from = MAX(whole.start, start), to = MIN(whole.limit, limit);
        bool left = whole.start<from, right = whole.limit> to;
        charge_locked(whole.bucket, MD_MMAP_GONE_CALLS, !left && !right, to - from);
        if (!left && !right) {
            erase(at);
            continue;
        }
        if (left)
            e->limit = from;
        else
            e->start = to;
        at++;
        if (!left || !right)
            continue;
        struct md_mapping rest = whole;
        rest.start = to;
        if (insert(at, rest)) {
            at++;
        } else {
            charge_locked(whole.bucket, MD_MMAP_GONE_CALLS, 0, rest.limit - rest.start);
            COUNT_ADD(lost_mappings, 1);
        }
    }
}

/* Whether this thread may record now. */
static bool enter(void)
{
    /* What the unwinder maps is ours. */
    if (!recording || own_thread || prof_thread.gathering)
        return false;
    if (prof_thread.busy || lock_held_here()) {
        COUNT_ADD(lost_mappings, 1);
        return false;
    }
    prof_thread.busy = true;
    if (segment_check())
        return true;
    prof_thread.busy = false;
    return false;
}

static void leave(void)
{
    prof_thread.busy = false;
    cpu_clear_vectors();
}

void mapping_begin(void)
{
    recording = true;
}

uint64_t mapping_moment(void)
{
    return __atomic_load_n(&serial, __ATOMIC_ACQUIRE);
}

void mapping_add(uintptr_t start, size_t size, uint32_t flags)
{
    int saved = errno;
    uintptr_t limit = os_page_up(start + size);
    if (start >= limit || !enter())
        return;
    bool is_stack = flags & MD_MAPPING_STACK;
    struct record record;
    uint32_t stack = record_begin(&record), bucket;
    cut_locked(start, limit, UINT64_MAX);
    struct md_mapping fresh = {
        .start = start, .limit = limit, .serial = serial + 1, .flags = flags};
    if (bucket_intern_locked(MD_BUCKET_MMAP, stack, 0, &bucket)) {
        fresh.bucket = bucket;
        if (insert(find(start), fresh)) {
            __atomic_store_n(&serial, fresh.serial, __ATOMIC_RELEASE);
            charge_locked(bucket, MD_MMAP_CALLS, 1, limit - start);
            fresh.start = 0;
        }
    }
    if (fresh.start)
        COUNT_ADD(lost_mappings, 1);
    /* A sweep each time that as many have come as there are costs each one look. */
    bool due = is_stack && ++made >= MAX(stacks, SWEEP_MIN);
    record_end(&record);
    leave();
    if (due)
        mapping_sweep_stacks();
    segment_publish(__atomic_add_fetch(&total_bytes, limit - start, __ATOMIC_RELAXED) / DUE_FACTOR);
    if (prof_on_sample)
        prof_on_sample();
    errno = saved;
}

void mapping_remove(uintptr_t start, size_t size, uint64_t moment)
{
    int saved = errno;
    uintptr_t limit = os_page_up(start + size);
    /* Of no pages: mremap from a size of 0, which makes a second mapping of the first's. */
    if (size && start < limit && enter()) {
        tables_take();
        cut_locked(start, limit, moment);
        tables_give();
        leave();
    }
    errno = saved;
}

bool mapping_has(uintptr_t address)
{
    int saved = errno;
    bool has = true;
    if (enter()) {
        tables_take();
        uint32_t at = find(address);
        has = at < count && entry(order[at])->start <= address;
        tables_give();
        leave();
    }
    errno = saved;
    return has;
}

/* A thread's control block lies in the last page of its stack. */
void mapping_sweep_stacks(void)
{
    int saved = errno;
    if (enter()) {
        tables_take();
        made = 0;
        for (uint32_t at = 0; at < count;) {
            struct md_mapping *e = entry(order[at]);
            if ((e->flags & MD_MAPPING_STACK) && !os_can_read(e->limit - 8)) {
                charge_locked(e->bucket, MD_MMAP_GONE_CALLS, 1, e->limit - e->start);
                erase(at);
            } else {
                at++;
            }
        }
        tables_give();
        leave();
    }
    errno = saved;
}

void mapping_inherit_locked(const struct tables *parent,
                            uint32_t (*stack_of)(const struct tables *parent, uint32_t id))
{
    if (order)
        own_unmap(order, room * sizeof *order);
    order = NULL;
    room = count = used = stacks = made = 0;
    const struct md_mapping *mappings = parent->table[MD_SECTION_MAPPINGS];
    const struct md_bucket *buckets = parent->table[MD_SECTION_BUCKETS];
    for (uint64_t i = 0; parent->header && i < parent->count[MD_SECTION_MAPPINGS]; i++) {
        struct md_mapping m;
        m.start = __atomic_load_n(&mappings[i].start, __ATOMIC_ACQUIRE);
        m.limit = __atomic_load_n(&mappings[i].limit, __ATOMIC_RELAXED);
        m.serial = __atomic_load_n(&mappings[i].serial, __ATOMIC_RELAXED);
        m.bucket = __atomic_load_n(&mappings[i].bucket, __ATOMIC_RELAXED);
        m.flags = __atomic_load_n(&mappings[i].flags, __ATOMIC_RELAXED) | MD_MAPPING_INHERITED;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        /* The parent goes on: what it has mapped since is not ours. */
        if (!m.start || m.start >= m.limit || m.serial > serial ||
            __atomic_load_n(&mappings[i].start, __ATOMIC_RELAXED) != m.start ||
            m.bucket >= parent->count[MD_SECTION_BUCKETS])
            continue;
        uint32_t stack = __atomic_load_n(&buckets[m.bucket].stack, __ATOMIC_RELAXED);
        uint32_t at = find(m.start);
        if ((at < count && entry(order[at])->start < m.limit) ||
            !bucket_intern_locked(MD_BUCKET_MMAP, stack_of(parent, stack), 0, &m.bucket) ||
            !insert(at, m)) {
            COUNT_ADD(lost_mappings, 1);
            continue;
        }
        charge_locked(m.bucket, MD_MMAP_CALLS, 1, m.limit - m.start);
    }
}
