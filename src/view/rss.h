/* What a process's resident memory is made of: one figure for each kind of owner, and what nobody
 * answers for.  The parts add up to the whole.
 *
 * All are resident bytes of one moment: pages that nobody has touched are in none of them, though
 * they may be allocated or mapped. */
#ifndef VIEW_RSS_H
#define VIEW_RSS_H

#include <stdbool.h>
#include <stdint.h>

/* In the order in which they are told.
 * RSS_PART(name, help) */
#define RSS_PARTS_LIST(RSS_PART)                                                                   \
    RSS_PART(in_use, "blocks that the program has allocated and not freed")                        \
    RSS_PART(slab_slack, "what is free in slabs and pages that hold some block: fragmentation")    \
    RSS_PART(thread_caches, "free blocks that threads keep for their next allocation")             \
    RSS_PART(dirty, "free pages that the allocator keeps")                                         \
    RSS_PART(muzzy, "free pages that the system may take at any time")                             \
    RSS_PART(metadata, "what the allocator keeps of its blocks")                                   \
    RSS_PART(own, "memdebug's own memory")                                                         \
    RSS_PART(stacks, "of threads, the main thread's among them")                                   \
    RSS_PART(anonymous, "other memory that the program has mapped, of no file")                    \
    RSS_PART(files, "mapped files: code, data and bss of modules among them")                      \
    RSS_PART(shared, "memory shared with other processes, of no file on a disk")                   \
    RSS_PART(unexplained, "the rest")

enum rss_part {
#define RSS_PART(name, help) RSS_##name,
    RSS_PARTS_LIST(RSS_PART)
#undef RSS_PART
        RSS_PARTS
};

struct rss_parts {
    int64_t rss; /* of all */
#define RSS_PART(name, help) int64_t name;
    RSS_PARTS_LIST(RSS_PART)
#undef RSS_PART
    uint32_t known;   /* bit 1 << RSS_name: that part was found out; else it is 0, and what there is
                         of it is in another one (rss.c says where) or unexplained */
    int64_t taken_ns; /* CLOCK_MONOTONIC, when the kernel was asked; 0: never, all else is 0 */
};

static inline bool rss_knows(const struct rss_parts *parts, enum rss_part part)
{
    return parts->known >> part & 1;
}

#endif
