#include "mapped.h"

#include "process.h"

#include <stdlib.h>
#include <string.h>

/* A walk over mappings and ranges of the address space, both by address. */
struct walk {
    const struct md_mapping *mappings;
    size_t count, next; /* the first mapping that may reach into a range to come */
    uint64_t *there;    /* by mapping: bytes of it that are mapped */
};

static void meet(void *closure, uint64_t start, uint64_t limit)
{
    struct walk *walk = closure;
    while (walk->next < walk->count && walk->mappings[walk->next].limit <= start)
        walk->next++;
    for (size_t i = walk->next; i < walk->count && walk->mappings[i].start < limit; i++) {
        const struct md_mapping *m = &walk->mappings[i];
        uint64_t from = m->start > start ? m->start : start;
        uint64_t to = m->limit < limit ? m->limit : limit;
        walk->there[i] += to > from ? to - from : 0;
    }
}

void mapped_correct(struct source *source)
{
    struct snapshot *snap = &source->snapshot;
    struct walk walk = {.mappings = snap->mappings, .count = snap->mapping_count};
    if (source->state != SOURCE_LIVE || !walk.count ||
        !(walk.there = calloc(walk.count, sizeof *walk.there)))
        return;
    if (proc_ranges(source->target.pid, meet, &walk))
        for (size_t i = 0; i < walk.count; i++) {
            const struct md_mapping *m = &walk.mappings[i];
            struct md_bucket *bucket = &snap->buckets[m->bucket];
            if (bucket->kind == MD_BUCKET_MMAP)
                bucket->value[MD_MMAP_GONE_BYTES] += m->limit - m->start - walk.there[i];
        }
    free(walk.there);
}

const char *mapped_why_none(const struct snapshot *snapshot)
{
    if (!snapshot_has(snapshot, MD_SECTION_MAPPINGS))
        return "its memdebug is older than this kind of profile";
    return strstr(snapshot->header.options, "mmapprofile=0")
               ? "mmapprofile=0: its mappings are not recorded"
               : NULL;
}
