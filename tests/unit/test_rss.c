/* src/view/rss*.c: the kernel's areas divided up by owner, and the identity made of them. */
#include "support/tap.h"

#include "fake_segment.h"
#include "view/rss.h"

#include <errno.h>
#include <string.h>

#define MIB (INT64_C(1) << 20)

static struct md_bucket buckets[] = {
    {.kind = MD_BUCKET_MMAP, .label = MD_LABEL_MMAP_ANONYMOUS, .stack = 1},
    {.kind = MD_BUCKET_MMAP, .label = MD_LABEL_MMAP_STACK, .stack = 2},
    {.kind = MD_BUCKET_MMAP, .label = MD_LABEL_MMAP_FILE, .stack = 3},
    {.kind = MD_BUCKET_HEAP, .key = 1000},
    {.kind = MD_BUCKET_HEAP, .key = 20480},
};
static struct md_mapping mappings[] = {
    {0x10300000, 0x10500000, 1, 0, 0},
    {0x20000000, 0x20801000, 2, 1, MD_MAPPING_STACK},
    {0x30000000, 0x30100000, 3, 2, 0},
};
static struct md_range ranges[] = {
    {0x10000000, 0x10300000, MD_RANGE_HEAP},
    {0x10100000, 0x10200000, MD_RANGE_METADATA},
    {0x10500000, 0x10600000, MD_RANGE_OWN},
    {0x40000000, 0x48000000, MD_RANGE_OWN}, /* a segment */
};
static struct md_sample samples[] = {{.addr = 1, .bucket = 3}, {.addr = 2, .bucket = 4}};

static struct snapshot snapshot(void)
{
    struct snapshot snap = {.buckets = buckets,
                            .bucket_count = sizeof buckets / sizeof buckets[0],
                            .mappings = mappings,
                            .mapping_count = sizeof mappings / sizeof mappings[0],
                            .ranges = ranges,
                            .range_count = sizeof ranges / sizeof ranges[0]};
    snap.header.page_size = 4096;
    snap.header.allocator.flags = MD_ALLOCATOR_RANGES;
    return snap;
}

/* As many pages as the bits of the megabytes say: 0x10000000 and on, one digit each. */
static int64_t pages_by_megabyte(void *closure, uint64_t start, uint64_t limit)
{
    const int *pages = closure;
    int64_t sum = 0;
    for (uint64_t at = start; at < limit; at += MIB)
        sum += pages[(at - 0x10000000) / MIB];
    return sum;
}

static struct rss_kernel parse(const char *text, const int pages[], const struct snapshot *snap,
                               int64_t *by_bucket, int *result)
{
    struct rss_kernel kernel = {0};
    FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    *result = rss_kernel_parse(&kernel, file,
                               (struct rss_presence){pages_by_megabyte, (void *)(uintptr_t)pages},
                               snap, by_bucket);
    fclose(file);
    return kernel;
}

static const char smaps[] =
    "00400000-00401000 r-xp 00000000 fe:00 11                 /usr/bin/prog name\n"
    "Rss:                   4 kB\nVmFlags: rd ex\n"
    "00401000-00402000 rw-p 00001000 fe:00 11                 /usr/bin/prog name\n"
    "Rss:                   4 kB\nPss:   1000 kB\n"
    "00402000-00502000 rw-p 00000000 00:00 0 \n" /* bss */
    "Rss:                  12 kB\n"
    "00600000-00700000 rw-p 00000000 00:00 0                  [heap]\n"
    "Rss:                  16 kB\n"
    "10000000-10700000 rw-p 00000000 00:00 0 \n"
    "Rss:                1400 kB\n"
    "20000000-20001000 ---p 00000000 00:00 0 \n"
    "Rss:                   0 kB\n"
    "20001000-20801000 rw-p 00000000 00:00 0 \n"
    "Rss:                  32 kB\n"
    "30000000-30100000 rw-p 00000000 fe:00 12                 /var/lib/data (deleted)\n"
    "Rss:                  64 kB\n"
    "30200000-30300000 rw-s 00000000 fe:00 13                 /var/lib/map\n"
    "Rss:                 128 kB\n"
    "30300000-30400000 rw-s 00000000 00:01 13                 /dev/shm/pool\n"
    "Rss:                 256 kB\n"
    "30400000-30500000 rw-s 00000000 00:01 13                 /memfd:x (deleted)\n"
    "Rss:                 256 kB\n"
    "40000000-40001000 rw-s 00000000 00:1b 14                 /dev/shm/812-1.mdseg\n"
    "Rss:                   4 kB\n"
    "7ff000000000-7ff000021000 rw-p 00000000 00:00 0          [stack]\n"
    "Rss:                  20 kB\n"
    "7ff0000fe000-7ff000100000 r-xp 00000000 00:00 0          [vdso]\n"
    "Rss:                   8 kB\n";

static void test_owners(void)
{
    /* of the area of seven megabytes: heap, metadata, heap, two mapped, own, nobody's */
    static const int pages[] = {100, 50, 50, 25, 25, 50, 50};
    struct snapshot snap = snapshot();
    int64_t by_bucket[5] = {0};
    int result;
    struct rss_kernel k = parse(smaps, pages, &snap, by_bucket, &result);
    is(result, 0, "smaps is read");
    is(k.rss, (8 + 12 + 16 + 1400 + 32 + 64 + 128 + 512 + 4 + 20 + 8) * 1024, "the sum");
    int64_t sum = 0;
    for (int i = 0; i < RSS_OWNERS; i++)
        sum += k.by[i];
    is(sum, k.rss, "is that of the owners");
    is(k.by[RSS_BY_HEAP], 600 * 1024, "an area of several owners is shared out by its pages: heap");
    is(k.by[RSS_BY_METADATA], 200 * 1024, "metadata, which lies in the heap");
    is(k.by[RSS_BY_OWN], (200 + 4) * 1024, "ours, the segment's file too");
    is(k.by[RSS_BY_ANONYMOUS], (200 + 200 + 16) * 1024, "mapped by the program, and [heap]");
    is(by_bucket[0], 200 * 1024, "of which that call's");
    is(k.by[RSS_BY_STACKS], (32 + 20) * 1024, "stacks");
    is(k.by[RSS_BY_FILES], (8 + 12 + 64 + 128 + 8) * 1024, "files, bss and what is the kernel's");
    is(k.by[RSS_BY_SHARED], 512 * 1024, "shared");

    snap.range_count = 0;
    snap.header.allocator.flags = 0;
    k = parse(smaps, pages, &snap, NULL, &result);
    is(k.by[RSS_BY_NOBODY], 1200 * 1024, "without the allocator's ranges nobody knows");
    is(k.by[RSS_BY_ANONYMOUS], (200 + 16) * 1024, "but of what is on record");

    static const int none[7];
    snap = snapshot();
    k = parse(smaps, none, &snap, NULL, &result);
    is(k.by[RSS_BY_ANONYMOUS], (1400 + 16) * 1024, "without pagemap an area is one owner's");
    parse("", pages, &snap, NULL, &result);
    is(result, ESRCH, "of a process that has ended there is none");
}

/* The parts always add up. */
static int64_t sum_of(const struct rss_parts *parts)
{
    int64_t sum = 0;
    for (int i = 0; i < RSS_PARTS; i++)
        sum += rss_part_bytes(parts, (enum rss_part)i);
    return sum;
}

static void test_parts(void)
{
    struct snapshot snap = snapshot();
    struct rss_parts parts;
    struct rss_kernel k = {.rss = 200 * MIB, .taken_ns = 5};
    k.by[RSS_BY_HEAP] = 150 * MIB;
    k.by[RSS_BY_METADATA] = 4 * MIB;
    k.by[RSS_BY_OWN] = 2 * MIB;
    k.by[RSS_BY_STACKS] = 1 * MIB;
    k.by[RSS_BY_ANONYMOUS] = 20 * MIB;
    k.by[RSS_BY_FILES] = 13 * MIB;
    k.by[RSS_BY_SHARED] = 10 * MIB;
    struct md_allocator *a = &snap.header.allocator;
    snap.header.counters.alloc_bytes = 160 * (uint64_t)MIB;
    snap.header.counters.free_bytes = 60 * (uint64_t)MIB;
    *a = (struct md_allocator){.flags = MD_ALLOCATOR_RANGES,
                               .read_ns = 1,
                               .active_bytes = 130 * (uint64_t)MIB,
                               .dirty_bytes = 15 * (uint64_t)MIB,
                               .muzzy_bytes = 1 * (uint64_t)MIB,
                               .own_bytes = 1 * (uint64_t)MIB};
    rss_parts_make(&parts, &k, &snap);
    is(parts.in_use, 100 * MIB, "in use is what was counted");
    is(parts.slab_slack, 30 * MIB, "the rest of the pages in use is slack");
    ok(!rss_knows(&parts, RSS_thread_caches) && parts.thread_caches == 0 &&
           rss_knows(&parts, RSS_slab_slack),
       "what threads keep is not known, and in it");
    is(parts.own, 3 * MIB, "ours: ranges, and blocks");
    is(parts.unexplained, 3 * MIB, "the rest is shown");
    is(sum_of(&parts), parts.rss, "the sum");

    a->flags |= MD_ALLOCATOR_BLOCKS;
    a->allocated_bytes = 105 * (uint64_t)MIB;
    a->cached_bytes = 3 * (uint64_t)MIB;
    snap.samples = samples;
    snap.sample_count = 2;
    rss_parts_make(&parts, &k, &snap);
    is(parts.in_use, 102 * MIB + 1000, "by the allocator's count and the sampled blocks apart");
    is(parts.thread_caches, 3 * MIB, "caches");
    is(parts.slab_slack, 25 * MIB, "slack");
    is(parts.own, 3 * MIB + 3096, "the rest of a sampled block's page is ours; not of a large one");
    is(sum_of(&parts), parts.rss, "the sum");

    a->sampled_dirty_bytes = 2 * (uint64_t)MIB;
    rss_parts_make(&parts, &k, &snap);
    is(parts.dirty, 17 * MIB, "pages of freed samples explain what is left, and no more than that");
    a->sampled_dirty_bytes = 200 * (uint64_t)MIB;
    rss_parts_make(&parts, &k, &snap);
    is(parts.unexplained, 0, "however many there are");
    is(sum_of(&parts), parts.rss, "the sum");

    k.by[RSS_BY_HEAP] -= 50 * MIB;
    k.rss -= 50 * MIB;
    rss_parts_make(&parts, &k, &snap);
    ok(parts.in_use < 60 * MIB && parts.slab_slack < 25 * MIB && parts.slab_slack > 24 * MIB &&
           parts.unexplained == 0,
       "what is not resident was never touched");
    is(sum_of(&parts), parts.rss, "the sum");

    snap.header.flags = MD_FLAG_TRACKED;
    rss_parts_make(&parts, &k, &snap);
    is(parts.own, 3 * MIB, "in the tracked variant samples have no pages of their own");
}

static void test_unasked(void)
{
    struct snapshot snap = snapshot();
    struct rss_parts parts;
    struct rss_kernel k = {.rss = 60 * MIB};
    k.by[RSS_BY_NOBODY] = 50 * MIB;
    k.by[RSS_BY_FILES] = 10 * MIB;
    snap.header.allocator = (struct md_allocator){0};
    snap.header.counters.alloc_bytes = 30 * (uint64_t)MIB;
    snap.samples = samples;
    snap.sample_count = 2;
    rss_parts_make(&parts, &k, &snap);
    ok(parts.own == 0 && sum_of(&parts) == parts.rss, "what is not known is 0");
    ok(parts.in_use == 30 * MIB && parts.unexplained == 20 * MIB && rss_knows(&parts, RSS_in_use) &&
           !rss_knows(&parts, RSS_slab_slack) && !rss_knows(&parts, RSS_dirty) &&
           !rss_knows(&parts, RSS_metadata) && !rss_knows(&parts, RSS_own),
       "a process that has not answered: in use, files, and the rest is not explained");
    snap.header.counters.alloc_bytes = 70 * (uint64_t)MIB;
    rss_parts_make(&parts, &k, &snap);
    ok(parts.in_use == 50 * MIB && parts.unexplained == 0, "never more than there is");
}

static void test_format(void)
{
    static const uint64_t room[MD_SECTION_COUNT] = {1, 1, 8, 1, 1, 1, 1, 4};
    struct fake_segment s;
    struct snapshot snap;
    fake_init(&s, room);
    struct md_range *range = fake_entry(&s, MD_SECTION_RANGES, 0);
    range[0] = (struct md_range){0x1000, 0x3000, MD_RANGE_OWN};
    range[1] = (struct md_range){0x5000, 0x4000, MD_RANGE_HEAP};
    range[2] = (struct md_range){0x6000, 0x7000, MD_RANGE_NONE};
    s.header->section[MD_SECTION_RANGES].count = 3;
    s.header->allocator = (struct md_allocator){.seq = 2, .read_ns = 7, .active_bytes = 99};
    is(snapshot_take(&snap, s.bytes, s.size, SNAPSHOT_RANGES, NULL), 0, "a segment is read");
    ok(snap.range_count == 1 && snap.ranges[0].limit == 0x3000 &&
           snap.header.allocator.active_bytes == 99,
       "its ranges that are some, and what the allocator has");
    snapshot_fini(&snap);
    s.header->allocator.seq = 3;
    is(snapshot_take(&snap, s.bytes, s.size, SNAPSHOT_RANGES, NULL), 0, "one in the midst of it");
    ok(snap.range_count == 0 && snap.header.allocator.read_ns == 0, "has not said");
    snapshot_fini(&snap);
    s.header->allocator.seq = 4;
    s.header->header_size = offsetof(struct md_header, allocator);
    is(snapshot_take(&snap, s.bytes, s.size, SNAPSHOT_RANGES, NULL), 0, "nor has an older one");
    ok(snap.range_count == 0 && snap.header.allocator.read_ns == 0, "which does not know of it");
    snapshot_fini(&snap);
    free(s.bytes);
}

int main(void)
{
    test_owners();
    test_parts();
    test_unasked();
    test_format();
    return tap_done();
}
