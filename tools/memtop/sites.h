/* The call sites: what each stack holds now, has allocated ever, and by how much it has grown in
 * the last minute; and stacks with the same innermost call taken together, which is what people ask
 * for.  Fed with snapshots, one a tick; pure arithmetic, no names (names.h has them).
 *
 * Growth is what is in use now minus what was in use a minute ago.  Until a minute has been watched
 * it reaches back as far as we have looked, and `growth_seconds` says how far.  Before there is
 * anything to compare with, `young`, what was born in the last minute and is still alive, says the
 * most that a site can have grown. */
#ifndef MEMTOP_SITES_H
#define MEMTOP_SITES_H

#include "view/containers.h"
#include "view/snapshot.h"

#define SITES_WINDOW_SECONDS 60
#define SITES_SLOT_SECONDS 5
#define SITES_SLOTS (SITES_WINDOW_SECONDS / SITES_SLOT_SECONDS + 1)

struct site {
    uint32_t stack;   /* of a group: its greatest member's */
    uint32_t members; /* of a group: stacks */
    uint64_t key;     /* of a group */
    uint64_t samples;
    double inuse_bytes, inuse_objects;
    double alloc_bytes, alloc_objects; /* since the process started */
    double alloc_rate;                 /* bytes a second since the tick before; NAN at first */
    double growth_bytes;
    double young_bytes; /* alive and born in the last minute */
    double young_objects;
    double leak_bytes;             /* alive, and not reached in the last two cycles */
    uint32_t live_samples;         /* that the two are drawn from */
    uint32_t oldest_ds, newest_ds; /* birth of the oldest and newest live sample */
    double before[SITES_SLOTS];    /* inuse_bytes at slot times */
    double alloc_before;
    uint64_t seen; /* the tick in which it was last there */
};

enum site_order {
    SITES_BY_GROWTH,
    SITES_BY_INUSE,
    SITES_BY_OBJECTS,
    SITES_BY_ALLOC,
    SITES_BY_LEAKS,
    SITES_ORDERS
};

struct sites {
    struct site *site; /* in no order; indexes stay */
    size_t count, capacity;
    uint32_t *index; /* hash: stack -> place in `site` + 1 */
    size_t index_size;
    int64_t slot_ns[SITES_SLOTS]; /* when slot i was taken, 0 never */
    size_t slot, slots;           /* the next to write; how many have been */
    int64_t tick_ns;
    uint64_t tick;
    struct site *group; /* as sites_group made them */
    size_t group_count, group_capacity;
    struct pair_map group_index;
    bool samples_known; /* young, oldest, newest mean something */
    double growth_seconds;
    double inuse_bytes, inuse_objects, alloc_bytes, alloc_objects, growth_bytes,
        young_bytes; /* sums */
};

void sites_init(struct sites *sites);
void sites_fini(struct sites *sites);
/* Takes in a snapshot of SNAPSHOT_PROFILE (and SNAPSHOT_SAMPLES for the ages).  False: no memory,
 * some sites are missing. */
bool sites_update(struct sites *sites, const struct snapshot *snapshot);
/* Growth says nothing yet: show `young` in its place. */
bool sites_too_early(const struct sites *sites);
/* What the site is sorted by. */
double sites_key(const struct sites *sites, const struct site *site, enum site_order order);
/* Puts stacks that have the same key together into `group`; `by` says which member stands for
 * them.  False: no memory, some are left out. */
typedef uint64_t sites_key_of(void *context, uint32_t stack);
bool sites_group(struct sites *sites, sites_key_of *key_of, void *context, enum site_order by);
/* Fills `order` with up to `count` places of `group`, greatest first; returns how many. */
size_t sites_sort(const struct sites *sites, enum site_order by, uint32_t *order, size_t count);
/* The same of the stacks in one group, as places of `site`. */
size_t sites_members(const struct sites *sites, uint64_t key, enum site_order by, uint32_t *order,
                     size_t count);
const struct site *sites_find(const struct sites *sites, uint32_t stack);

#endif
