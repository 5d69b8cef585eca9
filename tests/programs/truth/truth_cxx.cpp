// C++: containers, whose blocks point into each other's middle; array cookies; pointers to bases.
#include "truth.h"

#include <any>
#include <cstdlib>
#include <deque>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace
{

fate now; // of what the allocator below gives

// The default allocator's blocks, counted.
template <typename T> struct counting {
    using value_type = T;
    counting() = default;
    template <typename U> counting(const counting<U> &)
    {
    }
    T *allocate(size_t n)
    {
        return static_cast<T *>(counted(std::allocator<T>().allocate(n), now));
    }
    void deallocate(T *p, size_t n)
    {
        uncounted(p, now);
        std::allocator<T>().deallocate(p, n);
    }
    template <typename U> bool operator==(const counting<U> &) const
    {
        return true;
    }
    template <typename U> bool operator!=(const counting<U> &) const
    {
        return false;
    }
};

using text = std::basic_string<char, std::char_traits<char>, counting<char>>;
template <typename T> using array = std::vector<T, counting<T>>;
template <typename K, typename V>
using ordered = std::map<K, V, std::less<K>, counting<std::pair<const K, V>>>;
template <typename K, typename V>
using hashed =
    std::unordered_map<K, V, std::hash<K>, std::equal_to<K>, counting<std::pair<const K, V>>>;

const char long_text[] = "a text that does not fit into the object of the string itself";

void *volatile held;

// A block by new, counted; what it allocates later is `rest`.
template <typename T, typename... A> T *make(fate own, fate rest, A &&...arguments)
{
    now = rest;
    return static_cast<T *>(counted(new T(std::forward<A>(arguments)...), own));
}

// ---------------------------------------------------------------------------- containers

template <typename M> void fill_map(M *map)
{
    for (int i = 0; i < 100; i++)
        map->emplace(i, text(long_text));
}

void map_live()
{
    auto *m = make<ordered<int, text>>(LIVE, LIVE);
    fill_map(m);
    held = m;
}

// The root of the tree points back into the map: header and nodes are one group.
void map_lost()
{
    fill_map(make<ordered<int, text>>(DIRECT, INDIRECT));
    truth_group();
}

void static_map()
{
    static ordered<int, text> in_data;
    now = LIVE;
    fill_map(&in_data);
}

void unordered_live()
{
    auto *m = make<hashed<int, text>>(LIVE, LIVE);
    fill_map(m);
    held = m;
}

void unordered_lost()
{
    fill_map(make<hashed<int, text>>(DIRECT, INDIRECT));
    truth_group();
}

void deque_lost()
{
    auto *d = make<std::deque<int, counting<int>>>(DIRECT, INDIRECT);
    for (int i = 0; i < 5000; i++)
        d->push_back(i);
}

void deque_live()
{
    auto *d = make<std::deque<int, counting<int>>>(LIVE, LIVE);
    for (int i = 0; i < 5000; i++)
        d->push_back(i);
    held = d;
}

void list_lost()
{
    auto *l = make<std::list<text, counting<text>>>(DIRECT, INDIRECT);
    for (int i = 0; i < 50; i++)
        l->emplace_back(long_text);
    truth_group();
}

void vector_lost()
{
    auto *v = make<array<array<text>>>(DIRECT, INDIRECT);
    for (int i = 0; i < 20; i++) {
        v->emplace_back();
        for (int j = 0; j < 20; j++)
            v->back().emplace_back(long_text);
    }
}

void vector_live()
{
    auto *v = make<array<text>>(LIVE, LIVE);
    for (int i = 0; i < 200; i++)
        v->emplace_back(long_text);
    held = v;
}

// Only an element inside is known.
void vector_by_element()
{
    auto *v = make<array<text>>(DIRECT, LIVE);
    for (int i = 0; i < 200; i++)
        v->emplace_back(long_text);
    held = &(*v)[100];
}

void string_live()
{
    held = make<text>(LIVE, LIVE, long_text);
}

void string_lost()
{
    make<text>(DIRECT, INDIRECT, long_text);
    make<text>(DIRECT, INDIRECT, "short"); // inside the object: it points at itself
}

void set_lost()
{
    using words = std::set<text, std::less<text>, counting<text>>;
    auto *s = make<words>(DIRECT, INDIRECT);
    for (int i = 0; i < 20; i++)
        s->emplace(std::string(long_text).append(std::to_string(i)).c_str());
    truth_group();
}

// ------------------------------------------------------------------------------- pointers

struct peer {
    std::shared_ptr<peer> other;
    char payload[40];
};

std::shared_ptr<peer> shared()
{
    return std::allocate_shared<peer>(counting<peer>());
}

void shared_cycle()
{
    now = DIRECT;
    auto a = shared();
    now = INDIRECT;
    auto b = shared();
    a->other = b;
    b->other = a;
}

void shared_chain_live()
{
    static std::shared_ptr<peer> first;
    now = LIVE;
    for (int i = 0; i < 50; i++) {
        auto next = shared();
        next->other = first;
        first = next;
    }
}

// make_shared keeps the block for the weak count after the object has gone.
void weak_live()
{
    static std::weak_ptr<peer> weak;
    now = LIVE;
    weak = shared();
}

struct leaf {
    std::unique_ptr<leaf> left, right;
};

leaf *grow(int depth, fate own, fate rest)
{
    auto *l = make<leaf>(own, rest);
    if (depth > 1) {
        l->left.reset(grow(depth - 1, rest, rest));
        l->right.reset(grow(depth - 1, rest, rest));
    }
    return l;
}

void unique_tree_lost()
{
    grow(6, DIRECT, INDIRECT);
}

void unique_tree_live()
{
    held = grow(6, LIVE, LIVE);
}

struct counted_elements { // with a destructor: new[] keeps the count in front
    void *p = nullptr;
    ~counted_elements()
    {
        std::free(p);
    }
};

void array_cookie_live()
{
    auto *elements = new counted_elements[10];
    counted(reinterpret_cast<char *>(elements) - 8, LIVE);
    for (int i = 0; i < 10; i++)
        elements[i].p = object(32, LIVE);
    held = elements; // eight bytes into the block
}

void array_cookie_lost()
{
    auto *elements = new counted_elements[10];
    counted(reinterpret_cast<char *>(elements) - 8, DIRECT);
    for (int i = 0; i < 10; i++)
        elements[i].p = object(32, INDIRECT);
}

// An array of none: only the count is in the block, and the pointer is one behind it.
void array_of_none()
{
    auto *volatile elements = new counted_elements[static_cast<size_t>(held != nullptr)];
    counted(reinterpret_cast<char *>(elements) - 8, LIVE);
    held = elements;
}

struct first_base {
    virtual ~first_base() = default;
    long a[3];
};
struct second_base {
    virtual ~second_base() = default;
    long b[3];
};
struct derived : first_base, second_base {
    void *p;
};

void second_base_live()
{
    auto *d = make<derived>(LIVE, LIVE);
    d->p = object(64, LIVE);
    held = static_cast<second_base *>(d);
}

struct virtual_base {
    virtual ~virtual_base() = default;
    long v[4];
};
struct left_side : virtual virtual_base {
    long l;
};
struct right_side : virtual virtual_base {
    long r;
};
struct bottom : left_side, right_side {
    void *p;
};

void virtual_base_live()
{
    auto *b = make<bottom>(LIVE, LIVE);
    b->p = object(64, LIVE);
    held = static_cast<virtual_base *>(b);
}

void virtual_base_lost()
{
    auto *b = make<bottom>(DIRECT, LIVE);
    b->p = object(64, INDIRECT);
}

// --------------------------------------------------------------------- things that own things

struct capture {
    void *p;
    char rest[100];
    void operator()() const
    {
    }
};

// The captured object is a block of its own, at the start of what the function keeps.
void *block_in(const void *function)
{
    return *static_cast<void *const *>(function);
}

void function_live()
{
    static std::function<void()> in_data;
    in_data = capture{object(64, LIVE), {}};
    counted(block_in(&in_data), LIVE);
}

void function_lost()
{
    auto *f = make<std::function<void()>>(DIRECT, INDIRECT, capture{object(64, INDIRECT), {}});
    counted(block_in(f), INDIRECT);
}

void any_live()
{
    static std::any in_data;
    in_data = capture{object(64, LIVE), {}};
    counted(std::any_cast<capture>(&in_data), LIVE);
}

void optional_live()
{
    static std::optional<text> in_data;
    now = LIVE;
    in_data.emplace(long_text);
}

void exception_live()
{
    // Known by a pointer behind the header that the runtime keeps in front.
    static std::exception_ptr kept;
    struct thrown {
        void *p;
    };
    kept = std::make_exception_ptr(thrown{object(64, LIVE)});
    counted(reinterpret_cast<char *>(*reinterpret_cast<void **>(&kept)) - 128, LIVE);
}

void local_static_live()
{
    static auto *volatile s = make<text>(LIVE, LIVE, long_text);
    held = s->data() ? nullptr : s;
}

thread_local struct owner {
    void *p = nullptr;
    ~owner()
    {
        std::free(p);
    }
} owned;

void before_thread_local()
{
    owned.p = nullptr;
} // registers the destructor: a block of libc's

void thread_local_live()
{
    owned.p = object(64, LIVE);
}

void overaligned_lost()
{
    struct alignas(256) wide {
        void *p;
    };
    auto *w = make<wide>(DIRECT, INDIRECT);
    w->p = object(64, INDIRECT);
}

// Objects of the program's own making inside a block; only one of them is known.
void placement_live()
{
    void *room = object(1000 * sizeof(leaf), LIVE);
    auto *leaves = static_cast<leaf *>(room);
    for (int i = 0; i < 1000; i++)
        new (leaves + i) leaf;
    leaves[3].left.reset(grow(3, LIVE, LIVE));
    held = leaves + 500;
}

struct node_base {
    virtual ~node_base() = default;
    virtual int kind() const
    {
        return 0;
    }
};
struct big_node : node_base {
    array<node_base *> children;
    int kind() const override
    {
        return 1;
    }
};

void virtual_tree_lost()
{
    auto *top = make<big_node>(DIRECT, INDIRECT);
    for (int i = 0; i < 40; i++) {
        auto *child = make<big_node>(INDIRECT, INDIRECT);
        child->children.push_back(make<node_base>(INDIRECT, INDIRECT));
        top->children.push_back(child);
    }
}

#define GROUPS "of blocks that reach each other it calls every one indirect"

} // namespace

extern "C" const truth_case truth_cxx[] = {
    {"map-live", nullptr, map_live, nullptr, 0, 0},
    {"map-lost", nullptr, map_lost, GROUPS, 0, 201},
    {"map-static", nullptr, static_map, nullptr, 0, 0},
    {"unordered-map-live", nullptr, unordered_live, nullptr, 0, 0},
    {"unordered-map-lost", nullptr, unordered_lost, GROUPS, 0, 202},
    {"deque-live", nullptr, deque_live, nullptr, 0, 0},
    {"deque-lost", nullptr, deque_lost, nullptr, 0, 0},
    {"list-of-strings-lost", nullptr, list_lost, GROUPS, 0, 101},
    {"vector-live", nullptr, vector_live, nullptr, 0, 0},
    {"vector-of-vectors-lost", nullptr, vector_lost, nullptr, 0, 0},
    {"vector-by-element", nullptr, vector_by_element, nullptr, 0, 0},
    {"string-live", nullptr, string_live, nullptr, 0, 0},
    {"string-lost", nullptr, string_lost, nullptr, 0, 0},
    {"set-lost", nullptr, set_lost, GROUPS, 0, 41},
    {"shared-ptr-cycle", nullptr, shared_cycle, GROUPS, 0, 2},
    {"shared-ptr-chain-live", nullptr, shared_chain_live, nullptr, 0, 0},
    {"weak-ptr-live", nullptr, weak_live, nullptr, 0, 0},
    {"unique-ptr-tree-live", nullptr, unique_tree_live, nullptr, 0, 0},
    {"unique-ptr-tree-lost", nullptr, unique_tree_lost, nullptr, 0, 0},
    {"array-cookie-live", nullptr, array_cookie_live, nullptr, 0, 0},
    {"array-cookie-lost", nullptr, array_cookie_lost, nullptr, 0, 0},
    {"array-of-none", nullptr, array_of_none, nullptr, 0, 0},
    {"second-base-live", nullptr, second_base_live, nullptr, 0, 0},
    {"virtual-base-live", nullptr, virtual_base_live, nullptr, 0, 0},
    {"virtual-base-lost", nullptr, virtual_base_lost, nullptr, 0, 0},
    {"function-live", nullptr, function_live, nullptr, 0, 0},
    {"function-lost", nullptr, function_lost, nullptr, 0, 0},
    {"any-live", nullptr, any_live, nullptr, 0, 0},
    {"optional-live", nullptr, optional_live, nullptr, 0, 0},
    {"exception-live", nullptr, exception_live, nullptr, 0, 0},
    {"local-static-live", nullptr, local_static_live, nullptr, 0, 0},
    {"thread-local-live", before_thread_local, thread_local_live, nullptr, 0, 0},
    {"overaligned-lost", nullptr, overaligned_lost, nullptr, 0, 0},
    {"placement-live", nullptr, placement_live, nullptr, 0, 0},
    {"virtual-tree-lost", nullptr, virtual_tree_lost, nullptr, 0, 0},
    {nullptr, nullptr, nullptr, nullptr, 0, 0},
};
