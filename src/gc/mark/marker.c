#include "gc/mark/marker.h"

#include "base/os.h"

#include <sys/mman.h>

void *mark_map_table(size_t size)
{
    return own_map_as(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, 0);
}

void mark_unmap_table(void *table, size_t size)
{
    if (!table)
        return;
    own_forget(table, size);
    os_munmap(table, size);
}

static size_t whole_pages(size_t bytes)
{
    return (bytes + 4095) & ~(size_t)4095;
}

struct marker *marker_new(struct mark *mark)
{
    struct marker *marker = own_map(whole_pages(sizeof *marker));
    if (!marker)
        return NULL;
    marker->mark = mark;
    marker->page_mask = mark->page_limit - 1;
    marker->range_limit = mark->range_limit;
    marker->alone = true;
    marker->code = mark->code;
    marker->pages = mark_map_table(mark->page_limit * sizeof *marker->pages);
    marker->ranges = mark_map_table(whole_pages(mark->range_limit * sizeof *marker->ranges));
    if (!marker->pages || !marker->ranges) {
        marker_free(marker);
        return NULL;
    }
    return marker;
}

void marker_free(struct marker *marker)
{
    if (!marker)
        return;
    mark_unmap_table(marker->pages, (marker->page_mask + 1) * sizeof *marker->pages);
    mark_unmap_table(marker->ranges, whole_pages(marker->range_limit * sizeof *marker->ranges));
    own_unmap(marker, whole_pages(sizeof *marker));
}

COLD void marker_push_range(struct marker *marker, uintptr_t start, uintptr_t end)
{
    if (marker->range_count == marker->range_limit)
        __atomic_store_n(&marker->mark->overflowed, true, __ATOMIC_RELAXED);
    else
        marker->ranges[marker->range_count++] = (struct mark_range){start, end};
}

void marker_settle(struct marker *marker)
{
    for (unsigned i = 0; i < MARK_AHEAD; i++) {
        if (marker->ahead[i])
            marker_push_page(marker, marker->ahead[i]);
        marker->ahead[i] = 0;
    }
}

enum marker_need marker_drain(struct marker *marker)
{
    return (marker->alone ? marker->code->drain_alone : marker->code->drain_shared)(marker);
}
