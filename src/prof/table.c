#include "prof/table.h"

#include "base/compiler.h"
#include "base/os.h"
#include "segment/segment.h"

#include <string.h>

/* Index of one table: slots hold index + 1, 0 is free; a power of two, at most 3/4 full. */
struct index {
    uint32_t *slots;
    uint32_t mask;
    uint32_t used;
};
#define INDEX_MIN 1024u

static struct index stacks, buckets;
static uint64_t stack_words = 1; /* in use; word 0 is the unknown stack */

static const struct md_stack *stack_at(uint32_t id)
{
    return (const struct md_stack *)((const uint64_t *)segment_table(MD_SECTION_STACKS) + id);
}

static const struct md_bucket *bucket_at(uint32_t index)
{
    return (const struct md_bucket *)segment_table(MD_SECTION_BUCKETS) + index;
}

uint32_t stack_hash(const uint64_t *pcs, unsigned depth)
{
    uint64_t h = depth;
    for (unsigned i = 0; i < depth; i++)
        h = (h ^ pcs[i]) * 0x9e3779b97f4a7c15u, h ^= h >> 29;
    return (uint32_t)(h ^ h >> 32);
}

static uint32_t bucket_hash(uint32_t stack, uint64_t size)
{
    uint64_t h = (stack * 0x9e3779b97f4a7c15u ^ size) * 0xbf58476d1ce4e5b9u;
    return (uint32_t)(h ^ h >> 32);
}

static bool reserve(struct index *x, uint32_t (*hash_of)(uint32_t id))
{
    if (x->slots && x->used * 4 < (x->mask + 1) * 3)
        return true;
    uint32_t size = x->slots ? (x->mask + 1) * 2 : INDEX_MIN;
    uint32_t *slots = own_map(size * sizeof *slots);
    if (!slots)
        return false;
    for (uint32_t i = 0; x->slots && i <= x->mask; i++) {
        if (!x->slots[i])
            continue;
        uint32_t at = hash_of(x->slots[i] - 1) & (size - 1);
        while (slots[at])
            at = (at + 1) & (size - 1);
        slots[at] = x->slots[i];
    }
    if (x->slots)
        own_unmap(x->slots, (x->mask + 1) * sizeof *slots);
    x->slots = slots;
    x->mask = size - 1;
    return true;
}

static void put(struct index *x, uint32_t hash, uint32_t id)
{
    uint32_t at = hash & x->mask;
    while (x->slots[at])
        at = (at + 1) & x->mask;
    x->slots[at] = id + 1;
    x->used++;
}

static uint32_t hash_of_stack(uint32_t id)
{
    return stack_at(id)->hash;
}

static uint32_t hash_of_bucket(uint32_t index)
{
    return bucket_hash(bucket_at(index)->stack, bucket_at(index)->size);
}

uint32_t stack_find_locked(const uint64_t *pcs, unsigned depth, uint32_t hash)
{
    if (!stacks.slots)
        return 0;
    for (uint32_t at = hash & stacks.mask; stacks.slots[at]; at = (at + 1) & stacks.mask) {
        const struct md_stack *s = stack_at(stacks.slots[at] - 1);
        uint64_t end = stacks.slots[at] - 1 + MD_STACK_HEADER_WORDS + (uint64_t)depth;
        if (s->hash == hash && s->depth == depth && end <= stack_words &&
            memcmp(s->pc, pcs, depth * sizeof *pcs) == 0)
            return stacks.slots[at] - 1;
    }
    return 0;
}

uint32_t stack_add_locked(const uint64_t *pcs, unsigned depth, uint32_t hash, uint32_t epoch,
                          bool truncated)
{
    uint64_t id = stack_words, end = id + MD_STACK_HEADER_WORDS + depth;
    if (end > UINT32_MAX || !segment_grow(MD_SECTION_STACKS, end) ||
        !reserve(&stacks, hash_of_stack))
        return 0;
    struct md_stack *s = (struct md_stack *)((uint64_t *)segment_table(MD_SECTION_STACKS) + id);
    s->depth = depth;
    s->epoch = epoch;
    s->hash = hash;
    s->truncated = truncated;
    memcpy(s->pc, pcs, depth * sizeof *pcs);
    stack_words = end;
    segment_set_count(MD_SECTION_STACKS, end);
    put(&stacks, hash, (uint32_t)id);
    return (uint32_t)id;
}

bool bucket_intern_locked(uint32_t stack, uint64_t size, uint32_t *bucket)
{
    uint32_t hash = bucket_hash(stack, size);
    if (buckets.slots)
        for (uint32_t at = hash & buckets.mask; buckets.slots[at]; at = (at + 1) & buckets.mask) {
            const struct md_bucket *b = bucket_at(buckets.slots[at] - 1);
            if (b->stack == stack && b->size == size) {
                *bucket = buckets.slots[at] - 1;
                return true;
            }
        }
    uint64_t index = segment_count(MD_SECTION_BUCKETS);
    if (!segment_grow(MD_SECTION_BUCKETS, index + 1) || !reserve(&buckets, hash_of_bucket))
        return false;
    struct md_bucket *b = (struct md_bucket *)segment_table(MD_SECTION_BUCKETS) + index;
    b->stack = stack;
    b->size = size;
    __atomic_store_n(&b->kind, MD_BUCKET_HEAP, __ATOMIC_RELEASE);
    segment_set_count(MD_SECTION_BUCKETS, index + 1);
    put(&buckets, hash, (uint32_t)index);
    *bucket = (uint32_t)index;
    return true;
}

void table_postfork_child(void)
{
    struct index *all[] = {&stacks, &buckets};
    for (unsigned i = 0; i < ARRAY_LENGTH(all); i++) {
        if (all[i]->slots)
            own_unmap(all[i]->slots, (all[i]->mask + 1) * sizeof(uint32_t));
        memset(all[i], 0, sizeof *all[i]);
    }
    stack_words = 1;
}
