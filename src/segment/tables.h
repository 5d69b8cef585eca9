/* One set of the segment's tables: the header and each section at a fixed place of one reservation,
 * grown as it is used.  Private memory and files have the same layout, so moving from one to the
 * other is a copy and ids stay.  Guarded by the callers' locks.
 *
 * Whoever may open the file may write to it.  So what we go by ourselves, sizes, places and counts,
 * is kept here, in private memory; the header has it for the readers and is never asked. */
#ifndef SEGMENT_TABLES_H
#define SEGMENT_TABLES_H

#include "base/compiler.h"
#include "base/os.h"

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Points that the rings of the past have room for, in a set of 4 MiB or more. */
enum { PAST_POINTS = 3768 };
/* Bytes of the smallest set in which each section has room: they begin at pages, of any size. */
#define TABLES_MIN MAX(256u << 10, 16 * OS_PAGE)

struct tables {
    struct md_header *header; /* NULL: none */
    void *table[MD_SECTION_COUNT];
    uint64_t capacity[MD_SECTION_COUNT]; /* entries */
    uint64_t grown[MD_SECTION_COUNT];    /* entries that there is memory for */
    uint64_t count[MD_SECTION_COUNT];    /* entries that may be read; atomic.  Never above `grown`,
                                            but of the cycles, a ring: all there have been */
    size_t size;                         /* of the whole reservation */
    bool file;
};

/* A reservation of `size` bytes, at least TABLES_MIN, in private memory, which costs nothing
 * until it grows. */
bool tables_create_private(struct tables *t, size_t size);
/* The same on a file, which is truncated to `size`; the descriptor is not needed afterwards. */
bool tables_create_file(struct tables *t, int fd, size_t size);
/* Memory for `count` entries.  False: beyond the capacity, or the system refused it. */
bool tables_grow(struct tables *t, enum md_section_id id, uint64_t count);
/* Publishes that entries below `count` may be read: that many have been grown, and written. */
void tables_set_count(struct tables *t, enum md_section_id id, uint64_t count);
/* Fills tables that are empty with the entries of others.  False: no memory. */
bool tables_copy(struct tables *to, const struct tables *from);
void tables_destroy(struct tables *t);
/* Gives back the memory of private tables but for the header: they read 0 from then on. */
void tables_release(struct tables *t);

#endif
