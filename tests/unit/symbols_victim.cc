// A program whose names test_symbolize.c knows: built with and without debug information, it prints
// where it was called from, then waits until its input ends.  The marks tell the test the lines.
#include <cinttypes>
#include <csetjmp>
#include <cstdio>
#include <link.h>
#include <unistd.h>

static void *where[8];

extern "C" __attribute__((noinline)) void capture(int i)
{
    where[i] = __builtin_return_address(0);
    __asm__ volatile("" ::: "memory");
}

namespace shop
{
template <typename T> struct Cart {
    T total = 0;
    __attribute__((noinline)) void add(T price)
    {
        total += price;
        capture(0); // @add
        total *= 2;
    }
};
} // namespace shop

static inline __attribute__((always_inline)) void inner(int i)
{
    capture(i); // @inner
    __asm__ volatile("" ::: "memory");
}

static inline __attribute__((always_inline)) void middle(int i)
{
    {
        int scope = i;
        inner(scope); // @middle
    }
}

extern "C" __attribute__((noinline)) int outer(int i)
{
    middle(i); // @outer
    return i + 1;
}

static jmp_buf back;

extern "C" __attribute__((noinline, noreturn)) void escape(int i)
{
    where[i] = __builtin_return_address(0);
    longjmp(back, 1);
}

// The call is its last instruction: the return address lies in the next function.
extern "C" __attribute__((noinline, noreturn)) void leaves()
{
    escape(2); // @leaves
}

static __attribute__((noinline)) int hidden_function(int i)
{
    capture(i); // @hidden
    __asm__ volatile("" : "+r"(i)); // or clang makes the call above a jump
    return i * 3;
}

static int find_bias(struct dl_phdr_info *info, size_t, void *bias)
{
    *static_cast<uint64_t *>(bias) = info->dlpi_addr;
    return 1;
}

int main()
{
    uint64_t bias = 0;
    shop::Cart<long> cart;
    cart.add(3);
    if (!setjmp(back))
        leaves();
    int x = outer(1) + hidden_function(3);
    dl_iterate_phdr(find_bias, &bias);
    std::printf("%" PRIx64, bias);
    for (int i = 0; i < 4; i++)
        std::printf(" %" PRIx64, reinterpret_cast<uint64_t>(where[i]));
    std::printf(" %d\n", x != 0);
    std::fflush(stdout);
    char c;
    while (read(0, &c, 1) > 0)
        ;
    return 0;
}
