/* Leaks as a person reads them: sums and standard errors, groups, what is left out, text. */
#include "fake_segment.h"
#include "support/tap.h"
#include "view/leaks.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static struct fake_segment segment;
static uint32_t stack_a, stack_b, own_only;

static void sample(uint32_t bucket, double weight, uint32_t born_ds, uint32_t flags)
{
    uint64_t count = segment.header->section[MD_SECTION_SAMPLES].count;
    fake_sample(&segment, 0x10000 + count * 64, bucket);
    struct md_sample *s = fake_entry(&segment, MD_SECTION_SAMPLES, count);
    s->weight = (uint64_t)(weight * MD_WEIGHT_ONE);
    s->born_ds = born_ds;
    s->flags = flags;
}

/* Leaked objects of one size without a sample, in the last cycle. */
static void unsampled(uint64_t size, uint64_t objects)
{
    struct md_section *t = &segment.header->section[MD_SECTION_UNSAMPLED];
    struct md_unsampled *u = fake_entry(&segment, MD_SECTION_UNSAMPLED, t->count++);
    *u = (struct md_unsampled){3, size, objects, size * objects};
}

#define LEAK (MD_SAMPLE_UNREACHED | MD_SAMPLE_LEAK)

/* Addresses belong to no file, so frames have modules and no names. */
static void make_segment(void)
{
    static const uint64_t capacity[MD_SECTION_COUNT] = {4, 4, 64, 8, 64, 8};
    fake_init(&segment, capacity);
    fake_module(&segment, "/opt/program", 0x400000, 0x500000, 0x400000);
    fake_module(&segment, "/opt/libmemdebug.so.0", 0x600000, 0x700000, 0x600000);
    fake_module(&segment, "/opt/libother.so", 0x800000, 0x900000, 0x800000);
    stack_a = fake_stack(&segment, (const uint64_t[]){0x600101, 0x400201, 0x400301}, 3);
    stack_b = fake_stack(&segment, (const uint64_t[]){0x800201, 0x400301}, 2);
    own_only = fake_stack(&segment, (const uint64_t[]){0x600101}, 1);
    fake_bucket(&segment, stack_a, 64, 100, 0);
    fake_bucket(&segment, stack_a, 128, 100, 0);
    fake_bucket(&segment, stack_b, 1024, 100, 0);
    fake_bucket(&segment, 0, 32, 100, 0);
    segment.header->counters.cycles = 3;
    struct md_cycle *cycle = fake_cycle(&segment);
    cycle->number = 3;
    cycle->unreachable_objects = 57;
    cycle->unreachable_bytes = 57000;
    cycle->direct_objects = 9;
    cycle->direct_bytes = 900;
    cycle->flags = MD_CYCLE_LEAKS;
    struct md_cycle *skip = fake_cycle(&segment);
    skip->flags = MD_CYCLE_SKIPPED;
    skip->number = 0;
}

static void take(struct snapshot *snap)
{
    char error[VIEW_ERROR_SIZE];
    if (snapshot_take(snap, segment.bytes, segment.size, LEAKS_SNAPSHOT, error) != 0)
        tap_print("Bail out! %s", error);
}

static char *text_of(struct leaks *l, const struct suppressions *s, size_t count)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct leaks_text how = {.pid = 812, .name = "redis-server", .count = count, .suppressions = s};
    leaks_print(l, &how, out);
    fclose(out);
    return text;
}

static void has(const char *text, const char *what)
{
    if (!ok(strstr(text, what) != NULL, "it says: %s", what))
        tap_print("# in:\n%.900s", text);
}

static void test_exact(void)
{
    struct snapshot snap;
    struct leaks l;
    make_segment();
    sample(0, 1, 10, LEAK);
    sample(0, 1, 20, LEAK);
    sample(1, 1, 30, LEAK);
    sample(2, 1, 40, LEAK | MD_SAMPLE_INDIRECT);
    sample(2, 1, 50, MD_SAMPLE_UNREACHED);
    sample(2, 1, 60, 0);
    sample(3, 1, 5, LEAK);
    take(&snap);
    struct leaks_options how = {0};
    is(leaks_build(&l, &snap, &how, NULL), 0, "leaks");
    is(l.group_count, 3, "one group for each stack and kind");
    const struct leak_group *a = &l.groups[0], *lost = &l.groups[1], *b = &l.groups[2];
    is(a->stack, stack_a, "direct ones first, the greatest before");
    is(a->sum[LEAK_DIRECT].bytes, 256, "bytes");
    is(a->sum[LEAK_DIRECT].objects, 3, "objects");
    is(a->sum[LEAK_DIRECT].samples, 3, "samples");
    is(a->sum[LEAK_DIRECT].objects_variance, 0, "exact");
    is(a->sum[LEAK_DIRECT].oldest_ds, 10, "the oldest");
    is(a->sum[LEAK_DIRECT].newest_ds, 30, "the newest");
    is(a->size, 0, "of several sizes");
    is(lost->stack, 0, "a stack that was lost still counts");
    is(b->sum[LEAK_INDIRECT].bytes, 1024, "indirect ones last, although greater");
    is(b->size, 1024, "of one size");
    is(l.once, 1, "unreachable once is no leak yet");
    is(l.total[LEAK_DIRECT].objects, 4, "total, direct");
    is(l.total[LEAK_INDIRECT].objects, 1, "total, indirect");
    is(l.cycle.number, 3, "the last cycle done, not the skip");
    size_t count;
    bool recursive;
    const struct leak_frame *frames = leaks_frames(&l, stack_a, &count, &recursive);
    is(count, 2, "our own frame is not shown");
    is(frames[0].pc, 0x400200, "the call, not what follows it");
    is(frames[0].address, 0x200, "as addr2line takes it");
    ok(strcmp(frames[0].module, "/opt/program") == 0, "in its module");
    ok(!recursive, "no recursion");
    frames = leaks_frames(&l, own_only, &count, &recursive);
    ok(count == 1 && frames[0].pc == 0x600100, "a stack of nothing but ours stays");
    char *text = text_of(&l, NULL, 20);
    has(text, "==812==ERROR: memdebug: detected memory leaks in redis-server\n");
    has(text, "Direct leak of 256 byte(s) in 3 object(s) allocated from:\n"
              "    #0 0x400200 (/opt/program+0x200)\n    #1 0x400300 (/opt/program+0x300)\n\n");
    has(text, "Indirect leak of 1024 byte(s) in 1 object(s) allocated from:\n"
              "    #0 0x800200 (/opt/libother.so+0x200)\n");
    has(text, "(stack not known)");
    has(text, "SUMMARY: memdebug: 1312 byte(s) leaked in 5 allocation(s).\n");
    has(text, "gc 3: 57 unreachable object(s), 57000 B; 9 direct, 900 B\n");
    has(text, "1 sample(s) only that cycle did not reach");
    free(text);
    text = text_of(&l, NULL, 1);
    has(text, "and 2 more: 1056 byte(s) in 2 object(s)\n");
    ok(!strstr(text, "Indirect"), "no more groups than asked for");
    free(text);
    leaks_fini(&l);
    snapshot_fini(&snap);
    free(segment.bytes);
}

static void test_estimate(void)
{
    struct snapshot snap;
    struct leaks l;
    make_segment();
    for (int i = 0; i < 24; i++)
        sample(2, 41.5, 10, LEAK);
    unsampled(1024, 24 * 40 + 12); /* 40.5 beside each */
    take(&snap);
    struct leaks_options how = {0};
    is(leaks_build(&l, &snap, &how, NULL), 0, "leaks");
    const struct leak_sum *sum = &l.groups[0].sum[LEAK_DIRECT];
    is(sum->objects, 996, "24 samples of 41.5 objects");
    /* variance w^2 - w each: 24 x 41.5 x 40.5 = 40338 */
    is(llround(sum->objects_variance), 40338, "variance of objects");
    is(llround(sqrt(sum->bytes_variance)), llround(sqrt(40338) * 1024), "of bytes");
    char *text = text_of(&l, NULL, 0);
    has(text, "Direct leak of ~996 kB \xc2\xb1 201 kB in ~996 \xc2\xb1 201 object(s) (24 samples) "
              "allocated from:\n");
    has(text, "SUMMARY: memdebug: 1019904 byte(s) leaked in 996 allocation(s).\n");
    free(text);
    leaks_fini(&l);
    snapshot_fini(&snap);
    free(segment.bytes);
}

static void test_groups(void)
{
    struct snapshot snap;
    struct leaks l;
    make_segment();
    sample(0, 1, 0, LEAK);
    sample(0, 1, 0, LEAK | MD_SAMPLE_INDIRECT);
    sample(1, 1, 0, LEAK);
    sample(2, 1, 0, LEAK);
    sample(3, 1, 0, LEAK);
    take(&snap);
    struct leaks_options how = {.by = LEAKS_BY_SIZE};
    is(leaks_build(&l, &snap, &how, NULL), 0, "by size");
    is(l.group_count, 4, "four sizes");
    is(l.groups[0].size, 1024, "the greatest first");
    is(l.groups[2].size, 64, "two of 64");
    is(l.groups[2].sum[LEAK_DIRECT].bytes, 64, "one direct");
    is(l.groups[2].sum[LEAK_INDIRECT].bytes, 64, "one indirect");
    leaks_fini(&l);
    how.by = LEAKS_BY_MODULE;
    is(leaks_build(&l, &snap, &how, NULL), 0, "by module");
    is(l.group_count, 3, "two modules and an unknown stack");
    ok(strcmp(l.groups[0].name, "libother.so") == 0 && strcmp(l.groups[1].name, "program") == 0,
       "by name");
    is(l.groups[1].stacks, 1, "of one stack");
    char *text = text_of(&l, NULL, 0);
    has(text, "MODULE\n");
    has(text, "256 B");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        ok(strlen(line) <= 81, "fits 80 columns: %s", line);
    free(text);
    leaks_fini(&l);
    how.by = LEAKS_BY_FUNCTION;
    is(leaks_build(&l, &snap, &how, NULL), 0, "by function");
    ok(strcmp(l.groups[0].name, "libother.so+0x200") == 0, "without names by place: %s",
       l.groups[0].name);
    leaks_fini(&l);
    snapshot_fini(&snap);
    free(segment.bytes);
}

/* One call that comes again and again is one; and so is a ring of calls. */
static void test_recursion(void)
{
    struct snapshot snap;
    struct leaks l;
    make_segment();
    static const uint64_t stacks[][6] = {
        {0x400201, 0x400301, 0x400401},
        {0x400201, 0x400301, 0x400301, 0x400301, 0x400401},
        {0x400201, 0x400301, 0x400501, 0x400201, 0x400301, 0x400401},
        {0x400201, 0x400301, 0x400501},
    };
    static const uint32_t depths[] = {3, 5, 6, 3};
    for (int i = 0; i < 4; i++) {
        uint32_t stack = fake_stack(&segment, stacks[i], depths[i]);
        sample(fake_bucket(&segment, stack, 64, 1, 0), 1, 0, LEAK);
    }
    take(&snap);
    struct leaks_options how = {0};
    is(leaks_build(&l, &snap, &how, NULL), 0, "leaks of stacks with recursion");
    is(l.group_count, 2, "three fold to the same calls");
    is(l.groups[0].sum[LEAK_DIRECT].objects, 3, "an object of each");
    is(l.groups[0].stacks, 3, "three stacks");
    size_t count;
    bool recursive;
    leaks_frames(&l, l.groups[0].stack, &count, &recursive);
    is(count, 3, "three frames are shown");
    leaks_frames(&l, l.groups[1].stack, &count, &recursive);
    ok(count == 3 && !recursive, "what has no recursion is whole");
    leaks_fini(&l);
    snapshot_fini(&snap);
    free(segment.bytes);
}

static void test_left_out(void)
{
    struct snapshot snap;
    struct leaks l;
    make_segment();
    sample(0, 1, 100, LEAK);
    sample(2, 1, 200, LEAK);
    take(&snap);
    struct suppression rules[] = {{.pattern = "nothing like it"}, {.pattern = "libother.so"}};
    struct suppressions s = {.rules = rules, .count = 2};
    struct leaks_options how = {.suppressions = &s};
    is(leaks_build(&l, &snap, &how, NULL), 0, "with suppressions");
    is(l.group_count, 1, "one is left");
    is(l.suppressed.bytes, 1024, "what is suppressed is counted");
    is(rules[1].bytes, 1024, "with its rule");
    is(rules[1].uses, 1, "used once");
    is(rules[0].uses, 0, "the other not");
    char *text = text_of(&l, &s, 0);
    has(text, "Suppressions used:\n  count      bytes template\n      1       1024 libother.so\n");
    has(text, "Suppressions not used: 1: nothing like it\n");
    has(text, "SUMMARY: memdebug: 64 byte(s) leaked in 1 allocation(s).\n");
    free(text);
    leaks_fini(&l);
    how = (struct leaks_options){.born_from_ds = 150};
    is(leaks_build(&l, &snap, &how, NULL), 0, "since");
    is(l.group_count, 1, "one was allocated since");
    is(l.total[LEAK_DIRECT].bytes, 1024, "the younger");
    leaks_fini(&l);
    snapshot_fini(&snap);
    free(segment.bytes);
}

static void test_difference(void)
{
    struct snapshot snap;
    struct leaks l;
    struct profile base;
    make_segment();
    sample(0, 1, 0, LEAK);
    sample(0, 1, 0, LEAK);
    sample(3, 1, 0, LEAK);
    take(&snap);
    struct profile_options options = {.kind = MD_BUCKET_HEAP};
    is(profile_from_snapshot(&base, &snap, &options, NULL), 0, "a profile saved");
    struct leaks_options how = {.base = &base};
    is(leaks_build(&l, &snap, &how, NULL), 0, "the difference to itself");
    is(l.group_count, 0, "is nothing");
    leaks_fini(&l);
    snapshot_fini(&snap);
    sample(0, 1, 0, LEAK);
    sample(1, 1, 0, LEAK); /* the same stack, another size */
    sample(2, 1, 0, LEAK);
    take(&snap);
    is(leaks_build(&l, &snap, &how, NULL), 0, "later");
    is(l.group_count, 2, "two stacks have more");
    is(l.groups[0].sum[LEAK_DIRECT].bytes, 1024, "one is new");
    is(l.groups[1].sum[LEAK_DIRECT].bytes, 64 + 128, "one has grown");
    is(l.groups[1].sum[LEAK_DIRECT].objects, 2, "by two objects");
    leaks_fini(&l);
    profile_fini(&base);
    snapshot_fini(&snap);
    free(segment.bytes);
}

/* What was counted is what is told: shared out among the samples of a size, or for itself. */
static void test_counted(void)
{
    struct snapshot snap;
    struct leaks l;
    make_segment();
    sample(0, 4682, 0, LEAK); /* 64 B: one from here */
    sample(2, 10, 0, LEAK);   /* 1024 B: of three, two from here */
    sample(2, 10, 0, LEAK);
    uint32_t other = fake_bucket(&segment, stack_a, 1024, 1, 0);
    sample(other, 19, 0, LEAK);
    sample(3, 1, 0, LEAK); /* 32 B: it stands for no other */
    unsampled(64, 1199);
    unsampled(1024, 36);
    unsampled(96, 1200);
    unsampled(32, 5);
    unsampled(48, 7);
    struct md_unsampled *old = fake_entry(&segment, MD_SECTION_UNSAMPLED, 4);
    old->cycle = 2;
    take(&snap);
    struct suppression rule = {.pattern = "libother.so"};
    struct suppressions s = {.rules = &rule, .count = 1};
    struct leaks_options how = {0};
    is(leaks_build(&l, &snap, &how, NULL), 0, "leaks that were counted");
    struct leak_sum all = leaks_total(&l);
    is(llround(all.objects), 1200 + 39 + 1200 + 1 + 5, "they come to the count");
    is(llround(all.bytes), 1200 * 64 + 39 * 1024 + 1200 * 96 + 6 * 32, "in bytes");
    is(all.objects_variance, 0, "which is exact");
    is(l.unsampled_count, 2, "two sizes that no sample stands for");
    is(l.unsampled[0].objects, 1200, "the greater first");
    is(l.unsampled[1].objects, 5, "a sample of weight 1 is but itself");
    is(llround(l.groups[0].sum[LEAK_DIRECT].objects), 1200 + 19, "shared out by weight");
    is(llround(l.groups[1].sum[LEAK_DIRECT].objects), 20, "the rest to the other stack");
    char *text = text_of(&l, NULL, 0);
    has(text,
        "Leak of 115360 byte(s) in 1205 object(s), not sampled: memprofilerate=1 would show where "
        "they come from\n    1200 object(s), 115200 B, of 96 B each\n    5 object(s), 160 B, of "
        "32 B each\n\n");
    has(text, "SUMMARY: memdebug: 232128 byte(s) leaked in 2445 allocation(s).\n");
    free(text);
    leaks_fini(&l);
    how.suppressions = &s;
    is(leaks_build(&l, &snap, &how, NULL), 0, "with suppressions");
    all = leaks_total(&l);
    is(llround(all.objects), 1200 + 19 + 1200 + 6, "those of a suppressed sample's share are gone");
    ok(all.objects_variance > 0, "and the rest is an estimate");
    ok(leaks_found(&l), "something is left");
    leaks_fini(&l);
    rule.pattern = "program";
    how = (struct leaks_options){.suppressions = &s, .born_from_ds = 1};
    is(leaks_build(&l, &snap, &how, NULL), 0, "all groups left out");
    ok(l.group_count == 0 && l.unsampled_count == 2 && leaks_found(&l),
       "what has no stack and no age cannot be");
    text = text_of(&l, &s, 1);
    has(text, "==812==ERROR: memdebug: detected memory leaks in redis-server\n\nLeak of ");
    has(text, "    ... 1 more sizes\n");
    free(text);
    leaks_fini(&l);
    struct md_cycle *cycle = fake_entry(&segment, MD_SECTION_CYCLES, 0);
    cycle->leaked_objects = 2445 + 10;
    cycle->leaked_bytes = 232128 + 500;
    snapshot_fini(&snap);
    take(&snap);
    how = (struct leaks_options){0};
    is(leaks_build(&l, &snap, &how, NULL), 0, "more counted than there are records");
    ok(l.unsampled_count == 3 && l.unsampled[1].objects == 10 && l.unsampled[1].bytes == 500 &&
           l.unsampled[1].size == 0,
       "is of sizes not known");
    leaks_fini(&l);
    snapshot_fini(&snap);
    free(segment.bytes);
}

static void test_nothing_sampled(void)
{
    struct snapshot snap;
    struct leaks l;
    make_segment();
    sample(0, 1, 0, 0);
    take(&snap);
    struct leaks_options how = {0};
    is(leaks_build(&l, &snap, &how, NULL), 0, "no sample is a leak");
    char *text = text_of(&l, NULL, 0);
    ok(!strstr(text, "ERROR"), "no error is said");
    has(text, "SUMMARY: memdebug: 0 byte(s) leaked in 0 allocation(s).\n");
    ok(leaks_known(&l) && !leaks_found(&l), "nothing leaks");
    free(text);
    leaks_fini(&l);
    segment.header->counters.cycles = 1;
    ((struct md_cycle *)fake_entry(&segment, MD_SECTION_CYCLES, 0))->flags = 0;
    snapshot_fini(&snap);
    take(&snap);
    is(leaks_build(&l, &snap, &how, NULL), 0, "after one cycle");
    text = text_of(&l, NULL, 0);
    ok(!leaks_known(&l), "nobody knows what leaks");
    has(text,
        "SUMMARY: memdebug: not checked: a leak is what two cycles do not reach, one after the "
        "other\n");
    free(text);
    leaks_fini(&l);
    snapshot_fini(&snap);
    free(segment.bytes);
}

/* Flags, weights and births as they come. */
static void test_hostile(void)
{
    struct snapshot snap;
    struct leaks l;
    uint64_t state = 12345;
    for (int round = 0; round < 200; round++) {
        make_segment();
        for (int i = 0; i < 40; i++) {
            sample(0, 1, 0, 0);
            struct md_sample *s = fake_entry(&segment, MD_SECTION_SAMPLES, (uint64_t)i);
            state = state * 6364136223846793005u + 1442695040888963407u;
            s->flags = (uint32_t)(state >> 33);
            s->weight = state >> (state >> 60) * 4;
            s->born_ds = (uint32_t)(state >> 20);
            s->bucket = (uint32_t)(state >> 50) % 6;
        }
        segment.header->memprofilerate = state;
        take(&snap);
        struct leaks_options how = {.by = (enum leaks_by)(round % 4)};
        if (leaks_build(&l, &snap, &how, NULL) == 0) {
            struct leak_sum all = leak_sum_of(&l.total[0], &l.total[1]);
            if (!(all.objects >= 0 && all.bytes_variance >= 0))
                ok(false, "sums of round %d", round);
            free(text_of(&l, NULL, 3));
        }
        leaks_fini(&l);
        snapshot_fini(&snap);
        free(segment.bytes);
    }
    ok(true, "200 segments of rubbish");
}

static void test_numbers(void)
{
    static const struct {
        double bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},           {-5, "0 B"},           {1023, "1023 B"},   {1024, "1.00 kB"},
        {10230, "9.99 kB"},   {10240, "10.0 kB"},    {102400, "100 kB"}, {1048000, "1023 kB"},
        {1048576, "1.00 MB"}, {12897484, "12.3 MB"}, {1e300, "888 PB"},  {NAN, "0 B"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[LEAKS_BYTES_SIZE];
        leaks_bytes(cases[i].bytes, text);
        ok(strcmp(text, cases[i].text) == 0, "%g is %s, said %s", cases[i].bytes, cases[i].text,
           text);
    }
}

int main(void)
{
    test_numbers();
    test_exact();
    test_estimate();
    test_groups();
    test_recursion();
    test_left_out();
    test_difference();
    test_counted();
    test_nothing_sampled();
    test_hostile();
    return tap_done();
}
