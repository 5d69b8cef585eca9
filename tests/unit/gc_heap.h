/* A small heap for tests of the tracing layer: slabs of equal blocks and large blocks, entered into
 * the real object map and extents as the malloc layer does, so that stop, clone and mark can be run
 * without jemalloc.  Pointers that a test keeps "hidden" are XORed: invisible to a marker. */
#ifndef TESTS_GC_HEAP_H
#define TESTS_GC_HEAP_H

#include "base/options.h"
#include "base/os.h"
#include "gc/gc.h"
#include "heap/extents.h"
#include "heap/object_map.h"
#include "segment/segment.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

void *heap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);

#define HIDE UINT64_C(0x8badf00d00000000)

static const size_t th_sizes[] = {
    16,      32,      48,      64,      80,      96,      112,     128,     160,
    192,     224,     256,     320,     384,     448,     512,     640,     768,
    896,     1024,    1280,    1536,    1792,    2048,    2560,    3072,    3584,
    4096,    5120,    6144,    7168,    8192,    10240,   12288,   14336, /* large: */
    16384,   20480,   24576,   28672,   32768,   65536,   131072,  262144,  524288,
    1 << 20, 1 << 21, 1 << 22, 1 << 23, 1 << 24, 1 << 25, 1 << 26, 1 << 27, 1 << 28};
#define TH_COUNT (sizeof th_sizes / sizeof th_sizes[0])
#define TH_SMALL 35u

/* The allocator's own pointers, in memory that is on record as ours: no roots. */
static struct th_state {
    struct {
        char *next, *end;
    } slabs[128];
    char *next, *end; /* address space taken from heap_mmap */
} * th;
static uint64_t th_in_use, th_objects;

static inline uint64_t th_in_use_bytes(void)
{
    return __atomic_load_n(&th_in_use, __ATOMIC_RELAXED);
}

static inline void *th_map(size_t size)
{
    if ((size_t)(th->end - th->next) < size) {
        size_t chunk = size > (64u << 20) ? size : 64u << 20;
        void *map = heap_mmap(NULL, chunk, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED)
            __builtin_trap();
        th->next = map;
        th->end = th->next + chunk;
    }
    void *at = th->next;
    th->next += size;
    return at;
}

/* Not thread-safe. */
static inline void *th_alloc(size_t size)
{
    unsigned class = object_class_of(size);
    size_t usable = object_class_size[class];
    char *block;
    if (class <= object_small_classes) {
        if (th->slabs[class].next == th->slabs[class].end) {
            th->slabs[class].next = th_map(object_slab_size[class]);
            th->slabs[class].end = th->slabs[class].next + object_slab_size[class];
        }
        block = th->slabs[class].next;
        th->slabs[class].next += usable;
    } else {
        /* As jemalloc: a random multiple of a cache line into the first page. */
        static unsigned offset;
        offset = (offset + 64 * 37) % 4096;
        block = (char *)th_map((usable + offset + 4095) & ~(size_t)4095) + offset;
    }
    *object_byte(block) = (uint8_t) class;
    th_objects++;
    __atomic_fetch_add(&th_in_use, usable, __ATOMIC_RELAXED);
    return block;
}

static inline void th_free(void *block)
{
    __atomic_fetch_sub(&th_in_use, object_class_size[*object_byte(block) & OBJECT_CLASS],
                       __ATOMIC_RELAXED);
    th_objects--;
    *object_byte(block) = 0;
}

/* What else is to happen in each stop, before it ends; NULL: nothing. */
static void (*th_in_stop)(void);

static inline uint64_t th_moment(void)
{
    if (th_in_stop)
        th_in_stop();
    return 0;
}

static inline bool th_init(void (*on_cycle)(const struct md_cycle *))
{
    const char *reason;
    size_t slabs[TH_SMALL];
    for (unsigned i = 0; i < TH_SMALL; i++)
        for (slabs[i] = 4096; slabs[i] % th_sizes[i]; slabs[i] += 4096)
            ;
    th = own_map(sizeof *th);
    options_parse(NULL);
    if (!object_map_init(&reason) || !segment_init(0))
        return false;
    object_map_set_classes(th_sizes, TH_COUNT, slabs, TH_SMALL);
    struct gc_hooks hooks = {
        .in_use_bytes = th_in_use_bytes, .sample_moment = th_moment, .on_cycle = on_cycle};
    gc_init(&hooks);
    return true;
}

/* Overwrites what calls made before have left on the stack. */
static __attribute__((noinline, unused)) void th_clear_stack(void)
{
    volatile char old[16384];
    for (unsigned i = 0; i < sizeof old; i++)
        old[i] = 0;
}

#endif
