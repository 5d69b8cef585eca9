#include "gc/roots/libc_stack.h"

#include "base/compiler.h"
#include "base/os.h"
#include "gc/sys/fault.h"
#include "gc/sys/pagemap.h"
#include "gc/sys/raw.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* Struct pthread is no further from the end of its stack. */
#define TOP_BYTES 16384u

/* The word of struct pthread that has the start of the stack; the size is behind it (glibc:
 * stackblock).  0: not known. */
static unsigned stack_field;
static bool has_marks;

void libc_stack_init(void)
{
    void *page = own_map(OS_PAGE);
    if (!page)
        return;
    has_marks = RAW3(SYS_madvise, page, OS_PAGE, MADV_GUARD_INSTALL) == 0;
    own_unmap(page, OS_PAGE);
}

NO_SANITIZE void libc_stack_find_field(const void *stack, size_t size)
{
    const uintptr_t *thread = __builtin_thread_pointer();
    const uintptr_t *end = (const uintptr_t *)((uintptr_t)stack + size) - 1;
    for (const uintptr_t *word = thread + 1; word < end && !stack_field; word++)
        if (word[0] == (uintptr_t)stack && word[1] == size)
            stack_field = (unsigned)(word - thread);
}

/* The kernel reads the set, in vain, before it finds that there is no such `how`. */
static void note_unreadable(void *ctx, uintptr_t start, uintptr_t end)
{
    (void)end;
    *(bool *)ctx = RAW4(SYS_rt_sigprocmask, -1, start, NULL, sizeof(uint64_t)) == -EFAULT;
}

/* pagemap tells of a mark as of a page that was written to, so no other page is touched. */
bool libc_stack_is_guard(uintptr_t page)
{
    bool is = false;
    if (has_marks)
        pagemap_each_written(page, page + OS_PAGE, note_unreadable, &is);
    return is;
}

struct search {
    uintptr_t start, end; /* of the piece */
    bool behind_guard;
    struct libc_stack *found;
};

/* Whether struct pthread is there, of a stack at the end of the piece. */
static NO_SANITIZE bool is_thread(const struct search *search, uintptr_t at)
{
    const uintptr_t *word = (const uintptr_t *)at;
    if (fault_load(&word[0]) != at || fault_load(&word[2]) != at) /* both point at it */
        return false;
    uintptr_t start = fault_load(&word[stack_field]), size = fault_load(&word[stack_field + 1]);
    if (at - start >= size || search->end - start < size)
        return false;
    if (!(start <= search->start && search->behind_guard) &&
        !(start >= search->start && start % OS_PAGE == 0 && libc_stack_is_guard(start)))
        return false;
    *search->found = (struct libc_stack){MAX(start, search->start), search->end, at};
    return true;
}

static void find_thread(void *ctx, uintptr_t from, uintptr_t to)
{
    for (uintptr_t at = to; at > from && !is_thread(ctx, at - 64); at -= 64)
        ;
}

bool libc_stack_at_end(uintptr_t start, uintptr_t end, bool behind_guard, uintptr_t live,
                       struct libc_stack *found)
{
    struct search search = {start, end, behind_guard, found};
    uintptr_t top = end - start > TOP_BYTES ? end - TOP_BYTES : start;
    found->thread = 0;
    if (!stack_field)
        return false;
    if (live >= top)
        return is_thread(&search, live);
    pagemap_each_written(top, end, find_thread, &search);
    return found->thread;
}
