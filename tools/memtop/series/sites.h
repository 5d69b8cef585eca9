/* The call sites of one kind of profile: what each stack holds now, has allocated ever, and by how
 * much it has grown in the last minute; and stacks with the same innermost call taken together,
 * which is what people ask for.  Fed with snapshots, one a tick; pure arithmetic, no names (names.h
 * has them).
 *
 * Which figures a kind has, its values say (kinds.def).  Of those in bytes, what has something
 * taken off is in use, what has not was ever allocated; the same of counts are objects.  Values
 * with a weight are of samples; flags tell which of these leak.  A kind without samples has no
 * errors and no ages.
 *
 * Growth is what is in use now minus what was in use a minute ago.  Until a minute has been watched
 * it reaches back as far as we have looked, and `growth_seconds` says how far.  Before there is
 * anything to compare with, `young`, what was born in the last minute and is still alive, says the
 * most that a site can have grown.
 *
 * What is sampled is estimated: each sample stands for w objects and adds w(w-1) to the square of
 * the standard error (Horvitz-Thompson); where all are sampled w is 1 and the figures are exact.
 * What the process has counted is a bound, of the heap: no estimate exceeds the heap in use, the
 * bytes allocated or the bytes leaked. */
#ifndef MEMTOP_SITES_H
#define MEMTOP_SITES_H

#include "view/containers.h"
#include "view/pprof.h"
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
    double alloc_rate;                 /* bytes a second, over the time of growth; NAN at first */
    double growth_bytes; /* of what is in use; of a kind that holds nothing, of what ever was */
    double young_bytes;  /* alive and born in the last minute */
    double young_objects;
    double leak_bytes;                /* alive, and not reached in the last two cycles */
    double raw_bytes;                 /* in use before it is bounded */
    double born_bytes, born_variance; /* alive and born in the time of growth */
    /* Squares of standard errors: sites_error. */
    double inuse_variance, objects_variance, alloc_variance, growth_variance, young_variance,
        leak_variance;
    uint32_t live_samples;            /* that these are drawn from */
    uint32_t oldest_ds, newest_ds;    /* birth of the oldest and newest live sample */
    double before[SITES_SLOTS];       /* raw_bytes at slot times */
    double alloc_before[SITES_SLOTS]; /* alloc_bytes */
    uint64_t seen;                    /* the tick in which it was last there */
};

enum site_order {
    SITES_BY_GROWTH,
    SITES_BY_INUSE,
    SITES_BY_OBJECTS,
    SITES_BY_ALLOC,
    SITES_BY_LEAKS,
    SITES_ORDERS
};

/* Which values of a bucket the figures are; NULL: the kind has none such. */
struct site_values {
    const struct profile_value_rule *inuse_bytes, *alloc_bytes, *inuse_objects, *alloc_objects;
    uint32_t leak_flags; /* of the samples that leak; 0: the kind tells of no leaks */
};

struct sites {
    enum md_bucket_kind kind;
    struct site_values values;
    bool sampled;
    struct site *site; /* in no order; indexes stay */
    size_t count, capacity;
    struct pair_map index;        /* stack -> place in `site` */
    int64_t slot_ns[SITES_SLOTS]; /* when slot i was taken, 0 never */
    size_t slot, slots;           /* the next to write; how many have been */
    int64_t tick_ns;
    uint64_t tick;
    struct site *group; /* as sites_group made them */
    size_t group_count, group_capacity;
    struct pair_map group_index;
    bool samples_known; /* young, oldest, newest mean something */
    bool leaks_known; /* by two cycles, by the one of a program's exit, or nothing is unreachable */
    bool lossy;       /* something of the kind was not recorded: nothing is exact */
    double growth_seconds;
    double inuse_most, alloc_most, leak_most; /* what was counted, in bytes; INFINITY: nothing */
    double inuse_bytes, inuse_objects, alloc_objects; /* sums */
};

void sites_init(struct sites *sites, enum md_bucket_kind kind);
void sites_fini(struct sites *sites);
/* Takes in a snapshot of SNAPSHOT_PROFILE (and SNAPSHOT_SAMPLES for the ages), of the mmap kind one
 * that has been corrected (target/mapped.h).  False: no memory, some sites are missing. */
bool sites_update(struct sites *sites, const struct snapshot *snapshot);
/* Whether its kind has what it is sorted by.  What it has not is 0 in each site, and means nothing.
 */
bool sites_has(const struct sites *sites, enum site_order order);
/* Growth says nothing yet: show `young` in its place. */
bool sites_too_early(const struct sites *sites);
/* What SITES_BY_GROWTH shows is known: growth from the second tick on, `young` before. */
bool sites_growth_known(const struct sites *sites);
/* Each of its allocations was recorded. */
bool sites_exact(const struct sites *sites, const struct site *site);
/* The standard error of one of its figures; NAN where no sample tells. */
double sites_error(const struct sites *sites, const struct site *site, double variance);
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
