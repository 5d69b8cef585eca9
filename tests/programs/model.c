/* The counters against a model: threads do what the malloc family can, at random, on blocks that
 * are handed on from thread to thread; at the end, bytes and objects in use in the segment are the
 * sum of malloc_usable_size of what is left, exactly.  Blocks are resized in place among others
 * that leave them a little room, or none.
 *
 *   model [--objects]        --objects: they are exact too (the tracked variant) */
#include <dlfcn.h>
#include <malloc.h>
#include <memdebug/segment.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

#define ALIGN(a) (__builtin_ctzl(a))
#define ZERO 0x40
#define ARENA(i) ((int)((i) + 1) << 20)
#define NO_CACHE (1 << 8)

enum { SLOTS = 1500, ROUNDS = 6, OPERATIONS = 30000, THREADS = 2 };

static void *(*mallocx)(size_t, int), *(*rallocx)(void *, size_t, int);
static size_t (*xallocx)(void *, size_t, size_t, int);
static void (*dallocx)(void *, int), (*sdallocx)(void *, size_t, int);
static int (*mallctl)(const char *, void *, size_t *, void *, size_t);
static unsigned arena;

struct slot {
    unsigned char *block;
    size_t size; /* asked for */
    int flags;
};
static struct slot slots[THREADS][SLOTS];
static unsigned faults, in_place, by_least;

/* Mostly small; now and then megabytes. */
static size_t draw_size(uint64_t r)
{
    unsigned bits = r % 100 < 70   ? 4 + (unsigned)(r >> 8) % 8
                    : r % 100 < 97 ? 12 + (unsigned)(r >> 8) % 6
                                   : 18 + (unsigned)(r >> 8) % 5;
    return 1 + (size_t)((r >> 16) % (1ul << bits));
}

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* First and last byte asked for: what a resize keeps. */
static void stamp(struct slot *s)
{
    if (s->block)
        s->block[s->size - 1] = s->block[0] = (unsigned char)((uintptr_t)s >> 5);
}

static void check(const struct slot *s, bool last)
{
    unsigned char expected = (unsigned char)((uintptr_t)s >> 5);
    if (s->block && (s->block[0] != expected || (last && s->block[s->size - 1] != expected)))
        __atomic_fetch_add(&faults, 1, __ATOMIC_RELAXED);
}

static void drop(struct slot *s, uint64_t r)
{
    if (!s->block)
        return;
    check(s, true);
    if (s->flags & NO_CACHE)
        dallocx(s->block, s->flags & ~(ZERO | 63));
    else if (r % 3 == 0)
        sdallocx(s->block, s->size, s->flags & 63);
    else if (r % 3 == 1)
        dallocx(s->block, 0);
    else
        free(s->block);
    s->block = NULL;
}

static void make(struct slot *s, uint64_t r)
{
    size_t size = s->size = draw_size(r >> 8), alignment = 1ul << (4 + (r >> 4) % 10);
    s->flags = 0;
    switch (r % 8) {
    case 0:
        s->block = calloc(1, size);
        break;
    case 1:
        s->block = realloc(NULL, size);
        break;
    case 2:
        s->flags = ALIGN(alignment);
        if (posix_memalign((void **)&s->block, alignment, size))
            s->block = NULL;
        break;
    case 3:
        s->flags = ALIGN(alignment);
        s->block = memalign(alignment, size);
        break;
    case 4:
        s->flags = ALIGN(alignment) | ZERO;
        s->block = mallocx(size, s->flags);
        break;
    case 5:
        s->flags = ARENA(arena) | NO_CACHE;
        s->block = mallocx(size, s->flags);
        break;
    default:
        s->block = malloc(size);
    }
    stamp(s);
}

static void resize(struct slot *s, uint64_t r)
{
    size_t size = draw_size(r >> 8), before = malloc_usable_size(s->block);
    unsigned char *block;
    if (r % 4 == 0 && !(s->flags & NO_CACHE)) {
        block = realloc(s->block, size);
        s->flags = 0;
    } else {
        int flags = (s->flags & ~63) | (r % 4 == 1 ? ALIGN(1ul << (r >> 2) % 17) : 0);
        block = rallocx(s->block, size, flags);
        if ((uintptr_t)block & ((1ul << (flags & 63)) - 1))
            __atomic_fetch_add(&faults, 1, __ATOMIC_RELAXED);
        if (block)
            s->flags = flags;
    }
    if (!block)
        return;
    s->block = block;
    check(s, size == s->size);
    for (size_t i = before; s->flags & ZERO && i < malloc_usable_size(block); i++)
        if (block[i]) {
            __atomic_fetch_add(&faults, 1, __ATOMIC_RELAXED);
            break;
        }
    s->size = size;
    stamp(s);
}

/* To between `size` and `size + extra` bytes, where it lies. */
static void resize_in_place(struct slot *s, uint64_t r)
{
    size_t before = malloc_usable_size(s->block), size = r % 3 ? before + 1 : draw_size(r >> 8);
    size_t extra = r % 2 ? draw_size(r >> 20) * 16 : 0;
    size_t said = xallocx(s->block, size, extra, s->flags & (ZERO | 63));
    size_t now = malloc_usable_size(s->block);
    if (said != now)
        __atomic_fetch_add(&faults, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&in_place, now != before, __ATOMIC_RELAXED);
    __atomic_fetch_add(&by_least, now > before && extra && now < size + extra / 2,
                       __ATOMIC_RELAXED);
    check(s, now >= before);
    /* A sized free must be given a size that the block could have been asked for. */
    if (now != before) {
        s->size = now;
        stamp(s);
    }
}

static uint64_t turn;

static void *work(void *argument)
{
    struct slot *mine = argument;
    uint64_t state = 0x9e3779b97f4a7c15u * (__atomic_add_fetch(&turn, 1, __ATOMIC_RELAXED) + 1);
    for (int i = 0; i < OPERATIONS; i++) {
        uint64_t r = next(&state);
        struct slot *s = &mine[(r >> 40) % SLOTS];
        if (!s->block)
            make(s, next(&state));
        else if (r % 10 < 4)
            drop(s, r / 10);
        else if (r % 10 < 7)
            resize_in_place(s, next(&state));
        else
            resize(s, next(&state));
    }
    return NULL;
}

/* Enough for a segment. */
static void *begin(void *argument)
{
    for (int i = 0; i < 64; i++) {
        void *volatile block = malloc(64 << 10);
        free(block);
    }
    return argument;
}

static void *drop_all(void *argument)
{
    for (unsigned t = 0; t < THREADS; t++)
        for (unsigned i = 0; i < SLOTS; i++)
            drop(&slots[t][i], i);
    return argument;
}

/* An arena goes with what is in it; sampled blocks too, which may lie alone. */
static void *empty_arena(void *argument)
{
    char name[64];
    for (unsigned i = 0; i < 3000; i++)
        if (!mallocx(i % 50 ? 1 + i : 20000 + i * 100, ARENA(arena) | NO_CACHE))
            __atomic_fetch_add(&faults, 1, __ATOMIC_RELAXED);
    snprintf(name, sizeof name, "arena.%u.reset", arena);
    if (mallctl(name, NULL, NULL, NULL, 0) != 0)
        __atomic_fetch_add(&faults, 1, __ATOMIC_RELAXED);
    return argument;
}

static void in_threads(void *(*fn)(void *), unsigned count, unsigned shift)
{
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, fn, slots[(i + shift) % THREADS]))
            _Exit(9);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/* This process' own segment, as it is mapped. */
static const struct md_header *find_segment(void)
{
    char line[512];
    uintptr_t start = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (!start && maps && fgets(line, sizeof line, maps))
        if (strstr(line, ".mdseg"))
            start = strtoul(line, NULL, 16);
    if (maps)
        fclose(maps);
    return (const struct md_header *)start;
}

struct use {
    uint64_t bytes, objects;
};

static struct use counted(const struct md_header *header)
{
    const struct md_counters *c = &header->counters;
    return (struct use){c->alloc_bytes - c->free_bytes, c->alloc_objects - c->free_objects};
}

static struct use model(void)
{
    struct use use = {0, 0};
    for (unsigned t = 0; t < THREADS; t++)
        for (unsigned i = 0; i < SLOTS; i++)
            if (slots[t][i].block) {
                use.objects++;
                use.bytes += malloc_usable_size(slots[t][i].block);
            }
    return use;
}

int main(int argc, char **argv)
{
    bool objects = argc > 1 && strcmp(argv[1], "--objects") == 0;
    *(void **)&mallocx = dlsym(RTLD_DEFAULT, "mallocx");
    *(void **)&rallocx = dlsym(RTLD_DEFAULT, "rallocx");
    *(void **)&xallocx = dlsym(RTLD_DEFAULT, "xallocx");
    *(void **)&dallocx = dlsym(RTLD_DEFAULT, "dallocx");
    *(void **)&sdallocx = dlsym(RTLD_DEFAULT, "sdallocx");
    *(void **)&mallctl = dlsym(RTLD_DEFAULT, "mallctl");
    size_t length = sizeof arena;
    if (!mallctl || mallctl("arenas.create", &arena, &length, NULL, 0) != 0) {
        ok(false, "the library is there");
        return tap_done();
    }
    in_threads(begin, 1, 0);
    const struct md_header *header = find_segment();
    if (!ok(header, "there is a segment"))
        return tap_done();
    /* A thread's counts are published at its end; this one allocates nothing in between. */
    static char text[256];
    struct use start = counted(header), now = start;
    for (unsigned round = 0; round < ROUNDS; round++) {
        in_threads(work, THREADS, round);
        now = counted(header);
        struct use left = model();
        if (now.bytes - start.bytes != left.bytes ||
            (objects && now.objects - start.objects != left.objects))
            snprintf(text + strlen(text), sizeof text - strlen(text),
                     " round %u: %+ld B, %+ld objects", round,
                     (long)(now.bytes - start.bytes - left.bytes),
                     objects ? (long)(now.objects - start.objects - left.objects) : 0);
    }
    ok(!*text, "what is counted is what is there%s", text);
    ok(in_place > 1000 && by_least > 0,
       "%u blocks resized in place, %u of them by less than was asked for", in_place, by_least);
    is(faults, 0, "contents, alignment and what xallocx says are right");
    in_threads(drop_all, 1, 0);
    now = counted(header);
    is(now.bytes - start.bytes, 0, "all freed, nothing is left over of bytes");
    if (objects)
        is(now.objects - start.objects, 0, "nor of objects");
    in_threads(empty_arena, 1, 0);
    now = counted(header);
    is(now.bytes - start.bytes, 0, "nor of an arena that is emptied, in bytes");
    if (objects)
        is(now.objects - start.objects, 0, "and in objects");
    is(faults, 0, "which it can be");
    return tap_done();
}
