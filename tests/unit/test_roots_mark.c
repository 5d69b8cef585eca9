/* Which memory is a root, and which of it is worth tracking: in this process, without a stop. */
#include "gc_heap.h"
#include "tap.h"

#include "gc/mark/mark.h"
#include "gc/roots/roots.h"
#include "gc/stop/world.h"
#include "gc/sys/pagemap.h"
#include "gc/sys/proc.h"

#include <stdlib.h>
#include <unistd.h>

enum { BLOCK = 256, PLACES_MAX = 24 };

/* Memory of some kind that holds a pointer to a block, the only one: what the test itself knows of
 * the block is XORed. */
static struct place {
    const char *name;
    bool is_root, lasts; /* whether it should be; in roots_each_lasting, too */
    uint64_t hidden;     /* the block */
    uintptr_t start;     /* of the page; 0: roots_each_lasting is not asked */
    bool lasting;        /* has been seen to be */
} places[PLACES_MAX];
static unsigned place_count;

static struct place *add(const char *name, bool is_root, bool lasts)
{
    struct place *place = &places[place_count++];
    *place = (struct place){.name = name, .is_root = is_root, .lasts = lasts};
    place->hidden = (uintptr_t)th_alloc(BLOCK) ^ HIDE;
    return place;
}

/* Puts the pointer, `inside` bytes into the block, at this address, which need not be aligned. */
static void point(const struct place *place, void *at, size_t inside)
{
    uintptr_t pointer = (place->hidden ^ HIDE) + inside;
    memcpy(at, &pointer, sizeof pointer);
}

/* The middle one of three pages, so that what lies beside it is the test's too; in front of them
 * one that can only be read, as what lies right behind memory without access is taken for a stack.
 */
static char *map(struct place *place, int flags, int fd)
{
    char *map = mmap(NULL, (size_t)4 * OS_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED ||
        mmap(map + OS_PAGE, (size_t)3 * OS_PAGE, PROT_READ | PROT_WRITE,
             flags | MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0) == MAP_FAILED)
        abort();
    place->start = (uintptr_t)map + (size_t)2 * OS_PAGE;
    return map + (size_t)2 * OS_PAGE;
}

static void add_private(const char *name, size_t at, size_t inside, bool is_root)
{
    struct place *place = add(name, is_root, true);
    point(place, map(place, MAP_PRIVATE, -1) + at, inside);
}

static void add_protected(const char *name, int access, size_t at, bool is_root, bool lasts)
{
    struct place *place = add(name, is_root, lasts);
    char *page = map(place, MAP_PRIVATE, -1);
    point(place, page + at, 0);
    mprotect(page, OS_PAGE, access);
}

static void add_file(const char *name, int flags, bool is_root)
{
    char path[] = "/tmp/md-roots-XXXXXX";
    struct place *place = add(name, is_root, is_root);
    int fd = mkstemp(path);
    if (fd < 0 || unlink(path) || ftruncate(fd, (off_t)3 * OS_PAGE))
        abort();
    point(place, map(place, flags, fd), 0);
    close(fd);
}

/* For all that the compiler knows others read them, also where it sees the whole program. */
static uintptr_t global __attribute__((used)), past_the_end __attribute__((used));

static void add_places(void)
{
    add_private("a private mapping", 0, 0, true);
    add_private("an address inside a block", 8, BLOCK - 1, true);
    add_private("its last word", OS_PAGE - 8, 8, true);
    add_private("an unaligned word", 4, 0, false);
    add_protected("memory that is read only by now", PROT_READ, 0, true, false);
    add_protected("memory without access", PROT_NONE, 0, false, false);
    add_protected("code made at run time", PROT_READ | PROT_EXEC, 8, true, false);
    add_protected("at any byte of it", PROT_READ | PROT_EXEC, 13, true, false);
    add_file("pages of a private mapping of a file that were written to", MAP_PRIVATE, true);
    add_file("a shared mapping of a file", MAP_SHARED, false);
    struct place *place = add("memory shared with other processes", false, false);
    point(place, map(place, MAP_SHARED, -1), 0);
    place = add("memory of ours", false, false);
    char *own = own_map(OS_PAGE);
    place->start = (uintptr_t)own;
    point(place, own, 0);
    place = add("a block that nothing leads to", false, false);
    point(place, th_alloc(BLOCK), 0);
    place = add("a block that something leads to", true, false);
    struct place *first = &places[0];
    point(place, (char *)(first->hidden ^ HIDE) + 16, 0);
    point(add("a global variable", true, true), &global, 0);
    /* The last block of all: there is none behind it. */
    place = add("an address behind a block", false, true);
    point(place, &past_the_end, BLOCK);
}

static void test_reached(void)
{
    static struct heap_index index;
    static struct mark mark;
    struct roots_size size;
    if (!ok(heap_index_build(&index, NULL) && mark_init(&mark, &index, 1 << 10), "set up"))
        return;
    mark.helpers = 0;
    ok(roots_mark(&mark, &size), "roots are marked");
    mark_finish(&mark);
    for (unsigned i = 0; i < place_count; i++) {
        uintptr_t block = places[i].hidden ^ HIDE;
        bool reached = !(*index_white(&index, block) & index_white_bit(block));
        is(reached, places[i].is_root, "%s: %s", places[i].name,
           places[i].is_root ? "a root" : "none");
    }
    ok(size.globals_bytes >= OS_PAGE && size.tracked_bytes == 0, "they are counted");
    mark_free(&mark);
    heap_index_free(&index);
}

static void note_lasting(void *ctx, uintptr_t start, uintptr_t end)
{
    uintptr_t *last = ctx;
    for (unsigned i = 0; i < place_count; i++)
        places[i].lasting |= places[i].start >= start && places[i].start < end;
    last[1] += start < last[0] || start >= end;
    last[0] = end;
}

static void test_lasting(void)
{
    uintptr_t last[2] = {0, 0};
    struct place *behind = add("what lies behind a guard, as stacks do", true, false);
    char *pages = map(behind, MAP_PRIVATE, -1);
    mprotect(pages - OS_PAGE, OS_PAGE, PROT_NONE);
    ok(roots_each_lasting(note_lasting, last), "what is worth tracking");
    is(last[1], 0, "comes in order, one range apart from the other");
    for (unsigned i = 0; i < place_count; i++)
        if (places[i].start)
            is(places[i].lasting, places[i].lasts, "%s: %s", places[i].name,
               places[i].lasts ? "tracked" : "not tracked");
}

int main(void)
{
    ok(th_init(NULL), "set up");
    proc_open(false);
    pagemap_open();
    roots_find_self();
    add_places();
    th_clear_stack();
    test_reached();
    test_lasting();
    return tap_done();
}
