#include "gc/engine/dontfork.h"

#include "base/compiler.h"
#include "base/os.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define RANGES_MAX 65536u /* mappings: more than a process may have by default */
#define MISSING_MAX 32u

struct range {
    uintptr_t start, end;
};
/* Mappings, those side by side as one. */
struct list {
    uint32_t count;
    struct range ranges[RANGES_MAX];
};
static struct list *before, *after;
static struct list *copied; /* shared with the child, which writes it */

static struct {
    unsigned count;
    struct range ranges[MISSING_MAX];
} missing;

static void add(struct list *list, const struct proc_mapping *m)
{
    if (list->count && list->ranges[list->count - 1].end == m->start)
        list->ranges[list->count - 1].end = m->end;
    else if (list->count < RANGES_MAX)
        list->ranges[list->count++] = (struct range){m->start, m->end};
}

static void add_any(void *ctx, const struct proc_mapping *m)
{
    add(ctx, m);
}

static void add_private(void *ctx, const struct proc_mapping *m)
{
    if (!m->shared && m->writable && !m->inode)
        add(ctx, m);
}

static struct list *room(int flags)
{
    return own_map_as(sizeof(struct list), PROT_READ | PROT_WRITE, MAP_NORESERVE | flags, 0);
}

void dontfork_before(void)
{
    if (!copied) {
        before = before ? before : room(MAP_PRIVATE);
        after = after ? after : room(MAP_PRIVATE);
        if (!before || !after || !(copied = room(MAP_SHARED)))
            return;
    }
    before->count = after->count = copied->count = 0;
    proc_each_mapping(add_private, before);
}

void dontfork_copied(void)
{
    if (!copied)
        return;
    copied->count = 0; /* of an attempt that was given up */
    proc_each_mapping(add_any, copied);
}

void dontfork_after(void)
{
    if (copied)
        proc_each_mapping(add_private, after);
}

/* What the copy lacks of each range. */
static void find_missing(const struct list *wanted)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < wanted->count; i++) {
        uintptr_t at = wanted->ranges[i].start, end = wanted->ranges[i].end;
        while (next < copied->count && copied->ranges[next].end <= at)
            next++;
        for (uint32_t k = next; at < end; k++) {
            struct range have = k < copied->count ? copied->ranges[k] : (struct range){end, end};
            if (at < have.start && missing.count < MISSING_MAX)
                missing.ranges[missing.count++] = (struct range){at, MIN(end, have.start)};
            at = MAX(at, have.end);
        }
    }
}

/* One line of smaps: the first of a mapping has its range, a later one its flags. */
static bool line_says_so(const char *line, struct range *at)
{
    const char *end;
    if (*line <= '9' || *line >= 'a') {
        at->start = proc_number(line, 16, &end);
        at->end = proc_number(end + 1, 16, &end);
        return false;
    }
    if (strncmp(line, "VmFlags:", 8) != 0 || !strstr(line, " dc"))
        return false;
    for (unsigned i = 0; i < missing.count; i++)
        if (missing.ranges[i].start < at->end && at->start < missing.ranges[i].end)
            return true;
    return missing.count == MISSING_MAX; /* there may be more */
}

bool dontfork_any(void)
{
    missing.count = 0;
    if (!copied || !copied->count)
        return false; /* nobody can tell */
    find_missing(before);
    find_missing(after);
    if (!missing.count)
        return false;
    static char buf[16384];
    struct range at = {0, 0};
    bool found = false;
    long fd = proc_self_open("smaps", O_RDONLY), n;
    if (fd < 0)
        return true; /* the safer answer */
    size_t have = 0;
    while (!found && (n = RAW3(SYS_read, fd, buf + have, sizeof buf - 1 - have)) > 0) {
        have += (size_t)n;
        char *line = buf, *newline;
        while (!found && (newline = memchr(line, '\n', have - (size_t)(line - buf)))) {
            *newline = 0;
            found = line_says_so(line, &at);
            line = newline + 1;
        }
        have -= (size_t)(line - buf);
        memmove(buf, line, have);
    }
    RAW3(SYS_close, fd, 0, 0);
    return found;
}

void dontfork_postfork_child(void)
{
    if (copied) { /* two processes would write to it */
        own_forget(copied, sizeof *copied);
        os_munmap(copied, sizeof *copied);
    }
    copied = NULL;
}
