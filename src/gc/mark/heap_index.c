#include "gc/mark/heap_index.h"

#include "base/os.h"
#include "gc/sys/pagemap.h"
#include "heap/extents.h"

#include <string.h>
#include <sys/mman.h>

#define ROW 256 /* bytes of the object map for one page of heap */
#define NO_PHASE 255

/* For a small class and the granule in a page at which an object of it starts: how many pages back
 * its run begins.  A run is lcm(4096, size) bytes, so the remainder tells exactly. */
static uint8_t phase[128][ROW];
static uint8_t run_pages[128];

struct builder {
    struct heap_index *index;
    struct extent clip; /* the extent at work: a page of the map may serve two */
};

static void *map_table(size_t size)
{
    /* Noted as memory of ours (in a child, in its copy of that record), and so no root. */
    return own_map_as(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, 0);
}

static void learn_classes(struct heap_index *index)
{
    index->small = object_small_classes;
    for (unsigned c = 1; c < 128; c++) {
        size_t size = object_class_size[c];
        index->size[c] = size;
        if (c > index->small || size < 16)
            continue;
        index->magic[c] = (uint32_t)(((UINT64_C(1) << 32) + size - 1) / size);
        unsigned pages = 1;
        while (pages * 4096 % size)
            pages++;
        run_pages[c] = (uint8_t)pages;
        memset(phase[c], NO_PHASE, ROW);
        for (size_t at = 0; at < pages * 4096; at += size)
            phase[c][at % 4096 >> GRANULE_SHIFT] = (uint8_t)(at / 4096);
    }
}

/* Enters a large block into the pages that it covers. */
static void enter_large(struct heap_index *index, uintptr_t start, unsigned class)
{
    size_t size = index->size[class];
    if (class == OBJECT_CLASS_HUGE)
        size = index->block_size ? index->block_size((void *)start) : 0;
    uintptr_t first = start & ~(uintptr_t)4095;
    size_t pages = (start + size - first + 4095) / 4096;
    for (size_t i = 0; i < pages; i++) {
        uintptr_t page = first + i * 4096;
        if (page - index->lo >= index->span || index->region[page >> INDEX_REGION_SHIFT] == 0)
            break;
        *index_page(index, page) = class | (uint32_t)MIN(i, (size_t)INDEX_BACK_MAX)
                                               << INDEX_BACK_SHIFT;
    }
    index->bytes += size;
    index->objects++;
}

/* One page of heap that has at least one block starting in it. */
static void enter_page(struct heap_index *index, uintptr_t page, const uint8_t *row,
                       const uint64_t bits[4])
{
    unsigned first = 0;
    for (unsigned i = 0; i < 4; i++)
        if (bits[i]) {
            first = 64 * i + (unsigned)__builtin_ctzll(bits[i]);
            break;
        }
    unsigned class = *(const volatile uint8_t *)&row[first] & OBJECT_CLASS;
    /* Freed since its bit was read: its page may have other blocks. */
    for (unsigned i = first + 1; class == 0 && i < ROW; i++) {
        class = *(const volatile uint8_t *)&row[i] & OBJECT_CLASS;
        first = i;
    }
    if (class > index->small) {
        index_white(index, page)[first / 64] = UINT64_C(1) << (first & 63);
        enter_large(index, page + (uintptr_t)first * 16, class);
        return;
    }
    unsigned back = phase[class][first];
    if (class == 0 || back == NO_PHASE)
        return;
    memcpy(index_white(index, page), bits, 4 * sizeof *bits);
    unsigned count = 0;
    for (int i = 0; i < 4; i++)
        count += (unsigned)__builtin_popcountll(bits[i]);
    index->objects += count;
    index->bytes += count * index->size[class];
    uint32_t entry = class | back << INDEX_BACK_SHIFT;
    if (*index_page(index, page) == entry)
        return;
    /* Blocks reach over pages in which none starts: the whole run is entered at its first sight. */
    for (unsigned i = 0; i < run_pages[class]; i++) {
        uintptr_t at = page - (uintptr_t)back * 4096 + (uintptr_t)i * 4096;
        if (at - index->lo < index->span && index->region[at >> INDEX_REGION_SHIFT])
            *index_page(index, at) = class | i << INDEX_BACK_SHIFT;
    }
}

static void build_range(void *ctx, uintptr_t start, uintptr_t end)
{
    const struct builder *builder = ctx;
    const uint8_t *row = (const uint8_t *)start, *last = (const uint8_t *)end;
    row = MAX(row, object_byte((void *)builder->clip.start));
    last = MIN(last, object_byte((void *)builder->clip.end));
    for (; row < last; row += ROW) {
        uint64_t bits[4];
        for (int i = 0; i < 4; i++)
            bits[i] = nonzero_bytes(row + 64 * i);
        if (bits[0] | bits[1] | bits[2] | bits[3])
            enter_page(builder->index, (uintptr_t)(row - object_map) << GRANULE_SHIFT, row, bits);
    }
}

bool heap_index_build(struct heap_index *index, size_t (*block_size)(const void *block))
{
    memset(index, 0, sizeof *index);
    index->block_size = block_size;
    learn_classes(index);
    index->region = map_table(INDEX_REGIONS * sizeof *index->region);
    if (!index->region)
        return false;
    index->regions = 1;
    uint64_t heap = 0;
    for (unsigned i = 0; i < extent_count; i++) {
        heap += extents[i].end - extents[i].start;
        for (uintptr_t r = extents[i].start >> INDEX_REGION_SHIFT;
             r <= (extents[i].end - 1) >> INDEX_REGION_SHIFT; r++) {
            if (r >= INDEX_REGIONS || index->regions == UINT16_MAX)
                return false;
            if (!index->region[r])
                index->region[r] = (uint16_t)index->regions++;
        }
    }
    if (extent_count) {
        index->lo = extents[0].start;
        index->span = extents[extent_count - 1].end - index->lo;
    }
    size_t page_bytes = ((size_t)index->regions << INDEX_PAGES_SHIFT) * sizeof *index->page;
    size_t white_bytes = index_white_bytes(index);
    index->page = map_table(page_bytes);
    index->white = map_table(white_bytes);
    if (!index->page || !index->white)
        return false;
    /* Large pages save a third of the marker's TLB misses on a large heap; on a small one zeroing
     * 2 MB costs more than it saves. */
    if (heap >= (UINT64_C(128) << 20)) {
        madvise(index->white, white_bytes, MADV_HUGEPAGE);
        madvise(index->page, page_bytes, MADV_HUGEPAGE);
    }
    for (unsigned i = 0; i < extent_count; i++) {
        struct builder builder = {index, extents[i]};
        uintptr_t start = (uintptr_t)object_byte((void *)extents[i].start) & ~(uintptr_t)4095;
        uintptr_t end = (uintptr_t)object_byte((void *)(extents[i].end + 65535));
        pagemap_each_written(start, end & ~(uintptr_t)4095, build_range, &builder);
    }
    return true;
}

uintptr_t heap_index_large(const struct heap_index *index, uintptr_t address, size_t *size)
{
    uintptr_t page = address & ~(uintptr_t)4095;
    uint32_t entry = *index_page(index, page), back;
    unsigned class = entry & 0xff;
    while ((back = entry >> INDEX_BACK_SHIFT)) {
        page -= (uintptr_t)back * 4096;
        entry = *index_page(index, page);
    }
    const uint8_t *row = object_byte((void *)page);
    unsigned granule = 0;
    while (granule < ROW && (row[granule] & OBJECT_CLASS) != class)
        granule++;
    if (granule == ROW)
        return 0;
    uintptr_t start = page + (uintptr_t)granule * 16;
    *size = index->size[class];
    if (class == OBJECT_CLASS_HUGE)
        *size = index->block_size ? index->block_size((void *)start) : 0;
    return address - start < *size ? start : 0;
}

/* Calls `fn` for each page with a white bit. */
static ALWAYS_INLINE void each_white_page(const struct heap_index *index,
                                          void (*fn)(void *ctx, uintptr_t page, unsigned class,
                                                     const uint64_t *bits),
                                          void *ctx)
{
    for (unsigned i = 0; i < extent_count; i++)
        for (uintptr_t page = extents[i].start; page < extents[i].end; page += 4096) {
            unsigned class = *index_page(index, page) & 0xff;
            const uint64_t *bits = index_white(index, page);
            if (class && (bits[0] | bits[1] | bits[2] | bits[3]))
                fn(ctx, page, class, bits);
        }
}

void heap_index_each_white_page(const struct heap_index *index,
                                void (*fn)(void *ctx, uintptr_t page, unsigned class,
                                           const uint64_t *bits),
                                void *ctx)
{
    each_white_page(index, fn, ctx);
}

struct count {
    const struct heap_index *index;
    uint64_t objects, bytes;
};

static void count_page(void *ctx, uintptr_t page, unsigned class, const uint64_t *bits)
{
    struct count *count = ctx;
    unsigned n = 0;
    for (int i = 0; i < 4; i++)
        n += (unsigned)__builtin_popcountll(bits[i]);
    size_t size = count->index->size[class];
    if (class > count->index->small)
        heap_index_large(count->index, page + 4095, &size);
    count->objects += n;
    count->bytes += n * size;
}

void heap_index_count_white(const struct heap_index *index, uint64_t *objects, uint64_t *bytes)
{
    struct count count = {index, 0, 0};
    each_white_page(index, count_page, &count);
    *objects = count.objects;
    *bytes = count.bytes;
}

struct visit {
    const struct heap_index *index;
    void (*fn)(void *ctx, uintptr_t block, size_t size, bool sampled);
    void *ctx;
};

static void visit_page(void *ctx, uintptr_t page, unsigned class, const uint64_t *bits)
{
    const struct visit *visit = ctx;
    for (int i = 0; i < 4; i++)
        for (uint64_t left = bits[i]; left; left &= left - 1) {
            uintptr_t block = page + (uintptr_t)(64 * i + __builtin_ctzll(left)) * 16;
            size_t size = 0;
            heap_index_resolve(visit->index, block, &size);
            visit->fn(visit->ctx, block, size, *object_byte((void *)block) & OBJECT_SAMPLED);
        }
}

void heap_index_each_white(const struct heap_index *index,
                           void (*fn)(void *ctx, uintptr_t block, size_t size, bool sampled),
                           void *ctx)
{
    struct visit visit = {index, fn, ctx};
    each_white_page(index, visit_page, &visit);
}

static void unmap_table(void *table, size_t size)
{
    if (!table)
        return;
    own_forget(table, size);
    os_munmap(table, size);
}

void heap_index_free(struct heap_index *index)
{
    unmap_table(index->region, INDEX_REGIONS * sizeof *index->region);
    unmap_table(index->page, ((size_t)index->regions << INDEX_PAGES_SHIFT) * sizeof *index->page);
    unmap_table(index->white, index_white_bytes(index));
    memset(index, 0, sizeof *index);
}
