/* tools/memtop/series/sites.c: sums by stack, growth over the last minute, ages of samples. */
#include "series/sites.h"
#include "support/tap.h"

#include <math.h>
#include <string.h>

#define SECOND INT64_C(1000000000)
#define MIB (1024.0 * 1024.0)

static struct md_bucket buckets[3];
static struct md_sample samples[4];
static struct snapshot snapshot;

/* Two buckets of stack 8 and one of stack 20. */
static void set(int64_t seconds, double a_mib, double b_mib, double other_mib)
{
    double mib[3] = {a_mib, b_mib, other_mib};
    for (int i = 0; i < 3; i++) {
        buckets[i] = (struct md_bucket){
            .stack = i < 2 ? 8 : 20, .kind = MD_BUCKET_HEAP, .key = 1024, .samples = 1};
        buckets[i].value[MD_HEAP_ALLOC_BYTES] = (uint64_t)(mib[i] * MIB) + 1000 * 1024;
        buckets[i].value[MD_HEAP_FREE_BYTES] = 1000 * 1024;
        buckets[i].value[MD_HEAP_ALLOC_OBJECTS] = (uint64_t)(mib[i] * 1024 + 1000) * MD_WEIGHT_ONE;
        buckets[i].value[MD_HEAP_FREE_OBJECTS] = 1000 * MD_WEIGHT_ONE;
    }
    snapshot.buckets = buckets;
    snapshot.bucket_count = 3;
    snapshot.taken_ns = seconds * SECOND;
}

static uint64_t by_stack(void *context, uint32_t stack)
{
    (void)context;
    return stack;
}

static uint64_t all_one(void *context, uint32_t stack)
{
    (void)stack;
    return *(uint64_t *)context;
}

static void test_sums(void)
{
    struct sites sites;
    sites_init(&sites, MD_BUCKET_HEAP);
    set(1000, 1, 2, 5);
    ok(sites_update(&sites, &snapshot), "takes a snapshot in");
    const struct site *site = sites_find(&sites, 8);
    if (ok(site != NULL, "a stack's buckets are one site")) {
        is(site->inuse_bytes, 3 * MIB, "bytes in use");
        is(site->inuse_objects, 3 * 1024, "objects in use");
        is(site->alloc_bytes, 3 * MIB + 2000 * 1024, "bytes allocated");
    }
    ok(sites_find(&sites, 9) == NULL, "no site of a stack that is not there");
    is(sites.inuse_bytes, 8 * MIB, "the sum of all");
    is(sites.growth_seconds, 0, "nothing to compare with yet");
    uint32_t order[4];
    ok(sites_group(&sites, by_stack, NULL, SITES_BY_INUSE), "each stack a group of its own");
    is(sites_sort(&sites, SITES_BY_INUSE, order, 4), 2, "two sites");
    is(sites.group[order[0]].stack, 20, "the greatest first");
    is(sites_sort(&sites, SITES_BY_INUSE, order, 1), 1, "no more than asked for");
    uint64_t key = 99;
    ok(sites_group(&sites, all_one, &key, SITES_BY_INUSE), "all in one group");
    is(sites_sort(&sites, SITES_BY_INUSE, order, 4), 1, "which is one row");
    is(sites.group[0].members, 2, "of two stacks");
    is(sites.group[0].inuse_bytes, 8 * MIB, "with the sum of both");
    is(sites.group[0].stack, 20, "and the greatest for all");
    is(sites_members(&sites, 99, SITES_BY_INUSE, order, 4), 2, "its members");
    is(sites.site[order[1]].stack, 8, "in order");
    is(sites_members(&sites, 98, SITES_BY_INUSE, order, 4), 0, "another group has none");
    sites_fini(&sites);
}

static void test_growth(void)
{
    struct sites sites;
    uint32_t order[2];
    sites_init(&sites, MD_BUCKET_HEAP);
    for (int i = 0; i <= 200; i++) { /* 8 grows by 1 MiB a second, 20 is large and shrinks */
        set(1000 + i, 1 + i, 0, 500 - i);
        sites_update(&sites, &snapshot);
        if (i == 20) {
            const struct site *site = sites_find(&sites, 8);
            is(site->growth_bytes, 20 * MIB, "in the first minute: since we look");
            is(sites.growth_seconds, 20, "and it says so");
        }
    }
    const struct site *site = sites_find(&sites, 8);
    ok(site->growth_bytes >= 60 * MIB && site->growth_bytes <= 65 * MIB, "later: over a minute");
    ok(sites.growth_seconds >= 60 && sites.growth_seconds <= 65, "within a slot");
    is((long long)(site->growth_bytes / MIB), (long long)sites.growth_seconds, "both agree");
    is(site->alloc_rate, MIB, "allocation rate of the last tick");
    sites_group(&sites, by_stack, NULL, SITES_BY_GROWTH);
    sites_sort(&sites, SITES_BY_GROWTH, order, 2);
    is(sites.group[order[0]].stack, 8, "what grows comes first");
    sites_sort(&sites, SITES_BY_INUSE, order, 2);
    is(sites.group[order[0]].stack, 20, "what is large comes first by size");
    ok(!sites_too_early(&sites), "growth is known");
    sites_fini(&sites);
}

static void test_new_site(void)
{
    struct sites sites;
    sites_init(&sites, MD_BUCKET_HEAP);
    set(1000, 1, 1, 0);
    snapshot.bucket_count = 2;
    sites_update(&sites, &snapshot);
    set(1011, 1, 1, 7);
    sites_update(&sites, &snapshot);
    is(sites_find(&sites, 20)->growth_bytes, 7 * MIB,
       "a site that was not there has grown by all it has");
    sites_fini(&sites);
}

static void test_ages(void)
{
    struct sites sites;
    sites_init(&sites, MD_BUCKET_HEAP);
    set(1000, 1, 1, 1);
    snapshot.header.start_ns = 800 * SECOND; /* it is 200 s old */
    samples[0] =
        (struct md_sample){.addr = 16, .weight = 2 * MD_WEIGHT_ONE, .bucket = 0, .born_ds = 1950};
    samples[0].flags = MD_SAMPLE_UNREACHED | MD_SAMPLE_LEAK;
    samples[1] =
        (struct md_sample){.addr = 32, .weight = MD_WEIGHT_ONE, .bucket = 1, .born_ds = 100};
    samples[2] =
        (struct md_sample){.addr = 48, .weight = MD_WEIGHT_ONE, .bucket = 77, .born_ds = 1950};
    samples[3] = (struct md_sample){.addr = 64,
                                    .weight = MD_WEIGHT_ONE,
                                    .bucket = 2,
                                    .born_ds = 1990,
                                    .flags = MD_SAMPLE_INHERITED};
    snapshot.samples = samples;
    snapshot.sample_count = 4;
    sites_update(&sites, &snapshot);
    const struct site *site = sites_find(&sites, 8);
    is(site->young_bytes, 2048, "born in the last minute, by weight");
    is(site->live_samples, 2, "all live ones");
    is(site->leak_bytes, 2048, "what leaks, by weight");
    is(sites_key(&sites, site, SITES_BY_LEAKS), 2048, "and sorted by");
    is(sites_find(&sites, 20)->leak_bytes, 0, "and what does not");
    is(site->oldest_ds, 100, "the oldest");
    is(site->newest_ds, 1950, "the newest");
    is(sites_find(&sites, 20)->young_bytes, 0, "what a parent left is not young");
    ok(sites_too_early(&sites), "until growth is known, the young are shown");
    is(sites_key(&sites, site, SITES_BY_GROWTH), 2048, "and sorted by");
    sites_fini(&sites);
    snapshot.sample_count = 0;
}

/* One stack, objects of 1 KiB, of which every 512th is sampled. */
static void sampled(int64_t seconds, uint64_t allocs, uint64_t frees)
{
    buckets[0] = (struct md_bucket){
        .stack = 8, .kind = MD_BUCKET_HEAP, .key = 1024, .samples = allocs / 512};
    buckets[0].value[MD_HEAP_ALLOC_OBJECTS] = allocs * MD_WEIGHT_ONE;
    buckets[0].value[MD_HEAP_ALLOC_BYTES] = allocs * 1024;
    buckets[0].value[MD_HEAP_FREE_OBJECTS] = frees * MD_WEIGHT_ONE;
    buckets[0].value[MD_HEAP_FREE_BYTES] = frees * 1024;
    snapshot = (struct snapshot){.buckets = buckets, .bucket_count = 1};
    snapshot.header.start_ns = 800 * SECOND;
    snapshot.header.memprofilerate = 524288;
    snapshot.taken_ns = seconds * SECOND;
}

static bool near(double value, double expected)
{
    return fabs(value - expected) <= fabs(expected) * 0.01;
}

static void test_errors(void)
{
    struct sites sites;
    sites_init(&sites, MD_BUCKET_HEAP);
    sampled(1000, 16 * 512, 0);
    sites_update(&sites, &snapshot);
    const struct site *site = sites_find(&sites, 8);
    ok(!sites_exact(&sites, site), "one in 512 is no exact figure");
    ok(near(sites_error(&sites, site, site->inuse_variance) / site->inuse_bytes, 1 / sqrt(16)),
       "16 samples: a relative error of a quarter");
    ok(near(sites_error(&sites, site, site->objects_variance) / site->inuse_objects, 1 / sqrt(16)),
       "of objects too");
    /* Ten seconds later four more, still alive, and one of the old ones freed. */
    sampled(1010, 20 * 512, 512);
    for (int i = 0; i < 4; i++)
        samples[i] = (struct md_sample){
            .addr = 16 * (uint64_t)(i + 1), .weight = 512 * MD_WEIGHT_ONE, .born_ds = 2050};
    snapshot.samples = samples;
    snapshot.sample_count = 4;
    sites_update(&sites, &snapshot);
    is(site->growth_bytes, 3 * 512 * 1024, "growth: four came, one went");
    ok(near(sites_error(&sites, site, site->growth_variance), sqrt(5) * 512 * 1024),
       "the error of growth is of all five");
    ok(near(sites_error(&sites, site, site->young_variance), sqrt(4) * 512 * 1024),
       "of what is new, of the four");
    ok(isnan(sites_error(&sites, site, site->leak_variance)), "where there is no sample, unknown");
    is(site->alloc_rate, 4 * 512 * 1024 / 10.0, "the rate is over the same time");
    /* The rate has changed: of two samples one stands for 512 objects, the other for 2. */
    sampled(1020, 514, 0);
    buckets[0].samples = 2;
    for (int i = 0; i < 2; i++)
        samples[i] = (struct md_sample){.addr = 16 * (uint64_t)(i + 1),
                                        .weight = (i == 0 ? 512 : 2) * MD_WEIGHT_ONE,
                                        .born_ds = 2050};
    snapshot.samples = samples;
    snapshot.sample_count = 2;
    sites_update(&sites, &snapshot);
    double error = sqrt(512.0 * 511 + 2 * 1);
    ok(near(sites_error(&sites, site, site->objects_variance), error) &&
           near(sites_error(&sites, site, site->inuse_variance), error * 1024) &&
           near(sites_error(&sites, site, site->alloc_variance), error * 1024),
       "where weights differ the error is of each by itself");
    /* The large one has been freed: of it the mean is what is known. */
    buckets[0].value[MD_HEAP_FREE_OBJECTS] = 512 * MD_WEIGHT_ONE;
    buckets[0].value[MD_HEAP_FREE_BYTES] = 512 * 1024;
    samples[0] = samples[1];
    snapshot.sample_count = 1;
    sites_update(&sites, &snapshot);
    ok(near(sites_error(&sites, site, site->objects_variance), sqrt(2.0 * 1)) &&
           near(sites_error(&sites, site, site->alloc_objects_variance), sqrt(512.0 * 256 + 2)),
       "of what is in use and of all that was allocated");
    sites_fini(&sites);

    sites_init(&sites, MD_BUCKET_HEAP);
    sampled(1000, 100, 40);
    buckets[0].samples = 100;
    sites_update(&sites, &snapshot);
    site = sites_find(&sites, 8);
    ok(sites_exact(&sites, site) && sites_error(&sites, site, site->inuse_variance) == 0,
       "where all are sampled, it is exact");
    snapshot.header.counters.lost_samples = 1;
    sites_update(&sites, &snapshot);
    ok(!sites_exact(&sites, site) && isnan(sites_error(&sites, site, 0)),
       "but not where a sample was lost");
    sites_fini(&sites);

    sites_init(&sites, MD_BUCKET_HEAP);
    sampled(1000, 512, 0);
    buckets[0].samples = 0; /* as in a forked copy: taken over */
    sites_update(&sites, &snapshot);
    site = sites_find(&sites, 8);
    ok(near(site->inuse_variance, 512.0 * 511.5 * 1024 * 1024),
       "without samples counted the rate tells what one stands for");
    sites_fini(&sites);
}

/* A heap of 897 KiB of which the samples say 1.5 MiB. */
static void test_bounds(void)
{
    struct sites sites;
    uint64_t key = 1;
    sites_init(&sites, MD_BUCKET_HEAP);
    sampled(1000, 0, 0);
    sites_update(&sites, &snapshot);
    sampled(1020, 4 * 512, 512);
    snapshot.header.counters.alloc_bytes = 1000 * 1024;
    snapshot.header.counters.free_bytes = 103 * 1024;
    struct md_cycle cycle = {.number = 2, .flags = MD_CYCLE_LEAKS, .leaked_bytes = 5000};
    samples[0] = (struct md_sample){
        .addr = 16, .weight = 512 * MD_WEIGHT_ONE, .born_ds = 2100, .flags = MD_SAMPLE_LEAK};
    snapshot.samples = samples;
    snapshot.sample_count = 1;
    sites_update(&sites, &snapshot);
    const struct site *site = sites_find(&sites, 8);
    ok(!sites.leaks_known, "no cycle: leaks are not known");
    is(site->inuse_bytes, 897 * 1024, "no more in use than the heap has");
    is(site->inuse_objects, 897, "nor objects");
    is(site->growth_bytes, 897 * 1024, "nor grown");
    is(site->alloc_bytes, 1000 * 1024, "nor allocated than was");
    struct md_cycle first = {.number = 1, .unreachable_objects = 3};
    snapshot.cycles = &first;
    snapshot.cycle_count = 1;
    sites_update(&sites, &snapshot);
    ok(!sites.leaks_known, "nor after one that has found something unreachable");
    first.unreachable_objects = 0;
    sites_update(&sites, &snapshot);
    ok(sites.leaks_known && sites_find(&sites, 8)->leak_bytes == 0,
       "one that has not tells of none");
    snapshot.cycles = &cycle;
    sites_update(&sites, &snapshot);
    ok(sites.leaks_known, "two cycles: leaks are known");
    is(site->leak_bytes, 5000, "nor leaked than was counted");
    sites_group(&sites, all_one, &key, SITES_BY_INUSE);
    is(sites.group[0].inuse_bytes, 897 * 1024, "a group has no more either");
    /* What the samples really say is not forgotten: growth compares with that. */
    sampled(1025, 4 * 512, 2 * 512);
    sites_update(&sites, &snapshot);
    is(site->inuse_bytes, 1024 * 1024, "unbounded again where nothing is counted");
    sites_fini(&sites);
}

/* Stacks 8 and 20 have one call site, and 20 leaks. */
static void test_leaking(void)
{
    struct sites sites;
    uint64_t key = 77;
    uint32_t order[4];
    struct md_cycle cycle = {
        .number = 2, .flags = MD_CYCLE_LEAKS, .leaked_bytes = 1 << 20, .start_ns = 196 * SECOND};
    sites_init(&sites, MD_BUCKET_HEAP);
    set(1000, 1, 2, 1);
    snapshot.header.start_ns = 800 * SECOND;
    samples[0] =
        (struct md_sample){.addr = 16, .weight = MD_WEIGHT_ONE, .bucket = 0, .born_ds = 1950};
    samples[1] = (struct md_sample){.addr = 32,
                                    .weight = 4 * MD_WEIGHT_ONE,
                                    .bucket = 2,
                                    .born_ds = 1950,
                                    .flags = MD_SAMPLE_UNREACHED | MD_SAMPLE_LEAK};
    snapshot.samples = samples;
    snapshot.sample_count = 2;
    sites_update(&sites, &snapshot);
    sites_group(&sites, all_one, &key, SITES_BY_GROWTH);
    is(sites.group_count, 1, "until it is known what leaks, a call site is one row");
    snapshot.cycles = &cycle;
    snapshot.cycle_count = 1;
    sites_update(&sites, &snapshot);
    sites_group(&sites, all_one, &key, SITES_BY_LEAKS);
    is(sites_sort(&sites, SITES_BY_LEAKS, order, 4), 2, "then its stacks that leak are one apart");
    const struct site *leaking = &sites.group[order[0]], *other = &sites.group[order[1]];
    ok(leaking->stack == 20 && leaking->members == 1 && leaking->leak_bytes == 4096,
       "with what leaks");
    is(leaking->inuse_bytes, MIB, "of what it has in use");
    ok(other->stack == 8 && other->leak_bytes == 0, "the others leak nothing");
    ok(leaking->key != other->key, "the two are told apart");
    is(sites_members(&sites, leaking->key, SITES_BY_LEAKS, order, 4), 1, "and so their stacks");
    is(sites.site[order[0]].stack, 20, "by that key");
    ok(sites_variance(&sites, leaking, SITES_BY_LEAKS) == 4 * 3 * 1024.0 * 1024.0,
       "the error of what leaks");
    /* Born after the last cycle, or met by one for the first time. */
    for (int late = 0; late < 2; late++) {
        samples[0].born_ds = late ? 1950 : 1960;
        samples[0].flags = late ? MD_SAMPLE_UNREACHED : 0;
        sites_update(&sites, &snapshot);
        sites_group(&sites, all_one, &key, SITES_BY_LEAKS);
        is(sites.group_count, 1, "what is new goes with what leaks of its call site");
        sites_group(&sites, by_stack, NULL, SITES_BY_LEAKS);
        is(sites.group_count, 2, "but of no other");
    }
    samples[0].flags = 0;
    snapshot.sample_count = 1;
    sites_update(&sites, &snapshot);
    sites_group(&sites, all_one, &key, SITES_BY_LEAKS);
    is(sites.group_count, 1, "where nothing leaks there is one row");
    snapshot.sample_count = 2;
    cycle.leaked_bytes = 1024;
    sites_update(&sites, &snapshot);
    sites_group(&sites, all_one, &key, SITES_BY_LEAKS);
    sites_sort(&sites, SITES_BY_LEAKS, order, 4);
    leaking = &sites.group[order[0]];
    is(leaking->leak_bytes, 1024, "no more leaks than was counted");
    ok(leaking->inuse_bytes == MIB - 3 * 1024,
       "and what its samples stand for beyond that is not in use");
    sites_fini(&sites);
    snapshot = (struct snapshot){0};
}

/* Mappings of stacks 8 and 20 beside a block of the heap of stack 8. */
static void mapped(int64_t seconds, double a_mib, double a_gone_mib, double b_mib)
{
    buckets[0] = (struct md_bucket){.stack = 8, .kind = MD_BUCKET_HEAP, .key = 1024, .samples = 1};
    buckets[0].value[MD_HEAP_ALLOC_OBJECTS] = 512 * MD_WEIGHT_ONE;
    buckets[0].value[MD_HEAP_ALLOC_BYTES] = 512 * 1024;
    for (int i = 1; i < 3; i++) {
        buckets[i] = (struct md_bucket){.stack = i == 1 ? 8 : 20, .kind = MD_BUCKET_MMAP};
        buckets[i].value[MD_MMAP_CALLS] = 3;
        buckets[i].value[MD_MMAP_BYTES] = (uint64_t)((i == 1 ? a_mib : b_mib) * MIB);
    }
    buckets[1].value[MD_MMAP_GONE_BYTES] = (uint64_t)(a_gone_mib * MIB);
    samples[0] = (struct md_sample){
        .addr = 16, .weight = 512 * MD_WEIGHT_ONE, .born_ds = 2000, .flags = MD_SAMPLE_LEAK};
    snapshot = (struct snapshot){
        .buckets = buckets, .bucket_count = 3, .samples = samples, .sample_count = 1};
    snapshot.header.start_ns = 800 * SECOND;
    snapshot.header.memprofilerate = 524288;
    snapshot.header.counters.alloc_bytes = 512 * 1024;
    snapshot.taken_ns = seconds * SECOND;
}

/* Sums without samples: what holds of the heap's estimates does not of these. */
static void test_mmap(void)
{
    struct sites sites, heap;
    struct md_cycle cycle = {.number = 2, .flags = MD_CYCLE_LEAKS, .leaked_bytes = 5000};
    uint32_t order[4];
    sites_init(&sites, MD_BUCKET_MMAP);
    sites_init(&heap, MD_BUCKET_HEAP);
    ok(sites_has(&sites, SITES_BY_GROWTH) && sites_has(&sites, SITES_BY_INUSE) &&
           sites_has(&sites, SITES_BY_ALLOC) && !sites_has(&sites, SITES_BY_OBJECTS) &&
           !sites_has(&sites, SITES_BY_LEAKS) && !sites.sampled,
       "mmap: bytes, now and ever; no objects, no leaks, no samples");
    bool all = heap.sampled;
    for (int i = 0; i < SITES_ORDERS; i++)
        all = all && sites_has(&heap, (enum site_order)i);
    ok(all, "the heap has them all");
    mapped(1000, 40, 10, 7);
    snapshot.cycles = &cycle;
    snapshot.cycle_count = 1;
    sites_update(&sites, &snapshot);
    sites_update(&heap, &snapshot);
    is(heap.count, 1, "of one snapshot the heap's sites");
    is(sites.count, 2, "and those of mmap");
    const struct site *site = sites_find(&sites, 8);
    is(site->inuse_bytes, 30 * MIB, "still mapped, whatever the heap has counted");
    is(site->alloc_bytes, 40 * MIB, "ever mapped");
    ok(sites_exact(&sites, site) && sites_error(&sites, site, site->inuse_variance) == 0,
       "which is exact");
    ok(!sites.leaks_known && site->leak_bytes == 0 && site->live_samples == 0,
       "no sample is its, and no leak");
    ok(!sites_too_early(&sites) && !sites_growth_known(&sites), "nothing to compare with yet");
    ok(sites_too_early(&heap) && sites_growth_known(&heap), "where the heap's samples have ages");
    mapped(1001, 48, 22, 7);
    sites_update(&sites, &snapshot);
    ok(sites_growth_known(&sites), "the second tick has");
    is(sites_find(&sites, 8)->growth_bytes, -4 * MIB, "8 more, 12 less");
    is(sites_find(&sites, 8)->alloc_rate, 8 * MIB, "8 a second");
    for (int i = 2; i <= 100; i++) { /* 20 grows by 1 MiB a second */
        mapped(1000 + i, 48, 22, 7 + i);
        sites_update(&sites, &snapshot);
    }
    site = sites_find(&sites, 20);
    is((long long)(site->growth_bytes / MIB), (long long)sites.growth_seconds,
       "growth over the last minute");
    ok(sites.growth_seconds >= 60 && sites.growth_seconds <= 65, "and no longer");
    sites_group(&sites, by_stack, NULL, SITES_BY_GROWTH);
    sites_sort(&sites, SITES_BY_GROWTH, order, 4);
    is(sites.group[order[0]].stack, 20, "what grows comes first");
    snapshot.header.counters.lost_samples = 1;
    sites_update(&sites, &snapshot);
    ok(sites_exact(&sites, site), "a lost sample is not its");
    snapshot.header.counters.lost_mappings = 1;
    sites_update(&sites, &snapshot);
    ok(!sites_exact(&sites, site) && isnan(sites_error(&sites, site, site->inuse_variance)),
       "a lost mapping is: how much, nobody knows");
    sites_fini(&sites);
    sites_fini(&heap);

    uint64_t key = 1;
    sites_init(&sites, MD_BUCKET_MMAP);
    mapped(1000, 4, 0, 7);
    sites_update(&sites, &snapshot);
    sites_group(&sites, all_one, &key, SITES_BY_GROWTH);
    is(sites.group[0].stack, 20, "where none has grown the largest stands for a group");
    sites_fini(&sites);

    /* As a kind without anything that is taken off. */
    sites_init(&sites, MD_BUCKET_MMAP);
    sites.values.inuse_bytes = NULL;
    mapped(1000, 40, 10, 7);
    sites_update(&sites, &snapshot);
    mapped(1020, 50, 45, 7);
    sites_update(&sites, &snapshot);
    is(sites_find(&sites, 8)->growth_bytes, 10 * MIB, "of what holds nothing, growth of all");
    sites_fini(&sites);
    snapshot = (struct snapshot){0};
}

static void test_many(void)
{
    static struct md_bucket many[20000];
    struct sites sites;
    sites_init(&sites, MD_BUCKET_HEAP);
    for (uint32_t i = 0; i < 20000; i++) {
        many[i] = (struct md_bucket){.stack = i * 5 + 2, .kind = MD_BUCKET_HEAP, .key = 16};
        many[i].value[MD_HEAP_ALLOC_BYTES] = i;
    }
    many[7].kind = MD_BUCKET_UNUSED;
    many[8].value[MD_HEAP_FREE_BYTES] = UINT64_MAX; /* a reader may see a free before its alloc */
    struct snapshot big = {.buckets = many, .bucket_count = 20000, .taken_ns = SECOND};
    ok(sites_update(&sites, &big), "20,000 sites");
    is(sites.count, 19999, "unused buckets are none");
    is(sites_find(&sites, 19999 * 5 + 2)->inuse_bytes, 19999, "each is found");
    is(sites_find(&sites, 8 * 5 + 2)->inuse_bytes, 0, "never below 0");
    sites_fini(&sites);
}

int main(void)
{
    test_sums();
    test_growth();
    test_new_site();
    test_ages();
    test_errors();
    test_bounds();
    test_leaking();
    test_mmap();
    test_many();
    return tap_done();
}
