#include "view/snapshot.h"

#include "base/machine.h"
#include "view/plain_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define SEQ_TRIES 64
#define SECTIONS_MAX 16
/* Far above what a segment comes to; keeps a hostile count from taking the reader's memory. */
#define SECTION_BYTES_MAX (UINT64_C(1) << 30)

/* A section as far as the mapping holds it. */
struct span {
    const uint8_t *base;
    size_t entry_size; /* of the writer */
    uint64_t count;    /* entries to read */
    uint64_t missing;  /* entries that should be there and are not */
    uint64_t capacity; /* as the header says: a ring's modulus */
    uint64_t total;    /* count as the header says */
};

/* Bytes of an entry in the first version that had it; newer ones only add to it. */
static const uint32_t entry_size_min[MD_SECTION_COUNT] = {
    [MD_SECTION_CYCLES] = offsetof(struct md_cycle, unseen_threads),
    [MD_SECTION_MODULES] = sizeof(struct md_module),
    [MD_SECTION_STACKS] = sizeof(uint64_t),
    [MD_SECTION_BUCKETS] = sizeof(struct md_bucket),
    [MD_SECTION_SAMPLES] = sizeof(struct md_sample),
    [MD_SECTION_UNSAMPLED] = sizeof(struct md_unsampled),
    [MD_SECTION_MAPPINGS] = sizeof(struct md_mapping),
    [MD_SECTION_RANGES] = sizeof(struct md_range),
    [MD_SECTION_ANSWERS] = sizeof(uint64_t),
    [MD_SECTION_PAST] = sizeof(struct md_past),
};
#define HEADER_SIZE_MIN (offsetof(struct md_header, control) + sizeof(struct md_control))
#define ENTRY_SIZE_MAX 65536

static int fail(char *error, int code, const char *what)
{
    if (error)
        snprintf(error, VIEW_ERROR_SIZE, "%s", what);
    return code;
}

/* Copies whole words, each by one load, as a live writer changes them meanwhile.  Both addresses
 * and `bytes` are multiples of 8. */
static void copy_words(void *to, const void *from, size_t bytes)
{
    uint64_t *t = to;
    const uint64_t *f = from;
    for (size_t i = 0; i < bytes / sizeof *t; i++)
        t[i] = __atomic_load_n(&f[i], __ATOMIC_RELAXED);
}

/* Copies an entry, or a header, of which the writer has `their_bytes`; further fields are 0. */
static void copy_known(void *to, size_t bytes, const void *from, size_t their_bytes)
{
    size_t known = their_bytes < bytes ? their_bytes : bytes;
    copy_words(to, from, known);
    memset((char *)to + known, 0, bytes - known);
}

static const void *entry_at(const struct span *span, uint64_t i)
{
    return span->base + i * span->entry_size;
}

static uint64_t load_count(const void *base, unsigned id)
{
    const struct md_header *live = base;
    return __atomic_load_n(&live->section[id].count, __ATOMIC_ACQUIRE);
}

/* Whether these bytes can be read: the call fails where a load would raise SIGBUS, as in a file cut
 * short after it was mapped, or a hole on a tmpfs that is full.  Kernels before 5.14 do not know
 * the advice; on them only the file's size at its opening is known. */
static bool readable(const uint8_t *start, uint64_t bytes)
{
    uintptr_t page = OS_PAGE, from = (uintptr_t)start & ~(page - 1);
    uintptr_t to = ((uintptr_t)start + bytes + page - 1) & ~(page - 1);
    if (!bytes || madvise((void *)from, to - from, MADV_POPULATE_READ) == 0)
        return true;
    return errno != EFAULT && errno != EHWPOISON && errno != ENOMEM;
}

/* Bytes from `offset` to the first hole or the end of the file.  The writer fills its sections from
 * their start, so what it has written lies before a hole. */
static uint64_t data_bytes(const struct segment_file *file, uint64_t offset)
{
    if (file->fd < 0)
        return file->size - offset;
    if (lseek(file->fd, (off_t)offset, SEEK_DATA) != (off_t)offset)
        return 0;
    off_t hole = lseek(file->fd, (off_t)offset, SEEK_HOLE);
    return hole < 0 ? 0 : (hole < (off_t)file->size ? (uint64_t)hole : file->size) - offset;
}

/* The part of a section that lies in the mapping; its pages are not touched. */
static struct span section_extent(const struct md_header *header, const struct segment_file *file,
                                  unsigned id)
{
    struct span span = {0};
    const struct md_section *section = &header->section[id];
    if (id >= header->section_count || !section->capacity)
        return span;
    span.capacity = section->capacity;
    span.total = load_count(file->base, id);
    uint64_t want = span.total < span.capacity ? span.total : span.capacity;
    uint64_t room = 0;
    size_t size = section->entry_size;
    /* No version can add a field to a word. */
    bool words = id == MD_SECTION_STACKS || id == MD_SECTION_ANSWERS;
    if (size >= entry_size_min[id] && size <= (words ? sizeof(uint64_t) : ENTRY_SIZE_MAX) &&
        size % sizeof(uint64_t) == 0 && section->offset % OS_PAGE_MIN == 0 &&
        section->offset >= header->header_size && section->offset < file->size) {
        room = data_bytes(file, section->offset) / size;
        if (room > SECTION_BYTES_MAX / size)
            room = SECTION_BYTES_MAX / size;
    }
    span.entry_size = size;
    span.count = want < room ? want : room;
    span.missing = want - span.count;
    span.base = span.count ? (const uint8_t *)file->base + section->offset : NULL;
    return span;
}

/* The same, with its pages brought in.  What is cut off counts as torn. */
static struct span section_span(struct snapshot *snap, const struct segment_file *file, unsigned id)
{
    struct span span = section_extent(&snap->header, file, id);
    if (!readable(span.base, span.count * span.entry_size)) {
        span.missing += span.count;
        span.count = 0;
    }
    snap->torn += span.missing;
    return span;
}

static void tame_text(char *text, size_t size)
{
    plain_text(text, size, text, size);
}

static int take_header(struct snapshot *snap, const void *base, size_t size, char *error)
{
    struct md_header *h = &snap->header;
    if (!base || size < OS_PAGE_MIN || (uintptr_t)base % sizeof(uint64_t))
        return fail(error, EINVAL, "not a segment: too short");
    if (!readable(base, OS_PAGE_MIN))
        return fail(error, EINVAL, "not a segment: it cannot be read");
    copy_words(h, base, HEADER_SIZE_MIN);
    if (memcmp(h->magic, MD_SEGMENT_MAGIC, sizeof h->magic) != 0)
        return fail(error, EINVAL, "not a segment: its first bytes are something else");
    uint32_t oldest_reader = h->oldest_reader ? h->oldest_reader : h->version;
    if (!h->version || (h->version > MD_SEGMENT_VERSION && oldest_reader > MD_SEGMENT_VERSION)) {
        if (error)
            snprintf(error, VIEW_ERROR_SIZE,
                     "a segment of version %u, made by another memdebug; this one reads 1 to %u",
                     h->version, MD_SEGMENT_VERSION);
        return EPROTO;
    }
    uint32_t header_size = h->header_size;
    if (header_size < HEADER_SIZE_MIN || header_size > OS_PAGE_MIN ||
        header_size % sizeof(uint64_t))
        return fail(error, EINVAL, "not a segment: its header has a size that none has");
    copy_known(h, sizeof *h, base, header_size);
    h->header_size = header_size;
    if (h->section_count > SECTIONS_MAX)
        h->section_count = SECTIONS_MAX;
    tame_text(h->name, sizeof h->name);
    tame_text(h->exe, sizeof h->exe);
    tame_text(h->cmdline, sizeof h->cmdline);
    tame_text(h->options, sizeof h->options);
    tame_text(h->control.set, sizeof h->control.set);
    tame_text(h->control.question, sizeof h->control.question);
    return 0;
}

static int compare_cycles(const void *a, const void *b)
{
    uint64_t x = ((const struct md_cycle *)a)->index, y = ((const struct md_cycle *)b)->index;
    return x < y ? -1 : x > y;
}

/* A seqlock read of an entry that begins with its number: the same, and even, before and after. */
static bool read_whole(void *out, size_t bytes, const struct span *span, uint64_t slot)
{
    const uint32_t *live = entry_at(span, slot);
    for (unsigned try = 0; try < SEQ_TRIES; try++) {
        uint32_t seq = __atomic_load_n(live, __ATOMIC_ACQUIRE);
        if (seq & 1)
            continue;
        copy_known(out, bytes, live, span->entry_size);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(live, __ATOMIC_RELAXED) == seq)
            return true;
    }
    return false;
}

/* Goes through the slots that the file has, so that a hostile count or capacity costs nothing. */
static int take_cycles(struct snapshot *snap, const struct segment_file *file)
{
    struct span span = section_span(snap, file, MD_SECTION_CYCLES);
    if (!span.count)
        return 0;
    snap->cycles = reallocarray(NULL, span.count, sizeof *snap->cycles);
    if (!snap->cycles)
        return ENOMEM;
    for (uint64_t slot = 0; slot < span.count; slot++) {
        struct md_cycle *c = &snap->cycles[snap->cycle_count];
        if (!read_whole(c, sizeof *c, &span, slot)) {
            snap->torn++;
            continue;
        }
        tame_text(c->reason, sizeof c->reason);
        /* An index from `total` on is of a cycle that ended meanwhile: it is whole, so it stays. */
        if (c->index % span.capacity != slot || c->index + span.capacity < span.total) {
            snap->torn++;
            continue;
        }
        snap->cycle_count++;
    }
    qsort(snap->cycles, snap->cycle_count, sizeof *snap->cycles, compare_cycles);
    return 0;
}

static int compare_past(const void *a, const void *b)
{
    uint64_t x = ((const struct md_past *)a)->time_ns, y = ((const struct md_past *)b)->time_ns;
    return x < y ? -1 : x > y;
}

/* In the order of places, as the writer moves a point to a further one before it is overwritten. */
static int take_past(struct snapshot *snap, const struct segment_file *file)
{
    struct span span = section_span(snap, file, MD_SECTION_PAST);
    if (!span.count)
        return 0;
    snap->past = reallocarray(NULL, span.count, sizeof *snap->past);
    if (!snap->past)
        return ENOMEM;
    size_t found = 0;
    for (uint64_t slot = 0; slot < span.count; slot++)
        if (!read_whole(&snap->past[found], sizeof *snap->past, &span, slot))
            snap->torn++;
        else
            found += snap->past[found].time_ns != 0;
    qsort(snap->past, found, sizeof *snap->past, compare_past);
    for (size_t i = 0; i < found; i++)
        if (!i || snap->past[i].time_ns != snap->past[i - 1].time_ns)
            snap->past[snap->past_count++] = snap->past[i];
    return 0;
}

/* Taken just before the cycles: the writer writes a cycle's entries before the cycle's record.  If
 * a cycle ends in between, or is being recorded, entries are not of the last cycle in the snapshot,
 * which their numbers tell.  One that changes while it is read is such an entry too: it is left
 * out, and does not count as torn. */
static int take_unsampled(struct snapshot *snap, const struct segment_file *file)
{
    struct span span = section_span(snap, file, MD_SECTION_UNSAMPLED);
    if (!span.count)
        return 0;
    snap->unsampled = reallocarray(NULL, span.count, sizeof *snap->unsampled);
    if (!snap->unsampled)
        return ENOMEM;
    for (uint64_t i = 0; i < span.count; i++) {
        const struct md_unsampled *live = entry_at(&span, i);
        struct md_unsampled *u = &snap->unsampled[snap->unsampled_count];
        uint64_t cycle = __atomic_load_n(&live->cycle, __ATOMIC_ACQUIRE);
        copy_known(u, sizeof *u, live, span.entry_size);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (cycle && __atomic_load_n(&live->cycle, __ATOMIC_RELAXED) == cycle)
            snap->unsampled_count++;
    }
    return 0;
}

static int by_address(const void *a, const void *b)
{
    const struct md_mapping *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

static int take_mappings(struct snapshot *snap, const struct segment_file *file)
{
    struct span span = section_span(snap, file, MD_SECTION_MAPPINGS);
    if (!span.count)
        return 0;
    snap->mappings = reallocarray(NULL, span.count, sizeof *snap->mappings);
    if (!snap->mappings)
        return ENOMEM;
    for (uint64_t i = 0; i < span.count; i++) {
        const struct md_mapping *live = entry_at(&span, i);
        struct md_mapping *m = &snap->mappings[snap->mapping_count];
        uint64_t start = __atomic_load_n(&live->start, __ATOMIC_ACQUIRE);
        uint64_t serial = __atomic_load_n(&live->serial, __ATOMIC_ACQUIRE);
        if (!start)
            continue;
        copy_known(m, sizeof *m, live, span.entry_size);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        /* The same slot may have been used again for the same address: the serial tells. */
        if (m->start == start && m->serial == serial && m->start < m->limit &&
            __atomic_load_n(&live->start, __ATOMIC_RELAXED) == start &&
            __atomic_load_n(&live->serial, __ATOMIC_RELAXED) == serial)
            snap->mapping_count++;
        else
            snap->torn++;
    }
    qsort(snap->mappings, snap->mapping_count, sizeof *snap->mappings, by_address);
    return 0;
}

/* A range that is none is left out. */
static void keep_range(struct snapshot *snap, struct md_range range)
{
    if (range.start < range.limit &&
        (range.kind == MD_RANGE_HEAP || range.kind == MD_RANGE_METADATA ||
         range.kind == MD_RANGE_OWN))
        snap->ranges[snap->range_count++] = range;
}

/* A seqlock read, of the ranges with what the header says beside them.  What cannot be read whole,
 * as its writer has ended within it, is as if it had never been written. */
static int take_ranges(struct snapshot *snap, const struct segment_file *file)
{
    struct md_allocator *allocator = &snap->header.allocator;
    const struct md_allocator *live = &((const struct md_header *)file->base)->allocator;
    *allocator = (struct md_allocator){0};
    if (snap->header.header_size < offsetof(struct md_header, allocator) + sizeof *live)
        return 0;
    for (unsigned try = 0; try < SEQ_TRIES; try++) {
        uint32_t seq = __atomic_load_n(&live->seq, __ATOMIC_ACQUIRE);
        if (seq & 1)
            continue;
        struct span span = section_extent(&snap->header, file, MD_SECTION_RANGES);
        if (!readable(span.base, span.count * span.entry_size))
            return 0;
        free(snap->ranges);
        snap->range_count = 0;
        snap->ranges = calloc(span.count + 1, sizeof *snap->ranges);
        if (!snap->ranges)
            return ENOMEM;
        for (uint64_t i = 0; i < span.count; i++) {
            struct md_range range;
            copy_known(&range, sizeof range, entry_at(&span, i), span.entry_size);
            keep_range(snap, range);
        }
        copy_words(allocator, live, sizeof *allocator);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&live->seq, __ATOMIC_RELAXED) == seq)
            return 0;
    }
    *allocator = (struct md_allocator){0};
    snap->range_count = 0;
    return 0;
}

/* The same of the answer, with its records. */
static int take_answer(struct snapshot *snap, const struct segment_file *file)
{
    struct md_answer *answer = &snap->header.answer;
    const struct md_answer *live = &((const struct md_header *)file->base)->answer;
    bool has = snap->header.header_size >= offsetof(struct md_header, answer) + sizeof *live;
    for (unsigned try = 0; has && try < SEQ_TRIES; try++) {
        uint32_t seq = __atomic_load_n(&live->seq, __ATOMIC_ACQUIRE);
        if (seq & 1)
            continue;
        struct span span = section_extent(&snap->header, file, MD_SECTION_ANSWERS);
        copy_words(answer, live, sizeof *answer);
        size_t words = answer->words < span.count ? answer->words : span.count;
        if (!readable(span.base, words * sizeof(uint64_t)))
            break;
        free(snap->answer_words);
        snap->answer_words = calloc(words + 1, sizeof *snap->answer_words);
        if (!snap->answer_words)
            return ENOMEM;
        copy_words(snap->answer_words, span.base, words * sizeof(uint64_t));
        snap->answer_word_count = words;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&live->seq, __ATOMIC_RELAXED) != seq)
            continue;
        tame_text(answer->reason, sizeof answer->reason);
        return 0;
    }
    *answer = (struct md_answer){0};
    snap->answer_word_count = 0;
    return 0;
}

static int take_samples(struct snapshot *snap, const struct segment_file *file)
{
    struct span span = section_span(snap, file, MD_SECTION_SAMPLES);
    if (!span.count)
        return 0;
    snap->samples = reallocarray(NULL, span.count, sizeof *snap->samples);
    if (!snap->samples)
        return ENOMEM;
    for (uint64_t i = 0; i < span.count; i++) {
        const struct md_sample *live = entry_at(&span, i);
        struct md_sample *s = &snap->samples[snap->sample_count];
        bool whole = false, free_slot = false;
        for (unsigned try = 0; try < SEQ_TRIES && !whole && !free_slot; try++) {
            uint64_t addr = __atomic_load_n(&live->addr, __ATOMIC_ACQUIRE);
            uint32_t generation = __atomic_load_n(&live->generation, __ATOMIC_ACQUIRE);
            if (!addr) {
                free_slot = true;
                break;
            }
            copy_known(s, sizeof *s, live, span.entry_size);
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            /* The same slot may have been used again for the same address. */
            whole = s->addr == addr && s->generation == generation &&
                    __atomic_load_n(&live->addr, __ATOMIC_RELAXED) == addr &&
                    __atomic_load_n(&live->generation, __ATOMIC_RELAXED) == generation;
        }
        if (whole)
            snap->sample_count +=
                snap->what & SNAPSHOT_SAMPLES || s->flags & MD_SAMPLE_UNREACHED ? 1 : 0;
        else if (!free_slot)
            snap->torn++;
    }
    return 0;
}

/* Taken after the samples, and the stacks after the buckets: the writer writes what a record points
 * to before the record, so a reader that goes the other way finds it. */
static int take_buckets(struct snapshot *snap, const struct segment_file *file)
{
    struct span span = section_span(snap, file, MD_SECTION_BUCKETS);
    if (!span.count)
        return 0;
    snap->buckets = reallocarray(NULL, span.count, sizeof *snap->buckets);
    if (!snap->buckets)
        return ENOMEM;
    for (uint64_t i = 0; i < span.count; i++) {
        const struct md_bucket *live = entry_at(&span, i);
        struct md_bucket *b = &snap->buckets[i];
        if (__atomic_load_n(&live->kind, __ATOMIC_ACQUIRE) == MD_BUCKET_UNUSED)
            *b = (struct md_bucket){0};
        else
            copy_known(b, sizeof *b, live, span.entry_size);
    }
    snap->bucket_count = span.count;
    return 0;
}

static int take_stacks(struct snapshot *snap, const struct segment_file *file)
{
    struct span span = section_span(snap, file, MD_SECTION_STACKS);
    if (!span.count)
        return 0;
    snap->stack_words = reallocarray(NULL, span.count, sizeof *snap->stack_words);
    if (!snap->stack_words)
        return ENOMEM;
    copy_words(snap->stack_words, span.base, span.count * sizeof *snap->stack_words);
    snap->stack_word_count = span.count;
    return 0;
}

static int take_modules(struct snapshot *snap, const struct segment_file *file)
{
    struct span span = section_span(snap, file, MD_SECTION_MODULES);
    if (!span.count)
        return 0;
    snap->modules = reallocarray(NULL, span.count, sizeof *snap->modules);
    if (!snap->modules)
        return ENOMEM;
    for (uint64_t i = 0; i < span.count; i++) {
        struct md_module *m = &snap->modules[snap->module_count];
        copy_known(m, sizeof *m, entry_at(&span, i), span.entry_size);
        if (m->start >= m->limit || m->build_id_size > sizeof m->build_id ||
            m->path_size >= sizeof m->path || memchr(m->path, 0, m->path_size)) {
            snap->torn++;
            continue;
        }
        m->path[m->path_size] = 0;
        snap->module_count++;
    }
    return 0;
}

/* In this order.  Mappings after the buckets, as memtop's mapped.c subtracts from those what is no
 * longer mapped: one that is unmapped in between would be subtracted twice in the other order. */
static const struct {
    unsigned what;
    int (*take)(struct snapshot *snap, const struct segment_file *file);
} parts[] = {{SNAPSHOT_SAMPLES | SNAPSHOT_LEAKS, take_samples},
             {SNAPSHOT_PROFILE, take_buckets},
             {SNAPSHOT_MAPPINGS, take_mappings},
             {SNAPSHOT_RANGES, take_ranges},
             {SNAPSHOT_ANSWER, take_answer},
             {SNAPSHOT_PROFILE, take_stacks},
             {SNAPSHOT_PROFILE, take_modules},
             {SNAPSHOT_LEAKS, take_unsampled},
             {SNAPSHOT_CYCLES, take_cycles},
             {SNAPSHOT_PAST, take_past}};

int snapshot_read(struct snapshot *snap, const struct segment_file *file, unsigned what,
                  char *error)
{
    *snap = (struct snapshot){.what = what};
    if (error)
        error[0] = 0;
    int result = take_header(snap, file->base, file->size, error);
    if (result != 0) {
        *snap = (struct snapshot){0};
        return result;
    }
    for (size_t i = 0; result == 0 && i < sizeof parts / sizeof parts[0]; i++)
        if (what & parts[i].what)
            result = parts[i].take(snap, file);
    if (result != 0) {
        snapshot_fini(snap);
        return fail(error, result, "no memory for a copy of the segment");
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snap->taken_ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;

    /* Sections that were not asked for have counts too: they are cut to the mapping as well. */
    for (unsigned id = 0; id < SECTIONS_MAX; id++) {
        struct md_section *section = &snap->header.section[id];
        if (id >= snap->header.section_count || id >= MD_SECTION_COUNT)
            *section = (struct md_section){0};
        else if (id != MD_SECTION_CYCLES)
            section->count = section_extent(&snap->header, file, id).count;
    }

    /* Of those that were taken the counts are those of the copies, as the writer goes on. */
    if (what & SNAPSHOT_PROFILE) {
        snap->header.section[MD_SECTION_MODULES].count = snap->module_count;
        snap->header.section[MD_SECTION_STACKS].count = snap->stack_word_count;
        snap->header.section[MD_SECTION_BUCKETS].count = snap->bucket_count;
    }

    size_t kept = 0;
    for (size_t i = 0; i < snap->sample_count; i++) {
        if (snap->samples[i].bucket < snap->header.section[MD_SECTION_BUCKETS].count)
            snap->samples[kept++] = snap->samples[i];
        else
            snap->torn++;
    }
    snap->sample_count = kept;
    kept = 0;
    /* Mappings are taken after the buckets, so one may be of a bucket that was not there then. */
    for (size_t i = 0; i < snap->mapping_count; i++)
        if (snap->mappings[i].bucket < snap->bucket_count)
            snap->mappings[kept++] = snap->mappings[i];
    snap->mapping_count = kept;
    for (size_t i = 0; i < snap->bucket_count; i++) {
        struct md_bucket *b = &snap->buckets[i];
        if (b->kind != MD_BUCKET_UNUSED && b->stack && !snapshot_stack(snap, b->stack)) {
            b->stack = 0;
            snap->torn++;
        }
    }
    return 0;
}

void snapshot_counters(const struct segment_file *file, struct md_counters *counters,
                       uint64_t *cycles)
{
    /* They lie before `control`, whose place every version keeps. */
    copy_words(counters, &((const struct md_header *)file->base)->counters, sizeof *counters);
    *cycles = load_count(file->base, MD_SECTION_CYCLES);
}

int snapshot_take(struct snapshot *snap, const void *base, size_t size, unsigned what, char *error)
{
    return snapshot_read(snap, &(struct segment_file){.base = base, .size = size, .fd = -1}, what,
                         error);
}

unsigned snapshot_of_profile(const void *base, size_t size)
{
    const struct md_counters *c = &((const struct md_header *)base)->counters;
    bool cycles = base && size >= OS_PAGE_MIN && readable(base, OS_PAGE_MIN) &&
                  __atomic_load_n(&c->cycles, __ATOMIC_RELAXED);
    return SNAPSHOT_PROFILE | (cycles ? SNAPSHOT_LEAKS : 0);
}

void snapshot_fini(struct snapshot *snap)
{
    free(snap->cycles);
    free(snap->modules);
    free(snap->stack_words);
    free(snap->buckets);
    free(snap->samples);
    free(snap->unsampled);
    free(snap->mappings);
    free(snap->ranges);
    free(snap->answer_words);
    free(snap->past);
    *snap = (struct snapshot){0};
}
