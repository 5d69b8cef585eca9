/* The call sites of one kind of profile.  A site is a stack: what it holds, what it has ever
 * allocated, and how much it has grown in the last minute.  A group is a site of all stacks with
 * the same innermost call, which is what people ask for.  Takes in one snapshot a tick; pure
 * arithmetic but for malloc, without names (names.h has those).
 *
 * A kind's values (kinds.def) say which figures it has.  A value in bytes from which another is
 * subtracted is in use; one without is what was ever allocated.  Counts are objects in the same
 * way.  If they have a weight they are of samples, and flags tell which of those leak.  A kind
 * without samples has no errors and no ages.
 *
 * Growth is what is in use now minus what was in use a minute ago.  Until a minute has been
 * watched, it goes back to the first tick, and `growth_seconds` says how far.  Before that says
 * anything, `young`, what was born in the last minute and is still alive, is the most that a site
 * can have grown.
 *
 * What is sampled is estimated.  A sample stands for w objects, and adds w(w-1) to the variance
 * (Horvitz-Thompson); where all are sampled, w is 1 and the figures are exact.  What the process
 * has counted of its heap is a bound: no estimate exceeds the heap in use, the bytes allocated or
 * the bytes leaked. */
#ifndef MEMTOP_SITES_H
#define MEMTOP_SITES_H

#include "view/containers.h"
#include "view/pprof.h"
#include "view/snapshot.h"

#define SITES_WINDOW_SECONDS 60
#define SITES_SLOT_SECONDS 5
#define SITES_SLOTS (SITES_WINDOW_SECONDS / SITES_SLOT_SECONDS + 1)

struct site {
    uint32_t stack;   /* its id; of a group that of its greatest member */
    uint32_t members; /* of a group: how many stacks it has */
    uint64_t key;     /* of the group that it is, or belongs to */
    uint64_t samples; /* ever drawn */
    double inuse_bytes, inuse_objects;
    double alloc_bytes, alloc_objects; /* since the process started */
    double alloc_rate;                 /* bytes a second, over the time of growth; NAN at first */
    double growth_bytes; /* of what is in use; of a kind without that, of what was allocated */
    double young_bytes;  /* alive and born in the last minute */
    double young_objects;
    double leak_bytes;                /* alive, and not reached in the last two cycles */
    double raw_bytes;                 /* in use before it is bounded */
    double born_bytes, born_variance; /* alive and born in the time of growth */
    double inuse_variance, objects_variance, alloc_variance, alloc_objects_variance,
        growth_variance, young_variance, leak_variance; /* for sites_error */
    bool reached;                     /* the last cycle reached one of its samples */
    uint32_t live_samples;            /* sampled objects that are alive */
    uint32_t oldest_ds, newest_ds;    /* birth of the oldest and newest live sample */
    double before[SITES_SLOTS];       /* raw_bytes at slot times */
    double alloc_before[SITES_SLOTS]; /* alloc_bytes */
    double marked_bytes, marked_alloc_bytes, marked_objects; /* at the mark; 0: there is none */
    uint64_t seen; /* the tick in which it was last updated */
};

enum site_order {
    SITES_BY_GROWTH,
    SITES_BY_INUSE,
    SITES_BY_OBJECTS,
    SITES_BY_ALLOC,
    SITES_BY_LEAKS,
    SITES_ORDERS
};

/* Which of a kind's values each figure is; NULL: the kind has none. */
struct site_values {
    const struct profile_value_rule *inuse_bytes, *alloc_bytes, *inuse_objects, *alloc_objects;
    uint32_t leak_flags; /* of samples that leak; 0: the kind knows no leaks */
};

struct sites {
    enum md_bucket_kind kind;
    struct site_values values;
    bool sampled;      /* its values are of samples */
    struct site *site; /* in no order; indexes stay */
    size_t count, capacity;
    struct pair_map index;        /* stack -> index in `site` */
    int64_t slot_ns[SITES_SLOTS]; /* when slot i was written, a ring; 0: never */
    int64_t marked_ns;            /* growth is since then, not of the last minute; 0: no mark */
    size_t slot, slots;           /* the next to write; how many have been written */
    int64_t tick_ns;              /* of the last tick, monotonic */
    uint64_t tick;                /* its number, from 1 */
    struct site *group;           /* as sites_group has made them */
    size_t group_count, group_capacity;
    struct pair_map group_index;
    bool samples_known; /* there are samples, so young, oldest and newest are known */
    bool leaks_known;   /* after two cycles, after one at exit, or if one has reached everything */
    bool lossy;         /* something of the kind was not recorded: nothing is exact */
    double growth_seconds;
    uint32_t cycle_ds; /* start of the last cycle that tells of leaks; 0: none */
    double inuse_max, alloc_max, leak_max; /* bounds: bytes counted; INFINITY: none are known */
    double inuse_bytes, inuse_objects, alloc_objects; /* sums */
};

void sites_init(struct sites *sites, enum md_bucket_kind kind);
void sites_fini(struct sites *sites);
/* Takes in a snapshot, which must hold SNAPSHOT_PROFILE, and SNAPSHOT_SAMPLES for ages and leaks;
 * for the mmap kind it must be corrected (target/mapped.h).  False: no memory, some sites are
 * missing. */
bool sites_update(struct sites *sites, const struct snapshot *snapshot);
/* Marks the last tick: until the mark is taken away growth is since then, and what sites_key tells
 * of objects and of bytes allocated is what has come since. */
void sites_mark(struct sites *sites, bool on);
/* Whether the kind has the figure of this order.  A figure that it has not is 0 in each site. */
bool sites_has(const struct sites *sites, enum site_order order);
/* Whether growth says nothing yet, and `young` is to be shown in its place. */
bool sites_too_early(const struct sites *sites);
/* Whether what SITES_BY_GROWTH shows is known: growth from the second tick on, before `young`. */
bool sites_growth_known(const struct sites *sites);
/* Whether all of the site's allocations were recorded. */
bool sites_exact(const struct sites *sites, const struct site *site);
/* The standard error of a figure with this variance; NAN: no sample says. */
double sites_error(const struct sites *sites, const struct site *site, double variance);
/* The figure by which an order sorts, and its variance. */
double sites_key(const struct sites *sites, const struct site *site, enum site_order order);
double sites_variance(const struct sites *sites, const struct site *site, enum site_order order);
/* Makes `group` anew: one for each key that key_of gives, which is below SITES_LEAKING.  Where
 * it is known what leaks, the stacks of a key that leak are a group apart, whose key has that bit;
 * new ones, of which the last cycle has reached nothing, go with them.  The member that is greatest
 * by `by` stands for its group.  False: no memory, some are left out. */
#define SITES_LEAKING (UINT64_C(1) << 63)
typedef uint64_t sites_key_of(void *context, uint32_t stack);
bool sites_group(struct sites *sites, sites_key_of *key_of, void *context, enum site_order by);
/* Fills `order` with up to `count` indexes of `group`, the greatest first.  Returns how many. */
size_t sites_sort(const struct sites *sites, enum site_order by, uint32_t *order, size_t count);
/* The same for the stacks of one group, as indexes of `site`. */
size_t sites_members(const struct sites *sites, uint64_t key, enum site_order by, uint32_t *order,
                     size_t count);
/* NULL: there is none. */
const struct site *sites_find(const struct sites *sites, uint32_t stack);

#endif
