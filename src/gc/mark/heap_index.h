/* What the object map says, in the shape that marking needs: for each page of the heap the size
 * class and the place within its run of equal objects, and for each granule a white bit, which is
 * set at the start of every block that is allocated and not yet reached.  Reaching a block is to
 * test and clear its bit; what is white at the end is the unreachable set.  Beside it each granule
 * has a grey bit, the marker's own (mark.h).
 *
 * The tables are indexed by address through one level of 1 GiB regions, so that a heap in several
 * places costs nothing for the space between.  4 bytes a page and two bits a granule make 17 MB a
 * region, of which only what lies beside blocks is ever touched.
 *
 * Built by one task: in the snapshot child from its frozen copy, or beside the running program,
 * whose stores into the map it then may or may not see (wp.h makes up for it).  Markers share the
 * bits (marker.h); nothing else in it changes. */
#ifndef GC_MARK_HEAP_INDEX_H
#define GC_MARK_HEAP_INDEX_H

#include "base/compiler.h"
#include "base/machine.h"
#include "heap/object_map.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The machine's own: nonzero_bytes(at), which of 64 bytes of the object map are not 0. */
#if defined(__x86_64__)
#include "gc/mark/heap_index_x86_64.h"
#elif defined(__aarch64__)
#include "gc/mark/heap_index_aarch64.h"
#endif

#define INDEX_REGION_SHIFT 30
#define INDEX_REGIONS (1u << (OS_ADDRESS_BITS_MAX - INDEX_REGION_SHIFT))
#define INDEX_PAGES_SHIFT (INDEX_REGION_SHIFT - 12)

/* Entry of a page: class in the low 8 bits (0: no block), above them the pages back to where its
 * run starts: the slab of a small class, or the page that holds the start of a large block. */
#define INDEX_BACK_SHIFT 8
#define INDEX_BACK_MAX ((1u << (32 - INDEX_BACK_SHIFT)) - 1)

/* Words of bits a page, one cache line: four white ones, then four of the marker's. */
#define INDEX_PAGE_WORDS 8
#define INDEX_GREY 4

struct heap_index {
    uintptr_t lo, span;      /* a word w can only be a pointer if w - lo < span */
    uint16_t *region;        /* address >> 30 -> number of its tables; 0: the empty ones */
    uint32_t *page;          /* number << 18 | page in region */
    uint64_t *white;         /* INDEX_PAGE_WORDS for each element of page */
    unsigned regions;        /* tables in use, the empty ones included */
    unsigned small;          /* classes up to this one are small */
    size_t size[128];        /* usable bytes of a class */
    uint32_t magic[128];     /* small classes: ceil(2^32 / size) */
    uint64_t objects, bytes; /* in the object map */
    size_t (*block_size)(const void *block); /* of OBJECT_CLASS_HUGE; may be NULL */
};

/* Bytes of the tables of bits. */
static inline size_t index_white_bytes(const struct heap_index *index)
{
    return ((size_t)index->regions << INDEX_PAGES_SHIFT) * INDEX_PAGE_WORDS * sizeof(uint64_t);
}

/* Builds it for the ranges of `extents`.  False: no memory, or more regions than there is room for.
 */
bool heap_index_build(struct heap_index *index, size_t (*block_size)(const void *block));
/* Gives its tables back: only where the process goes on, not in the child. */
void heap_index_free(struct heap_index *index);

/* Number of the page of `address`, for tables with an element for each page. */
static ALWAYS_INLINE size_t index_number(const struct heap_index *index, uintptr_t address)
{
    return (size_t)index->region[address >> INDEX_REGION_SHIFT] << INDEX_PAGES_SHIFT |
           (address >> 12 & ((1u << INDEX_PAGES_SHIFT) - 1));
}

static ALWAYS_INLINE uint32_t *index_page(const struct heap_index *index, uintptr_t address)
{
    return &index->page[index_number(index, address)];
}

static ALWAYS_INLINE uint64_t *index_white(const struct heap_index *index, uintptr_t address)
{
    return &index->white[index_number(index, address) * INDEX_PAGE_WORDS |
                         (address >> (GRANULE_SHIFT + 6) & 3)];
}

static ALWAYS_INLINE uint64_t index_white_bit(uintptr_t address)
{
    return UINT64_C(1) << (address >> GRANULE_SHIFT & 63);
}

/* Where the index says that `address` lies on a page of a large block: that block, its size in
 * *size; 0 if the address lies outside it. */
uintptr_t heap_index_large(const struct heap_index *index, uintptr_t address, size_t *size);

/* The block that `address` points at or into, allocated or not; 0: none.  Its size in *size. */
static ALWAYS_INLINE uintptr_t heap_index_resolve(const struct heap_index *index, uintptr_t address,
                                                  size_t *size)
{
    if (address - index->lo >= index->span)
        return 0;
    uint32_t entry = *index_page(index, address);
    unsigned class = entry & 0xff;
    if (class == 0)
        return 0;
    if (UNLIKELY(class > index->small))
        return heap_index_large(index, address, size);
    uint32_t within = (entry >> INDEX_BACK_SHIFT) << 12 | (uint32_t)(address & 4095);
    uint32_t number = (uint32_t)((uint64_t)within * index->magic[class] >> 32);
    *size = index->size[class];
    return address - (within - number * (uint32_t)*size);
}

/* Objects and bytes that are white. */
void heap_index_count_white(const struct heap_index *index, uint64_t *objects, uint64_t *bytes);
/* Calls `fn` for each page with white blocks in order of address: the size class and the four words
 * of white bits. */
void heap_index_each_white_page(const struct heap_index *index,
                                void (*fn)(void *ctx, uintptr_t page, unsigned class,
                                           const uint64_t *bits),
                                void *ctx);
/* Calls `fn` for each white block in order of address; `sampled`: the profiler holds a sample. */
void heap_index_each_white(const struct heap_index *index,
                           void (*fn)(void *ctx, uintptr_t block, size_t size, bool sampled),
                           void *ctx);

#endif
