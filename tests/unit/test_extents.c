/* The table of mapped ranges against a bitmap, over random maps and unmaps at fixed places of one
 * reservation; then filled to its end. */
#include "core_test.h"
#include "heap/extents.h"
#include "heap/object_map.h"
#include "tap.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* The arena as a whole, so that nothing else comes to lie where the tests map and unmap: to be
 * called before a table of extents.c is made. */
static bool reserve(void)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (arena ? MAP_FIXED : 0);
    arena = mmap(arena, PAGES * PAGE, PROT_NONE, flags, -1, 0);
    return arena != MAP_FAILED;
}

/* Memory from elsewhere, with what jemalloc maps in between: what has been adopted goes by
 * extents_release and nothing else, and of the map what it needs is open. */
static int adopt(void *argument)
{
    static bool adopted[PAGES + 1];
    const char *reason = NULL;
    (void)argument;
    if (!object_map_init(&reason))
        return 77;
    extents_adopt_all();
    unsigned wrong = !reserve() || !extents_adopt((uintptr_t)arena, (uintptr_t)arena + PAGE);
    extents_release((uintptr_t)arena, (uintptr_t)arena + PAGE);
    for (int i = 0; i < ROUNDS / 4 && !wrong; i++) {
        size_t first = draw(PAGES), count = 1 + draw(draw(20) ? 4 : 200);
        unsigned what = (unsigned)draw(4);
        if (count > PAGES - first)
            count = PAGES - first;
        uintptr_t start = (uintptr_t)arena + first * PAGE, end = start + count * PAGE;
        if (what == 0)
            wrong += !map_pages(first, count);
        else if (what == 1)
            heap_munmap(arena + first * PAGE, count * PAGE);
        else if (what == 2)
            wrong += !extents_adopt(start, end);
        else
            extents_release(start, end);
        for (size_t page = first; page < first + count; page++) {
            if (what == 2 && !mapped[page])
                adopted[page] = true;
            if (what == 2)
                *object_byte(arena + page * PAGE) = 0;
            if (what == 3 && !adopted[page])
                continue;
            mapped[page] = what == 0 || what == 2;
            if (what == 1 || what == 3)
                adopted[page] = adopted[page] && what != 3;
        }
        wrong += !same();
    }
    uintptr_t above = UINT64_C(1) << 47;
    wrong += extents_adopt(above - PAGE, above + PAGE) || extents_adopt(above, above + PAGE);
    return wrong != 0;
}

#if !WITH_TSAN /* they race on purpose */
/* Copies taken from beside are the table as it was at some moment: the range in the middle is in it
 * or not, and the rest always is. */
static bool changing;

static void *change(void *argument)
{
    while (__atomic_load_n(&changing, __ATOMIC_RELAXED)) {
        map_pages(500, 10);
        heap_munmap(arena + 500 * PAGE, 10 * PAGE);
        map_pages(400, 50);
        heap_munmap(arena + 400 * PAGE, 50 * PAGE);
    }
    return argument;
}

static void test_copy(void)
{
    static struct extent to[EXTENTS_MAX];
    enum { RANGES = 100 };
    unsigned wrong = 0, with[3] = {0};
    pthread_t thread;
    for (size_t i = 0; i < RANGES; i++)
        map_pages(i < 50 ? 2 * i : 1000 + 2 * i, 1);
    ok(extents_copy(to, RANGES - 1) == RANGES && to[0].start == 0, "no room: only the number");
    changing = true;
    pthread_create(&thread, NULL, change, NULL);
    for (int i = 0; i < 100000 || (!with[1] && i < 10000000); i++) {
        bool pin = i % 50 == 0;
        if (pin)
            extents_pin();
        unsigned count = extents_copy(to, EXTENTS_MAX), at = 0;
        for (size_t k = 0; k < RANGES; k++) {
            uintptr_t page = (uintptr_t)arena + (k < 50 ? 2 * k : 1000 + 2 * k) * PAGE;
            if (k == 50 && count == RANGES + 1) {
                uintptr_t pages = (to[at].end - to[at].start) / PAGE;
                wrong += !(pages == 10 && to[at].start == (uintptr_t)arena + 500 * PAGE) &&
                         !(pages == 50 && to[at].start == (uintptr_t)arena + 400 * PAGE);
                at++;
            }
            wrong += to[at].start != page || to[at].end != page + PAGE;
            at++;
        }
        wrong += at != count;
        with[count == RANGES + 1]++;
        if (pin)
            extents_unpin();
    }
    __atomic_store_n(&changing, false, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    ok(wrong == 0 && with[0] + with[1] > 0,
       "copies beside changes are whole: %u with the range that comes and goes, %u without",
       with[1], with[0]);
    heap_munmap(arena, PAGES * PAGE);
}
#endif

static int renew(void *argument)
{
    (void)argument;
    extents_postfork_child();
    return !(extents_stable() && map_pages(1, 1) && extent_count == 1);
}

#if !WITH_TSAN
static void *map_on(void *stop)
{
    while (!__atomic_load_n((bool *)stop, __ATOMIC_RELAXED)) {
        map_pages(1, 1);
        heap_munmap(arena + PAGE, PAGE);
    }
    return NULL;
}

/* 0: the table is whole; 1: it is not, and says so. */
static int look_at_copy(void)
{
    extents_postfork_child();
    if (extents_torn())
        return 1;
    for (unsigned i = 1; i < extent_count; i++)
        if (extents[i - 1].end >= extents[i].start)
            return 2;
    return extent_count == PAGES / 2 || extent_count == PAGES / 2 - 1 ? 0 : 3;
}

static void test_forks(void)
{
    enum { FORKS = 300 };
    unsigned ends[5] = {0};
    bool stop = false;
    pthread_t thread;
    clear();
    for (size_t page = 0; page < PAGES; page += 2)
        map_pages(page, 1);
    pthread_create(&thread, NULL, map_on, &stop);
    for (int i = 0; i < FORKS; i++) {
        int status = 4 << 8;
        pid_t pid = fork();
        if (pid == 0)
            _exit(look_at_copy());
        waitpid(pid, &status, 0);
        ends[status >> 8 < 4 ? status >> 8 : 4]++;
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    clear();
    ok(ends[0] + ends[1] == FORKS, "of %d copies forked beside changes %u know that they have none",
       FORKS, ends[1]);
}
#endif

int main(void)
{
    /* Without an object map there is nothing to open. */
    if (!reserve() || !map_pages(0, 1))
        return 1;
    extents_pin();
    map_pages(2, 1);
    extents_unpin();
    clear();
    test_random();
    test_edges();
    is(in_copy(renew, NULL), 0, "a forked copy goes on");
    int adopting = in_copy(adopt, NULL);
    if (adopting == 77)
        tap_skip("memory from elsewhere", "no address space");
    else
        is(adopting, 0, "memory from elsewhere is listed until it is given back");
#if WITH_TSAN
    tap_skip("copies beside changes", "this test races on purpose");
#else
    test_copy();
    test_forks();
#endif
    test_full();
    return tap_done();
}
