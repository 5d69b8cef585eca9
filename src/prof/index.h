/* An index of a table by a hash of its entries: open addressing, in memory of our own.  It holds
 * numbers of entries alone, so that the table may lie where it must; two entries are told apart by
 * whoever asks.  Guarded by the lock of the table.  All of it is inline: `hash_of` costs no call.
 */
#ifndef PROF_INDEX_H
#define PROF_INDEX_H

#include "base/os.h"

#include <stdbool.h>
#include <stdint.h>

/* Zeroed at first. */
struct index {
    uint32_t *slots; /* an entry's number + 1, 0: free; a power of two, at most 3/4 full */
    uint32_t mask, used;
};

/* Room for one more; `least` slots, a power of two, at the beginning.  False: no memory. */
static inline bool index_reserve(struct index *x, uint32_t least, uint32_t (*hash_of)(uint32_t id))
{
    if (x->slots && x->used * UINT64_C(4) < (x->mask + UINT64_C(1)) * 3)
        return true;
    uint32_t old_size = x->slots ? x->mask + 1 : 0, size = old_size ? old_size * 2 : least;
    uint32_t *old = x->slots, *slots = own_map(size * sizeof *slots);
    if (!slots)
        return false;
    for (uint32_t i = 0; i < old_size; i++) {
        if (!old[i])
            continue;
        uint32_t at = hash_of(old[i] - 1) & (size - 1);
        while (slots[at])
            at = (at + 1) & (size - 1);
        slots[at] = old[i];
    }
    x->slots = slots;
    x->mask = size - 1;
    if (old) /* last, as a fork may come between: its copy has the new slots */
        own_unmap(old, old_size * sizeof *old);
    return true;
}

/* After index_reserve. */
static inline void index_put(struct index *x, uint32_t hash, uint32_t id)
{
    uint32_t at = hash & x->mask;
    while (x->slots[at])
        at = (at + 1) & x->mask;
    x->slots[at] = id + 1;
    x->used++;
}

/* Those that may have this hash:
 *
 *     for (uint32_t at = index_begin(x, hash), id; index_at(x, at, &id); at = index_next(x, at))
 */
static inline uint32_t index_begin(const struct index *x, uint32_t hash)
{
    return hash & x->mask;
}

static inline bool index_at(const struct index *x, uint32_t at, uint32_t *id)
{
    uint32_t slot = x->slots ? x->slots[at] : 0;
    *id = slot - 1;
    return slot;
}

static inline uint32_t index_next(const struct index *x, uint32_t at)
{
    return (at + 1) & x->mask;
}

/* Takes out what lies there.  Without tombstones: what follows in the run moves up (Knuth 6.4,
 * algorithm R). */
static inline void index_remove(struct index *x, uint32_t at, uint32_t (*hash_of)(uint32_t id))
{
    uint32_t hole = at;
    x->used--;
    for (uint32_t i = (at + 1) & x->mask; x->slots[i]; i = (i + 1) & x->mask) {
        uint32_t home = hash_of(x->slots[i] - 1) & x->mask;
        if (((i - home) & x->mask) >= ((i - hole) & x->mask)) {
            x->slots[hole] = x->slots[i];
            hole = i;
        }
    }
    x->slots[hole] = 0;
}

static inline void index_drop(struct index *x)
{
    if (x->slots)
        own_unmap(x->slots, (x->mask + UINT64_C(1)) * sizeof *x->slots);
    *x = (struct index){0};
}

#endif
