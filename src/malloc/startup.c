#include "malloc/startup.h"

#include "base/compiler.h"
#include "base/os.h"
#include "malloc/entry.h"
#include "stack/loaded.h"
#include "stack/modules.h"
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

/* Of a pagemap entry.  A page of a file that has been written to (a breakpoint) has no FILE any
 * more. */
#define PAGEMAP_FILE (UINT64_C(1) << 61)
#define PAGEMAP_THERE (UINT64_C(3) << 62) /* present or swapped */

static enum { NOT_LOADED, RUNNING, OVER } state;
static uintptr_t other_malloc; /* an address in another allocator's library; 0: none */

void startup_load(void)
{
    uintptr_t next = (uintptr_t)dlsym(RTLD_NEXT, "malloc"),
              libc = (uintptr_t)dlsym(RTLD_NEXT, "fork");
    struct loaded a, b;
    if (next && libc && loaded_at(next, &a) && loaded_at(libc, &b) && a.identity != b.identity)
        other_malloc = next;
    __atomic_store_n(&state, RUNNING, __ATOMIC_RELEASE);
}

void startup_postfork_child(void)
{
    state = OVER;
}

/* Pages of a module that nobody writes to: code, and tables that need no relocation. */
struct pages {
    uintptr_t start, end;
};

/* What is looked at: once in a process, by the thread that has made `state` OVER. */
static struct pages ranges[RANGES];
static unsigned range_count;

static void add(uintptr_t start, uintptr_t end)
{
    start = (start + OS_PAGE - 1) & ~(uintptr_t)(OS_PAGE - 1);
    end &= ~(uintptr_t)(OS_PAGE - 1);
    if (start < end && range_count < RANGES)
        ranges[range_count++] = (struct pages){start, end};
}

/* All that is not written to of the module that holds `address`, but for the page that is not ours.
 */
static void add_module(uintptr_t address)
{
    unsigned count;
    uintptr_t gap = entry_page_gone();
    struct loaded object;
    const ElfW(Phdr) *headers =
        address && loaded_at(address, &object) ? loaded_headers(&object, &count) : NULL;
    for (unsigned i = 0; headers && i < count; i++) {
        uintptr_t start = object.bias + headers[i].p_vaddr, end = start + headers[i].p_memsz;
        if (headers[i].p_type != PT_LOAD || headers[i].p_flags & PF_W)
            continue;
        if (gap - start < end - start) {
            add(start, gap);
            start = gap + OS_PAGE;
        }
        add(start, end);
    }
}

/* Not of what may be unloaded: between the look at a page and its dropping there may be another, of
 * the program's own memory. */
static void add_lasting(uintptr_t start, uintptr_t end)
{
    struct loaded object;
    if (loaded_at(start, &object) && loaded_for_ever(&object))
        add(start, end);
}

/* Pages that are as their file has them, or not there; `fd` is of pagemap. */
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
        __atomic_exchange_n(&state, OVER, __ATOMIC_ACQ_REL) != RUNNING)
        return;
    int saved = errno;
    /* Of ours and the other allocator all of it, of others the tables that stacks have touched. */
    add_module(own_text_start);
    add_module(other_malloc);
    modules_each_tables(add_lasting);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
    for (unsigned i = 0; i < range_count && fd >= 0; i++)
        give_back(fd, ranges[i]);
    if (fd >= 0)
        syscall(SYS_close, fd);
    errno = saved;
}
