/* Where a segment file lives: picks the directory, makes and names the file, and clears away this
 * user's dead ones.  Plain system calls, no heap.
 *
 * Directories may be shared with users who mean us harm: what lies there is neither opened, unless
 * it is a plain file of this user, nor relied on, and where a name is taken there is another.  That
 * a segment's process lives is told by a lock on the file. */
#ifndef SEGMENT_PLACE_H
#define SEGMENT_PLACE_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct place {
    char dir[256];  /* "" for a memfd */
    char path[320]; /* final name; "" for a memfd */
    char temporary[320];
    uint64_t budget; /* most that the file may come to, bytes */
    uint32_t exec_generation;
};

/* Opens a new file of `place`'s choice, sized 0, mode 0600; fills `place`.  `who`: this
 * process.  `most`: the size wanted; too little is EFBIG.
 * Returns a descriptor or -errno.  The file counts as in use while the descriptor, or a mapping
 * made by it, is there. */
int place_open(struct place *place, const struct md_header *who, uint64_t most);
/* Gives the file its final name.  0 or an errno value. */
int place_publish(const struct place *place);
/* Of the dead segments in two windows of the directory, of 4 KiB or some 85 names each, removes
 * those beyond the newest `keep` or 64 MiB: where the newest are, and somewhere.  Some 1,000 system
 * calls at most.  True: there is more in the directory. */
bool place_clean(const struct place *place, uint64_t keep);
/* A walk through the whole, a window each time; zeroed: its begin. */
struct place_walk {
    int64_t at;
    unsigned windows, removed;
};
/* The same in the next window.  True: there is more to do. */
bool place_clean_on(const struct place *place, uint64_t keep, struct place_walk *walk);

#endif
