/* The live samples against a list of what was put in, over a million random additions and removals,
 * by handle and by address; what a forked copy takes over; threads under one lock. */
#include "base/lock.h"
#include "base/options.h"
#include "core_test.h"
#include "prof/live.h"
#include "segment/segment.h"
#include "tap.h"

#include <pthread.h>

enum { BLOCKS_MAX = 20000, ROUNDS = 1000000 };

/* What must be there; `n` entries in no order. */
static struct expected {
    uint64_t addr, handle, weight;
    uint32_t bucket, born;
} list[BLOCKS_MAX];
static unsigned n;

/* Addresses as a heap has them: runs of neighbours, each in use once. */
static uint64_t address(unsigned i)
{
    return UINT64_C(0x7f0000000000) + (uint64_t)(i % 100) * 16 + (uint64_t)(i / 100) * 0x40000;
}
static uint32_t free_addresses[BLOCKS_MAX];

static bool gone(const struct md_sample *out, const struct expected *e)
{
    return out->addr == e->addr && out->weight == e->weight && out->bucket == e->bucket &&
           out->born_ds == e->born && out->flags == 0;
}

/* The segment as a reader sees it holds the list, no more. */
static bool same_in_segment(void)
{
    const struct md_sample *s = segment_table(MD_SECTION_SAMPLES);
    uint64_t count = segment_header()->section[MD_SECTION_SAMPLES].count, sum = 0, expected = 0;
    unsigned there = 0;
    for (uint64_t i = 0; i < count; i++)
        if (s[i].addr) {
            there++;
            sum += s[i].addr * 31 + s[i].weight * 7 + s[i].bucket;
        }
    for (unsigned i = 0; i < n; i++)
        expected += list[i].addr * 31 + list[i].weight * 7 + list[i].bucket;
    return there == n && sum == expected;
}

static void test_random(bool indexed)
{
    unsigned wrong = 0, most = 0;
    uint64_t old = 0;
    struct md_sample out;
    n = 0;
    for (unsigned i = 0; i < BLOCKS_MAX; i++)
        free_addresses[i] = i;
    for (unsigned round = 0; round < ROUNDS; round++) {
        bool add = n == 0 || (n < BLOCKS_MAX && draw(100) < (round / 50000 % 2 ? 40 : 60));
        if (add) {
            unsigned pick = (unsigned)draw(BLOCKS_MAX - n), i = free_addresses[pick];
            struct expected e = {address(i), 0, draw(UINT32_MAX), (uint32_t)draw(1000),
                                 round / 100};
            free_addresses[pick] = free_addresses[BLOCKS_MAX - n - 1];
            e.handle = live_add_locked(e.addr, e.bucket, e.weight, e.born, indexed);
            wrong += !e.handle;
            list[n++] = e;
            most = n > most ? n : most;
        } else {
            unsigned at = (unsigned)draw(n);
            struct expected e = list[at];
            bool found =
                indexed ? live_remove_at_locked(e.addr, &out) : live_remove_locked(e.handle, &out);
            wrong += !found || !gone(&out, &e);
            wrong += live_remove_locked(e.handle, &out);
            if (indexed)
                wrong += live_remove_at_locked(e.addr, &out);
            old = e.handle;
            list[at] = list[--n];
            uint64_t i =
                (e.addr - address(0)) / 0x40000 * 100 + (e.addr - address(0)) % 0x40000 / 16;
            free_addresses[BLOCKS_MAX - n - 1] = (uint32_t)i;
        }
        if (round % 50000 == 0)
            wrong += !same_in_segment();
        if (round % 7 == 0 && old)
            wrong += live_remove_locked(old, &out);
    }
    is(wrong, 0, "%s: %d additions and removals are as a list has them",
       indexed ? "by address" : "by handle", ROUNDS);
    ok(same_in_segment(), "the segment holds the %u that are left", n);
    uint64_t count = segment_header()->section[MD_SECTION_SAMPLES].count;
    ok(count <= most, "free places are used again: %llu places for %u at most",
       (unsigned long long)count, most);
    ok(!live_remove_locked(0, &out) && !live_remove_locked(count + 1, &out) &&
           !live_remove_locked(UINT64_MAX, &out),
       "handles of nothing");
}

/* Takes over what the segment holds, but for every third, as after a fork: those the parent has
 * freed since. */
static void test_inherit(bool indexed)
{
    static struct md_sample parent[BLOCKS_MAX + 1];
    static bool taken[BLOCKS_MAX + 1];
    uint64_t count = segment_header()->section[MD_SECTION_SAMPLES].count;
    struct md_sample *now = segment_table(MD_SECTION_SAMPLES), out;
    unsigned wrong = 0, kept = 0, harm = 0;
    memcpy(parent, now, count * sizeof *now);
    memset(now, 0, count * sizeof *now);
    segment_set_count(MD_SECTION_SAMPLES, 0);
    live_postfork_child();
    if (indexed)
        wrong += live_remove_at_locked(list[0].addr, &out);
    for (uint32_t slot = 0; slot < count; slot++) {
        taken[slot] = parent[slot].addr && slot % 3;
        struct md_sample s = parent[slot];
        s.flags |= MD_SAMPLE_INHERITED;
        if (!taken[slot])
            s.addr = 0; /* only its generation */
        wrong += !live_inherit_locked(slot, &s, indexed);
        kept += taken[slot];
    }
    live_inherited_locked();
    /* New ones fill the places between. */
    uint64_t fresh[1000];
    for (unsigned i = 0; i < 1000; i++) {
        fresh[i] = live_add_locked(0x1000000 + i * 16, 5, i + 1, 0, indexed);
        wrong += !fresh[i];
    }
    ok(segment_header()->section[MD_SECTION_SAMPLES].count <=
           count + 1000 - (count - kept > 1000 ? 1000 : count - kept),
       "a copy fills the places between what it took over");
    /* The copy frees all that the parent had, by the handles from before the fork. */
    for (unsigned i = 0; i < n; i++) {
        uint32_t slot = (uint32_t)list[i].handle - 1;
        bool found = indexed ? live_remove_at_locked(list[i].addr, &out)
                             : live_remove_locked(list[i].handle, &out);
        if (found && !taken[slot])
            harm++;
        else
            wrong += found != taken[slot] ||
                     (found && (out.addr != list[i].addr || out.weight != list[i].weight ||
                                !(out.flags & MD_SAMPLE_INHERITED)));
    }
    is(wrong, 0, "%s: what was taken over is found by what the parent knew it by",
       indexed ? "by address" : "by handle");
    is(harm, 0, "what was not does no harm to what is in its place");
    for (unsigned i = 0; i < 1000; i++)
        wrong += !(indexed ? live_remove_at_locked(0x1000000 + i * 16, &out)
                           : live_remove_locked(fresh[i], &out)) ||
                 out.weight != i + 1 || out.flags != 0;
    is(wrong, 0, "the new ones are all there");
    n = 0;
    ok(same_in_segment(), "nothing is left over");
    live_postfork_child();
    memset(now, 0, count * sizeof *now);
    segment_set_count(MD_SECTION_SAMPLES, 0);
}

static struct lock lock = LOCK_INIT(LOCK_TABLES);
static unsigned lost;

static void *churn(void *argument)
{
    uint64_t base = (uint64_t)(uintptr_t)argument << 32, held[64] = {0};
    unsigned state = (unsigned)(uintptr_t)argument;
    for (int i = 0; i < 50000; i++) {
        struct md_sample out;
        state = state * 1103515245 + 12345;
        unsigned at = state >> 16 & 63;
        lock_take(&lock);
        if (held[at]) {
            if (!live_remove_at_locked(base + at * 16, &out) || out.weight != held[at])
                lost++;
            held[at] = 0;
        } else if (live_add_locked(base + at * 16, 1, held[at] = 1 + (state >> 8), 0, true) == 0) {
            lost++;
        }
        lock_release(&lock);
    }
    lock_take(&lock);
    for (unsigned at = 0; at < 64; at++) {
        struct md_sample out;
        if (held[at] && !live_remove_at_locked(base + at * 16, &out))
            lost++;
    }
    lock_release(&lock);
    return NULL;
}

int main(void)
{
    struct md_sample out;
    options_parse(NULL);
    if (!segment_init(0))
        return 1;
    ok(!live_remove_at_locked(16, &out) && !live_remove_locked(1, &out), "an empty table");
    test_random(false);
    test_inherit(false);
    test_random(true);
    test_inherit(true);
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    is(lost, 0, "threads under one lock find what they put in");
    ok(same_in_segment(), "and leave nothing");
    return tap_done();
}
