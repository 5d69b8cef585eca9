/* The object map: size classes against a plain search, and which of its bytes can be had. */
#include "core_test.h"
#include "heap/extents.h"
#include "heap/object_map.h"
#include "tap.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>

void *heap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);

static size_t sizes[232], slabs[36];
enum { SIZES = 232, SMALL = 36 };

/* jemalloc's classes: 8, then four to each doubling. */
static void make_sizes(void)
{
    unsigned n = 0;
    sizes[n++] = 8;
    for (size_t s = 16; s <= 128; s += 16)
        sizes[n++] = s;
    for (size_t base = 128; n < SIZES; base *= 2)
        for (size_t k = 1; k <= 4 && n < SIZES; k++)
            sizes[n++] = base + k * base / 4;
    for (unsigned i = 0; i < SMALL; i++)
        for (slabs[i] = 4096; slabs[i] % sizes[i]; slabs[i] += 4096)
            ;
}

static void test_classes(void)
{
    object_map_set_classes(sizes, SIZES, slabs, SMALL);
    is(object_small_classes, SMALL - 1, "the class of 8 bytes is left out of the small ones");
    unsigned wrong = 0, last = 0;
    for (unsigned c = 1; c < 127; c++)
        wrong += object_class_size[c] != sizes[c];
    is(wrong, 0, "classes 1 to 126 are those from 16 bytes on");
    is(object_class_size[0] + object_class_size[OBJECT_CLASS_HUGE], 0, "0 and the last are none");
    for (unsigned c = 1; c <= object_small_classes; c++)
        wrong += object_slab_size[c] != slabs[c];
    ok(wrong == 0 && object_slab_size[object_small_classes + 1] == 0, "slabs of the small ones");
    for (unsigned c = 1; c < 127; c++) {
        last = c;
        wrong += object_class_of(object_class_size[c]) != c;
        wrong += object_class_of(object_class_size[c] - 1) != c;
        wrong += object_class_of(object_class_size[c] + 1) != (c < 126 ? c + 1 : OBJECT_CLASS_HUGE);
    }
    is(wrong, 0, "each size has its class, one byte more the next");
    is(object_class_of(1), 1, "8 bytes and less are rounded up to 16");
    is(object_class_of(SIZE_MAX), OBJECT_CLASS_HUGE, "what is too large is huge");
    for (unsigned i = 0; i < 100000; i++) {
        size_t size = 1 + (draw(UINT64_MAX) >> (20 + draw(44)));
        unsigned c = 1;
        while (c < 127 && object_class_size[c] < size)
            c++;
        wrong += object_class_of(size) != c;
    }
    is(wrong, 0, "as a search from the smallest finds it");
    object_map_set_classes(sizes + 1, 40, slabs + 1, 20);
    ok(object_small_classes == 20 && object_class_of(sizes[40]) == 40 &&
           object_class_of(sizes[40] + 1) == OBJECT_CLASS_HUGE,
       "without a class of 8 none is left out");
    (void)last;
}

static bool readable(const void *addr)
{
    char byte;
    struct iovec to = {&byte, 1}, from = {(void *)(uintptr_t)addr, 1};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
}

#define NOWHERE (UINT64_C(1) << OS_ADDRESS_BITS)

static void test_open(void)
{
    unsigned wrong = 0;
    ok(!readable(object_byte((void *)(NOWHERE / 3))), "the map is shut");
    for (unsigned i = 0; i < 2000; i++) {
        /* As jemalloc maps: whole pages, anywhere. */
        uintptr_t start = draw(NOWHERE) & ~(uintptr_t)(OS_PAGE - 1);
        size_t size = (1 + draw(i % 10 ? 16 : 20000)) * OS_PAGE;
        if (start + size > NOWHERE)
            start -= size;
        errno = 77;
        if (!object_map_open((void *)start, size)) {
            wrong++;
            continue;
        }
        uint8_t *first = object_byte((void *)start),
                *last = object_byte((void *)(start + size - 1));
        wrong += errno != 77 || *last != 0;
        *first = *last = 5;
        first[(last - first) / 2] |= 1;
        wrong += !(*object_byte((void *)(start + 7)) & 1); /* of the same granule */
        wrong += first != object_map + (start >> GRANULE_SHIFT);
        *first = *last = first[(last - first) / 2] = 0;
        /* No more than the pages that hold it. */
        uint8_t *before = (uint8_t *)((uintptr_t)first & ~(uintptr_t)(OS_PAGE - 1)) - 1;
        uint8_t *behind = (uint8_t *)((uintptr_t)last | (OS_PAGE - 1)) + 1;
        if (i == 0)
            ok(!readable(before) && !readable(behind), "nothing beside it is opened");
    }
    is(wrong, 0, "what is opened reads 0 and takes a byte for each granule, to both ends");

    void *far = (void *)(NOWHERE / 64);
    uint8_t *kept = object_byte(far);
    object_map_open(far, OS_PAGE);
    *kept = 9;
    object_map_open(far, 1 << 20);
    is(*kept, 9, "opened again it keeps what it holds");

    char *heap =
        heap_mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!tap_emulated("where the heap is mapped the map is open", "process_vm_readv"))
        ok(heap != MAP_FAILED && readable(object_byte(heap)) &&
               readable(object_byte(heap + (1 << 20) - 1)) && extent_count == 1,
           "where the heap is mapped the map is open");
}

static int without_space(void *argument)
{
    const char *reason = NULL;
    (void)argument;
    setrlimit(RLIMIT_AS, &(struct rlimit){1 << 30, 1 << 30});
    errno = 77;
    return !(!object_map_init(&reason) && reason && *reason && !object_map && errno == 77 &&
             object_map_open("x", 1));
}

int main(void)
{
    const char *reason = NULL;
    make_sizes();
    test_classes();
    if (SANITIZED)
        tap_skip("without address space", "sanitizers need all of it");
    else if (!tap_emulated("without address space", "RLIMIT_AS"))
        is(in_copy(without_space, NULL), 0, "without address space: a reason, and no map");
    ok(object_map_open("x", 1), "without a map there is nothing to open");
    if (object_map_init(&reason))
        test_open();
    else
        tap_skip("the map", reason);
    return tap_done();
}
