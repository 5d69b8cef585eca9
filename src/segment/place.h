/* Where a segment file lives: picks the directory, makes and names the file, and clears away this
 * user's dead ones.  Called once or twice in a process's life, never with a lock of the program
 * held that matters: plain system calls, no heap. */
#ifndef SEGMENT_PLACE_H
#define SEGMENT_PLACE_H

#include <memdebug/segment.h>
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
 * Returns a descriptor or -errno. */
int place_open(struct place *place, const struct md_header *who, uint64_t most);
/* Gives the file its final name.  0 or an errno value. */
int place_publish(const struct place *place);
/* Removes segments of dead processes beyond `keep` files (1024 at most) or 64 MiB, the oldest
 * first. */
void place_clean(const struct place *place, uint64_t keep);

#endif
