#include "gc/roots/roots.h"

#include "base/os.h"
#include "gc/roots/barren.h"
#include "gc/roots/libc_stack.h"
#include "gc/roots/own_module.h"
#include "gc/roots/parked.h"
#include "gc/roots/sorted.h"
#include "gc/stop/world.h"
#include "gc/sys/fault.h"
#include "gc/sys/pagemap.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"
#include "heap/extents.h"

#include <string.h>
#include <sys/mman.h>

/* ---- what is no root ---- */

struct hole {
    uintptr_t start, end;
};

/* The main thread's pointer, which a stop that does not interrupt that thread does not learn.  It
 * is needed after pthread_exit too: the thread-locals stay mapped, and among them ours, with
 * addresses that others' blocks have by then. */
static uintptr_t main_pointer;
/* The main thread has been that from the start.  Not so in a copy that another thread has forked:
 * that one's stack may get another use after it has ended. */
static bool main_is_first;

void roots_find_main(void)
{
    uintptr_t before = main_pointer;
    main_pointer =
        os_gettid() == (int)RAW3(SYS_getpid, 0, 0, 0) ? (uintptr_t)__builtin_thread_pointer() : 0;
    main_is_first = before == 0 || before == main_pointer;
}

void roots_find_self(void)
{
    roots_find_main();
    parked_init();
    libc_stack_init();
    own_module_find();
}

struct scan {
    struct mark *mark;
    struct roots_size *size;
    struct hole *holes; /* heap and ours, sorted, apart from one another */
    size_t hole_count;
    uintptr_t *points; /* places in use on stacks, sorted */
    size_t point_count;
    uintptr_t *threads; /* thread pointers, sorted */
    size_t thread_count;
    bool main_lives;     /* the main thread is one of them: it may have ended by pthread_exit */
    uintptr_t guard_end; /* end of the last mapping without access */
    uint64_t *bytes;     /* of size, where the part of a mapping at work is counted */
    uintptr_t from;      /* of the part at work: nothing below is looked at */
    bool stack;          /* that part is one: looked at each time, as `from` may differ */
    bool code;           /* the mapping holds instructions that were made at run time */
    enum { ALL, EARLY, REST } part;
    struct roots_tracked tracked; /* unless it is ALL */
    struct roots_stack *stacks;   /* of each of world.threads; NULL: nobody asks */
    void (*each)(void *ctx, uintptr_t start, uintptr_t end); /* instead of looking */
    void *each_ctx;
};

static void add_hole(struct scan *scan, uintptr_t start, uintptr_t end)
{
    /* Whoever has part of a page of a mapping of ours has no other use of the rest. */
    if (start < end)
        scan->holes[scan->hole_count++] =
            (struct hole){start & ~(uintptr_t)4095, (end + 4095) & ~(uintptr_t)4095};
}

_Static_assert(sizeof(struct hole) == sizeof(struct extent), "a table of extents is one of holes");
_Static_assert(sizeof(struct hole) == sizeof(struct own_range), "and so is the record of ours");

/* The lists of a scan, kept from cycle to cycle. */
static uintptr_t *lists;
static size_t lists_words;
/* The thread pointers that roots_mark_early has found, in there. */
static uintptr_t *early_threads;
static size_t early_thread_count;

static bool make_room(size_t holes, size_t threads)
{
    size_t words = holes * 2 + threads * 2;
    if (words <= lists_words)
        return true;
    /* Forgotten before it goes: a fork may come between. */
    uintptr_t *old = lists;
    size_t old_words = lists_words;
    lists_words = early_thread_count = 0;
    __atomic_store_n(&lists, NULL, __ATOMIC_SEQ_CST);
    if (old)
        own_unmap(old, old_words * sizeof *old);
    words = (words + words / 4 + 511) & ~(size_t)511;
    lists = own_map(words * sizeof *lists);
    if (!lists)
        return false;
    lists_words = words;
    return true;
}

bool roots_prepare(void)
{
    size_t holes = extents_copy(NULL, 0) + own_ranges(NULL, 0) + own_module.count;
    bool ok = make_room(holes + 64, 2 * (size_t)world.count + 256);
    for (size_t i = 0; ok && i < lists_words; i += 512) /* faulted in now, not in the pause */
        ((volatile uintptr_t *)lists)[i] = 0;
    return ok;
}

/* The heap and ours, as they are now: beside the program both change, and grow. */
static bool collect_ranges(struct scan *scan)
{
    size_t heap = extents_copy(NULL, 0), ours = own_ranges(NULL, 0);
    for (;;) {
        size_t holes = heap + ours + own_module.count + 1;
        if (!make_room(holes, world.count + 1)) /* and one for the main thread, if it has ended */
            return false;
        scan->holes = (struct hole *)lists;
        scan->points = lists + holes * 2;
        scan->threads = scan->points + world.count;
        size_t heap_now = extents_copy((struct extent *)scan->holes, (unsigned)heap);
        struct own_range *own = (struct own_range *)scan->holes + MIN(heap, heap_now);
        size_t ours_now = own_ranges(own, (unsigned)ours);
        if (heap_now <= heap && ours_now <= ours) {
            scan->hole_count = heap_now;
            for (size_t i = 0; i < ours_now; i++)
                add_hole(scan, own[i].start, own[i].start + own[i].size);
            return true;
        }
        heap = MAX(heap, heap_now);
        ours = MAX(ours, ours_now);
    }
}

static bool is_stopped(const struct world_thread *thread)
{
    enum world_state state = world_state_of(thread);
    return state == WORLD_PARKED || state == WORLD_BLOCKED;
}

static bool collect(struct scan *scan)
{
    if (!collect_ranges(scan))
        return false;
    for (unsigned i = 0; i < own_module.count; i++)
        add_hole(scan, own_module.writable[i].start, own_module.writable[i].end);
    add_hole(scan, (uintptr_t)object_map, (uintptr_t)object_map + OBJECT_MAP_BYTES);
    sort_words((uintptr_t *)scan->holes, scan->hole_count, 2);
    size_t merged = 0; /* ranges of ours may lie within one another: the map, and parts of it */
    for (size_t i = 1; i < scan->hole_count; i++) {
        if (scan->holes[i].start <= scan->holes[merged].end)
            scan->holes[merged].end = MAX(scan->holes[merged].end, scan->holes[i].end);
        else
            scan->holes[++merged] = scan->holes[i];
    }
    scan->hole_count = merged + 1;

    int program = (int)RAW3(SYS_getppid, 0, 0, 0); /* we are its snapshot, or a task of it */
    for (unsigned i = 0; i < world.count; i++) {
        const struct world_thread *thread = &world.threads[i];
        if (!is_stopped(thread))
            continue;
        scan->main_lives |= thread->tid == program;
        scan->points[scan->point_count++] = parked_point(thread);
        uintptr_t pointer =
            thread->pointer || thread->tid != program ? thread->pointer : main_pointer;
        if (pointer)
            scan->threads[scan->thread_count++] = pointer;
    }
    if (main_pointer && main_is_first && !scan->main_lives)
        scan->threads[scan->thread_count++] = main_pointer;
    sort_words(scan->points, scan->point_count, 1);
    sort_words(scan->threads, scan->thread_count, 1);
    return true;
}

/* ---- looking ---- */

static void scan_run(void *ctx, uintptr_t start, uintptr_t end);

/* What a run has before and behind our thread-locals; true if there are any in it. */
static bool scan_around_tls(struct scan *scan, uintptr_t start, uintptr_t end)
{
    size_t i = lower_bound(scan->threads, scan->thread_count, 1, start + own_module.tls_end + 1);
    if (own_module.tls_start == own_module.tls_end || i == scan->thread_count ||
        scan->threads[i] - own_module.tls_start >= end)
        return false;
    uintptr_t hole = scan->threads[i] - own_module.tls_start;
    if (start < hole)
        scan_run(scan, start, hole);
    scan_run(scan, MAX(start, hole + own_module.tls_start - own_module.tls_end), end);
    return true;
}

/* Instructions made at run time have addresses in them at any byte (the JVM keeps some nowhere
 * else): whatever lies across two words and may be a pointer. */
static NOINLINE void mark_across(struct mark *mark, uintptr_t start, uintptr_t end)
{
    enum { WORDS_MAX = 256 };
    uintptr_t words[WORDS_MAX + 7], lo = mark->index->lo, span = mark->index->span;
    unsigned count = 0;
    uintptr_t at = (start + 7) & ~(uintptr_t)7, word = 0;
    for (; at + 8 <= end; at += 8) {
        if (at % 4096 == 0 && !fault_readable((const uintptr_t *)at)) {
            at += 4096 - 8; /* in place, it may be gone */
            word = 0;
            continue;
        }
        uintptr_t next = fault_load((const uintptr_t *)at);
        for (unsigned bits = 8; bits < 64; bits += 8) {
            words[count] = word >> bits | next << (64 - bits);
            count += words[count] - lo < span;
        }
        word = next;
        if (count >= WORDS_MAX) {
            mark_from(mark, (uintptr_t)words, (uintptr_t)(words + count));
            count = 0;
        }
    }
    mark_from(mark, (uintptr_t)words, (uintptr_t)(words + count));
}

static void scan_run(void *ctx, uintptr_t start, uintptr_t end)
{
    struct scan *scan = ctx;
    start = MAX(start, scan->from);
    if (start >= end || scan_around_tls(scan, start, end))
        return;
    *scan->bytes += end - start;
    mark_from(scan->mark, start, end);
    /* Code is not looked at a second time, in the stop: where an old block's only pointer has come
     * into it since, the next cycle sees that. */
    if (scan->code && scan->part != REST)
        mark_across(scan->mark, start, end);
}

/* Pages with contents that are not known to be barren; of data, as that looks at whole words. */
static void scan_and_learn(void *ctx, uintptr_t start, uintptr_t end)
{
    struct scan *scan = ctx;
    uintptr_t from = start;
    start = MAX(start, (scan->from + OS_PAGE - 1) & ~(uintptr_t)(OS_PAGE - 1));
    for (uintptr_t page = start; page < end; page += OS_PAGE)
        if (mark_none_between(scan->mark, barren_lo(), barren_span(), page, page + OS_PAGE)) {
            scan_run(scan, from, page);
            from = page + OS_PAGE;
            barren_found(page);
            *scan->bytes += OS_PAGE;
        }
    scan_run(scan, from, end);
}

static void scan_other(void *scan, uintptr_t start, uintptr_t end)
{
    pagemap_each_written(start, end, scan_and_learn, scan);
}

/* In the stop, of what has been looked at before only what has been written to since: there, pages
 * of mappings that are no longer registered (others have taken their place) count as written. */
static void scan_tracked(struct scan *scan, uintptr_t start, uintptr_t end)
{
    uint64_t *bytes = scan->bytes, again = 0;
    if (scan->part == REST) {
        scan->bytes = &again; /* counted before the stop */
        pagemap_each_dirty(start, end, false, scan_run, scan);
        pagemap_each_untracked(start, end, scan_run, scan);
    } else {
        scan->bytes = &scan->size->tracked_bytes;
        if (scan->code)
            pagemap_each_written(start, end, scan_run, scan);
        else
            barren_each_other(start, end, scan_other, scan);
    }
    scan->bytes = bytes;
}

static void scan_in_parts(struct scan *scan, uintptr_t start, uintptr_t end)
{
    for (unsigned i = 0; i < scan->tracked.count && start < end; i++) {
        struct extent range = scan->tracked.ranges[i];
        if (range.end <= start)
            continue;
        if (range.start >= end)
            break;
        if (start < range.start)
            pagemap_each_written(start, range.start, scan_run, scan);
        start = MAX(start, range.start);
        scan_tracked(scan, start, MIN(end, range.end));
        start = MIN(end, range.end);
    }
    if (start < end)
        pagemap_each_written(start, end, scan_run, scan);
}

static void scan_between(struct scan *scan, uintptr_t start, uintptr_t end)
{
    start = MAX(start, scan->from & ~(uintptr_t)4095);
    if (start >= end)
        return;
    if (scan->each)
        scan->each(scan->each_ctx, start, end);
    else if (scan->part != ALL && !scan->stack)
        scan_in_parts(scan, start, end);
    else
        pagemap_each_written(start, end, scan_run, scan);
}

static void scan_without_holes(struct scan *scan, uintptr_t start, uintptr_t end)
{
    size_t i = lower_bound((uintptr_t *)scan->holes, scan->hole_count, 2, start);
    if (i > 0) /* the one before may reach in */
        start = MIN(MAX(start, scan->holes[i - 1].end), end);
    for (; start < end; i++) {
        uintptr_t until = i < scan->hole_count ? MIN(scan->holes[i].start, end) : end;
        if (until > start)
            scan_between(scan, start, until);
        if (until == end)
            break;
        start = MAX(start, scan->holes[i].end);
    }
}

/* Devices: reading may have effects.  Memory shared with others: not ours to judge. */
static bool is_no_root(const struct proc_mapping *m)
{
    bool device = strncmp(m->path, "/dev/", 5) == 0 && strncmp(m->path, "/dev/zero", 9) != 0 &&
                  strncmp(m->path, "/dev/shm/", 9) != 0;
    return m->shared || device || strncmp(m->path, "[v", 2) == 0; /* vdso, vvar, vsyscall */
}

/* The highest thread pointer between the two; 0: there is none. */
static uintptr_t last_thread(const struct scan *scan, uintptr_t start, uintptr_t end)
{
    size_t i = lower_bound(scan->threads, scan->thread_count, 1, end);
    return i > 0 && scan->threads[i - 1] >= start ? scan->threads[i - 1] : 0;
}

/* The end of the hole that `at` is in; `at` if it is in none. */
static uintptr_t behind_hole(const struct scan *scan, uintptr_t at)
{
    size_t i = lower_bound((uintptr_t *)scan->holes, scan->hole_count, 2, at + 1);
    return i > 0 ? MAX(scan->holes[i - 1].end, at) : at;
}

/* The start of the hole that ends at `at` or goes beyond; `at` if there is none. */
static uintptr_t before_hole(const struct scan *scan, uintptr_t at)
{
    size_t i = lower_bound((uintptr_t *)scan->holes, scan->hole_count, 2, at);
    return i > 0 && scan->holes[i - 1].end >= at ? scan->holes[i - 1].start : at;
}

/* Notes whose stack a part is, of which only what lies above `points[point]` is alive.  Whether it
 * is left out: not if others are on it too. */
static bool note_stack(struct scan *scan, const struct libc_stack *part, size_t point)
{
    bool shared = point + 1 < scan->point_count && scan->points[point + 1] < part->end;
    for (unsigned i = 0; scan->stacks && i < world.count; i++) {
        struct roots_stack *stack = &scan->stacks[i];
        if (!is_stopped(&world.threads[i]) ||
            parked_point(&world.threads[i]) != scan->points[point])
            continue;
        stack->start = part->start;
        stack->from = scan->points[point];
        stack->end = part->end;
        stack->left_out &= !shared;
        return stack->left_out;
    }
    return false;
}

/* On a thread's own stack nothing below the lowest place in use is alive, and on that of a thread
 * that has ended struct pthread alone: it may hold the result for pthread_join, or the argument of
 * a thread about to be born.  Elsewhere a place in use says nothing about the rest: there may be a
 * dozen coroutine stacks. */
static void scan_part(struct scan *scan, const struct proc_mapping *m,
                      const struct libc_stack *part)
{
    bool is_main = strcmp(m->path, "[stack]") == 0;
    size_t point = lower_bound(scan->points, scan->point_count, 1, part->start);
    bool in_use = point < scan->point_count && scan->points[point] < part->end;
    uintptr_t thread = last_thread(scan, part->start, part->end);
    bool is_its_own = thread && thread == part->thread && !last_thread(scan, part->start, thread);
    scan->bytes = in_use || thread ? &scan->size->stack_bytes : &scan->size->globals_bytes;
    scan->from = part->start;
    scan->stack = part->thread;
    if (in_use && (is_main || is_its_own)) {
        scan->from = scan->points[point];
        if (note_stack(scan, part, point))
            return;
    } else if (!in_use && !thread && part->thread) {
        scan->from = part->thread;
    } else if (!in_use && !thread && is_main && !scan->main_lives) {
        scan->from = part->end;
    }
    scan_without_holes(scan, part->start, part->end);
}

/* The stacks at the end of a mapping, from the highest on, and at last the rest.  They are looked
 * for where there are likely to be any: each look is a system call, in the stop too. */
static void scan_parts(struct scan *scan, const struct proc_mapping *m)
{
    uintptr_t first = behind_hole(scan, m->start);
    bool behind_guard = scan->guard_end == m->start;
    bool is_likely = first < m->end && (behind_guard || last_thread(scan, first, m->end) ||
                                        libc_stack_is_guard(first));
    struct libc_stack rest = {m->start, MAX(before_hole(scan, m->end), m->start), 0}, stack;
    while (is_likely && libc_stack_at_end(rest.start, rest.end, behind_guard,
                                          last_thread(scan, rest.start, rest.end), &stack)) {
        scan_part(scan, m, &stack);
        rest.end = MAX(before_hole(scan, stack.start), rest.start);
    }
    scan_part(scan, m, &rest);
}

/* A mapping that cannot be read: may be the guard of a stack, which is private memory as that is.
 * The segment's tables, reserved and shared, are none: what the program has mapped behind them is
 * no stack, and may be large. */
static void note_guard(struct scan *scan, const struct proc_mapping *m)
{
    if (!m->shared)
        scan->guard_end = m->end;
}

static void scan_mapping(void *ctx, const struct proc_mapping *m)
{
    struct scan *scan = ctx;
    if (!m->readable) {
        note_guard(scan, m);
        return;
    }
    if (is_no_root(m))
        return;
    /* Code, and what the loader has relocated: has been looked at.  Who makes such a page writable
     * for a moment, and puts a block's only pointer there, is seen in the next cycle; one is not
     * enough to call it a leak. */
    if (scan->part == REST && !m->writable && m->inode)
        return;
    scan->code = m->executable && !m->inode;
    if (m->writable && !m->inode)
        scan_parts(scan, m);
    else
        scan_part(scan, m, &(struct libc_stack){m->start, m->end, 0});
}

/* Stacks that are blocks of the heap (coroutines): alive from the place in use on, and not below.
 */
static void scan_heap_stacks(struct scan *scan)
{
    for (size_t i = 0; i < scan->point_count; i++) {
        size_t size;
        uintptr_t block = heap_index_resolve(scan->mark->index, scan->points[i], &size);
        /* Sorted, so the lowest of several in a block comes first. */
        if (block && mark_reach(scan->mark, block)) {
            scan->size->stack_bytes += block + size - scan->points[i];
            mark_from(scan->mark, scan->points[i], block + size);
        }
    }
}

static void scan_registers(void *ctx, uintptr_t start, uintptr_t end)
{
    struct scan *scan = ctx;
    scan->size->stack_bytes += end - start;
    mark_from(scan->mark, start, end);
}

/* An alternate stack in the heap, of which the kernel alone may have the address, is reached when
 * we are on it. */
static void scan_thread(struct scan *scan, const struct world_thread *thread)
{
    uintptr_t handler = (uintptr_t)thread->context;
    if (world_state_of(thread) != WORLD_PARKED)
        return;
    parked_each_register(thread, scan_registers, scan);
    mark_from(scan->mark, (uintptr_t)&handler, (uintptr_t)(&handler + 1));
}

static void scan_parked(struct scan *scan)
{
    for (unsigned i = 0; i < world.count; i++)
        if (!scan->stacks || !scan->stacks[i].left_out)
            scan_thread(scan, &world.threads[i]);
}

static bool mark_part(struct mark *mark, struct roots_size *size, int part,
                      struct roots_tracked tracked, struct roots_stack *stacks)
{
    struct scan scan = {
        .mark = mark, .size = size, .part = part, .tracked = tracked, .stacks = stacks};
    *size = (struct roots_size){.tracked_bytes = part == REST ? size->tracked_bytes : 0};
    if (!collect(&scan))
        return false;
    early_threads = scan.threads;
    early_thread_count = scan.thread_count;
    scan_heap_stacks(&scan);
    bool ok = proc_each_mapping(scan_mapping, &scan);
    /* Behind it: only now is it known whose stacks have been left out. */
    if (part != EARLY)
        scan_parked(&scan);
    size->globals_bytes += size->tracked_bytes;
    return ok;
}

bool roots_mark(struct mark *mark, struct roots_size *size)
{
    return mark_part(mark, size, ALL, (struct roots_tracked){NULL, 0}, NULL);
}

bool roots_mark_but(struct mark *mark, struct roots_size *size, struct roots_stack *stacks)
{
    for (unsigned i = 0; i < world.count; i++)
        stacks[i].start = stacks[i].from = stacks[i].end = 0;
    if (!mark_part(mark, size, ALL, (struct roots_tracked){NULL, 0}, stacks))
        return false;
    /* One whose stack has no place of its own was looked at with what lies around it. */
    for (unsigned i = 0; i < world.count; i++)
        if (stacks[i].left_out && !stacks[i].end)
            roots_mark_stack(mark, stacks, i);
    return true;
}

void roots_mark_stack(struct mark *mark, struct roots_stack *stacks, unsigned thread)
{
    uint64_t bytes = 0;
    struct roots_size size = {0};
    struct scan scan = {.mark = mark, .size = &size, .bytes = &bytes};
    scan.threads = early_threads;
    scan.thread_count = early_thread_count;
    stacks[thread].left_out = false;
    scan_thread(&scan, &world.threads[thread]);
    scan_run(&scan, stacks[thread].from, stacks[thread].end);
}

bool roots_mark_early(struct mark *mark, struct roots_size *size, struct roots_tracked tracked)
{
    return mark_part(mark, size, EARLY, tracked, NULL);
}

void roots_mark_again(struct mark *mark, uintptr_t start, uintptr_t end)
{
    uint64_t bytes = 0; /* counted the first time */
    barren_written(NULL, start, end);
    struct scan scan = {.mark = mark, .bytes = &bytes};
    scan.threads = early_threads;
    scan.thread_count = early_thread_count;
    scan_run(&scan, start, end);
}

bool roots_mark_rest(struct mark *mark, struct roots_size *size, struct roots_tracked tracked)
{
    return mark_part(mark, size, REST, tracked, NULL);
}

/* Behind a guard there are stacks: what is alive on them is known in the stop.  Those whose guards
 * are marks are taken for what lasts: nothing is read here, as a read could fault. */
static void scan_lasting(void *ctx, const struct proc_mapping *m)
{
    struct scan *scan = ctx;
    scan->from = m->start;
    if (!m->readable)
        note_guard(scan, m);
    else if (m->writable && !is_no_root(m) && scan->guard_end != m->start &&
             strcmp(m->path, "[stack]") != 0)
        scan_without_holes(scan, m->start, m->end);
}

bool roots_each_lasting(void (*fn)(void *ctx, uintptr_t start, uintptr_t end), void *ctx)
{
    struct scan scan = {.each = fn, .each_ctx = ctx};
    world.count = 0; /* of an earlier stop */
    return collect(&scan) && proc_each_mapping(scan_lasting, &scan);
}
