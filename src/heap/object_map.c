#include "heap/object_map.h"

#include "base/compiler.h"
#include "base/os.h"

#include <errno.h>
#include <sys/mman.h>

uint8_t *object_map;
size_t object_class_size[128];
uint8_t object_class_table[OBJECT_TABLE_MAX / 16 + 1];
unsigned object_small_classes;
size_t object_slab_size[128];
static unsigned class_count;

bool object_map_init(const char **reason)
{
    int saved = errno;
    void *map = os_mmap(NULL, OBJECT_MAP_BYTES, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved;
    if (map == MAP_FAILED) {
        *reason = "no address space for the object map (reserved, not used; RLIMIT_AS?)";
        return false;
    }
    madvise(map, OBJECT_MAP_BYTES, MADV_DONTDUMP);
    if (!own_note(map, OBJECT_MAP_BYTES, 0)) {
        os_munmap(map, OBJECT_MAP_BYTES);
        *reason = "no memory";
        return false;
    }
    object_map = map;
    return true;
}

void object_map_end(void)
{
    uint8_t *map = object_map;
    object_map = NULL;
    if (map)
        own_unmap(map, OBJECT_MAP_BYTES);
}

void object_map_set_classes(const size_t *sizes, unsigned count, const size_t *slab_sizes,
                            unsigned small)
{
    /* jemalloc's class of 8 bytes has two block starts in a granule; the tracked variant asks for
     * 16 instead, so its bins begin at 16 and the class is left out. */
    unsigned skip = count && sizes[0] < (1u << GRANULE_SHIFT);
    class_count = 0;
    object_small_classes = small - skip;
    for (unsigned i = skip; i < count && class_count + 1 < OBJECT_CLASS_HUGE; i++) {
        class_count++;
        object_class_size[class_count] = sizes[i];
        object_slab_size[class_count] = i < small ? slab_sizes[i] : 0;
    }
    for (unsigned i = 0, class = 1; i < ARRAY_LENGTH(object_class_table); i++) {
        class += class < class_count && object_class_size[class] < i * 16u;
        object_class_table[i] = (uint8_t) class;
    }
}

unsigned object_class_of(size_t usable_size)
{
    if (usable_size <= OBJECT_TABLE_MAX)
        return object_class_table[(usable_size + 15) / 16];
    unsigned low = 1, high = class_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (object_class_size[middle] < usable_size)
            low = middle + 1;
        else
            high = middle;
    }
    return object_class_size[low] >= usable_size ? low : OBJECT_CLASS_HUGE;
}

bool object_map_open(const void *addr, size_t size)
{
    if (!object_map)
        return true;
    if (((uintptr_t)addr + size - 1) >> GRANULE_SHIFT >= OBJECT_MAP_BYTES)
        return false; /* above what the kernel gives unasked */
    uintptr_t start = (uintptr_t)object_byte(addr) & ~(uintptr_t)(OS_PAGE - 1);
    uintptr_t end =
        ((uintptr_t)object_map + (((uintptr_t)addr + size) >> GRANULE_SHIFT) + OS_PAGE - 1) &
        ~(uintptr_t)(OS_PAGE - 1);
    int saved = errno;
    bool ok = mprotect((void *)start, end - start, PROT_READ | PROT_WRITE) == 0;
    errno = saved;
    return ok;
}
