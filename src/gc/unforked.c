#include "gc/unforked.h"

#include "base/compiler.h"
#include "base/os.h"
#include "gc/proc.h"
#include "gc/raw.h"

#include <sys/mman.h>

#define MOST 65536u /* mappings: more than a process may have by default */

struct range {
    uintptr_t start, end;
};
static struct range *list;
static unsigned count;

static void add(void *ctx, const struct proc_mapping *m)
{
    (void)ctx;
    if (m->shared || !m->writable || m->inode || count == MOST)
        return;
    if (count && list[count - 1].end == m->start)
        list[count - 1].end = m->end;
    else
        list[count++] = (struct range){m->start, m->end};
}

void unforked_list(void)
{
    if (!list) {
        void *room = mmap(NULL, MOST * sizeof *list, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (room == MAP_FAILED)
            return;
        own_note(room, MOST * sizeof *list, 0);
        list = room;
    }
    count = 0;
    proc_each_mapping(add, NULL);
}

struct search {
    struct unforked *missing;
    unsigned next;  /* of the list */
    uintptr_t from; /* of that range, what is still to be found */
};

static void lacks(struct search *s)
{
    if (s->missing->count < UNFORKED_MOST)
        s->missing->at[s->missing->count++] = s->from;
}

/* Mappings come in order of address, as the list does. */
static void compare(void *ctx, const struct proc_mapping *m)
{
    struct search *s = ctx;
    for (; s->next < count; s->next++) {
        const struct range *wanted = &list[s->next];
        s->from = MAX(s->from, wanted->start);
        if (m->end <= s->from)
            return; /* it lies before */
        if (m->start > s->from)
            lacks(s);
        if (m->start >= wanted->end)
            continue;
        s->from = m->end;
        if (s->from < wanted->end)
            return; /* the rest of it may come */
    }
}

void unforked_find(struct unforked *missing)
{
    struct search search = {.missing = missing};
    missing->count = 0;
    if (!proc_each_mapping(compare, &search))
        return;
    for (; search.next < count; search.next++) {
        search.from = MAX(search.from, list[search.next].start);
        lacks(&search);
    }
}

bool unforked_is_there(const struct unforked *missing)
{
    unsigned char resident;
    if (missing->count >= UNFORKED_MOST) /* there may be more */
        return true;
    for (unsigned i = 0; i < missing->count; i++)
        if (RAW3(SYS_mincore, missing->at[i] & ~(uint64_t)(OS_PAGE - 1), OS_PAGE, &resident) == 0)
            return true;
    return false;
}

void unforked_renew(void)
{
    count = 0;
}
