/* The table of mapped ranges against a bitmap, over random maps and unmaps at fixed places of one
 * reservation; then filled to its end. */
#include "core_test.h"
#include "heap/extents.h"
#include "tap.h"

#include <errno.h>
#include <sys/mman.h>

void *heap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
int heap_munmap(void *addr, size_t size);

#define PAGE ((size_t)4096)
enum { PAGES = 2048, ROUNDS = 100000 };

static char *arena;
static bool mapped[PAGES + 1]; /* one more, never mapped */

static bool map_pages(size_t first, size_t count)
{
    return heap_mmap(arena + first * PAGE, count * PAGE, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                     0) == arena + first * PAGE;
}

/* Whether the table lists exactly what the bitmap has, in as few ranges as possible. */
static bool same(void)
{
    unsigned at = 0;
    uint64_t bytes = 0;
    for (size_t page = 0; page < PAGES;) {
        if (!mapped[page]) {
            page++;
            continue;
        }
        size_t first = page;
        while (mapped[page])
            page++;
        bytes += (page - first) * PAGE;
        if (at >= extent_count || extents[at].start != (uintptr_t)arena + first * PAGE ||
            extents[at].end != (uintptr_t)arena + page * PAGE)
            return false;
        at++;
    }
    return at == extent_count && bytes == extents_bytes();
}

static void test_random(void)
{
    unsigned wrong = 0, refused = 0, most = 0;
    bool stable = true;
    for (int i = 0; i < ROUNDS && !wrong; i++) {
        size_t first = draw(PAGES), count = 1 + draw(draw(20) ? 4 : 200);
        /* Tides, so that the table is now nearly empty and now nearly full. */
        bool on = draw(100) < (i / 5000 % 2 ? 65 : 35);
        if (count > PAGES - first)
            count = PAGES - first;
        if (on)
            refused += !map_pages(first, count);
        else
            refused += heap_munmap(arena + first * PAGE, count * PAGE) != 0;
        for (size_t page = first; page < first + count; page++)
            mapped[page] = on;
        if (i % 16 == 0 || i < 1000)
            wrong += !same();
        most = extent_count > most ? extent_count : most;
        stable = stable && extents_stable();
        if (wrong)
            tap_print("# first difference in round %d", i);
    }
    ok(wrong == 0 && same(), "%d maps and unmaps, of up to %u ranges: as a bitmap has it", ROUNDS,
       most);
    is(refused, 0, "none was refused");
    ok(most > 100, "there were many ranges");
    ok(stable, "nobody is inside a change");
}

static void clear(void)
{
    heap_munmap(arena, PAGES * PAGE);
    for (size_t page = 0; page < PAGES; page++)
        mapped[page] = false;
}

static void test_edges(void)
{
    clear();
    is(extent_count, 0, "all unmapped: no ranges");
    is(extents_bytes(), 0, "and no bytes");
    map_pages(10, 2);
    map_pages(14, 2);
    is(extent_count, 2, "two ranges apart");
    map_pages(12, 2);
    ok(extent_count == 1 && extents[0].end - extents[0].start == 6 * PAGE,
       "what lies between joins them");
    map_pages(11, 2);
    is(extents_bytes(), 6 * PAGE, "mapped again over itself it counts once");
    heap_munmap(arena + 12 * PAGE, PAGE);
    is(extent_count, 2, "a hole makes two");
    heap_munmap(arena + 5 * PAGE, 3 * PAGE);
    is(extents_bytes(), 5 * PAGE, "where nothing is, nothing is taken off");

    /* Files are nobody's heap. */
    char path[] = "/tmp/test_extents-XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    if (ftruncate(fd, 4096) != 0)
        tap_print("# ftruncate failed");
    void *file = heap_mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    ok(file != MAP_FAILED && extent_count == 2, "a file that is mapped is not in the table");
    munmap(file, PAGE);
    close(fd);

    errno = 0;
    ok(heap_mmap(NULL, 0, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
           errno == EINVAL && extent_count == 2 && extents_bytes() == 5 * PAGE,
       "what the system refuses is refused, and changes nothing");
    errno = 0;
    ok(heap_munmap(arena + 10 * PAGE + 1, PAGE) == -1 && errno == EINVAL, "so is an unmap");
    clear();
}

/* Every other page.  The reservation has one and the same protection, so it stays one mapping to
 * the system, which allows no more of them than the table. */
static void test_full(void)
{
    size_t size = 2 * ((size_t)EXTENTS_MAX + 2) * PAGE;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *base = mmap(NULL, size, PROT_NONE, flags, -1, 0);
    if (base == MAP_FAILED) {
        tap_skip("a full table", "no address space");
        return;
    }
    unsigned added = 0;
    for (size_t i = 0; i < EXTENTS_MAX; i++)
        added +=
            heap_mmap(base + 2 * i * PAGE, PAGE, PROT_NONE, flags | MAP_FIXED, -1, 0) != MAP_FAILED;
    is(added, EXTENTS_MAX, "as many ranges as there is room for");
    is(extent_count, EXTENTS_MAX, "are in the table");
    is(extents_bytes(), EXTENTS_MAX * PAGE, "their bytes are known");
    errno = 0;
    void *more =
        heap_mmap(base + 2 * EXTENTS_MAX * PAGE, PAGE, PROT_NONE, flags | MAP_FIXED, -1, 0);
    ok(more == MAP_FAILED && errno == ENOMEM, "one more is refused");
    is(extents_bytes(), EXTENTS_MAX * PAGE, "and not counted");
    ok(heap_mmap(base + PAGE, PAGE, PROT_NONE, flags | MAP_FIXED, -1, 0) != MAP_FAILED &&
           extent_count == EXTENTS_MAX - 1,
       "one that joins two is not");
    heap_mmap(base + 2 * EXTENTS_MAX * PAGE, PAGE, PROT_NONE, flags | MAP_FIXED, -1, 0);
    is(extent_count, EXTENTS_MAX, "full again");
    /* No room to split: the hole stays listed. */
    is(heap_munmap(base + PAGE, PAGE), 0, "a hole in the middle of a range when it is full");
    ok(extent_count == EXTENTS_MAX && extents[0].end == (uintptr_t)base + 3 * PAGE,
       "the range stays whole");
    unsigned sorted = 0;
    for (unsigned i = 1; i < extent_count; i++)
        sorted += extents[i - 1].end < extents[i].start;
    is(sorted, extent_count - 1, "sorted, apart");
    is(heap_munmap(base, size), 0, "all of it goes");
    is(extent_count, 0, "the table is empty");
    is(extents_bytes(), 0, "nothing is counted");
}

static int renew(void *argument)
{
    (void)argument;
    extents_renew();
    return !(extents_stable() && map_pages(1, 1) && extent_count == 1);
}

int main(void)
{
    /* Without an object map there is nothing to open. */
    arena = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED)
        return 1;
    test_random();
    test_edges();
    is(in_copy(renew, NULL), 0, "a forked copy goes on");
    test_full();
    return tap_done();
}
