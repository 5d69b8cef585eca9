#include "gc/mark/mark_check.h"

#include "base/os.h"
#include "gc/sys/fault.h"
#include "gc/sys/pagemap.h"

#include <sys/mman.h>

#define SPARSE_BYTES ((size_t)256 << 10)

struct mark_check {
    struct heap_index index;
    uintptr_t *stack; /* blocks reached and not looked into; each is there once */
    size_t count, bytes;
};

static bool take(struct mark_check *check, uintptr_t block)
{
    uint64_t *white = index_white(&check->index, block);
    bool was = *white & index_white_bit(block);
    *white &= ~index_white_bit(block);
    return was;
}

static NO_SANITIZE void look(void *ctx, uintptr_t start, uintptr_t end)
{
    struct mark_check *check = ctx;
    for (; start < end; start += sizeof(uintptr_t)) {
        size_t size;
        uintptr_t word = fault_load((const uintptr_t *)start);
        uintptr_t block = heap_index_resolve(&check->index, word, &size);
        if (block && take(check, block))
            check->stack[check->count++] = block;
    }
}

void mark_check_words(struct mark_check *check, uintptr_t start, uintptr_t end)
{
    look(check, start, end);
    while (check->count) {
        size_t size = 0;
        uintptr_t block = check->stack[--check->count];
        heap_index_resolve(&check->index, block, &size);
        if (size < SPARSE_BYTES) {
            look(check, block, block + size);
            continue;
        }
        uintptr_t first_page = (block + 4095) & ~(uintptr_t)4095;
        uintptr_t last_page = (block + size) & ~(uintptr_t)4095;
        look(check, block, first_page);
        pagemap_each_written(first_page, last_page, look, check);
        look(check, last_page, block + size);
    }
}

void mark_check_reach(struct mark_check *check, uintptr_t block)
{
    take(check, block);
}

bool mark_check_begin(struct mark *mark, size_t (*block_size)(const void *block))
{
    struct mark_check *check = own_map((sizeof *check + 4095) & ~(size_t)4095);
    if (!check)
        return false;
    mark->check = check;
    if (!heap_index_build(&check->index, block_size))
        return false;
    check->bytes = (check->index.objects * sizeof *check->stack + 8191) & ~(size_t)4095;
    check->stack = own_map_as(check->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, 0);
    return check->stack != NULL;
}

static uint64_t differences(const struct heap_index *a, const struct heap_index *b)
{
    uint64_t count = 0;
    size_t words = index_white_bytes(a) / sizeof *a->white;
    if (index_white_bytes(b) != index_white_bytes(a))
        return UINT64_MAX;
    for (size_t i = 0; i < words; i++)
        if (i % INDEX_PAGE_WORDS < INDEX_GREY)
            count += (unsigned)__builtin_popcountll(a->white[i] ^ b->white[i]);
    return count;
}

uint64_t mark_check_end(struct mark *mark)
{
    struct mark_check *check = mark->check;
    uint64_t count = differences(mark->index, &check->index);
    mark->check = NULL;
    own_forget(check->stack, check->bytes);
    os_munmap(check->stack, check->bytes);
    heap_index_free(&check->index);
    own_unmap(check, (sizeof *check + 4095) & ~(size_t)4095);
    return count;
}
