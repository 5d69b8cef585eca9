/* A C++ program with a malloc of its own and none of operator new: a bump allocator that knows its
 * blocks.  What new gives comes from there, and free takes it. */
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace
{
constexpr size_t room = 16 << 20;
alignas(4096) unsigned char arena[room];
size_t used, strangers;

bool is_own(const void *p)
{
    auto at = static_cast<const unsigned char *>(p);
    return at >= arena && at < arena + room;
}

struct alignas(64) wide {
    char bytes[64];
};
} // namespace

extern "C" {
__attribute__((visibility("default"))) void *aligned_alloc(size_t alignment, size_t size)
{
    size_t at = (used + 16 + alignment - 1) & ~(alignment - 1);
    if (at > room || size > room - at)
        return nullptr;
    used = at + size;
    memcpy(arena + at - sizeof size, &size, sizeof size);
    return arena + at;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    return size ? aligned_alloc(16, size) : nullptr;
}

__attribute__((visibility("default"))) void free(void *p)
{
    strangers += p && !is_own(p);
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size)
{
    return malloc(n * size); /* fresh pages are zero and nothing is used twice */
}

__attribute__((visibility("default"))) void *realloc(void *old, size_t size)
{
    void *p = malloc(size);
    if (p && old) {
        size_t before;
        memcpy(&before, static_cast<unsigned char *>(old) - sizeof before, sizeof before);
        memcpy(p, old, before < size ? before : size);
    }
    return p;
}
}

int main()
{
    void *blocks[] = {operator new(10),
                      operator new[](0),
                      operator new(10, std::nothrow),
                      new wide,
                      operator new(100, std::align_val_t(256)),
                      operator new(100, std::align_val_t(256), std::nothrow)};
    unsigned own = 0, aligned = 0;
    for (void *block : blocks) {
        own += is_own(block);
        free(block);
    }
    for (int i = 3; i < 6; i++)
        aligned += reinterpret_cast<size_t>(blocks[i]) % (i == 3 ? 64 : 256) == 0;
    operator delete(malloc(10));
    operator delete[](malloc(10), size_t(10));
    operator delete(aligned_alloc(64, 64), std::align_val_t(64));
    bool refused = operator new(2 * room, std::nothrow) == nullptr, thrown = false;
    try {
        operator delete(operator new(2 * room));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    printf("own new: %u of 6 own, %u of 3 aligned, %zu strangers, %s, %s\n", own, aligned,
           strangers, refused ? "refused" : "given", thrown ? "thrown" : "not thrown");
    return 0;
}
