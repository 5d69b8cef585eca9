// What is left of a block after it has been freed, in each way: frees blocks of 24 to 3,000,000
// bytes and says of how many the contents can still be read ("kept"), and of how many every byte is
// 0x5a ("filled"). The first and last words are looked at; what is neither is "other".
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

extern "C" {
__attribute__((weak)) void dallocx(void *ptr, int flags);
__attribute__((weak)) void sdallocx(void *ptr, size_t size, int flags);
}

typedef void release(void *ptr, size_t size);

static void by_free(void *ptr, size_t)
{
    free(ptr);
}
static void by_realloc_of_zero(void *ptr, size_t)
{
    free(realloc(ptr, 0));
}
static void by_moving(void *ptr, size_t size)
{
    void *kept = malloc(1), *moved = realloc(ptr, 3 * size);
    free(moved);
    free(kept);
}
static void by_delete(void *ptr, size_t)
{
    ::operator delete(ptr);
}
static void by_sized_delete(void *ptr, size_t size)
{
    ::operator delete(ptr, size);
}
static void by_dallocx(void *ptr, size_t)
{
    dallocx(ptr, 0);
}
static void by_sdallocx(void *ptr, size_t size)
{
    sdallocx(ptr, size, 0);
}

static const struct {
    const char *name;
    release *run;
} ways[] = {{"free", by_free},        {"realloc0", by_realloc_of_zero},  {"moved", by_moving},
            {"delete", by_delete},    {"sized_delete", by_sized_delete}, {"dallocx", by_dallocx},
            {"sdallocx", by_sdallocx}};
static const size_t sizes[] = {24, 100, 1000, 5000, 14000, 50000, 3000000};

// Through an address that the compiler knows nothing about.
static unsigned look(uintptr_t address, size_t size)
{
    const volatile unsigned char *at;
    __asm__ volatile("" : "=r"(at) : "0"(address) : "memory");
    unsigned kept = 0, filled = 0;
    for (size_t i = 0; i < 8; i++) {
        unsigned char bytes[] = {at[i], at[size - 1 - i]};
        for (unsigned char byte : bytes) {
            kept += byte == 0xa5;
            filled += byte == 0x5a;
        }
    }
    return kept == 16 ? 0 : filled == 16 ? 1 : 2;
}

int main()
{
    if (!dallocx || !sdallocx)
        return 2;
    for (auto &way : ways) {
        unsigned found[3] = {};
        for (size_t size : sizes) {
            void *ptr = malloc(size);
            memset(ptr, 0xa5, size);
            uintptr_t address = reinterpret_cast<uintptr_t>(ptr);
            __asm__ volatile("" : "+r"(ptr) : : "memory");
            way.run(ptr, size);
            found[look(address, size)]++;
        }
        printf("truth %s kept=%u filled=%u other=%u\n", way.name, found[0], found[1], found[2]);
    }
    return 0;
}
