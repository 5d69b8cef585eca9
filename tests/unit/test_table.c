/* Interned stacks and buckets against lists that say what must be there. */
#include "base/options.h"
#include "core_test.h"
#include "prof/table.h"
#include "segment/segment.h"
#include "tap.h"

#include <sys/resource.h>

enum { STACKS = 60000, BUCKETS = 100000 };

static uint32_t ids[STACKS];

/* Stack `n`: many are alike but for one frame or the depth. */
static unsigned make(unsigned n, uint64_t *pcs)
{
    unsigned depth = n % 40;
    for (unsigned i = 0; i < depth; i++)
        pcs[i] = 0x400000 + i * 16;
    if (depth)
        pcs[n / 40 % depth] += n;
    return depth;
}

/* A hash that often collides tries the comparison. */
static uint32_t hash_of(const uint64_t *pcs, unsigned depth, unsigned n)
{
    return n % 64 ? stack_hash(pcs, depth) : depth;
}

static const struct md_stack *stack_at(uint32_t id)
{
    return (const struct md_stack *)((const uint64_t *)segment_table(MD_SECTION_STACKS) + id);
}

static void test_stacks(void)
{
    uint64_t pcs[64] = {0};
    unsigned wrong = 0, count = 0;
    is(stack_find_locked(pcs, 3, 5), 0, "an empty table has no stack");
    for (unsigned n = 1; n < STACKS; n++) {
        unsigned depth = make(n, pcs);
        if (!depth)
            continue;
        uint32_t hash = hash_of(pcs, depth, n);
        wrong += stack_find_locked(pcs, depth, hash) != 0;
        ids[n] = stack_add_locked(pcs, depth, hash, n, n & 1);
        wrong += ids[n] == 0 || stack_find_locked(pcs, depth, hash) != ids[n];
        count++;
    }
    is(wrong, 0, "%u stacks are not there, added, and there", count);
    for (unsigned n = 1; n < STACKS; n++) {
        unsigned depth = make(n, pcs);
        if (!depth)
            continue;
        const struct md_stack *s = stack_at(ids[n]);
        wrong += stack_find_locked(pcs, depth, hash_of(pcs, depth, n)) != ids[n];
        wrong += s->depth != depth || s->epoch != n || s->truncated != (n & 1) ||
                 s->hash != hash_of(pcs, depth, n) || memcmp(s->pc, pcs, depth * sizeof *pcs) != 0;
        pcs[depth - 1] ^= 1u << 31;
        wrong += stack_find_locked(pcs, depth, hash_of(pcs, depth, n)) != 0;
    }
    is(wrong, 0, "all are found, in the segment as they were given, and none that was not");
    /* A reader walks them one behind the other, from word 1. */
    uint64_t at = 1, end = segment_header()->section[MD_SECTION_STACKS].count;
    unsigned walked = 0;
    for (; at < end; walked++)
        at += MD_STACK_HEADER_WORDS + stack_at((uint32_t)at)->depth;
    ok(at == end && walked == count, "they lie one behind the other: %u", walked);
}

static void test_hash(void)
{
    /* 2^16 stacks in 2^32: about half a pair by chance. */
    static uint32_t seen[1 << 16];
    uint64_t pcs[4] = {0x401000, 0x402000, 0x403000, 0x404000};
    unsigned full = 0;
    uint32_t buckets[256] = {0};
    for (unsigned i = 0; i < 1 << 16; i++) {
        pcs[i & 3] += 4 + (i & 64);
        seen[i] = stack_hash(pcs, 4);
        buckets[seen[i] & 255]++;
    }
    for (unsigned i = 0; i < 256; i++) /* 256 +- 16 */
        full += buckets[i] > 256 + 6 * 16 || buckets[i] < 256 - 6 * 16;
    is(full, 0, "hashes of stacks that are alike spread");
    ok(stack_hash(pcs, 3) != stack_hash(pcs, 4) && stack_hash(pcs, 0) == stack_hash(pcs + 1, 0),
       "the depth counts");
    uint64_t swapped[2] = {pcs[1], pcs[0]};
    ok(stack_hash(pcs, 2) != stack_hash(swapped, 2), "so does the order");
}

static void test_buckets(void)
{
    static uint32_t index[BUCKETS];
    unsigned wrong = 0;
    uint64_t before = segment_header()->section[MD_SECTION_BUCKETS].count;
    for (int pass = 0; pass < 2; pass++)
        for (unsigned n = 0; n < BUCKETS; n++) {
            uint32_t got;
            /* Neighbours share the stack, or the size. */
            wrong += !bucket_intern_locked(
                (struct bucket_id){MD_BUCKET_HEAP, n / 16, 16 + n % 16 * 16, MD_LABEL_NONE}, &got);
            if (pass == 0) {
                index[n] = got;
                wrong += got != before + n;
            }
            wrong += got != index[n];
        }
    is(wrong, 0, "%d buckets are made once and found again", BUCKETS);
    is(segment_header()->section[MD_SECTION_BUCKETS].count - before, BUCKETS, "no more than that");
    const struct md_bucket *b = segment_table(MD_SECTION_BUCKETS);
    for (unsigned n = 0; n < BUCKETS; n++) {
        const struct md_bucket *at = &b[index[n]];
        wrong += at->stack != n / 16 || at->key != 16 + n % 16 * 16 || at->kind != MD_BUCKET_HEAP ||
                 at->value[0] || at->value[3] || at->samples;
    }
    is(wrong, 0, "they are in the segment, with nothing charged");
}

static int full(void *argument)
{
    static uint64_t pcs[MD_STACK_MAX_DEPTH];
    (void)argument;
    setrlimit(RLIMIT_AS, &(struct rlimit){256 << 20, 256 << 20});
    if (!segment_init(0) || segment_size() > 256 << 20)
        return 1;
    uint32_t id, last = 0, bucket, hash;
    unsigned stacks = 0, buckets = 0;
    for (;; stacks++, last = id) {
        pcs[0] = stacks;
        hash = stack_hash(pcs, MD_STACK_MAX_DEPTH);
        if (!(id = stack_add_locked(pcs, MD_STACK_MAX_DEPTH, hash, 0, false)))
            break;
    }
    if (stacks < 50 || stack_find_locked(pcs, MD_STACK_MAX_DEPTH, hash))
        return 2;
    pcs[0]--;
    if (stack_find_locked(pcs, MD_STACK_MAX_DEPTH, stack_hash(pcs, MD_STACK_MAX_DEPTH)) != last)
        return 3;
    while (bucket_intern_locked((struct bucket_id){MD_BUCKET_HEAP, 7, buckets, MD_LABEL_NONE},
                                &bucket))
        buckets++;
    if (buckets != segment_capacity(MD_SECTION_BUCKETS) ||
        bucket_intern_locked((struct bucket_id){MD_BUCKET_HEAP, 8, 8, MD_LABEL_NONE}, &bucket))
        return 4;
    return bucket_intern_locked((struct bucket_id){MD_BUCKET_HEAP, 7, 3, MD_LABEL_NONE}, &bucket) &&
                   bucket == 3
               ? 0
               : 5;
}

static void clear(enum md_section_id id)
{
    segment_set_count(id, 0);
}

int main(void)
{
    options_parse(NULL);
    if (SANITIZED)
        tap_skip("full tables", "sanitizers need all address space");
    else if (!tap_emulated("full tables", "MADV_WIPEONFORK"))
        is(in_copy(full, NULL), 0, "full tables take no more and lose nothing");
    if (!segment_init(0))
        return 1;
    test_hash();
    test_stacks();
    test_buckets();
    /* As in a forked copy: the tables are empty, and so is the index. */
    uint64_t pcs[64];
    unsigned depth = make(1234, pcs);
    clear(MD_SECTION_STACKS);
    clear(MD_SECTION_BUCKETS);
    table_postfork_child();
    is(stack_find_locked(pcs, depth, stack_hash(pcs, depth)), 0, "made anew the table is empty");
    is(stack_add_locked(pcs, depth, stack_hash(pcs, depth), 0, false), 1, "and begins at word 1");
    uint32_t bucket = 99;
    ok(bucket_intern_locked((struct bucket_id){MD_BUCKET_HEAP, 1, 16, MD_LABEL_NONE}, &bucket) &&
           bucket == 0,
       "buckets at 0");
    return tap_done();
}
