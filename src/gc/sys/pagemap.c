#include "gc/sys/pagemap.h"

#include "base/os.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

/* <linux/fs.h> of Linux 6.7; Debian 12's headers are older. */
struct scan_region {
    uint64_t start, end, categories;
};
struct scan_arg {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)
#define SCAN_WPALLOWED (1u << 0) /* registered with WP_ASYNC */
#define SCAN_WRITTEN (1u << 1)
#define SCAN_FILE (1u << 2)
#define SCAN_PRESENT (1u << 3)
#define SCAN_SWAPPED (1u << 4)
#define SCAN_PFNZERO (1u << 5)
#define SCAN_HUGE (1u << 6)

#define SCAN_FLAG_REARM (1u << 0)  /* PM_SCAN_WP_MATCHING */
#define SCAN_FLAG_STRICT (1u << 1) /* PM_SCAN_CHECK_WPASYNC */
#define ARM_SLICE ((uintptr_t)16 << 20)

#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)
#define PAGEMAP_FILE (UINT64_C(1) << 61)

int pagemap_way;

static long pagemap_fd = -1;

typedef void range_fn(void *ctx, uintptr_t start, uintptr_t end);
typedef void armed_fn(void *ctx);

/* Which pages: of these categories they have all, none, and any unless that is 0. */
struct wanted {
    uint64_t all, none, any;
    bool rearm; /* they count as written no longer */
};

/* Calls `fn` for each run of such pages; before it `armed`, unless that is NULL, each time that the
 * kernel has armed a stretch.  False: this kernel does not have it. */
static bool scan(uintptr_t start, uintptr_t end, struct wanted wanted, armed_fn *armed,
                 range_fn *fn, void *ctx)
{
    /* What the kernel is to tell of each run: something that is the same on all its pages, so that
     * runs are not split, and nothing for which it would have to look at each page's own record,
     * which takes ten times as long. */
    const uint64_t told = wanted.all == SCAN_WRITTEN ? SCAN_WRITTEN : SCAN_WPALLOWED;
    struct scan_region regions[64];
    while (start < end) {
        struct scan_arg arg = {
            .size = sizeof arg,
            .flags = wanted.rearm ? SCAN_FLAG_REARM : 0,
            .start = start,
            .end = end,
            .vec = (uintptr_t)regions,
            .vec_len = ARRAY_LENGTH(regions),
            .category_inverted = wanted.none,
            .category_mask = wanted.all | wanted.none,
            .category_anyof_mask = wanted.any,
            .return_mask = told,
        };
        long n = RAW3(SYS_ioctl, pagemap_fd, SCAN_IOCTL, &arg);
        if (n == -EINTR)
            continue;
        if (n < 0)
            return false;
        if (wanted.rearm && armed)
            armed(ctx);
        for (long i = 0; i < n; i++)
            fn(ctx, regions[i].start, regions[i].end); /* NOLINT: the kernel has filled them */
        if (arg.walk_end <= start)
            break;
        start = arg.walk_end;
    }
    return true;
}

static bool by_scan(uintptr_t start, uintptr_t end, uint64_t none, uint64_t any, range_fn *fn,
                    void *ctx)
{
    return scan(start, end, (struct wanted){.none = none, .any = any}, NULL, fn, ctx);
}

/* Collects single pages into runs. */
struct run {
    uintptr_t start, end;
};

static void add_page(struct run *run, uintptr_t page, range_fn *fn, void *ctx)
{
    if (run->end != page) {
        if (run->end)
            fn(ctx, run->start, run->end);
        run->start = page;
    }
    run->end = page + OS_PAGE;
}

static bool by_pagemap(uintptr_t start, uintptr_t end, range_fn *fn, void *ctx)
{
    uint64_t entries[512] = {0};
    struct run run = {0, 0};
    while (start < end) {
        size_t pages = MIN((end - start) / OS_PAGE, ARRAY_LENGTH(entries));
        long n = RAW4(SYS_pread64, pagemap_fd, entries, pages * sizeof entries[0],
                      start / OS_PAGE * sizeof entries[0]);
        if (n <= 0)
            return false;
        for (size_t i = 0; i < (size_t)n / sizeof entries[0]; i++, start += OS_PAGE)
            if ((entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) && !(entries[i] & PAGEMAP_FILE))
                add_page(&run, start, fn, ctx);
    }
    if (run.end)
        fn(ctx, run.start, run.end);
    return true;
}

static void by_mincore(uintptr_t start, uintptr_t end, range_fn *fn, void *ctx)
{
    unsigned char resident[512] = {0};
    struct run run = {0, 0};
    while (start < end) {
        size_t pages = MIN((end - start) / OS_PAGE, ARRAY_LENGTH(resident));
        if (RAW3(SYS_mincore, start, pages * OS_PAGE, resident) < 0)
            break; /* unmapped: nothing to read */
        for (size_t i = 0; i < pages; i++, start += OS_PAGE)
            if (resident[i] & 1)
                add_page(&run, start, fn, ctx);
    }
    if (run.end)
        fn(ctx, run.start, run.end);
}

static void ignore_range(void *ctx, uintptr_t start, uintptr_t end)
{
    (void)ctx, (void)start, (void)end;
}

/* Tries the ways on a page that is surely there. */
void pagemap_open(void)
{
    static uintptr_t here;
    here = (uintptr_t)&here & ~(uintptr_t)(OS_PAGE - 1);
    if (pagemap_fd >= 0)
        RAW3(SYS_close, pagemap_fd, 0, 0);
    pagemap_fd = proc_self_open("pagemap", O_RDONLY);
    pagemap_way = by_scan(here, here + OS_PAGE, 0, SCAN_PRESENT, ignore_range, NULL) ? 0
                  : by_pagemap(here, here + OS_PAGE, ignore_range, NULL)             ? 1
                                                                                     : 2;
}

void pagemap_each_written(uintptr_t start, uintptr_t end, range_fn *fn, void *ctx)
{
    if (pagemap_way == 0)
        by_scan(start, end, SCAN_FILE | SCAN_PFNZERO, SCAN_PRESENT | SCAN_SWAPPED, fn, ctx);
    else if (pagemap_way == 1)
        by_pagemap(start, end, fn, ctx);
    else
        by_mincore(start, end, fn, ctx);
}

bool pagemap_each_small(uintptr_t start, uintptr_t end, range_fn *fn, void *ctx)
{
    return pagemap_way == 0 &&
           by_scan(start, end, SCAN_FILE | SCAN_PFNZERO | SCAN_HUGE, SCAN_PRESENT, fn, ctx);
}

bool pagemap_arm(uintptr_t start, uintptr_t end, range_fn *fn, void *ctx)
{
    struct scan_region regions[64];
    while (start < end) {
        struct scan_arg arg = {
            .size = sizeof arg,
            .flags = SCAN_FLAG_REARM | SCAN_FLAG_STRICT,
            .start = start,
            .end = MIN(end, start + ARM_SLICE),
            .vec = fn ? (uintptr_t)regions : 0,
            .vec_len = fn ? ARRAY_LENGTH(regions) : 0,
            .category_mask = SCAN_WRITTEN,
            .return_mask = SCAN_WRITTEN,
        };
        long n = RAW3(SYS_ioctl, pagemap_fd, SCAN_IOCTL, &arg);
        if (n == -EINTR)
            continue;
        if (n < 0)
            return false;
        for (long i = 0; i < n && fn; i++)
            fn(ctx, regions[i].start, regions[i].end); /* NOLINT: the kernel has filled them */
        uintptr_t next = fn && n == ARRAY_LENGTH(regions) ? arg.walk_end : arg.end;
        if (next <= start)
            return false;
        start = next;
    }
    return true;
}

static void note_any(void *ctx, uintptr_t start, uintptr_t end)
{
    (void)start, (void)end;
    *(bool *)ctx = true;
}

bool pagemap_all_tracked(uintptr_t start, uintptr_t end)
{
    bool any = false;
    return pagemap_way == 0 && by_scan(start, end, SCAN_WPALLOWED, 0, note_any, &any) && !any;
}

/* So few pages are looked at in less time than it takes to ask whether they are there.  To read one
 * that is not maps the zero page, in anonymous memory; in a file of tmpfs it would make a page of
 * the file. */
#define FEW_PAGES ((uintptr_t)16 * OS_PAGE)

struct with_contents {
    armed_fn *armed;
    range_fn *fn;
    void *ctx;
    bool anonymous;
};

static void those_with_contents(void *ctx, uintptr_t start, uintptr_t end)
{
    const struct with_contents *then = ctx;
    if (then->anonymous && end - start <= FEW_PAGES)
        then->fn(then->ctx, start, end);
    else
        by_scan(start, end, 0, SCAN_PRESENT | SCAN_SWAPPED, then->fn, then->ctx);
}

static void pass_armed(void *ctx)
{
    const struct with_contents *then = ctx;
    then->armed(then->ctx);
}

static bool each_dirty(uintptr_t start, uintptr_t end, bool rearm, struct with_contents then)
{
    /* Asked for written pages and nothing else the kernel is twice as fast (0.7 ms a GB).  But then
     * pages that are not there count as written too, so what it finds is asked about again. */
    return pagemap_way == 0 &&
           scan(start, end, (struct wanted){.all = SCAN_WRITTEN, .rearm = rearm},
                then.armed ? pass_armed : NULL, those_with_contents, &then);
}

bool pagemap_each_dirty(uintptr_t start, uintptr_t end, bool rearm, range_fn *fn, void *ctx)
{
    return each_dirty(start, end, rearm, (struct with_contents){NULL, fn, ctx, false});
}

bool pagemap_each_dirty_anonymous(uintptr_t start, uintptr_t end, bool rearm, armed_fn *armed,
                                  range_fn *fn, void *ctx)
{
    return each_dirty(start, end, rearm, (struct with_contents){armed, fn, ctx, true});
}

bool pagemap_each_untracked(uintptr_t start, uintptr_t end, range_fn *fn, void *ctx)
{
    return pagemap_way == 0 && by_scan(start, end, SCAN_WPALLOWED | SCAN_FILE | SCAN_PFNZERO,
                                       SCAN_PRESENT | SCAN_SWAPPED, fn, ctx);
}
