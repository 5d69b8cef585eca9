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
static uint64_t serial; /* of the newest record; atomic */

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

/* What has been unmapped while records were put aside, the newest in the place of the oldest.  One
 * of a mapping may come after that of its end, from another thread: it ends as soon as it is there.
 * It does no harm to do one of these again: what is not younger than that call is gone by it. */
#define REMOVED_MAX 1024u
static struct removed {
    uintptr_t start, limit;
    uint64_t moment;
} removed[REMOVED_MAX];
static uint32_t removed_count;
static uint64_t removed_latest;  /* the greatest moment of them */
static uint64_t removed_unknown; /* up to that moment there were more */

static void note_removed_locked(uintptr_t start, uintptr_t limit, uint64_t moment)
{
    struct removed *r = &removed[removed_count++ % REMOVED_MAX];
    if (removed_count > REMOVED_MAX)
        removed_unknown = MAX(removed_unknown, r->moment);
    *r = (struct removed){start, limit, moment};
    removed_latest = MAX(removed_latest, moment);
}

static void remove_again_locked(uintptr_t start, uintptr_t limit, uint64_t moment)
{
    if (removed_latest < moment) /* as a rule */
        return;
    for (uint32_t i = 0; i < MIN(removed_count, REMOVED_MAX); i++) {
        const struct removed *r = &removed[i];
        if (r->moment >= moment && r->start < limit && start < r->limit)
            cut_locked(MAX(start, r->start), MIN(limit, r->limit), r->moment);
    }
    COUNT_ADD(lost_mappings, removed_unknown >= moment);
}

/* Whether this thread may record now; PUT_ASIDE: not now, as it is in the middle of a record. */
enum entered { NO, YES, PUT_ASIDE };

static enum entered enter(void)
{
    if (!recording || own_thread)
        return NO;
    if (prof_thread.busy || lock_held_here())
        return PUT_ASIDE;
    record_deferred(); /* it comes first */
    prof_thread.busy = true;
    if (segment_check())
        return YES;
    prof_thread.busy = false;
    return NO;
}

static void leave(void)
{
    prof_thread.busy = false;
    record_deferred();
    cpu_clear_vectors();
}

/* What record_defer calls it, and the values that go with it. */
enum { ADD, REMOVE };
enum { START, LIMIT, MOMENT, WHAT }; /* of ADD the moment is its own serial number */

static void put_aside(unsigned operation, uintptr_t start, uintptr_t limit, uint64_t moment,
                      enum md_label what)
{
    uint64_t value[RING_VALUES] = {
        [START] = start, [LIMIT] = limit, [MOMENT] = moment, [WHAT] = what};
    if (!record_defer(MD_BUCKET_MMAP, operation, value, operation == ADD))
        COUNT_ADD(lost_mappings, 1);
}

uint64_t mapping_moment(void)
{
    return __atomic_load_n(&serial, __ATOMIC_ACQUIRE);
}

static uint64_t next_serial(void)
{
    return __atomic_add_fetch(&serial, 1, __ATOMIC_ACQ_REL);
}

/* False: not recorded. */
static bool add_locked(uintptr_t start, uintptr_t limit, uint64_t number, enum md_label what,
                       uint32_t stack)
{
    uint32_t bucket, at = find(start);
    struct md_mapping fresh = {.start = start,
                               .limit = limit,
                               .serial = number,
                               .flags = what == MD_LABEL_MMAP_STACK ? MD_MAPPING_STACK : 0};
    if ((at < count && entry(order[at])->start < limit) ||
        !bucket_intern_locked((struct bucket_id){MD_BUCKET_MMAP, stack, 0, what}, &bucket))
        return false;
    fresh.bucket = bucket;
    if (!insert(at, fresh))
        return false;
    charge_locked(bucket, MD_MMAP_CALLS, 1, limit - start);
    return true;
}

/* A younger mapping lies where this one was: it came and went.  (Or there is no room for it.) */
static void replaced_locked(uintptr_t start, uintptr_t limit, enum md_label what, uint32_t stack)
{
    uint32_t bucket;
    if (find(start) == count || entry(order[find(start)])->start >= limit ||
        !bucket_intern_locked((struct bucket_id){MD_BUCKET_MMAP, stack, 0, what}, &bucket)) {
        COUNT_ADD(lost_mappings, 1);
        return;
    }
    charge_locked(bucket, MD_MMAP_CALLS, 1, limit - start);
    charge_locked(bucket, MD_MMAP_GONE_CALLS, 1, limit - start);
}

static void deferred_locked(const struct ring_record *record, uint32_t stack)
{
    const uint64_t *value = record->value;
    cut_locked(value[START], value[LIMIT], value[MOMENT]);
    if (record->operation == REMOVE)
        note_removed_locked(value[START], value[LIMIT], value[MOMENT]);
    else if (add_locked(value[START], value[LIMIT], value[MOMENT], (enum md_label)value[WHAT],
                        stack))
        remove_again_locked(value[START], value[LIMIT], value[MOMENT]);
    else
        replaced_locked(value[START], value[LIMIT], (enum md_label)value[WHAT], stack);
}

void mapping_begin(void)
{
    record_deferred_locked[MD_BUCKET_MMAP] = deferred_locked;
    recording = true;
}

void mapping_add(uintptr_t start, size_t size, enum md_label what)
{
    int saved = errno;
    enum entered entered;
    uintptr_t limit = os_page_up(start + size);
    if (start >= limit || !(entered = enter()))
        return;
    if (entered == PUT_ASIDE) {
        put_aside(ADD, start, limit, next_serial(), what);
        errno = saved;
        return;
    }
    struct record record;
    uint32_t stack = record_begin(&record);
    cut_locked(start, limit, UINT64_MAX);
    if (!add_locked(start, limit, next_serial(), what, stack))
        COUNT_ADD(lost_mappings, 1);
    /* A sweep each time that as many have come as there are costs each one look. */
    bool due = what == MD_LABEL_MMAP_STACK && ++made >= MAX(stacks, SWEEP_MIN);
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
    enum entered entered = size && start < limit ? enter() : NO;
    if (entered == PUT_ASIDE) {
        put_aside(REMOVE, start, limit, moment, MD_LABEL_NONE);
    } else if (entered) {
        tables_take();
        cut_locked(start, limit, moment);
        if (UNLIKELY(ring_pending()))
            note_removed_locked(start, limit, moment);
        tables_give();
        leave();
    }
    errno = saved;
}

static enum md_label label_of(const struct md_mapping *mapping)
{
    const struct md_bucket *buckets = segment_table(MD_SECTION_BUCKETS);
    return mapping->bucket < segment_count(MD_SECTION_BUCKETS)
               ? (enum md_label)buckets[mapping->bucket].label
               : MD_LABEL_NONE;
}

bool mapping_has(uintptr_t address, enum md_label *what)
{
    int saved = errno;
    bool has = true;
    *what = MD_LABEL_NONE;
    if (enter() == YES) {
        tables_take();
        uint32_t at = find(address);
        has = at < count && entry(order[at])->start <= address;
        if (has)
            *what = label_of(entry(order[at]));
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
    if (enter() == YES) {
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
    removed_count = 0;
    removed_latest = removed_unknown = 0;
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
        struct bucket_id id = {
            MD_BUCKET_MMAP,
            stack_of(parent, __atomic_load_n(&buckets[m.bucket].stack, __ATOMIC_RELAXED)), 0,
            (enum md_label)__atomic_load_n(&buckets[m.bucket].label, __ATOMIC_RELAXED)};
        uint32_t at = find(m.start);
        if ((at < count && entry(order[at])->start < m.limit) ||
            !bucket_intern_locked(id, &m.bucket) || !insert(at, m)) {
            COUNT_ADD(lost_mappings, 1);
            continue;
        }
        charge_locked(m.bucket, MD_MMAP_CALLS, 1, m.limit - m.start);
    }
}
