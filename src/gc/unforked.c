#include "gc/unforked.h"

#include "base/compiler.h"
#include "base/os.h"
#include "gc/proc.h"
#include "gc/raw.h"

#include <fcntl.h>
#include <string.h>
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

/* One line of smaps: the first of a mapping has its range, a later one its flags. */
static bool line_says_so(const struct unforked *missing, const char *line, struct range *at)
{
    const char *end;
    if (*line <= '9' || *line >= 'a') {
        at->start = proc_number(line, 16, &end);
        at->end = proc_number(end + 1, 16, &end);
        return false;
    }
    if (strncmp(line, "VmFlags:", 8) != 0 || !strstr(line, " dc"))
        return false;
    for (unsigned i = 0; i < missing->count; i++)
        if (missing->at[i] - at->start < at->end - at->start)
            return true;
    return missing->count == UNFORKED_MOST; /* there may be more */
}

bool unforked_is_there(const struct unforked *missing)
{
    static char buf[16384];
    struct range at = {0, 0};
    bool found = false;
    long fd = missing->count ? proc_self_open("smaps", O_RDONLY) : -1, n;
    if (fd < 0)
        return missing->count; /* nobody can tell */
    size_t have = 0;
    while (!found && (n = RAW3(SYS_read, fd, buf + have, sizeof buf - 1 - have)) > 0) {
        have += (size_t)n;
        char *line = buf, *newline;
        while (!found && (newline = memchr(line, '\n', have - (size_t)(line - buf)))) {
            *newline = 0;
            found = line_says_so(missing, line, &at);
            line = newline + 1;
        }
        have -= (size_t)(line - buf);
        memmove(buf, line, have);
    }
    RAW3(SYS_close, fd, 0, 0);
    return found;
}

void unforked_renew(void)
{
    count = 0;
}
