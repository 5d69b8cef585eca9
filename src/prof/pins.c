#include "prof/pins.h"

#include "base/compiler.h"
#include "base/os.h"
#include "prof/prof.h"
#include "prof/record.h"
#include "prof/table.h"
#include "segment/segment.h"

#define BATCH 32u /* entries for which the tables are locked at a time */
#define BATCHES 4u

/* An array that grows, in memory of our own, zeroed; guarded by the tables' lock. */
struct array {
    void *entries;
    size_t room;
};

static bool reserve(struct array *array, size_t count, size_t size)
{
    if (count <= array->room)
        return true;
    size_t room = MAX(MAX(count, array->room * 2), OS_PAGE / size);
    char *fresh = own_map(room * size);
    if (!fresh)
        return false;
    struct array old = *array;
    for (size_t i = 0; i < old.room * size; i++)
        fresh[i] = ((const char *)old.entries)[i];
    array->entries = fresh;
    __atomic_store_n(&array->room, room, __ATOMIC_RELEASE);
    if (old.room) /* last, as a fork may come between: its copy has the new ones */
        own_unmap(old.entries, old.room * size);
    return true;
}

static struct array siblings; /* uintptr_t, by slot; no room: samples lie among their like */

void pins_apart_locked(uint32_t slot, uintptr_t sibling)
{
    if (reserve(&siblings, slot + (size_t)1, sizeof sibling))
        ((uintptr_t *)siblings.entries)[slot] = sibling;
}

/* What is added up of a bucket. */
struct sum {
    double bytes, variance;
    double known, all; /* objects: those with a share, and all */
};
static struct array sums; /* by bucket */
static uint64_t slot_next, bucket_next, bucket_end;
static bool complete;

void pins_begin(void)
{
    slot_next = bucket_next = bucket_end = 0;
    complete = true;
}

static void add_sample_locked(uint64_t slot, pins_share *share)
{
    const struct md_sample *sample =
        (const struct md_sample *)segment_table(MD_SECTION_SAMPLES) + slot;
    const struct md_bucket *buckets = segment_table(MD_SECTION_BUCKETS);
    uint32_t bucket = sample->bucket;
    if (!sample->addr || bucket >= segment_count(MD_SECTION_BUCKETS))
        return;
    if (!reserve(&sums, bucket + (size_t)1, sizeof(struct sum))) {
        complete = false;
        return;
    }
    bool there = !siblings.room;
    uintptr_t at = there                  ? (uintptr_t)sample->addr
                   : slot < siblings.room ? ((const uintptr_t *)siblings.entries)[slot]
                                          : 0;
    struct sum *sum = (struct sum *)sums.entries + bucket;
    double objects = (double)sample->weight / MD_WEIGHT_ONE;
    sum->all += objects;
    if (!at)
        return;
    double bytes = share(at, buckets[bucket].key, there);
    sum->known += objects;
    sum->bytes += objects * bytes;
    sum->variance += objects > 1 ? objects * (objects - 1) * bytes * bytes : 0;
}

/* By Newton; from above it only falls. */
static double root(double x)
{
    double of = MAX(x, 1), next;
    while ((next = (of + x / of) / 2) < of)
        of = next;
    return of;
}

static uint64_t whole(double value)
{
    return value < 0x1p62 ? (uint64_t)(value + 0.5) : UINT64_C(1) << 62;
}

/* Those of a bucket whose siblings are not known are as the others. */
static void tell_locked(uint32_t bucket)
{
    struct sum sum = bucket < sums.room ? ((struct sum *)sums.entries)[bucket] : (struct sum){0};
    double scale = sum.known > 0 ? sum.all / sum.known : 0;
    uint64_t bytes = whole(sum.bytes * scale);
    uint64_t error = bytes && sum.variance > 0 ? whole(root(sum.variance) * scale) : 0;
    complete &= bucket_restate_locked(bucket, MD_BUCKET_PINNED, bytes, error);
    if (bucket < sums.room)
        ((struct sum *)sums.entries)[bucket] = (struct sum){0};
}

static bool step_locked(pins_share *share)
{
    uint64_t end = MIN(slot_next + BATCH, segment_count(MD_SECTION_SAMPLES));
    if (slot_next < end) {
        for (; slot_next < end; slot_next++)
            add_sample_locked(slot_next, share);
        return false;
    }
    if (bucket_end == 0)
        bucket_end = segment_count(MD_SECTION_BUCKETS);
    for (end = MIN(bucket_next + BATCH, bucket_end); bucket_next < end; bucket_next++) {
        const struct md_bucket *buckets = segment_table(MD_SECTION_BUCKETS);
        if (buckets[bucket_next].kind == MD_BUCKET_HEAP)
            tell_locked((uint32_t)bucket_next);
    }
    return bucket_next == bucket_end;
}

enum pins_state pins_step(pins_share *share)
{
    struct prof_thread *t = &prof_thread;
    bool all = false;
    for (unsigned i = 0; i < BATCHES && !all; i++) {
        t->busy = true;
        tables_take();
        all = step_locked(share);
        tables_give();
        t->busy = false;
    }
    return !all ? PINS_MORE : complete ? PINS_TOLD : PINS_REFUSED;
}

void pins_postfork_child(void)
{
    if (sums.room)
        own_unmap(sums.entries, sums.room * sizeof(struct sum));
    sums = (struct array){0};
    pins_begin();
}
