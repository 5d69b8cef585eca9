/* Blocks in memory that jemalloc has not mapped by itself: from sbrk, from extent hooks of the
 * program's that map, and from hooks that carve it out of a region which has other uses too.  In
 * each, a list is kept, its nodes in turn in that arena and in the plain heap, and some are lost.
 * Then an arena's memory goes back to where it came from, and the program uses the addresses.
 *
 *   arenas            cycles by md_gc; the last line on stdout is what a cycle must find lost
 *   arenas reset      arenas that are emptied and destroyed with all that is in them */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "noinline.h"
#include "truth/scrub.h"

#define ARENA(i) ((int)((i) + 1) << 20)
#define NO_CACHE (1 << 8)
enum { KEPT = 2000, LOST = 300 };

struct hooks {
    void *(*alloc)(struct hooks *, void *, size_t, size_t, bool *, bool *, unsigned);
    bool (*dalloc)(struct hooks *, void *, size_t, bool, unsigned);
    void (*destroy)(struct hooks *, void *, size_t, bool, unsigned);
    void *commit, *decommit, *purge_lazy, *purge_forced;
    bool (*split)(struct hooks *, void *, size_t, size_t, size_t, bool, unsigned);
    bool (*merge)(struct hooks *, void *, size_t, void *, size_t, bool, unsigned);
};

static void *(*mallocx)(size_t, int), *(*rallocx)(void *, size_t, int);
static void (*dallocx)(void *, int);
static int (*mallctl)(const char *, void *, size_t *, void *, size_t);
static int (*gc)(void);

struct node {
    struct node *next;
    uint64_t payload[5];
};
static struct node *lists[4];
static unsigned lost;

/* ---- memory ---- */

static unsigned mapped, unmapped;

static void *map(struct hooks *hooks, void *at, size_t size, size_t alignment, bool *zero,
                 bool *commit, unsigned arena)
{
    (void)hooks;
    (void)arena;
    if (at)
        return NULL;
    size_t all = size + alignment;
    char *base = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    char *start = (char *)(((uintptr_t)base + alignment - 1) & ~(alignment - 1));
    if (start > base)
        munmap(base, (size_t)(start - base));
    munmap(start + size, (size_t)(base + all - (start + size)));
    mapped++;
    *zero = *commit = true;
    return start;
}

static bool unmap(struct hooks *hooks, void *at, size_t size, bool committed, unsigned arena)
{
    (void)hooks;
    (void)committed;
    (void)arena;
    unmapped++;
    return munmap(at, size) != 0;
}

static void destroy(struct hooks *hooks, void *at, size_t size, bool committed, unsigned arena)
{
    unmap(hooks, at, size, committed, arena);
}

static bool may_split(struct hooks *hooks, void *at, size_t size, size_t a, size_t b,
                      bool committed, unsigned arena)
{
    (void)hooks, (void)at, (void)size, (void)a, (void)b, (void)committed, (void)arena;
    return false;
}

static bool may_merge(struct hooks *hooks, void *at, size_t size, void *b, size_t size_b,
                      bool committed, unsigned arena)
{
    (void)hooks, (void)at, (void)size, (void)b, (void)size_b, (void)committed, (void)arena;
    return false;
}

/* A region whose first page is the program's own. */
static char *region, *region_next;
#define REGION ((size_t)256 << 20)

static void *carve(struct hooks *hooks, void *at, size_t size, size_t alignment, bool *zero,
                   bool *commit, unsigned arena)
{
    (void)hooks;
    (void)arena;
    char *start = (char *)(((uintptr_t)region_next + alignment - 1) & ~(alignment - 1));
    if (at || start + size > region + REGION)
        return NULL;
    region_next = start + size + 4096; /* and a page in between */
    *zero = *commit = true;
    return start;
}

static struct hooks mapping = {map, unmap, destroy, NULL, NULL, NULL, NULL, may_split, may_merge};
static struct hooks carving = {carve, NULL, NULL, NULL, NULL, NULL, NULL, may_split, may_merge};

/* ---- blocks ---- */

static unsigned create(struct hooks *hooks)
{
    unsigned arena = 0;
    size_t length = sizeof arena;
    if (mallctl("arenas.create", &arena, &length, hooks ? &hooks : NULL, hooks ? sizeof hooks : 0))
        exit(8);
    return arena;
}

static int control(unsigned arena, const char *what, void *value, size_t size)
{
    char name[64];
    snprintf(name, sizeof name, "arena.%u.%s", arena, what);
    return mallctl(name, NULL, NULL, value, size);
}

static struct node *node(unsigned arena, unsigned i, size_t size)
{
    int flags = ARENA(arena) | NO_CACHE;
    struct node *n = i % 2 ? malloc(size) : mallocx(size, flags);
    memset(n, 0, size);
    return n;
}

/* Each node is held by the one before; every tenth is large. */
static NOINLINE void keep(struct node **head, unsigned arena)
{
    for (unsigned i = 0; i < KEPT; i++) {
        struct node *n = node(arena, i, i % 10 ? sizeof *n : 40000);
        n->next = *head;
        *head = n;
    }
}

static NOINLINE void lose(unsigned arena)
{
    for (unsigned i = 0; i < LOST; i++) {
        struct node *n = node(arena, i, i % 10 ? sizeof *n : 40000);
        __asm__ volatile("" : : "r"(n) : "memory");
        lost++;
    }
}

static NOINLINE bool intact(const struct node *list)
{
    unsigned count = 0;
    for (; list; list = list->next)
        count++;
    return count == KEPT;
}

static void look(const char *what)
{
    scrub();
    int error = gc ? gc() : ENOTSUP;
    if (error && error != ENOTSUP) /* a cycle that could not be done is tried again */
        for (int i = 0; i < 50 && (error = gc()); i++)
            ;
    printf("%s: lost=%u cycle=%d\n", what, lost, error);
    fflush(stdout);
}

/* Blocks of an arena come and go until its memory has been given back; then the program maps memory
 * of its own, perhaps at those addresses, that holds the only pointers to a list. */
static NOINLINE void reuse(void)
{
    unsigned arena = create(&mapping);
    ssize_t now = 0;
    control(arena, "dirty_decay_ms", &now, sizeof now);
    control(arena, "muzzy_decay_ms", &now, sizeof now);
    void *blocks[64];
    unsigned before = unmapped;
    for (unsigned round = 0; round < 8; round++) {
        for (unsigned i = 0; i < 64; i++)
            memset(blocks[i] = mallocx(100000 + i * 5000, ARENA(arena) | NO_CACHE), 0x5a, 100000);
        for (unsigned i = 0; i < 64; i++)
            dallocx(blocks[i], NO_CACHE);
        control(arena, "purge", NULL, 0);
    }
    memset(blocks, 0, sizeof blocks);
    static void **pages[64];
    for (unsigned i = 0; i < 64; i++) {
        pages[i] = mmap(NULL, 300000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct node *n = malloc(sizeof *n);
        pages[i][20000] = n;
        n->next = NULL;
    }
    printf("given back: %s\n", unmapped > before ? "yes" : "no");
    look("reused");
}

/* What is in an arena that is emptied goes without free. */
static NOINLINE void reset(void)
{
    for (unsigned round = 0; round < 2; round++) {
        unsigned arena = create(round ? &mapping : NULL);
        for (unsigned i = 0; i < KEPT; i++)
            node(arena, 0, i % 10 ? sizeof(struct node) : 40000);
        scrub();
        if (control(arena, round ? "destroy" : "reset", NULL, 0))
            exit(7);
        look(round ? "destroyed" : "reset");
    }
}

int main(int argc, char **argv)
{
    *(void **)&mallocx = dlsym(RTLD_DEFAULT, "mallocx");
    *(void **)&rallocx = dlsym(RTLD_DEFAULT, "rallocx");
    *(void **)&dallocx = dlsym(RTLD_DEFAULT, "dallocx");
    *(void **)&mallctl = dlsym(RTLD_DEFAULT, "mallctl");
    *(void **)&gc = dlsym(RTLD_DEFAULT, "md_gc");
    look("start");
    if (argc > 1 && strcmp(argv[1], "reset") == 0) {
        reset();
        return 0;
    }
    region = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                  -1, 0);
    if (region == MAP_FAILED)
        return 9;
    region_next = region + 4096;
    unsigned dss = create(NULL);
    const char *primary = "primary";
    if (control(dss, "dss", &primary, sizeof primary))
        return 9;
    static const char *const names[] = {"sbrk", "mapped by hooks", "carved by hooks"};
    unsigned arenas[] = {dss, create(&mapping), create(&carving)};
    for (unsigned a = 0; a < 3; a++) {
        keep(a == 2 ? (struct node **)region : &lists[a], arenas[a]);
        lose(arenas[a]);
        look(names[a]);
    }
    /* A block moves out of such an arena and into one, and grows there. */
    for (unsigned i = 0; i < 1000; i++) {
        void *volatile block = malloc(20 + i);
        block = rallocx(block, 100 + 40 * i, ARENA(arenas[i % 3]) | NO_CACHE);
        block = realloc(block, 200 + 80 * i);
        free(block);
    }
    look("moved");
    reuse();
    bool all = intact(lists[0]) && intact(lists[1]) && intact(*(struct node **)region);
    printf("%s\n", all && mapped ? "intact" : "broken");
    return 0;
}
