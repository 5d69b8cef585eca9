#include "prof/table.h"

#include "prof/index.h"
#include "segment/segment.h"

#include <string.h>

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

static uint32_t bucket_hash(uint32_t kind, uint32_t stack, uint64_t key, uint64_t label)
{
    uint64_t first = label << 40 ^ (uint64_t)kind << 32 ^ stack;
    uint64_t h = (first * 0x9e3779b97f4a7c15u ^ key) * 0xbf58476d1ce4e5b9u;
    return (uint32_t)(h ^ h >> 32);
}

static uint32_t hash_of_stack(uint32_t id)
{
    return stack_at(id)->hash;
}

static uint32_t hash_of_bucket(uint32_t index)
{
    const struct md_bucket *b = bucket_at(index);
    return bucket_hash(b->kind, b->stack, b->key, b->label);
}

uint32_t stack_find_locked(const uint64_t *pcs, unsigned depth, uint32_t hash)
{
    for (uint32_t at = index_begin(&stacks, hash), id; index_at(&stacks, at, &id);
         at = index_next(&stacks, at)) {
        const struct md_stack *s = stack_at(id);
        uint64_t end = id + MD_STACK_HEADER_WORDS + (uint64_t)depth;
        if (s->hash == hash && s->depth == depth && end <= stack_words &&
            memcmp(s->pc, pcs, depth * sizeof *pcs) == 0)
            return id;
    }
    return 0;
}

uint32_t stack_add_locked(const uint64_t *pcs, unsigned depth, uint32_t hash, uint32_t epoch,
                          bool truncated)
{
    uint64_t id = stack_words, end = id + MD_STACK_HEADER_WORDS + depth;
    if (end > UINT32_MAX || !segment_grow(MD_SECTION_STACKS, end) ||
        !index_reserve(&stacks, INDEX_MIN, hash_of_stack))
        return 0;
    struct md_stack *s = (struct md_stack *)((uint64_t *)segment_table(MD_SECTION_STACKS) + id);
    s->depth = depth;
    s->epoch = epoch;
    s->hash = hash;
    s->truncated = truncated;
    memcpy(s->pc, pcs, depth * sizeof *pcs);
    stack_words = end;
    segment_set_count(MD_SECTION_STACKS, end);
    index_put(&stacks, hash, (uint32_t)id);
    return (uint32_t)id;
}

static bool find_bucket(struct bucket_id id, uint32_t hash, uint32_t *bucket)
{
    for (uint32_t at = index_begin(&buckets, hash), found; index_at(&buckets, at, &found);
         at = index_next(&buckets, at)) {
        const struct md_bucket *b = bucket_at(found);
        if (b->stack == id.stack && b->key == id.key && b->kind == id.kind &&
            b->label == id.label) {
            *bucket = found;
            return true;
        }
    }
    return false;
}

bool bucket_intern_locked(struct bucket_id id, uint32_t *bucket)
{
    uint32_t hash = bucket_hash(id.kind, id.stack, id.key, id.label);
    if (find_bucket(id, hash, bucket))
        return true;
    uint64_t index = segment_count(MD_SECTION_BUCKETS);
    if (!segment_grow(MD_SECTION_BUCKETS, index + 1) ||
        !index_reserve(&buckets, INDEX_MIN, hash_of_bucket))
        return false;
    struct md_bucket *b = (struct md_bucket *)segment_table(MD_SECTION_BUCKETS) + index;
    b->stack = id.stack;
    b->key = id.key;
    b->label = id.label;
    __atomic_store_n(&b->kind, id.kind, __ATOMIC_RELEASE);
    segment_set_count(MD_SECTION_BUCKETS, index + 1);
    index_put(&buckets, hash, (uint32_t)index);
    *bucket = (uint32_t)index;
    return true;
}

void bucket_charge_locked(uint32_t index, unsigned at, uint64_t first, uint64_t second)
{
    struct md_bucket *b = (struct md_bucket *)segment_table(MD_SECTION_BUCKETS) + index;
    __atomic_store_n(&b->value[at], b->value[at] + first, __ATOMIC_RELAXED);
    __atomic_store_n(&b->value[at + 1], b->value[at + 1] + second, __ATOMIC_RELAXED);
}

bool bucket_restate_locked(uint32_t of, enum md_bucket_kind kind, uint64_t first, uint64_t second)
{
    const struct md_bucket *source = bucket_at(of);
    struct bucket_id id = {kind, source->stack, source->key, MD_LABEL_NONE};
    uint32_t index;
    if (!find_bucket(id, bucket_hash(id.kind, id.stack, id.key, id.label), &index)) {
        if (!first && !second)
            return true;
        if (!bucket_intern_locked(id, &index))
            return false;
    }
    struct md_bucket *b = (struct md_bucket *)segment_table(MD_SECTION_BUCKETS) + index;
    __atomic_store_n(&b->value[0], first, __ATOMIC_RELAXED);
    __atomic_store_n(&b->value[1], second, __ATOMIC_RELAXED);
    return true;
}

void table_postfork_child(void)
{
    index_drop(&stacks);
    index_drop(&buckets);
    stack_words = 1;
}
