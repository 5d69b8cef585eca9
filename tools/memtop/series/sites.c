#include "sites.h"

#include "losses.h"
#include "view/leaks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EARLY_SECONDS (2 * SITES_SLOT_SECONDS)

static struct site_values values_of(enum md_bucket_kind kind)
{
    struct site_values values = {0};
    size_t count;
    const struct profile_value_rule *rules = profile_kind_values(kind, &count);
    for (size_t i = 0; i < count; i++) {
        const struct profile_value_rule *rule = &rules[i];
        bool ever = rule->minus < 0;
        if (rule->sample_flags)
            values.leak_flags |= rule->sample_flags;
        else if (strcmp(rule->type.unit, "bytes") == 0)
            *(ever ? &values.alloc_bytes : &values.inuse_bytes) = rule;
        else if (strcmp(rule->type.unit, "count") == 0)
            *(ever ? &values.alloc_objects : &values.inuse_objects) = rule;
    }
    return values;
}

void sites_init(struct sites *sites, enum md_bucket_kind kind)
{
    *sites = (struct sites){.kind = kind, .values = values_of(kind)};
    sites->sampled =
        sites->values.alloc_objects && sites->values.alloc_objects->shift == MD_WEIGHT_SHIFT;
}

void sites_fini(struct sites *sites)
{
    free(sites->site);
    pair_map_fini(&sites->index);
    free(sites->group);
    pair_map_fini(&sites->group_index);
    *sites = (struct sites){0};
}

bool sites_has(const struct sites *sites, enum site_order order)
{
    switch (order) {
    case SITES_BY_GROWTH:
        return sites->values.inuse_bytes != NULL || sites->values.alloc_bytes != NULL;
    case SITES_BY_INUSE:
        return sites->values.inuse_bytes != NULL;
    case SITES_BY_OBJECTS:
        return sites->values.inuse_objects != NULL;
    case SITES_BY_ALLOC:
        return sites->values.alloc_bytes != NULL;
    case SITES_BY_LEAKS:
        return sites->values.leak_flags != 0;
    case SITES_ORDERS:
        break;
    }
    return false;
}

const struct site *sites_find(const struct sites *sites, uint32_t stack)
{
    uint32_t place = pair_map_get(&sites->index, stack, 0);
    return place == PAIR_MAP_NONE ? NULL : &sites->site[place];
}

static struct site *find_or_add(struct sites *sites, uint32_t stack)
{
    uint32_t *place = pair_map_put(&sites->index, stack, 0);
    if (!place ||
        (*place == PAIR_MAP_NONE &&
         !array_reserve(&sites->site, &sites->capacity, sites->count + 1, sizeof(struct site))))
        return NULL;
    if (*place == PAIR_MAP_NONE) {
        *place = (uint32_t)sites->count++;
        sites->site[*place] = (struct site){.stack = stack};
    }
    return &sites->site[*place];
}

/* What is left.  Never below 0, as a reader may see the second count before the first. */
static double in_use(uint64_t alloc, uint64_t freed)
{
    return alloc > freed ? (double)(alloc - freed) : 0;
}

static double amount(const struct profile_value_rule *rule, const struct md_bucket *bucket)
{
    if (!rule)
        return 0;
    return in_use(bucket->value[rule->plus], rule->minus < 0 ? 0 : bucket->value[rule->minus]) /
           (double)(UINT64_C(1) << rule->shift);
}

/* How many objects a sample of this bucket stands for, in the mean: of those that have been freed
 * nothing else is known. */
static double weight_of(const struct sites *sites, const struct md_bucket *bucket,
                        const struct md_header *header)
{
    double objects = amount(sites->values.alloc_objects, bucket);
    double weight = 1;
    /* A forked copy has taken over objects whose samples the bucket does not count. */
    if (bucket->samples > 0 && !(header->flags & MD_FLAG_FORKED))
        weight = objects / (double)bucket->samples;
    else if (header->memprofilerate > 1)
        weight = -1 / expm1(-(double)bucket->key / (double)header->memprofilerate);
    return weight > 1 && isfinite(weight) ? weight : 1;
}

static bool add_buckets(struct sites *sites, const struct snapshot *snapshot)
{
    const struct site_values *values = &sites->values;
    bool complete = true;
    for (size_t i = 0; i < snapshot->bucket_count; i++) {
        const struct md_bucket *bucket = &snapshot->buckets[i];
        if (bucket->kind != (uint32_t)sites->kind)
            continue;
        struct site *site = find_or_add(sites, bucket->stack);
        if (!site) {
            complete = false;
            continue;
        }
        if (site->seen != sites->tick) {
            site->samples = 0;
            site->raw_bytes = site->inuse_objects = site->alloc_bytes = site->alloc_objects = 0;
            site->young_bytes = site->young_objects = site->leak_bytes = 0;
            site->born_bytes = site->born_variance = 0;
            site->inuse_variance = site->objects_variance = site->alloc_variance = 0;
            site->alloc_objects_variance = site->young_variance = site->leak_variance = 0;
            site->live_samples = 0;
            site->reached = false;
            site->seen = sites->tick;
        }
        double inuse = amount(values->inuse_objects, bucket);
        double alloc = amount(values->alloc_objects, bucket);
        double size = (double)bucket->key;
        /* n samples of weight w are nw objects, with a variance of nw(w-1): until add_samples has
         * the weights of those that are alive. */
        double each = sites->sampled ? weight_of(sites, bucket, &snapshot->header) - 1 : 0;
        site->samples += bucket->samples;
        site->raw_bytes +=
            amount(values->inuse_bytes ? values->inuse_bytes : values->alloc_bytes, bucket);
        site->inuse_objects += inuse;
        site->alloc_bytes += amount(values->alloc_bytes, bucket);
        site->alloc_objects += alloc;
        site->objects_variance += inuse * each;
        site->inuse_variance += inuse * each * size * size;
        site->alloc_variance += alloc * each * size * size;
        site->alloc_objects_variance += alloc * each;
    }
    return complete;
}

/* Puts the weight of a live sample itself in place of the mean of its bucket's, which differ where
 * the rate has changed: each adds w(w-1), and a few large ones more than all others. */
static void weigh(struct site *site, double objects, double size, double mean)
{
    double more = (objects > 1 ? objects * (objects - 1) : 0) - objects * (mean - 1);
    site->objects_variance += more;
    site->alloc_objects_variance += more;
    site->inuse_variance += more * size * size;
    site->alloc_variance += more * size * size;
}

static void add_samples(struct sites *sites, const struct snapshot *snapshot)
{
    int64_t age_ns = snapshot->taken_ns - (int64_t)snapshot->header.start_ns;
    int64_t now_ds = age_ns / 100000000;
    double window_ds = sites->growth_seconds * 10;
    sites->samples_known = sites->sampled && snapshot->sample_count > 0 &&
                           (snapshot->what & (SNAPSHOT_SAMPLES | SNAPSHOT_LEAKS)) != SNAPSHOT_LEAKS;
    for (size_t i = 0; i < snapshot->sample_count; i++) {
        const struct md_sample *sample = &snapshot->samples[i];
        if (sample->bucket >= snapshot->bucket_count)
            continue;
        const struct md_bucket *bucket = &snapshot->buckets[sample->bucket];
        if (bucket->kind != (uint32_t)sites->kind)
            continue;
        struct site *site = find_or_add(sites, bucket->stack);
        if (!site)
            continue;
        if (site->live_samples++ == 0)
            site->oldest_ds = site->newest_ds = sample->born_ds;
        if (sample->born_ds < site->oldest_ds)
            site->oldest_ds = sample->born_ds;
        if (sample->born_ds > site->newest_ds)
            site->newest_ds = sample->born_ds;
        double objects = (double)sample->weight / MD_WEIGHT_ONE, size = (double)bucket->key;
        double variance = objects > 1 ? objects * (objects - 1) * size * size : 0;
        weigh(site, objects, size, weight_of(sites, bucket, &snapshot->header));
        site->reached = site->reached || (sample->born_ds < sites->cycle_ds &&
                                          !(sample->flags & MD_SAMPLE_UNREACHED));
        if (sample->flags & sites->values.leak_flags) {
            site->leak_bytes += objects * size;
            site->leak_variance += variance;
        }
        if (sample->flags & MD_SAMPLE_INHERITED)
            continue;
        int64_t age = now_ds - (int64_t)sample->born_ds;
        if (age <= SITES_WINDOW_SECONDS * 10) {
            site->young_objects += objects;
            site->young_bytes += objects * size;
            site->young_variance += variance;
        }
        if ((double)age <= window_ds) {
            site->born_bytes += objects * size;
            site->born_variance += variance;
        }
    }
}

/* The slot to compare with: the youngest that is a minute old, else the oldest. */
static size_t base_slot(const struct sites *sites)
{
    size_t oldest = sites->slots < SITES_SLOTS ? 0 : sites->slot;
    size_t base = oldest;
    for (size_t i = 1; i < sites->slots; i++) {
        size_t slot = (oldest + i) % SITES_SLOTS;
        if (sites->tick_ns - sites->slot_ns[slot] < (int64_t)SITES_WINDOW_SECONDS * 1000000000)
            break;
        base = slot;
    }
    return base;
}

/* Takes in what the process itself has counted. */
static void take_counts(struct sites *sites, const struct snapshot *snapshot)
{
    const struct md_counters *counters = &snapshot->header.counters;
    /* Only the heap is counted; 0 means that nothing has been published yet. */
    bool counted = sites->kind == MD_BUCKET_HEAP && counters->alloc_bytes > 0;
    sites->alloc_max = counted ? (double)counters->alloc_bytes : INFINITY;
    sites->inuse_max = counted ? in_use(counters->alloc_bytes, counters->free_bytes) : INFINITY;
    sites->lossy = losses_of_kind(counters, sites->kind) > 0;
    /* Of a moment: sums of samples all the same, though the kind has no weights of its own. */
    if (sites->kind == MD_BUCKET_PEAK || sites->kind == MD_BUCKET_PINNED)
        sites->lossy = sites->lossy || snapshot->header.memprofilerate != 1;
    sites->leaks_known = false;
    sites->leak_max = INFINITY;
    sites->cycle_ds = 0;
    for (size_t i = sites_has(sites, SITES_BY_LEAKS) ? snapshot->cycle_count : 0; i > 0; i--) {
        const struct md_cycle *cycle = &snapshot->cycles[i - 1];
        if (!leaks_tell(cycle))
            continue;
        bool two = (cycle->flags & MD_CYCLE_LEAKS) != 0;
        sites->leaks_known = two || cycle->unreachable_objects == 0;
        sites->leak_max = two ? (double)cycle->leaked_bytes : 0;
        sites->cycle_ds = (uint32_t)(cycle->start_ns / 100000000);
        break;
    }
}

/* Limits estimates to what was counted.  Exact figures stay: counts lag by up to 64 KiB a thread,
 * so an exact figure may be nearer to the truth. */
static void bound(const struct sites *sites, struct site *site)
{
    if (sites_exact(sites, site))
        return;
    /* What leaked samples stand for beyond what has leaked is not in use either. */
    double beyond = sites->leaks_known ? fmax(site->leak_bytes - sites->leak_max, 0) : 0;
    double inuse = fmin(fmax(site->inuse_bytes - beyond, 0), sites->inuse_max);
    if (site->inuse_bytes > inuse) {
        site->inuse_objects *= inuse / site->inuse_bytes;
        site->inuse_bytes = inuse;
    }
    site->growth_bytes = fmin(site->growth_bytes, site->inuse_bytes);
    site->young_bytes = fmin(site->young_bytes, site->inuse_bytes);
    site->leak_bytes = fmin(site->leak_bytes, fmin(site->inuse_bytes, sites->leak_max));
    if (site->alloc_bytes > sites->alloc_max) {
        site->alloc_objects *= sites->alloc_max / site->alloc_bytes;
        site->alloc_bytes = sites->alloc_max;
    }
}

/* Growth is what was born meanwhile and is alive, minus what was there and has been freed.  Both
 * are sums of samples, so both add to its variance. */
static double growth_variance(const struct site *site)
{
    double freed = fmax(site->born_bytes - site->growth_bytes, 0);
    double each = site->alloc_bytes > 0 ? site->alloc_variance / site->alloc_bytes : 0;
    return site->born_variance + freed * each;
}

bool sites_update(struct sites *sites, const struct snapshot *snapshot)
{
    bool first = sites->tick == 0;
    sites->tick++;
    sites->tick_ns = snapshot->taken_ns;
    /* Found before a new slot overwrites the oldest. */
    size_t base = first ? 0 : base_slot(sites);
    bool marked = sites->marked_ns != 0;
    int64_t base_ns = marked ? sites->marked_ns : sites->slot_ns[base];
    sites->growth_seconds = first ? 0 : (double)(sites->tick_ns - base_ns) / 1e9;
    take_counts(sites, snapshot);
    bool complete = add_buckets(sites, snapshot);
    add_samples(sites, snapshot);
    sites->inuse_bytes = sites->inuse_objects = sites->alloc_objects = 0;
    size_t last = (sites->slot + SITES_SLOTS - 1) % SITES_SLOTS;
    bool new_slot =
        first || sites->tick_ns - sites->slot_ns[last] >= (int64_t)SITES_SLOT_SECONDS * 1000000000;
    for (size_t i = 0; i < sites->count; i++) {
        struct site *site = &sites->site[i];
        if (site->seen != sites->tick) /* its bucket was torn: it stays as it was */
            site->seen = sites->tick;
        double before = marked ? site->marked_bytes : site->before[base];
        double alloc_before = marked ? site->marked_alloc_bytes : site->alloc_before[base];
        site->growth_bytes = first ? 0 : site->raw_bytes - before;
        site->growth_variance = growth_variance(site);
        site->alloc_rate = sites->growth_seconds > 0
                               ? (site->alloc_bytes - alloc_before) / sites->growth_seconds
                               : NAN;
        if (site->alloc_rate < 0)
            site->alloc_rate = NAN;
        if (new_slot) {
            site->before[sites->slot] = site->raw_bytes;
            site->alloc_before[sites->slot] = site->alloc_bytes;
        }
        site->inuse_bytes = site->raw_bytes;
        bound(sites, site);
        sites->inuse_bytes += site->inuse_bytes;
        sites->inuse_objects += site->inuse_objects;
        sites->alloc_objects += site->alloc_objects;
    }
    if (new_slot) {
        sites->slot_ns[sites->slot] = sites->tick_ns;
        sites->slot = (sites->slot + 1) % SITES_SLOTS;
        if (sites->slots < SITES_SLOTS)
            sites->slots++;
    }
    return complete;
}

void sites_mark(struct sites *sites, bool on)
{
    sites->marked_ns = on ? sites->tick_ns : 0;
    for (size_t i = 0; i < sites->count; i++) {
        struct site *site = &sites->site[i];
        site->marked_bytes = on ? site->raw_bytes : 0;
        site->marked_alloc_bytes = on ? site->alloc_bytes : 0;
        site->marked_objects = on ? site->inuse_objects : 0;
    }
}

bool sites_too_early(const struct sites *sites)
{
    return sites->samples_known && sites->growth_seconds < EARLY_SECONDS && !sites->marked_ns;
}

bool sites_growth_known(const struct sites *sites)
{
    return sites_too_early(sites) || sites->growth_seconds > 0;
}

bool sites_exact(const struct sites *sites, const struct site *site)
{
    return !sites->lossy && !(site->alloc_variance > 0);
}

double sites_error(const struct sites *sites, const struct site *site, double variance)
{
    return sites_exact(sites, site) ? 0 : variance > 0 ? sqrt(variance) : NAN;
}

double sites_key(const struct sites *sites, const struct site *site, enum site_order order)
{
    switch (order) {
    case SITES_BY_GROWTH:
        return sites_too_early(sites) ? site->young_bytes : site->growth_bytes;
    case SITES_BY_INUSE:
        return site->inuse_bytes;
    case SITES_BY_OBJECTS:
        return site->inuse_objects - site->marked_objects;
    case SITES_BY_LEAKS:
        return site->leak_bytes;
    case SITES_BY_ALLOC:
    case SITES_ORDERS:
        break;
    }
    return site->alloc_bytes - site->marked_alloc_bytes;
}

double sites_variance(const struct sites *sites, const struct site *site, enum site_order order)
{
    switch (order) {
    case SITES_BY_GROWTH:
        return sites_too_early(sites) ? site->young_variance : site->growth_variance;
    case SITES_BY_INUSE:
        return site->inuse_variance;
    case SITES_BY_OBJECTS:
        return site->objects_variance;
    case SITES_BY_LEAKS:
        return site->leak_variance;
    case SITES_BY_ALLOC:
    case SITES_ORDERS:
        break;
    }
    return site->alloc_variance;
}

struct ranked {
    double key, inuse;
    uint32_t place;
};

static int greatest_first(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? 1 : -1;
    if (x->inuse != y->inuse)
        return x->inuse < y->inuse ? 1 : -1;
    return (x->place > y->place) - (x->place < y->place);
}

static size_t take_greatest(struct ranked *ranked, size_t found, uint32_t *order, size_t count)
{
    qsort(ranked, found, sizeof ranked[0], greatest_first);
    if (count > found)
        count = found;
    for (size_t i = 0; i < count; i++)
        order[i] = ranked[i].place;
    free(ranked);
    return count;
}

size_t sites_sort(const struct sites *sites, enum site_order by, uint32_t *order, size_t count)
{
    struct ranked *ranked = malloc((sites->group_count + 1) * sizeof ranked[0]);
    if (!ranked)
        return 0;
    for (size_t i = 0; i < sites->group_count; i++) {
        const struct site *site = &sites->group[i];
        ranked[i] = (struct ranked){sites_key(sites, site, by), site->inuse_bytes, (uint32_t)i};
    }
    return take_greatest(ranked, sites->group_count, order, count);
}

size_t sites_members(const struct sites *sites, uint64_t key, enum site_order by, uint32_t *order,
                     size_t count)
{
    struct ranked *ranked = malloc((sites->count + 1) * sizeof ranked[0]);
    size_t found = 0;
    if (!ranked)
        return 0;
    for (size_t i = 0; i < sites->count; i++) {
        const struct site *site = &sites->site[i];
        if (site->key == key)
            ranked[found++] =
                (struct ranked){sites_key(sites, site, by), site->inuse_bytes, (uint32_t)i};
    }
    return take_greatest(ranked, found, order, count);
}

static void add_member(const struct sites *sites, struct site *group, const struct site *site,
                       enum site_order by, struct ranked *greatest)
{
    struct ranked ranked = {sites_key(sites, site, by), site->inuse_bytes,
                            (uint32_t)(site - sites->site)};
    if (group->members == 0 || greatest_first(&ranked, greatest) < 0) {
        *greatest = ranked;
        group->stack = site->stack;
    }
    if (site->live_samples > 0) {
        if (group->live_samples == 0 || site->oldest_ds < group->oldest_ds)
            group->oldest_ds = site->oldest_ds;
        if (group->live_samples == 0 || site->newest_ds > group->newest_ds)
            group->newest_ds = site->newest_ds;
    }
    group->members++;
    group->samples += site->samples;
    group->inuse_bytes += site->inuse_bytes;
    group->inuse_objects += site->inuse_objects;
    group->alloc_bytes += site->alloc_bytes;
    group->alloc_objects += site->alloc_objects;
    group->marked_alloc_bytes += site->marked_alloc_bytes;
    group->marked_objects += site->marked_objects;
    group->alloc_rate += site->alloc_rate;
    group->growth_bytes += site->growth_bytes;
    group->young_bytes += site->young_bytes;
    group->young_objects += site->young_objects;
    group->leak_bytes += site->leak_bytes;
    group->inuse_variance += site->inuse_variance;
    group->objects_variance += site->objects_variance;
    group->alloc_variance += site->alloc_variance;
    group->alloc_objects_variance += site->alloc_objects_variance;
    group->growth_variance += site->growth_variance;
    group->young_variance += site->young_variance;
    group->leak_variance += site->leak_variance;
    group->live_samples += site->live_samples;
}

/* False: no memory. */
static bool add_to_group(struct sites *sites, const struct site *site, enum site_order by,
                         struct ranked *greatest)
{
    uint32_t *place = pair_map_put(&sites->group_index, site->key, 0);
    if (!place)
        return false;
    if (*place == PAIR_MAP_NONE) {
        *place = (uint32_t)sites->group_count;
        sites->group[sites->group_count++] = (struct site){.key = site->key};
    }
    add_member(sites, &sites->group[*place], site, by, &greatest[*place]);
    return true;
}

bool sites_group(struct sites *sites, sites_key_of *key_of, void *context, enum site_order by)
{
    struct ranked *greatest = calloc(sites->count + 1, sizeof greatest[0]); /* of each group */
    sites->group_count = 0;
    if (!greatest || !array_reserve(&sites->group, &sites->group_capacity, sites->count,
                                    sizeof sites->group[0])) {
        free(greatest);
        return false;
    }
    pair_map_clear(&sites->group_index);
    bool complete = true;
    for (int late = 0; late < 2; late++)
        for (size_t i = 0; i < sites->count; i++) {
            struct site *site = &sites->site[i];
            bool leaks = sites->leaks_known && site->leak_bytes > 0;
            bool is_new = sites->leaks_known && !leaks && !site->reached && site->live_samples > 0;
            if (is_new != (late > 0))
                continue;
            site->key = key_of(context, site->stack);
            /* Of what is new it is not known yet: it goes with what leaks of its call site. */
            if (leaks || (is_new && pair_map_get(&sites->group_index, site->key | SITES_LEAKING,
                                                 0) != PAIR_MAP_NONE))
                site->key |= SITES_LEAKING;
            complete = add_to_group(sites, site, by, greatest) && complete;
        }
    for (size_t i = 0; i < sites->group_count; i++)
        bound(sites, &sites->group[i]);
    free(greatest);
    return complete;
}
