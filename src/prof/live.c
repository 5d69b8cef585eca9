#include "prof/live.h"

#include "prof/index.h"
#include "segment/segment.h"

#define NO_SLOT UINT32_MAX
#define INDEX_MIN 4096u

/* Free records form a list through `weight`.  It lies in shared memory, so what is read from it is
 * checked. */
static uint32_t free_head = NO_SLOT;
static struct index by_address;
/* Generation of the newest sample; in a forked copy it goes on.  Read without the lock too. */
static uint32_t serial;
static uint64_t count_live; /* read without the lock too */

static struct md_sample *record(uint32_t slot)
{
    return (struct md_sample *)segment_table(MD_SECTION_SAMPLES) + slot;
}

static void count_by(int64_t by)
{
    __atomic_store_n(&count_live, count_live + (uint64_t)by, __ATOMIC_RELAXED);
}

uint64_t live_count(void)
{
    return __atomic_load_n(&count_live, __ATOMIC_RELAXED);
}

static uint32_t hash_address(uint64_t addr)
{
    return (uint32_t)((addr >> 4) * 0x9e3779b97f4a7c15u >> 32);
}

static uint32_t hash_of(uint32_t slot)
{
    return hash_address(record(slot)->addr);
}

static bool reserve(void)
{
    return index_reserve(&by_address, INDEX_MIN, hash_of);
}

uint64_t live_add_locked(uint64_t addr, uint32_t bucket, uint64_t weight, uint32_t born_ds,
                         bool indexed)
{
    uint64_t count = segment_count(MD_SECTION_SAMPLES);
    uint32_t slot = free_head;
    if (indexed && !reserve())
        return 0;
    if (slot < count && record(slot)->addr == 0) {
        uint64_t next = record(slot)->weight;
        free_head = next < count ? (uint32_t)next : NO_SLOT;
    } else {
        if (count >= NO_SLOT || !segment_grow(MD_SECTION_SAMPLES, count + 1))
            return 0;
        slot = (uint32_t)count;
        segment_set_count(MD_SECTION_SAMPLES, count + 1);
    }
    struct md_sample *s = record(slot);
    s->weight = weight;
    s->bucket = bucket;
    s->born_ds = born_ds;
    s->flags = 0;
    s->generation = ++serial;
    __atomic_store_n(&s->addr, addr, __ATOMIC_RELEASE);
    count_by(1);
    if (indexed)
        index_put(&by_address, hash_address(addr), slot);
    return (uint64_t)s->generation << 32 | (slot + 1u);
}

static void take_out(uint32_t slot, struct md_sample *out)
{
    struct md_sample *s = record(slot);
    *out = *s;
    __atomic_store_n(&s->addr, 0, __ATOMIC_RELEASE);
    s->weight = free_head;
    free_head = slot;
    count_by(-1);
}

bool live_remove_locked(uint64_t handle, struct md_sample *out)
{
    uint32_t slot = (uint32_t)handle - 1;
    if (slot >= segment_count(MD_SECTION_SAMPLES) || !record(slot)->addr ||
        record(slot)->generation != (uint32_t)(handle >> 32))
        return false;
    take_out(slot, out);
    return true;
}

bool live_remove_at_locked(uint64_t addr, struct md_sample *out)
{
    for (uint32_t at = index_begin(&by_address, hash_address(addr)), slot;
         index_at(&by_address, at, &slot); at = index_next(&by_address, at))
        if (record(slot)->addr == addr) {
            index_remove(&by_address, at, hash_of);
            take_out(slot, out);
            return true;
        }
    return false;
}

uint64_t live_moment(uint32_t now_ds)
{
    return (uint64_t)now_ds << 32 | __atomic_load_n(&serial, __ATOMIC_RELAXED);
}

/* Told by time as a rule; within a tenth of a second by generation, which wraps, but not in that
 * time.
 */
static bool is_before(const struct md_sample *s, uint64_t moment)
{
    uint32_t moment_ds = (uint32_t)(moment >> 32);
    if (s->flags & MD_SAMPLE_INHERITED || s->born_ds + UINT64_C(1) < moment_ds)
        return true;
    if (s->born_ds > moment_ds + UINT64_C(1))
        return false;
    return (int32_t)((uint32_t)moment - s->generation) >= 0;
}

bool live_flag_locked(uint32_t slot, uint32_t flags, uint64_t moment)
{
    struct md_sample *s = record(slot);
    if (!s->addr || !is_before(s, moment))
        return false;
    if (flags & MD_SAMPLE_LEAK)
        return s->flags & MD_SAMPLE_LEAK;
    uint32_t now = s->flags & MD_SAMPLE_INHERITED;
    if (flags & MD_SAMPLE_UNREACHED) {
        now |= MD_SAMPLE_UNREACHED | (flags & MD_SAMPLE_INDIRECT);
        now |= s->flags & MD_SAMPLE_UNREACHED ? MD_SAMPLE_LEAK : 0;
    }
    if (now != s->flags) /* readers run beside us */
        __atomic_store_n(&s->flags, now, __ATOMIC_RELAXED);
    return now & MD_SAMPLE_LEAK;
}

void live_postfork_child(void)
{
    index_drop(&by_address);
    free_head = NO_SLOT;
    count_by(-(int64_t)count_live);
}

bool live_at_fork(const struct md_sample *sample)
{
    return (int32_t)(serial - sample->generation) >= 0;
}

bool live_inherit_locked(uint32_t slot, const struct md_sample *sample, bool indexed)
{
    if (!segment_grow(MD_SECTION_SAMPLES, slot + 1ull) || (indexed && !reserve()))
        return false;
    struct md_sample *s = record(slot);
    *s = *sample;
    count_by(sample->addr != 0);
    if (segment_count(MD_SECTION_SAMPLES) <= slot)
        segment_set_count(MD_SECTION_SAMPLES, slot + 1ull);
    if (indexed && sample->addr)
        index_put(&by_address, hash_address(sample->addr), slot);
    return true;
}

void live_inherited_locked(void)
{
    uint64_t count = segment_count(MD_SECTION_SAMPLES);
    for (uint32_t slot = 0; slot < count; slot++)
        if (!record(slot)->addr) {
            record(slot)->weight = free_head;
            free_head = slot;
        }
}
