#include "malloc/startup.h"

#include "base/compiler.h"
#include "base/os.h"
#include "malloc/entry.h"
#include "stack/unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

/* The first look needs a file of /proc, so it comes where the segment's file is made, before a
 * program has shut itself in. */
#define LOOK_BYTES (512u << 10)
#define OVER_BYTES (32u << 20)

/* Set in a pagemap entry of a page of a file; clear in one that was written to (a breakpoint). */
#define PAGEMAP_FILE (UINT64_C(1) << 61)
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)

static uintptr_t other_malloc; /* an address in another allocator's library; 0: none */

void startup_load(void)
{
    uintptr_t next = (uintptr_t)dlsym(RTLD_NEXT, "malloc"),
              libc = (uintptr_t)dlsym(RTLD_NEXT, "fork");
    struct dl_find_object a, b;
    if (next && libc && _dl_find_object((void *)next, &a) == 0 &&
        _dl_find_object((void *)libc, &b) == 0 && a.dlfo_link_map != b.dlfo_link_map)
        other_malloc = next;
}

/* Pages of a module that nobody writes to: code, and tables that need no relocation. */
struct pages {
    uintptr_t start, end;
};

/* Segment `i` of a module from `from` on, if it is to be given back. */
static bool in_segment(const struct dl_phdr_info *info, int i, uintptr_t from, struct pages *pages)
{
    const ElfW(Phdr) *p = &info->dlpi_phdr[i];
    uintptr_t start = info->dlpi_addr + p->p_vaddr;
    if (p->p_type != PT_LOAD || p->p_flags & PF_W || from - start >= p->p_memsz)
        return false;
    pages->start = (from + OS_PAGE - 1) & ~(uintptr_t)(OS_PAGE - 1);
    pages->end = (start + p->p_memsz) & ~(uintptr_t)(OS_PAGE - 1);
    return pages->start < pages->end;
}

static bool holds(const struct dl_phdr_info *info, uintptr_t address)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && address - info->dlpi_addr - p->p_vaddr < p->p_memsz)
            return true;
    }
    return false;
}

typedef void range_fn(void *ctx, struct pages pages);
struct visit {
    range_fn *fn;
    void *ctx;
};

/* All but the page that is not ours. */
static void visit_whole(const struct visit *v, struct pages pages)
{
    uintptr_t gap = (uintptr_t)entry_page_tracked;
    if (gap - pages.start < pages.end - pages.start) {
        v->fn(v->ctx, (struct pages){pages.start, gap});
        pages.start = gap + OS_PAGE;
    }
    v->fn(v->ctx, pages);
}

/* Of ours and the other allocator all of it, of others the tables for unwinding: from
 * .eh_frame_hdr to the end of its segment. */
static int visit(struct dl_phdr_info *info, size_t size, void *ctx)
{
    struct visit *v = ctx;
    struct pages pages;
    bool whole = holds(info, own_text_start) || (other_malloc && holds(info, other_malloc));
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t address = info->dlpi_addr + p->p_vaddr;
        if (whole && in_segment(info, i, address, &pages))
            visit_whole(v, pages);
        for (int k = 0; p->p_type == PT_GNU_EH_FRAME && !whole && k < info->dlpi_phnum; k++)
            if (in_segment(info, k, address, &pages))
                v->fn(v->ctx, pages);
    }
    return 0;
}

struct look {
    int fd; /* pagemap */
    bool written;
};

static void look(void *ctx, struct pages pages)
{
    struct look *l = ctx;
    static uint64_t entries[512];
    for (uintptr_t at = pages.start; at < pages.end && !l->written;) {
        size_t count = MIN((pages.end - at) / OS_PAGE, ARRAY_LENGTH(entries));
        ssize_t got =
            pread(l->fd, entries, count * sizeof *entries, (off_t)(at / OS_PAGE * sizeof *entries));
        l->written |= got != (ssize_t)(count * sizeof *entries);
        for (size_t i = 0; i < count && !l->written; i++)
            l->written = (entries[i] & (PAGEMAP_PRESENT | PAGEMAP_FILE)) == PAGEMAP_PRESENT;
        at += count * OS_PAGE;
    }
}

static void give_back(void *ctx, struct pages pages)
{
    (void)ctx;
    if (pages.start < pages.end)
        madvise((void *)pages.start, pages.end - pages.start, MADV_DONTNEED);
}

/* Whether these pages are as their files have them: a debugger that has set breakpoints, or
 * somebody who patches code, would lose them. */
static bool unwritten(void)
{
    struct look l = {.fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)};
    if (l.fd < 0)
        return false;
    dl_iterate_phdr(visit, &(struct visit){look, &l});
    close(l.fd);
    return !l.written;
}

void startup_publish(uint64_t allocated_bytes)
{
    static enum { FRESH, LOOKED, OVER } state;
    int now = __atomic_load_n(&state, __ATOMIC_RELAXED);
    if (LIKELY(now == OVER) || allocated_bytes < (now == FRESH ? LOOK_BYTES : OVER_BYTES))
        return;
    /* Whoever is first does it; the next step waits until it is done. */
    if (__atomic_exchange_n(&state, OVER, __ATOMIC_ACQ_REL) == OVER)
        return;
    int saved = errno;
    if (now == FRESH)
        __atomic_store_n(&state, unwritten() ? LOOKED : OVER, __ATOMIC_RELEASE);
    else
        dl_iterate_phdr(visit, &(struct visit){give_back, NULL});
    errno = saved;
}
