/* What a target's resident memory is made of, looked at now and then: the kernel takes longer for
 * it than for all else, and holds the process's mmap lock meanwhile.  So it is asked at most once
 * in 5 s, and for at most 1 % of the time; the process is asked just before what its allocator
 * has. */
#ifndef MEMTOP_RESIDENT_H
#define MEMTOP_RESIDENT_H

#include "target/source.h"
#include "view/rss.h"

struct resident {
    struct rss_parts parts; /* of the last reading; taken_ns 0: none yet, or not to be had */
    /* Who has mapped most of the anonymous part, by the code that calls mmap: resident bytes, and
     * one stack that leads there.  0: nobody is known. */
    int64_t anonymous_bytes;
    uint32_t anonymous_stack;
    bool anonymous_pymalloc; /* they are Python's arenas for small objects */
    /* The process has not answered yet what its allocator has, and has no thread of ours: it does
     * when one of its own has allocated or freed 64 KiB. */
    bool pending;
    /* Of the look that is due or under way. */
    int64_t next_ns, asked_ns; /* asked_ns 0: it has not been asked for this one */
    uint64_t answered_ns;      /* md_header.allocator.read_ns before it was */
};

/* Before a tick polls the source: asks the process if a look is due.  The first time it waits for
 * the answer, at most 0.2 s. */
void resident_ask(struct resident *resident, const struct source *source);
/* After it: looks, if the process has answered, or has had a second to. */
void resident_read(struct resident *resident, const struct source *source);

#define RESIDENT_PYMALLOC_HINT "pymalloc's arenas: PYTHONMALLOC=malloc shows who allocates in them"

#endif
