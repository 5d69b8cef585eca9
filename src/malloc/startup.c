#include "malloc/startup.h"

#include "base/compiler.h"
#include "base/os.h"
#include "malloc/entry.h"
#include "prof/prof.h"
#include "stack/unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OVER_BYTES (32u << 20)
#define RANGES 128u

/* Of a pagemap entry: a page of a file; written to (a breakpoint) it is one no more. */
#define PAGEMAP_FILE (UINT64_C(1) << 61)
#define PAGEMAP_THERE (UINT64_C(3) << 62) /* present or swapped */

static enum { NOT_LOADED, RUNNING, OVER } state;
static uintptr_t other_malloc; /* an address in another allocator's library; 0: none */

void startup_load(void)
{
    uintptr_t next = (uintptr_t)dlsym(RTLD_NEXT, "malloc"),
              libc = (uintptr_t)dlsym(RTLD_NEXT, "fork");
    struct dl_find_object a, b;
    if (next && libc && _dl_find_object((void *)next, &a) == 0 &&
        _dl_find_object((void *)libc, &b) == 0 && a.dlfo_link_map != b.dlfo_link_map)
        other_malloc = next;
    __atomic_store_n(&state, RUNNING, __ATOMIC_RELEASE);
}

void startup_renew(void)
{
    state = OVER;
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

/* What is looked at: once, by one thread. */
static struct pages ranges[RANGES];
static unsigned range_count;

static void add(struct pages pages)
{
    if (pages.start < pages.end && range_count < RANGES)
        ranges[range_count++] = pages;
}

/* All but the page that is not ours. */
static void add_whole(struct pages pages)
{
    uintptr_t gap = (uintptr_t)entry_page_tracked;
    if (gap - pages.start < pages.end - pages.start) {
        add((struct pages){pages.start, gap});
        pages.start = gap + OS_PAGE;
    }
    add(pages);
}

/* Of ours and the other allocator all of it, of others the tables for unwinding: from
 * .eh_frame_hdr to the end of its segment. */
static int visit(struct dl_phdr_info *info, size_t size, void *unused)
{
    struct pages pages;
    bool whole = holds(info, own_text_start) || (other_malloc && holds(info, other_malloc));
    (void)size, (void)unused;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t address = info->dlpi_addr + p->p_vaddr;
        if (whole && in_segment(info, i, address, &pages))
            add_whole(pages);
        for (int k = 0; p->p_type == PT_GNU_EH_FRAME && !whole && k < info->dlpi_phnum; k++)
            if (in_segment(info, k, address, &pages))
                add(pages);
    }
    return 0;
}

/* Pages that are as their file has them, or not there; `fd` is of pagemap.  A module that has been
 * unloaded meanwhile does no harm: what is dropped in its place are pages of a file too. */
static void give_back(int fd, struct pages pages)
{
    static uint64_t entries[512];
    while (pages.start < pages.end) {
        size_t count = MIN((pages.end - pages.start) / OS_PAGE, ARRAY_LENGTH(entries)), run = 0;
        if (syscall(SYS_pread64, fd, entries, count * sizeof *entries,
                    pages.start / OS_PAGE * sizeof *entries) != (long)(count * sizeof *entries))
            return;
        for (size_t i = 0; i <= count; i++) {
            if (i < count && (entries[i] & PAGEMAP_FILE || !(entries[i] & PAGEMAP_THERE)))
                continue;
            if (run < i)
                madvise((void *)(pages.start + run * OS_PAGE), (i - run) * OS_PAGE, MADV_DONTNEED);
            run = i + 1;
        }
        pages.start += count * OS_PAGE;
    }
}

/* By bare system calls: libc's are points of cancellation. */
void startup_publish(uint64_t allocated_bytes)
{
    if (LIKELY(__atomic_load_n(&state, __ATOMIC_ACQUIRE) != RUNNING) ||
        allocated_bytes < OVER_BYTES ||
        __atomic_exchange_n(&state, OVER, __ATOMIC_ACQ_REL) != RUNNING || !prof_loader_begin())
        return;
    int saved = errno;
    dl_iterate_phdr(visit, NULL);
    prof_loader_end();
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
    for (unsigned i = 0; i < range_count && fd >= 0; i++)
        give_back(fd, ranges[i]);
    if (fd >= 0)
        syscall(SYS_close, fd);
    errno = saved;
}
