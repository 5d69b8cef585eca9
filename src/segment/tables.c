#include "segment/tables.h"

#include "base/compiler.h"
#include "base/os.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define CYCLES 256  /* records kept: about 20 minutes of a cycle each 5 s */
#define CLASSES 128 /* size classes */
#define GROW_MIN (16u << 10)
/* Of all, what an answer may come to, and at most so much. */
#define ANSWERS_SHARE 32
#define ANSWERS_MAX (2u << 20)
/* Of all, what the past may come to: less than all its points where that is a small set. */
#define PAST_SHARE 16

static const uint32_t entry_size[MD_SECTION_COUNT] = MD_SECTION_ENTRY_SIZES;

/* Cycles, modules, size classes, mappings, ranges, an answer and the past have fixed room (of
 * mappings, what the kernel lets a process have); the rest is shared out by what each costs per
 * sample: a live sample 32 bytes, a bucket 64, a stack some 20 words. */
static void lay_out(struct tables *t, void *base, size_t size)
{
    bool small = size < (8u << 20);
    const uint64_t count[MD_SECTION_COUNT] = {
        [MD_SECTION_CYCLES] = CYCLES,
        [MD_SECTION_MODULES] = small ? 128 : 1024,
        [MD_SECTION_UNSAMPLED] = CLASSES,
        [MD_SECTION_MAPPINGS] = small ? 256 : 65536,
        [MD_SECTION_RANGES] = small ? 256 : 4096,
        [MD_SECTION_ANSWERS] = MIN(size / ANSWERS_SHARE, ANSWERS_MAX) / 8,
        [MD_SECTION_PAST] = MIN(size / PAST_SHARE / sizeof(struct md_past), (uint64_t)PAST_POINTS)};
    const uint64_t tenths[MD_SECTION_COUNT] = {
        [MD_SECTION_STACKS] = 3, [MD_SECTION_BUCKETS] = 2, [MD_SECTION_SAMPLES] = 5};
    uint64_t at = OS_PAGE, rest = size - OS_PAGE;
    t->header = base;
    t->size = size;
    for (int id = 0; id < MD_SECTION_COUNT; id++)
        rest -= os_page_up(count[id] * entry_size[id]);
    for (int id = 0; id < MD_SECTION_COUNT; id++) {
        struct md_section *s = &t->header->section[id];
        uint64_t bytes = count[id] ? os_page_up(count[id] * entry_size[id])
                                   : rest / 10 * tenths[id] & ~(uint64_t)(OS_PAGE - 1);
        t->table[id] = (char *)base + at;
        t->capacity[id] = count[id] ? count[id] : bytes / entry_size[id];
        t->grown[id] = t->count[id] = 0;
        s->offset = at;
        s->entry_size = entry_size[id];
        s->capacity = t->capacity[id];
        s->count = 0;
        at += bytes;
    }
    t->header->file_size = size;
}

static bool open_range(struct tables *t, uint64_t offset, uint64_t size)
{
    char *addr = (char *)t->header + offset;
    int saved = errno;
    bool ok = mprotect(addr, size, PROT_READ | PROT_WRITE) == 0;
    if (ok && t->file && madvise(addr, size, MADV_POPULATE_WRITE) != 0) {
        mprotect(addr, size, PROT_NONE);
        ok = false;
    }
    errno = saved;
    if (ok)
        own_count((int64_t)size);
    return ok;
}

bool tables_create_private(struct tables *t, size_t size)
{
    memset(t, 0, sizeof *t);
    void *base = os_mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        /* RLIMIT_AS: a small set still serves. */
        size = 4u << 20;
        base = os_mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED)
            return false;
    }
    t->header = base;
    if (!open_range(t, 0, OS_PAGE) || !own_note(base, size, 0)) {
        os_munmap(base, size);
        t->header = NULL;
        return false;
    }
    lay_out(t, base, size);
    return true;
}

bool tables_create_file(struct tables *t, int fd, size_t size)
{
    memset(t, 0, sizeof *t);
    if (ftruncate(fd, (off_t)size) != 0)
        return false;
    /* No access until it is in use: mlockall would make all of it resident. */
    void *base = os_mmap(NULL, size, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED)
        return false;
    madvise(base, size, MADV_DONTDUMP);
    t->size = size;
    t->header = base;
    t->file = true;
    if (!open_range(t, 0, OS_PAGE) || !own_note(base, size, 0)) {
        os_munmap(base, size);
        t->header = NULL;
        return false;
    }
    lay_out(t, base, size);
    return true;
}

bool tables_grow(struct tables *t, enum md_section_id id, uint64_t count)
{
    if (count <= t->grown[id])
        return true;
    if (count > t->capacity[id])
        return false;
    uint64_t start = os_page_up(t->grown[id] * entry_size[id]);
    /* A quarter more each time keeps the number of calls logarithmic. */
    uint64_t want = MAX(count * entry_size[id], start + start / 4);
    uint64_t step = MAX(GROW_MIN, OS_PAGE);
    uint64_t end = (want + step - 1) & ~(step - 1);
    uint64_t most = os_page_up(t->capacity[id] * entry_size[id]);
    end = MIN(end, most);
    uint64_t offset = (uint64_t)((char *)t->table[id] - (char *)t->header);
    if (end > start && !open_range(t, offset + start, end - start))
        return false;
    t->grown[id] = MIN(end / entry_size[id], t->capacity[id]);
    return count <= t->grown[id];
}

void tables_set_count(struct tables *t, enum md_section_id id, uint64_t count)
{
    __atomic_store_n(&t->count[id], count, __ATOMIC_RELEASE);
    __atomic_store_n(&t->header->section[id].count, count, __ATOMIC_RELEASE);
}

bool tables_copy(struct tables *to, const struct tables *from)
{
    for (int i = 0; i < MD_SECTION_COUNT; i++) {
        enum md_section_id id = (enum md_section_id)i;
        uint64_t entries = MIN(from->count[id], from->grown[id]);
        if (id == MD_SECTION_CYCLES && to->capacity[id] != from->capacity[id])
            return false;
        /* Rings of another size begin anew. */
        if (id == MD_SECTION_PAST && to->capacity[id] != from->capacity[id])
            continue;
        if (!tables_grow(to, id, entries))
            return false;
        memcpy(to->table[id], from->table[id], entries * entry_size[id]);
        tables_set_count(to, id, from->count[id]);
    }
    return true;
}

static uint64_t grown_bytes(const struct tables *t)
{
    uint64_t bytes = 0;
    for (int id = 0; id < MD_SECTION_COUNT; id++)
        bytes += os_page_up(t->grown[id] * entry_size[id]);
    return bytes;
}

void tables_destroy(struct tables *t)
{
    if (!t->header)
        return;
    own_count(-(int64_t)(OS_PAGE + grown_bytes(t)));
    own_forget(t->header, t->size);
    os_munmap(t->header, t->size);
    memset(t, 0, sizeof *t);
}

void tables_release(struct tables *t)
{
    int saved = errno;
    if (!t->file) {
        madvise((char *)t->header + OS_PAGE, t->size - OS_PAGE, MADV_DONTNEED);
        own_count(-(int64_t)grown_bytes(t));
        memset(t->grown, 0, sizeof t->grown);
        memset(t->count, 0, sizeof t->count);
    }
    errno = saved;
}
