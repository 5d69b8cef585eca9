/* All of operator new and delete: plain, array, sized, aligned, nothrow, and a new_handler. */
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>

#include "tap.h" /* last: its ok and is are macros */

static volatile std::size_t too_much = std::numeric_limits<std::size_t>::max() / 2 + 1;
static volatile std::size_t none = 0;
static void *volatile sink;
static int handler_calls;

static bool aligned(const void *p, std::size_t alignment)
{
    return (reinterpret_cast<std::uintptr_t>(p) & (alignment - 1)) == 0;
}

template <class Call> static bool throws_bad_alloc(Call call)
{
    try {
        sink = call();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

struct Thrower {
    Thrower()
    {
        throw std::runtime_error("constructor");
    }
    char bytes[200];
};

struct alignas(128) Wide {
    char bytes[256];
};

static void give_up()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

int main()
{
    bool plain = true, align = true, quiet = true;
    for (std::size_t size = 1; size < (1u << 20); size += 1 + size / 6) {
        void *a = ::operator new(size), *b = ::operator new[](size);
        std::memset(a, 1, size);
        std::memset(b, 2, size);
        plain &= a && b && aligned(a, size >= 16 ? 16 : 8);
        ::operator delete(a, size);
        ::operator delete[](b, size);
        for (std::size_t alignment = 16; alignment <= 65536; alignment *= 16) {
            std::align_val_t value{alignment};
            void *c = ::operator new(size, value), *d = ::operator new[](size, value);
            void *e = ::operator new(size, value, std::nothrow);
            void *f = ::operator new[](size, value, std::nothrow);
            std::memset(c, 3, size);
            std::memset(f, 4, size);
            align &= aligned(c, alignment) && aligned(d, alignment) && aligned(e, alignment) &&
                     aligned(f, alignment);
            ::operator delete(c, size, value);
            ::operator delete[](d, size, value);
            ::operator delete(e, value, std::nothrow);
            ::operator delete[](f, value, std::nothrow);
            c = ::operator new(size, value);
            d = ::operator new[](size, value);
            ::operator delete(c, value);
            ::operator delete[](d, value);
        }
        void *g = ::operator new(size, std::nothrow), *h = ::operator new[](size, std::nothrow);
        quiet &= g && h;
        ::operator delete(g, std::nothrow);
        ::operator delete[](h, std::nothrow);
        g = ::operator new(size);
        h = ::operator new[](size);
        ::operator delete(g);
        ::operator delete[](h);
    }
    ok(plain, "operator new and new[], sized delete");
    ok(align, "aligned new and delete, sized and nothrow");
    ok(quiet, "nothrow new and delete");
    void *zero = ::operator new(none), *other = ::operator new(none);
    ok(zero && other && zero != other, "new of 0 bytes gives a pointer, each another one");
    ::operator delete(zero);
    ::operator delete(other);
    ::operator delete(nullptr);
    ::operator delete[](nullptr);
    ::operator delete (nullptr, std::size_t{16});
    ::operator delete (nullptr, std::align_val_t{64});
    ::operator delete (nullptr, std::size_t{16}, std::align_val_t{64});
    ok(true, "delete of nullptr does nothing");

    ok(throws_bad_alloc([] { return ::operator new(too_much); }),
       "new that fails throws bad_alloc");
    ok(throws_bad_alloc([] { return ::operator new[](too_much); }), "new[] that fails throws");
    ok(throws_bad_alloc([] { return ::operator new (too_much, std::align_val_t{64}); }),
       "aligned new that fails throws");
    ok(throws_bad_alloc([] { return ::operator new[](too_much, std::align_val_t{64}); }),
       "aligned new[] that fails throws");
    sink = ::operator new(too_much, std::nothrow);
    ok(sink == nullptr, "nothrow new that fails is nullptr");
    sink = ::operator new[](too_much, std::nothrow);
    ok(sink == nullptr, "nothrow new[] that fails is nullptr");
    sink = ::operator new (too_much, std::align_val_t{64}, std::nothrow);
    ok(sink == nullptr, "aligned nothrow new that fails is nullptr");

    std::set_new_handler(give_up);
    ok(throws_bad_alloc([] { return ::operator new(too_much); }) && handler_calls == 3,
       "the new_handler is called until it gives up (%d)", handler_calls);
    std::set_new_handler([] { throw std::bad_alloc(); });
    sink = ::operator new(too_much, std::nothrow);
    ok(sink == nullptr, "a throwing new_handler ends in nullptr for nothrow new");
    std::set_new_handler(nullptr);

    int caught = 0;
    for (int i = 0; i < 1000; i++)
        try {
            sink = new Thrower;
        } catch (const std::runtime_error &) {
            caught++;
        }
    is(caught, 1000, "a throwing constructor gives its memory back");
    Wide *wide = new Wide[17];
    ok(aligned(wide, 128), "an over-aligned type is aligned");
    delete[] wide;
    return tap_done();
}
