/* Segments made by hand, for tests of their readers. */
#ifndef TESTS_FAKE_SEGMENT_H
#define TESTS_FAKE_SEGMENT_H

#include <memdebug/segment.h>
#include <stdlib.h>
#include <string.h>

struct fake_segment {
    uint8_t *bytes; /* malloc'ed */
    size_t size;
    struct md_header *header;
};

static inline size_t fake_pages(size_t bytes)
{
    return (bytes + 4095) / 4096 * 4096;
}

static inline void *fake_entry(struct fake_segment *s, unsigned section, uint64_t index)
{
    struct md_section *t = &s->header->section[section];
    return s->bytes + t->offset + index * t->entry_size;
}

static inline void fake_init(struct fake_segment *s, const uint64_t capacity[MD_SECTION_COUNT])
{
    static const uint32_t entry_size[MD_SECTION_COUNT] = MD_SECTION_ENTRY_SIZES;
    s->size = 4096;
    for (unsigned i = 0; i < MD_SECTION_COUNT; i++)
        s->size += fake_pages(capacity[i] * entry_size[i]);
    s->bytes = calloc(1, s->size);
    s->header = (struct md_header *)(void *)s->bytes;
    struct md_header *h = s->header;
    memcpy(h->magic, MD_SEGMENT_MAGIC, sizeof h->magic);
    h->version = MD_SEGMENT_VERSION;
    h->header_size = sizeof *h;
    h->file_size = s->size;
    h->pid = 812;
    h->cpus = 2;
    h->page_size = 4096;
    h->section_count = MD_SECTION_COUNT;
    h->memprofilerate = 524288;
    strcpy(h->name, "redis-server");
    strcpy(h->exe, "/usr/bin/redis-server");
    uint64_t at = 4096;
    for (unsigned i = 0; i < MD_SECTION_COUNT; i++) {
        h->section[i] = (struct md_section){at, entry_size[i], 0, capacity[i], 0};
        at += fake_pages(capacity[i] * entry_size[i]);
    }
    h->section[MD_SECTION_STACKS].count = MD_STACK_HEADER_WORDS; /* the unknown stack */
}

static inline struct md_module *fake_module(struct fake_segment *s, const char *path,
                                            uint64_t start, uint64_t limit, uint64_t bias)
{
    struct md_section *t = &s->header->section[MD_SECTION_MODULES];
    struct md_module *m = fake_entry(s, MD_SECTION_MODULES, t->count++);
    m->start = start;
    m->limit = limit;
    m->bias = bias;
    m->path_size = (uint32_t)strlen(path);
    memcpy(m->path, path, m->path_size);
    return m;
}

static inline uint32_t fake_stack(struct fake_segment *s, const uint64_t *pc, uint32_t depth)
{
    struct md_section *t = &s->header->section[MD_SECTION_STACKS];
    uint32_t id = (uint32_t)t->count;
    struct md_stack *stack = fake_entry(s, MD_SECTION_STACKS, id);
    stack->depth = depth;
    stack->epoch = 1;
    memcpy(stack->pc, pc, depth * sizeof *pc);
    t->count += MD_STACK_HEADER_WORDS + depth;
    return id;
}

/* Objects in whole numbers. */
static inline uint32_t fake_bucket(struct fake_segment *s, uint32_t stack, uint64_t size,
                                   uint64_t allocs, uint64_t frees)
{
    struct md_section *t = &s->header->section[MD_SECTION_BUCKETS];
    struct md_bucket *b = fake_entry(s, MD_SECTION_BUCKETS, t->count);
    *b = (struct md_bucket){
        .stack = stack,
        .kind = MD_BUCKET_HEAP,
        .key = size,
        .value = {allocs * MD_WEIGHT_ONE, allocs * size, frees * MD_WEIGHT_ONE, frees * size},
        .samples = allocs};
    return (uint32_t)t->count++;
}

static inline void fake_sample(struct fake_segment *s, uint64_t addr, uint32_t bucket)
{
    struct md_section *t = &s->header->section[MD_SECTION_SAMPLES];
    struct md_sample *sample = fake_entry(s, MD_SECTION_SAMPLES, t->count++);
    *sample = (struct md_sample){.addr = addr, .weight = MD_WEIGHT_ONE, .bucket = bucket};
}

static inline void fake_mapping(struct fake_segment *s, uint64_t start, uint64_t size,
                                uint32_t bucket)
{
    struct md_section *t = &s->header->section[MD_SECTION_MAPPINGS];
    struct md_mapping *mapping = fake_entry(s, MD_SECTION_MAPPINGS, t->count++);
    *mapping = (struct md_mapping){
        .start = start, .limit = start + size, .serial = t->count, .bucket = bucket};
}

static inline struct md_cycle *fake_cycle(struct fake_segment *s)
{
    struct md_section *t = &s->header->section[MD_SECTION_CYCLES];
    uint64_t index = t->count++;
    struct md_cycle *c = fake_entry(s, MD_SECTION_CYCLES, index % t->capacity);
    *c = (struct md_cycle){.seq = 2, .number = index + 1, .index = index, .cpus = 2};
    return c;
}

/* A record of the answer, of so many words. */
static inline void *fake_record(struct fake_segment *s, enum md_answer_kind kind, uint32_t words)
{
    struct md_section *t = &s->header->section[MD_SECTION_ANSWERS];
    struct md_answer_record *record = fake_entry(s, MD_SECTION_ANSWERS, t->count);
    *record = (struct md_answer_record){kind, words};
    t->count += words;
    s->header->answer.number = 1;
    s->header->answer.words = t->count;
    return record;
}

/* A point of the past, `seconds` after the start, with so much allocated. */
static inline struct md_past *fake_past(struct fake_segment *s, unsigned seconds,
                                        uint64_t alloc_bytes)
{
    struct md_section *t = &s->header->section[MD_SECTION_PAST];
    struct md_past *p = fake_entry(s, MD_SECTION_PAST, t->count++);
    *p = (struct md_past){.seq = 2,
                          .time_ns = s->header->start_ns + seconds * UINT64_C(1000000000),
                          .alloc_bytes = alloc_bytes,
                          .objects = MD_PAST_UNKNOWN,
                          .reachable_bytes = MD_PAST_UNKNOWN,
                          .leaked_bytes = MD_PAST_UNKNOWN};
    return p;
}

/* A little of everything; what test_snapshot and the fuzzers start from. */
static inline void fake_full(struct fake_segment *s)
{
    static const uint64_t capacity[MD_SECTION_COUNT] = {4, 3, 64, 6, 6, 4, 4, 0, 64, 8};
    fake_init(s, capacity);
    struct md_module *m = fake_module(s, "/usr/bin/redis-server", 0x400000, 0x500000, 0);
    m->build_id_size = 20;
    for (unsigned i = 0; i < 20; i++)
        m->build_id[i] = (uint8_t)(i * 13);
    fake_module(s, "/opt/lib/libmemdebug.so.0.1.0", 0x7f0000000000, 0x7f0000010000, 0x7f0000000000);
    struct md_module *gone =
        fake_module(s, "/usr/lib/plugin.so", 0x7f1000000000, 0x7f1000010000, 0x7f1000000000);
    gone->born = 1;
    gone->gone = 3;
    uint32_t a = fake_stack(s, (const uint64_t[]){0x7f0000000101, 0x400201, 0x400301}, 3);
    uint32_t b = fake_stack(s, (const uint64_t[]){0x400211, 0x7f1000000401, 0x400301}, 3);
    fake_bucket(s, a, 64, 100, 40);
    fake_bucket(s, b, 4096, 10, 10);
    fake_bucket(s, a, 64, 5, 0);
    uint32_t last = fake_bucket(s, 0, 128, 3, 1);
    fake_sample(s, 0x10000, 0);
    fake_sample(s, 0, 0);
    fake_sample(s, 0x20000, last);
    fake_mapping(s, 0x7f2000000000, 0x3000, 1);
    fake_mapping(s, 0, 0, 0);
    fake_mapping(s, 0x7f1f00000000, 0x1000, 0);
    fake_mapping(s, 0x7f3000000000, 0x1000, 5); /* younger than the buckets */
    for (unsigned i = 0; i < 6; i++)
        fake_cycle(s)->start_ns = i * UINT64_C(1000000000);
    struct md_cycle *skip = fake_cycle(s);
    skip->flags = MD_CYCLE_SKIPPED;
    fake_past(s, 20, 2000);
    fake_past(s, 30, 3000);
    fake_past(s, 10, 1000);
    fake_past(s, 20, 2000); /* on its way from one ring to another */
    fake_past(s, 25, 2500)->seq = 3;
    fake_past(s, 0, 0);                /* not used yet */
    fake_record(s, MD_ANSWER_PATH, 2); /* too short */
    struct md_answer_path *path =
        fake_record(s, MD_ANSWER_PATH, (sizeof *path + sizeof *path->step) / 8);
    path->steps = path->steps_here = path->steps_before = 1;
    path->step[0].block = 0x10000;
    skip->number = 0;
    strcpy(skip->reason, "threads did not stop, 2 of 3");
}

#endif
