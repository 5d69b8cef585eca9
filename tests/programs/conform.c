/* The malloc family as glibc documents it: errno, alignment, zero sizes, overflow.  Every function
 * that the library exports is called at least once.  Passes on any conforming allocator for what is
 * common to all; what only jemalloc has is looked up, and must be there when `--ours` is given. */
#include "tap.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

/* The compiler knows malloc and would fold these calls away. */
static void *volatile sink;
static volatile size_t huge = SIZE_MAX, half = (size_t)PTRDIFF_MAX, two = 2, zero = 0;
static volatile int any_error = 4711;

static bool aligned(const void *p, size_t alignment)
{
    return ((uintptr_t)p & (alignment - 1)) == 0;
}

static bool all_bytes(const unsigned char *p, size_t n, unsigned char value)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != value)
            return false;
    return true;
}

/* Each size class and its neighbours: content survives, alignment is 16, usable size is enough. */
static void test_sizes(void)
{
    bool alignment = true, usable = true, content = true, zeroed = true, resized = true;
    for (size_t size = 1; size <= (8u << 20); size += 1 + size / 7) {
        unsigned char *p = malloc(size), *c = calloc(1, size);
        if (!p || !c) {
            ok(false, "malloc and calloc of %zu bytes", size);
            return;
        }
        alignment &= aligned(p, size >= 16 ? 16 : 8) && aligned(c, size >= 16 ? 16 : 8);
        usable &= malloc_usable_size(p) >= size && malloc_usable_size(c) >= size;
        zeroed &= all_bytes(c, size, 0);
        memset(p, 0xA5, malloc_usable_size(p));
        content &= all_bytes(p, size, 0xA5);
        p = realloc(p, size * 3);
        resized &= p && all_bytes(p, size, 0xA5) && malloc_usable_size(p) >= size * 3;
        p = realloc(p, size / 2 + 1);
        resized &= p && all_bytes(p, size / 2 + 1, 0xA5);
        free(p);
        free(c);
    }
    ok(alignment, "malloc and calloc align to 16");
    ok(usable, "malloc_usable_size is at least what was asked for");
    ok(content, "all usable bytes can be written");
    ok(zeroed, "calloc gives zeros");
    ok(resized, "realloc keeps the content");
    for (int i = 0; i < 1000; i++) { /* calloc of memory that was dirty */
        unsigned char *p = malloc(300);
        memset(p, 0xFF, 300);
        free(p);
        unsigned char *c = calloc(3, 100);
        zeroed &= all_bytes(c, 300, 0);
        free(c);
    }
    ok(zeroed, "calloc gives zeros on memory that was used before");
}

static void test_zero(void)
{
    void *a = malloc(zero), *b = malloc(zero), *c = calloc(zero, 7), *d = calloc(7, zero);
    ok(a && b && c && d, "zero sizes give a pointer");
    ok(a != b && c != d, "and each another one");
    free(a);
    free(b);
    free(c);
    free(d);
    errno = any_error;
    free(NULL);
    is(errno, any_error, "free(NULL) does nothing");
    is(malloc_usable_size(NULL), 0, "malloc_usable_size(NULL) is 0");
    void *p = realloc(NULL, 100);
    ok(p != NULL, "realloc(NULL, n) is malloc");
    errno = any_error;
    sink = realloc(p, zero);
    /* glibc and jemalloc 5.3 differ only in whether a pointer comes back; both have freed p. */
    ok(errno == any_error || errno == 0, "realloc(p, 0) is no error");
    free(sink);
    p = NULL;
    is(posix_memalign(&p, 64, zero), 0, "posix_memalign of 0 bytes succeeds");
    free(p);
    p = aligned_alloc(64, zero);
    ok(p != NULL, "aligned_alloc of 0 bytes gives a pointer");
    free(p);
    p = reallocarray(NULL, zero, 8);
    ok(p != NULL, "reallocarray(NULL, 0, 8) gives a pointer");
    free(p);
}

#define FAILS(call, name)                                                                          \
    do {                                                                                           \
        errno = 0;                                                                                 \
        sink = (call);                                                                             \
        ok(sink == NULL && errno == ENOMEM, "%s: NULL and ENOMEM (%p, errno %d)", name, sink,      \
           errno);                                                                                 \
    } while (0)

static void test_overflow(void)
{
    FAILS(malloc(huge), "malloc(SIZE_MAX)");
    FAILS(malloc(half + 1), "malloc(PTRDIFF_MAX + 1)");
    FAILS(malloc(half), "malloc(PTRDIFF_MAX)");
    FAILS(calloc(huge, 2), "calloc(SIZE_MAX, 2)");
    FAILS(calloc(huge / 2 + 2, two), "calloc whose product wraps to 2");
    FAILS(calloc(half / 16 + 1, 16), "calloc of PTRDIFF_MAX + 1");
    FAILS(aligned_alloc(64, huge), "aligned_alloc(64, SIZE_MAX)");
    FAILS(aligned_alloc(64, half - 60), "aligned_alloc(64, about PTRDIFF_MAX)");
    FAILS(memalign(64, huge), "memalign(64, SIZE_MAX)");
    FAILS(valloc(huge), "valloc(SIZE_MAX)");
    FAILS(valloc(half + 1), "valloc(PTRDIFF_MAX + 1)");
    FAILS(pvalloc(huge), "pvalloc(SIZE_MAX)");
    FAILS(pvalloc(huge - 100), "pvalloc that wraps when rounded up");
    FAILS(reallocarray(NULL, huge, two), "reallocarray(NULL, SIZE_MAX, 2)");

    unsigned char *p = malloc(100);
    memset(p, 0x5A, 100);
    FAILS(realloc(p, huge), "realloc(p, SIZE_MAX)");
    FAILS(realloc(p, half + 1), "realloc(p, PTRDIFF_MAX + 1)");
    FAILS(reallocarray(p, huge / 2 + 2, two), "reallocarray whose product wraps to 2");
    ok(all_bytes(p, 100, 0x5A), "a failed realloc leaves the block as it was");
    free(p);

    void *out = (void *)(uintptr_t)0x1234;
    is(posix_memalign(&out, 64, huge), ENOMEM, "posix_memalign(64, SIZE_MAX) returns ENOMEM");
    is(posix_memalign(&out, 64, half + 1), ENOMEM,
       "posix_memalign of PTRDIFF_MAX + 1 returns ENOMEM");
    ok(out == (void *)(uintptr_t)0x1234, "and leaves *memptr alone");
    /* After all this the allocator must still sample and serve. */
    bool served = true;
    for (int i = 0; i < 100000; i++) {
        void *q = malloc((size_t)(i % 500) + 1);
        served &= q != NULL;
        sink = q;
        free(q);
    }
    ok(served, "refused requests leave the allocator at work");
}

static void test_alignment(void)
{
    void *p = NULL;
    is(posix_memalign(&p, 3, 100), EINVAL, "posix_memalign: alignment 3 is EINVAL");
    is(posix_memalign(&p, zero, 100), EINVAL, "posix_memalign: alignment 0 is EINVAL");
    is(posix_memalign(&p, 4, 100), EINVAL, "posix_memalign: less than a pointer is EINVAL");
    is(posix_memalign(&p, 24, 100), EINVAL, "posix_memalign: no power of two is EINVAL");
    ok(p == NULL, "and *memptr stays");
    bool posix = true, c11 = true, old = true, usable = true, shrunk = true;
    for (size_t alignment = 8; alignment <= (4u << 20); alignment *= 2)
        for (size_t size = 1; size <= 3 * alignment && size < (6u << 20); size = size * 3 + 1) {
            void *a = NULL, *b = aligned_alloc(alignment, size), *c = memalign(alignment, size);
            posix &= posix_memalign(&a, alignment, size) == 0 && aligned(a, alignment);
            c11 &= b && aligned(b, alignment);
            old &= c && aligned(c, alignment);
            if (!a || !b || !c)
                break;
            usable &= malloc_usable_size(a) >= size && malloc_usable_size(b) >= size;
            memset(a, 0x33, size);
            memset(b, 0x33, size);
            memset(c, 0x33, size);
            a = realloc(a, size + 100);
            shrunk &= a && all_bytes(a, size, 0x33);
            b = realloc(b, size / 2 + 1);
            shrunk &= b && all_bytes(b, size / 2 + 1, 0x33);
            free(a);
            free(b);
            free(c);
        }
    ok(posix, "posix_memalign aligns from 8 to 4 MB");
    ok(c11, "aligned_alloc aligns from 8 to 4 MB");
    ok(old, "memalign aligns from 8 to 4 MB");
    ok(usable, "aligned blocks have their usable size");
    ok(shrunk, "aligned blocks can be realloc'ed");
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    p = valloc(100);
    ok(p && aligned(p, page), "valloc aligns to a page");
    free(p);
    p = pvalloc(100);
    ok(p && aligned(p, page) && malloc_usable_size(p) >= page, "pvalloc rounds up to a page");
    free(p);
    p = pvalloc(page + 1);
    ok(p && malloc_usable_size(p) >= 2 * page, "pvalloc of a page and a byte has two pages");
    free(p);
}

static void test_errno(void)
{
    errno = any_error;
    bool kept = true;
    for (int i = 0; i < 3000; i++) {
        void *p = malloc((size_t)i * 40 + 1);
        p = realloc(p, (size_t)i * 80 + 1);
        free(p);
        p = calloc(2, (size_t)i + 1);
        free(p);
        sink = p;
        kept &= errno == any_error;
    }
    ok(kept, "success and free leave errno alone");
}

static void test_reallocarray(void)
{
    int *p = reallocarray(NULL, 10, sizeof *p);
    for (int i = 0; i < 10; i++)
        p[i] = i;
    p = reallocarray(p, 100000, sizeof *p);
    bool same = p != NULL;
    for (int i = 0; same && i < 10; i++)
        same &= p[i] == i;
    ok(same, "reallocarray grows and keeps the content");
    free(p);
}

static void test_information(void)
{
    struct mallinfo2 before = mallinfo2();
    enum { BLOCKS = 64, SIZE = 1 << 20 };
    void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(SIZE);
        memset(blocks[i], 1, SIZE);
    }
    struct mallinfo2 full = mallinfo2();
    size_t used_before = before.uordblks + before.hblkhd, used_full = full.uordblks + full.hblkhd;
    /* Counters may lag by some KB a thread. */
    ok(used_full >= used_before + (BLOCKS - 1) * (size_t)SIZE &&
           used_full < used_before + 2 * BLOCKS * (size_t)SIZE,
       "mallinfo2 sees 64 MB in use (%zu -> %zu)", used_before, used_full);
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    struct mallinfo2 empty = mallinfo2();
    ok(empty.uordblks + empty.hblkhd < used_full - (BLOCKS - 2) * (size_t)SIZE,
       "and their end (%zu)", empty.uordblks + empty.hblkhd);
    int trimmed = malloc_trim(0);
    ok(trimmed == 0 || trimmed == 1, "malloc_trim answers 0 or 1");
}

/* Blocks that one thread allocates and another frees. */
#define QUEUE 512
static void *queue[QUEUE];
static pthread_barrier_t barrier;
static bool foreign_ok = true;

static void *producer(void *unused)
{
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < QUEUE; i++) {
            size_t size = (size_t)(i * 37 % 5000) + 8;
            queue[i] = malloc(size);
            memset(queue[i], i & 0xFF, size);
        }
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    return unused;
}

static void test_threads(void)
{
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, producer, NULL);
    for (int round = 0; round < 50; round++) {
        pthread_barrier_wait(&barrier);
        for (int i = 0; i < QUEUE; i++) {
            size_t size = (size_t)(i * 37 % 5000) + 8;
            foreign_ok &= all_bytes(queue[i], size, (unsigned char)i);
            if (i % 3 == 0)
                queue[i] = realloc(queue[i], size * 2);
            free(queue[i]);
        }
        pthread_barrier_wait(&barrier);
    }
    pthread_join(thread, NULL);
    ok(foreign_ok, "blocks of another thread can be read, resized and freed");
}

/* C23's, which glibc has since 2.43: blocks of every function that they may be from, and bad sizes,
 * which a compiler's mistake may bring, do no harm. */
static void test_sized(bool ours)
{
    void (*free_sized_)(void *, size_t) =
        (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
    void (*free_aligned_sized_)(void *, size_t, size_t) =
        (void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT, "free_aligned_sized");
    if (!free_sized_ || !free_aligned_sized_) {
        if (ours)
            ok(false, "free_sized and free_aligned_sized are exported");
        else
            tap_skip("free_sized and free_aligned_sized", "this allocator has none");
        return;
    }
    errno = any_error;
    free_sized_(NULL, 100);
    free_aligned_sized_(NULL, 64, 128);
    is(errno, any_error, "freeing nothing by its size does nothing");
    size_t used_before = mallinfo2().uordblks;
    bool whole = true;
    for (size_t size = 1; size < (4u << 20); size += 1 + size / 5) {
        free_sized_(malloc(size), size);
        free_sized_(calloc(1, size), size);
        free_sized_(realloc(malloc(size), 2 * size), 2 * size);
        for (size_t alignment = 8; alignment <= 8192; alignment *= 4) {
            size_t rounded = (size + alignment - 1) & ~(alignment - 1);
            free_aligned_sized_(aligned_alloc(alignment, rounded), alignment, rounded);
        }
        if (ours)
            free_sized_(malloc(size), size / 3);
        unsigned char *p = malloc(size), *q = malloc(size);
        memset(p, 1, size);
        memset(q, 2, size);
        whole &= all_bytes(p, size, 1) && p != q;
        free(p);
        free_sized_(q, size);
    }
    ok(whole, "free_sized and free_aligned_sized leave the size classes whole");
    is(errno, any_error, "and errno alone");
    size_t used = mallinfo2().uordblks;
    ok(used < used_before + (64u << 20), "and their blocks are free (%zu -> %zu)", used_before,
       used);
}

/* jemalloc's public API. */
static void test_jemalloc(bool ours)
{
    void *(*mallocx_)(size_t, int) = (void *(*)(size_t, int))dlsym(RTLD_DEFAULT, "mallocx");
    void *(*rallocx_)(void *, size_t, int) =
        (void *(*)(void *, size_t, int))dlsym(RTLD_DEFAULT, "rallocx");
    size_t (*xallocx_)(void *, size_t, size_t, int) =
        (size_t(*)(void *, size_t, size_t, int))dlsym(RTLD_DEFAULT, "xallocx");
    size_t (*sallocx_)(const void *, int) =
        (size_t(*)(const void *, int))dlsym(RTLD_DEFAULT, "sallocx");
    void (*dallocx_)(void *, int) = (void (*)(void *, int))dlsym(RTLD_DEFAULT, "dallocx");
    void (*sdallocx_)(void *, size_t, int) =
        (void (*)(void *, size_t, int))dlsym(RTLD_DEFAULT, "sdallocx");
    size_t (*nallocx_)(size_t, int) = (size_t(*)(size_t, int))dlsym(RTLD_DEFAULT, "nallocx");
    int (*mallctl_)(const char *, void *, size_t *, void *, size_t) =
        (int (*)(const char *, void *, size_t *, void *, size_t))dlsym(RTLD_DEFAULT, "mallctl");
    int (*nametomib_)(const char *, size_t *, size_t *) =
        (int (*)(const char *, size_t *, size_t *))dlsym(RTLD_DEFAULT, "mallctlnametomib");
    int (*bymib_)(const size_t *, size_t, void *, size_t *, void *, size_t) =
        (int (*)(const size_t *, size_t, void *, size_t *, void *, size_t))dlsym(RTLD_DEFAULT,
                                                                                 "mallctlbymib");
    bool all = mallocx_ && rallocx_ && xallocx_ && sallocx_ && dallocx_ && sdallocx_ && nallocx_ &&
               mallctl_ && nametomib_ && bymib_;
    if (!all) {
        if (ours)
            ok(false, "jemalloc's public API is exported");
        else
            tap_skip("jemalloc's public API", "this allocator has none");
        return;
    }
    enum { ALIGN_4096 = 12, ZERO = 0x40 };
    bool sizes = true, zeroed = true, alignment = true, content = true, sized = true;
    for (size_t size = 1; size < 300000; size += 1 + size / 5) {
        unsigned char *p = mallocx_(size, 0), *z = mallocx_(size, ZERO),
                      *a = mallocx_(size, ALIGN_4096);
        size_t natural = nallocx_(size, 0);
        /* With the object map 8-byte classes are served as 16. */
        sizes &= natural >= size &&
                 (sallocx_(p, 0) == natural || (size <= 8 && sallocx_(p, 0) == 16)) &&
                 malloc_usable_size(p) == sallocx_(p, 0);
        zeroed &= all_bytes(z, size, 0);
        alignment &= aligned(a, 4096);
        memset(p, 0x77, size);
        memset(z, 0x77, size);
        size_t grown = xallocx_(z, size + 1, 0, 0);
        sizes &= grown >= size && sallocx_(z, 0) == grown;
        p = rallocx_(p, size * 2, 0);
        content &= all_bytes(p, size, 0x77);
        sdallocx_(p, size * 2, 0);
        dallocx_(z, 0);
        sdallocx_(a, size, ALIGN_4096);
        /* A block that was freed by its size must come back whole. */
        p = malloc(size);
        z = malloc(size);
        memset(p, 1, size);
        memset(z, 2, size);
        sized &= all_bytes(p, size, 1) && p != z;
        free(p);
        free(z);
    }
    ok(sizes, "sallocx, xallocx, nallocx and malloc_usable_size agree");
    ok(zeroed, "MALLOCX_ZERO gives zeros");
    ok(alignment, "MALLOCX_ALIGN aligns");
    ok(content, "rallocx keeps the content");
    ok(sized, "sdallocx leaves the size classes whole");
    ok(mallocx_(half + 1, 0) == NULL, "mallocx of PTRDIFF_MAX + 1 is NULL");
    is(nallocx_(half + 1, 0), 0, "nallocx of PTRDIFF_MAX + 1 is 0");
    uint64_t epoch = 1;
    size_t length = sizeof epoch, allocated = 0, mib[4], depth = 4;
    is(mallctl_("epoch", &epoch, &length, &epoch, sizeof epoch), 0, "mallctl epoch");
    length = sizeof allocated;
    is(mallctl_("stats.allocated", &allocated, &length, NULL, 0), 0, "mallctl stats.allocated");
    ok(allocated > 0 && allocated < (1u << 30), "which is a figure (%zu)", allocated);
    is(mallctl_("no.such.name", &allocated, &length, NULL, 0), ENOENT, "unknown mallctl is ENOENT");
    is(nametomib_("stats.resident", mib, &depth), 0, "mallctlnametomib");
    length = sizeof allocated;
    is(bymib_(mib, depth, &allocated, &length, NULL, 0), 0, "mallctlbymib");
    ok(allocated > 0, "stats.resident is a figure (%zu)", allocated);
    const char *version = NULL;
    length = sizeof version;
    ok(mallctl_("version", (void *)&version, &length, NULL, 0) == 0 &&
           strncmp(version, "5.", 2) == 0,
       "mallctl version");
    void (*stats)(void (*)(void *, const char *), void *, const char *) =
        (void (*)(void (*)(void *, const char *), void *, const char *))dlsym(RTLD_DEFAULT,
                                                                              "malloc_stats_print");
    ok(stats != NULL && dlsym(RTLD_DEFAULT, "malloc_message") != NULL,
       "malloc_stats_print and malloc_message are there");
}

int main(int argc, char **argv)
{
    bool ours = argc > 1 && strcmp(argv[1], "--ours") == 0;
    test_sizes();
    test_zero();
    test_overflow();
    test_alignment();
    test_errno();
    test_reallocarray();
    test_information();
    test_threads();
    test_sized(ours);
    test_jemalloc(ours);
    test_sizes();
    return tap_done();
}
