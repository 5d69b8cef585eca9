#include "gc/roots/barren.h"

#include "base/compiler.h"
#include "base/os.h"

#include <stddef.h>
#include <string.h>

#define CHUNK ((uintptr_t)2 << 20)
#define CHUNK_PAGES (CHUNK / OS_PAGE)
#define CHUNKS_MAX 32768u           /* 64 GB */
#define SLACK ((uintptr_t)64 << 30) /* of the window, on either side */

/* A chunk is left armed if at least so many of its pages are barren ... */
#define KEEP_MIN (CHUNK_PAGES / 2)
/* ... and is disarmed for some cycles if more than an eighth of those were written to. */
#define WRITTEN_DIVISOR 8
#define REST_MAX 32 /* cycles */
/* Chunks left armed in a cycle that were not before: so many, and an eighth of all. */
#define TRY_MIN 32u
#define TRY_DIVISOR 8
/* A shorter run of barren pages is looked at with its neighbours: less than asking twice. */
#define RUN_MIN 16u

struct chunk {
    uintptr_t start;
    uint64_t barren[CHUNK_PAGES / 64];
    uint16_t held;  /* barren pages when it was left armed; 0: it was not */
    uint8_t rest;   /* cycles for which it is still to be disarmed */
    uint8_t rested; /* what that was the last time, halved in each good cycle since */
};

/* Of this cycle, and of the one before; each ascending. */
static struct chunk *chunks, *other;
static unsigned count, other_count, other_next;
static unsigned tries;
static uintptr_t window_lo, window_span;

static unsigned index_of(uintptr_t page)
{
    return (unsigned)(page % CHUNK / OS_PAGE);
}

static bool is_barren(const struct chunk *chunk, uintptr_t page)
{
    return chunk->barren[index_of(page) / 64] >> (index_of(page) % 64) & 1;
}

static unsigned barren_pages(const struct chunk *chunk)
{
    unsigned pages = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(chunk->barren); i++)
        pages += (unsigned)__builtin_popcountll(chunk->barren[i]);
    return pages;
}

/* The first chunk that ends behind `at`. */
static struct chunk *chunk_at(uintptr_t at)
{
    unsigned low = 0, high = count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (chunks[middle].start + CHUNK <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return chunks + low;
}

/* ---- ranges ---- */

void barren_begin(void)
{
    size_t size = CHUNKS_MAX * sizeof *chunks;
    chunks = chunks ? chunks : own_map(size);
    other = other ? other : own_map(size);
    if (!chunks || !other)
        return;
    struct chunk *last = chunks;
    chunks = other;
    other = last;
    other_count = count;
    other_next = count = 0;
}

void barren_range(uintptr_t start, uintptr_t end, bool known)
{
    if (!chunks || !other)
        return;
    for (uintptr_t at = start & ~(CHUNK - 1); at < end; at += CHUNK) {
        if (count && chunks[count - 1].start == at) /* the range before reaches in */
            continue;
        if (count == CHUNKS_MAX)
            break;
        while (other_next < other_count && other[other_next].start < at)
            other_next++;
        if (other_next < other_count && other[other_next].start == at)
            chunks[count] = other[other_next];
        else
            chunks[count] = (struct chunk){.start = at};
        count++;
    }
    if (!known)
        barren_written(NULL, start, end);
}

void barren_written(void *unused, uintptr_t start, uintptr_t end)
{
    (void)unused;
    for (struct chunk *chunk = chunk_at(start); start < end && chunk < chunks + count; chunk++) {
        uintptr_t to = MIN(end, chunk->start + CHUNK);
        for (start = MAX(start, chunk->start); start < to; start += OS_PAGE)
            chunk->barren[index_of(start) / 64] &= ~(UINT64_C(1) << (index_of(start) % 64));
    }
}

void barren_heap(uintptr_t lo, uintptr_t span)
{
    bool within =
        lo >= window_lo && lo - window_lo <= window_span && span <= window_span - (lo - window_lo);
    tries = TRY_MIN + count / TRY_DIVISOR;
    for (unsigned i = 0; i < count; i++) {
        struct chunk *chunk = &chunks[i];
        if (chunk->held &&
            barren_pages(chunk) < chunk->held - (unsigned)chunk->held / WRITTEN_DIVISOR)
            chunk->rest = chunk->rested = (uint8_t)MIN(MAX(2 * chunk->rested, 1), REST_MAX);
        else if (chunk->held)
            chunk->rested /= 2;
        if (!within)
            memset(chunk->barren, 0, sizeof chunk->barren);
    }
    if (within)
        return;
    window_lo = lo > SLACK ? lo - SLACK : 0;
    window_span = MIN(lo + span, UINTPTR_MAX - SLACK) + SLACK - window_lo;
}

uintptr_t barren_lo(void)
{
    return window_lo;
}

uintptr_t barren_span(void)
{
    return window_span;
}

/* ---- pages ---- */

void barren_each_other(uintptr_t start, uintptr_t end,
                       void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx)
{
    const struct chunk *chunk = chunk_at(start);
    uintptr_t run = start, barren_from = start; /* what lies between is to be looked at */
    unsigned barren = 0;                        /* pages since barren_from */
    for (uintptr_t page = start; page < end; page += OS_PAGE) {
        while (chunk < chunks + count && chunk->start + CHUNK <= page)
            chunk++;
        if (chunk < chunks + count && chunk->start <= page && is_barren(chunk, page)) {
            if (barren++ == 0)
                barren_from = page;
            continue;
        }
        if (barren >= RUN_MIN) {
            if (run < barren_from)
                fn(ctx, run, barren_from);
            run = page;
        }
        barren = 0;
    }
    end = barren >= RUN_MIN ? barren_from : end;
    if (run < end)
        fn(ctx, run, end);
}

void barren_found(uintptr_t page)
{
    struct chunk *chunk = chunk_at(page);
    if (chunk < chunks + count && chunk->start <= page)
        chunk->barren[index_of(page) / 64] |= UINT64_C(1) << (index_of(page) % 64);
}

/* ---- the end ---- */

static bool stays_armed(struct chunk *chunk)
{
    unsigned pages = barren_pages(chunk);
    bool stays = pages >= KEEP_MIN && !chunk->rest && (chunk->held || tries);
    if (stays && !chunk->held)
        tries--;
    chunk->held = stays ? (uint16_t)pages : 0;
    chunk->rest -= chunk->rest > 0;
    return stays;
}

void barren_each_done(uintptr_t start, uintptr_t end,
                      void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx)
{
    uintptr_t run = start;
    for (struct chunk *chunk = chunk_at(start); chunk < chunks + count && chunk->start < end;
         chunk++) {
        /* What lies across the ends of ranges is disarmed with them. */
        bool whole = chunk->start >= start && chunk->start + CHUNK <= end;
        if (whole && stays_armed(chunk)) {
            if (run < chunk->start)
                fn(ctx, run, chunk->start);
            run = chunk->start + CHUNK;
            continue;
        }
        if (!whole)
            chunk->held = 0;
        memset(chunk->barren, 0, sizeof chunk->barren);
    }
    if (run < end)
        fn(ctx, run, end);
}

void barren_forget(void)
{
    count = other_count = 0;
}
