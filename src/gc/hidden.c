#include "gc/hidden.h"

#include "base/compiler.h"
#include "gc/proc.h"
#include "gc/raw.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define MOST_MAPPINGS 8192
#define MOST_BYTES (UINT64_C(256) << 20) /* a virtual machine's memory is no place for pointers */
#define PIECE ((size_t)1 << 20)

/* Static, as the child must not map anything where the program has memory that it cannot see. */
static struct range {
    uintptr_t start, end;
} own[MOST_MAPPINGS];
static size_t own_count_of;

struct search {
    uint32_t parent;
    size_t at; /* first of own[] that may matter */
    uint64_t bytes;
    const char *reason;
};

static void note_own(void *ctx, const struct proc_mapping *m)
{
    (void)ctx;
    if (own_count_of && own[own_count_of - 1].end == m->start)
        own[own_count_of - 1].end = m->end;
    else if (own_count_of < MOST_MAPPINGS)
        own[own_count_of++] = (struct range){m->start, m->end};
}

/* Maps [start, end) and fills it from the parent.  What cannot be read there, as it has never been
 * touched or is gone by now, stays zero. */
static void fetch(struct search *search, uintptr_t start, uintptr_t end)
{
    size_t size = end - start;
    if ((search->bytes += size) > MOST_BYTES) {
        search->reason = "too much memory that no copy sees (MADV_DONTFORK)";
        return;
    }
    if (raw6(SYS_mmap, (long)start, (long)size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
             0) != (long)start) {
        search->reason = "no memory for what no copy sees (MADV_DONTFORK)";
        return;
    }
    for (uintptr_t at = start; at < end; at += PIECE) {
        struct iovec piece = {(void *)at, MIN(PIECE, end - at)};
        long n = raw6(SYS_process_vm_readv, search->parent, (long)&piece, 1, (long)&piece, 1, 0);
        if (n == -1 /* EPERM */ || n == -38 /* ENOSYS */)
            search->reason = "memory that no copy sees may not be read (MADV_DONTFORK)";
        if (n <= 0)
            return;
    }
}

static void look_at(void *ctx, const struct proc_mapping *m)
{
    struct search *search = ctx;
    /* Devices have mappings that no copy gets, too. */
    if (search->reason || m->shared || !m->readable || !m->writable || m->path[0] == '/')
        return;
    while (search->at < own_count_of && own[search->at].end <= m->start)
        search->at++;
    uintptr_t from = m->start;
    for (size_t i = search->at; from < m->end && !search->reason; i++) {
        uintptr_t until = i < own_count_of ? MIN(own[i].start, m->end) : m->end;
        if (until > from)
            fetch(search, from, until);
        if (i >= own_count_of)
            break;
        from = MAX(from, own[i].end);
    }
}

const char *hidden_restore(uint32_t parent)
{
    char ours[128], theirs[128];
    /* The first number is the size of all mappings, of which a copy's lacks what is hidden.  Where
     * the program has mapped something since, the look below is for nothing. */
    if (proc_self_read("statm", ours, sizeof ours) <= 0 ||
        proc_process_read(parent, "statm", theirs, sizeof theirs) <= 0)
        return NULL;
    if (proc_number(ours, 10, NULL) == proc_number(theirs, 10, NULL))
        return NULL;
    struct search search = {.parent = parent};
    own_count_of = 0;
    if (!proc_each_mapping(note_own, NULL))
        return "/proc/self/maps cannot be read";
    if (own_count_of == MOST_MAPPINGS)
        return NULL; /* too many to tell; as it was without this look */
    if (!proc_each_mapping_of(parent, look_at, &search))
        return NULL;
    return search.reason;
}
