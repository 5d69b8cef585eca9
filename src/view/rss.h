/* What a process's resident memory is made of: one figure for each kind of owner, and what nobody
 * answers for.  The parts add up to the whole.
 *
 * All are resident bytes of one moment: pages that nobody has touched are in none of them, though
 * they may be allocated or mapped. */
#ifndef VIEW_RSS_H
#define VIEW_RSS_H

#include "view/snapshot.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* In the order in which they are told.
 * RSS_PART(name, text, help) */
#define RSS_PARTS_LIST(RSS_PART)                                                                   \
    RSS_PART(in_use, "in use", "blocks that the program has allocated and not freed")              \
    RSS_PART(slab_slack, "slack", "free room in pages that hold some block: fragmentation")        \
    RSS_PART(thread_caches, "caches", "free blocks that threads keep for their next allocation")   \
    RSS_PART(dirty, "dirty", "free pages that the allocator keeps")                                \
    RSS_PART(muzzy, "muzzy", "free pages that the system may take at any time")                    \
    RSS_PART(metadata, "metadata", "what the allocator keeps of its blocks")                       \
    RSS_PART(own, "own", "memdebug's own memory")                                                  \
    RSS_PART(stacks, "stacks", "of threads, the main thread's among them")                         \
    RSS_PART(anonymous, "anonymous", "other memory that the program has mapped, of no file")       \
    RSS_PART(files, "files", "mapped files: code, data and bss of modules among them")             \
    RSS_PART(shared, "shared", "memory shared with other processes, of no file on a disk")         \
    RSS_PART(unexplained, "unexplained", "the rest")

enum rss_part {
#define RSS_PART(name, text, help) RSS_##name,
    RSS_PARTS_LIST(RSS_PART)
#undef RSS_PART
        RSS_PARTS
};

/* Bytes.  A part that is not known is 0; what there is of it is in unexplained, but for
 * thread_caches: that is in slab_slack. */
struct rss_parts {
    int64_t rss; /* of all */
#define RSS_PART(name, text, help) int64_t name;
    RSS_PARTS_LIST(RSS_PART)
#undef RSS_PART
    uint32_t known;   /* 1 << RSS_name of each part that was found out */
    int64_t taken_ns; /* CLOCK_MONOTONIC, when the kernel was asked; 0: never, all else is 0 */
};

static inline bool rss_knows(const struct rss_parts *parts, enum rss_part part)
{
    return parts->known >> part & 1;
}
/* Their values by enum rss_part, and how each is called. */
static inline int64_t rss_part_bytes(const struct rss_parts *parts, enum rss_part part)
{
    return (&parts->in_use)[part];
}
extern const struct rss_part_name {
    const char *name, *text, *help;
} rss_part_names[RSS_PARTS];

/* What the kernel says is resident, by who has mapped it. */
enum rss_owner {
    RSS_BY_HEAP,     /* the allocator, but for its metadata */
    RSS_BY_METADATA, /* the allocator */
    RSS_BY_OWN,
    RSS_BY_STACKS,
    RSS_BY_ANONYMOUS,
    RSS_BY_FILES,
    RSS_BY_SHARED,
    RSS_BY_NOBODY, /* anonymous, and the process has not told which ranges are the allocator's */
    RSS_OWNERS
};
struct rss_kernel {
    int64_t rss; /* the sum */
    int64_t by[RSS_OWNERS];
    int64_t taken_ns;  /* CLOCK_MONOTONIC, at the end */
    int64_t lasted_ns; /* how long it took: a reading holds the process's mmap lock, in pieces */
};
/* Reads `process`/smaps ("/proc/812") and, where one entry of it has several owners, its pagemap.
 * `snap` has SNAPSHOT_PROFILE, _MAPPINGS and _RANGES.  If `by_bucket` is not NULL it has a word for
 * each bucket of the snapshot, to which the resident bytes of its anonymous mappings are added.  0,
 * or an errno value. */
int rss_kernel_read(struct rss_kernel *kernel, const char *process, const struct snapshot *snap,
                    int64_t *by_bucket);
/* The same from an open smaps; `present` tells how many pages of a range are there.  The times stay
 * what they are. */
struct rss_presence {
    int64_t (*pages)(void *closure, uint64_t start, uint64_t limit);
    void *closure;
};
int rss_kernel_parse(struct rss_kernel *kernel, FILE *smaps, struct rss_presence presence,
                     const struct snapshot *snap, int64_t *by_bucket);

/* The identity, of the kernel's figures and what the segment says: SNAPSHOT_SAMPLES too.  Pure. */
void rss_parts_make(struct rss_parts *parts, const struct rss_kernel *kernel,
                    const struct snapshot *snap);

#endif
