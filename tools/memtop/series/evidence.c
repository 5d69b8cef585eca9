#include "evidence.h"

#include "view/containers.h"
#include "view/leaks.h"

#include <math.h>
#include <stdlib.h>

/* ---- readings ---- */

static void add_heap(struct evidence *evidence, int64_t time_ns, double heap_bytes)
{
    struct verdict_reading reading = verdict_blank(time_ns);
    reading.value[VERDICT_HEAP] = heap_bytes;
    verdict_add(&evidence->history, &reading);
}

static bool is_done(const struct md_cycle *cycle)
{
    return !(cycle->flags & MD_CYCLE_SKIPPED);
}

static int64_t start_of(const struct snapshot *snapshot, const struct md_cycle *cycle)
{
    return (int64_t)(snapshot->header.start_ns + cycle->start_ns);
}

void evidence_begin(struct evidence *evidence, const struct history *history)
{
    for (size_t i = 0; i < history->count; i++)
        if (!isnan(history->points[i].value[HISTORY_HEAP]))
            add_heap(evidence, history->points[i].time_ns, history->points[i].value[HISTORY_HEAP]);
}

static double anonymous_bytes(const struct snapshot *snapshot)
{
    double bytes = 0;
    for (size_t i = 0; i < snapshot->bucket_count; i++) {
        const struct md_bucket *bucket = &snapshot->buckets[i];
        if (bucket->kind == MD_BUCKET_MMAP &&
            (bucket->label == MD_LABEL_MMAP_ANONYMOUS || bucket->label == MD_LABEL_MMAP_BREAK))
            bytes +=
                (double)bucket->value[MD_MMAP_BYTES] - (double)bucket->value[MD_MMAP_GONE_BYTES];
    }
    return snapshot_has(snapshot, MD_SECTION_MAPPINGS) ? bytes : NAN;
}

/* Parts are older than a tick, by some seconds: the kernel is not asked each time. */
static void add_parts(struct verdict_reading *reading, const struct rss_parts *parts)
{
    const struct {
        enum verdict_series series;
        enum rss_part part;
        int64_t bytes;
    } each[] = {{VERDICT_SLACK, RSS_slab_slack, parts->slab_slack},
                {VERDICT_CACHES, RSS_thread_caches, parts->thread_caches},
                {VERDICT_FREE, RSS_dirty, parts->dirty + parts->muzzy},
                {VERDICT_METADATA, RSS_metadata, parts->metadata},
                {VERDICT_STACKS, RSS_stacks, parts->stacks},
                {VERDICT_ANONYMOUS, RSS_anonymous, parts->anonymous},
                {VERDICT_FILES, RSS_files, parts->files},
                {VERDICT_SHARED, RSS_shared, parts->shared}};
    if (parts->taken_ns)
        reading->value[VERDICT_PARTED] = (double)parts->rss;
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++)
        if (parts->taken_ns && rss_knows(parts, each[i].part))
            reading->value[each[i].series] = (double)each[i].bytes;
}

size_t evidence_points(const struct snapshot *snapshot,
                       struct verdict_point points[EVIDENCE_POINTS])
{
    size_t count = 0;
    const struct md_cycle *before = NULL; /* the last one that tells what is unreachable */
    /* A forked copy begins with its parent's heap. */
    if (!(snapshot->header.flags & MD_FLAG_FORKED))
        points[count++] = (struct verdict_point){(int64_t)snapshot->header.start_ns, 0, 0};
    for (size_t i = 0; i < snapshot->cycle_count && count < EVIDENCE_POINTS; i++) {
        const struct md_cycle *cycle = &snapshot->cycles[i];
        if (!leaks_tell(cycle))
            continue;
        /* Of a cycle that has reached all blocks, and of one at exit, which is its own second. */
        const struct md_cycle *of =
            !cycle->unreachable_objects || (cycle->flags & MD_CYCLE_FINAL) ? cycle : before;
        double leaked = cycle->unreachable_objects ? (double)cycle->leaked_bytes : 0;
        if (of && (!cycle->unreachable_objects || (cycle->flags & MD_CYCLE_LEAKS)))
            points[count++] = (struct verdict_point){start_of(snapshot, of),
                                                     (double)of->heap_start_bytes, leaked};
        before = cycle;
    }
    return count;
}

/* ---- sums by call site ---- */

struct tally {
    struct verdict_site *site;
    double *greatest; /* what the stack of each site came to, that stands for it */
    size_t count, site_room, greatest_room;
    struct pair_map index; /* site -> index */
};

static void tally_fini(struct tally *tally)
{
    free(tally->site);
    free(tally->greatest);
    pair_map_fini(&tally->index);
}

/* `error` of all that is added is kept as a variance until tally_end.  Without memory it is left
 * out, and its site is named less. */
static void tally_add(struct tally *tally, uint64_t key, uint32_t stack, double bytes,
                      double variance)
{
    uint32_t *place = pair_map_put(&tally->index, key, 0);
    if (!place)
        return;
    if (*place == PAIR_MAP_NONE) {
        if (!array_reserve(&tally->site, &tally->site_room, tally->count + 1,
                           sizeof tally->site[0]) ||
            !array_reserve(&tally->greatest, &tally->greatest_room, tally->count + 1,
                           sizeof tally->greatest[0]))
            return;
        *place = (uint32_t)tally->count++;
        tally->site[*place] = (struct verdict_site){.site = key};
        tally->greatest[*place] = -INFINITY;
    }
    struct verdict_site *site = &tally->site[*place];
    site->bytes += bytes;
    site->error += variance;
    if (bytes > tally->greatest[*place]) {
        tally->greatest[*place] = bytes;
        site->stack = stack;
    }
}

static void tally_attribute(struct tally *tally, struct verdict *verdict, double total_bytes,
                            const struct verdict *before)
{
    for (size_t i = 0; i < tally->count; i++)
        tally->site[i].error = sqrt(tally->site[i].error);
    verdict_attribute(verdict, tally->site, tally->count, total_bytes, before);
}

/* ---- samples that leak ---- */

static int64_t born(const struct snapshot *snapshot, const struct md_sample *sample)
{
    return (int64_t)(snapshot->header.start_ns + (uint64_t)sample->born_ds * 100000000);
}

static bool lost(const struct snapshot *snapshot, const struct md_sample *sample,
                 struct verdict_lost *lost)
{
    if (!(sample->flags & MD_SAMPLE_LEAK) || sample->bucket >= snapshot->bucket_count)
        return false;
    double objects = (double)sample->weight / MD_WEIGHT_ONE;
    double size = (double)snapshot->buckets[sample->bucket].key;
    *lost = (struct verdict_lost){born(snapshot, sample), objects * size,
                                  objects > 1 ? objects * (objects - 1) * size * size : 0};
    return true;
}

static struct verdict_lost *all_lost(const struct snapshot *snapshot, size_t *count)
{
    struct verdict_lost *all = malloc((snapshot->sample_count + 1) * sizeof *all);
    *count = 0;
    for (size_t i = 0; all && i < snapshot->sample_count; i++)
        *count += lost(snapshot, &snapshot->samples[i], &all[*count]);
    return all;
}

/* ---- the verdict ---- */

/* The growth that was counted, in as much time as sites are watched for. */
static double in_time_of(const struct sites *sites, const struct verdict *verdict)
{
    return verdict->growth_bytes / verdict->seconds * sites->growth_seconds;
}

static void add_lost(struct tally *tally, const struct snapshot *snapshot,
                     const struct verdict *verdict, struct names *names)
{
    struct verdict_lost one;
    for (size_t i = 0; i < snapshot->sample_count; i++) {
        const struct md_sample *sample = &snapshot->samples[i];
        if (!lost(snapshot, sample, &one) || one.born_ns < verdict->from_ns ||
            one.born_ns > verdict->to_ns)
            continue;
        uint32_t stack = snapshot->buckets[sample->bucket].stack;
        tally_add(tally, names_site(names, snapshot, stack), stack, one.bytes, one.variance);
    }
}

static void add_growth(struct tally *tally, const struct snapshot *snapshot,
                       const struct sites *sites, struct names *names)
{
    for (size_t i = 0; i < sites->count; i++) {
        const struct site *site = &sites->site[i];
        double error = sites_error(sites, site, site->growth_variance);
        if (site->growth_bytes != 0)
            tally_add(tally, names_site(names, snapshot, site->stack), site->stack,
                      site->growth_bytes, error * error);
    }
}

/* Of those that map what the verdict is about: a label of the mmap kind. */
static void add_mapped(struct tally *tally, const struct snapshot *snapshot,
                       const struct sites *sites, const struct verdict *verdict,
                       struct names *names)
{
    uint64_t label = verdict->part == VERDICT_STACKS  ? MD_LABEL_MMAP_STACK
                     : verdict->part == VERDICT_FILES ? MD_LABEL_MMAP_FILE
                                                      : MD_LABEL_MMAP_ANONYMOUS;
    for (size_t i = 0; i < snapshot->bucket_count; i++) {
        const struct md_bucket *bucket = &snapshot->buckets[i];
        const struct site *site;
        if (bucket->kind == MD_BUCKET_MMAP && bucket->label == label &&
            (site = sites_find(sites, bucket->stack)) && site->growth_bytes != 0)
            tally_add(tally, names_site(names, snapshot, site->stack), site->stack,
                      site->growth_bytes, 0);
    }
}

/* The size of those blocks that pin most of all; 0: of no size are they half of it. */
static uint64_t pinning_size(const struct snapshot *snapshot)
{
    struct {
        uint64_t size;
        double bytes;
    } by[64] = {{0}}; /* more than there are sizes with slabs */
    size_t sizes = 0, greatest = 0;
    double all = 0;
    for (size_t i = 0; i < snapshot->bucket_count; i++) {
        const struct md_bucket *bucket = &snapshot->buckets[i];
        if (bucket->kind != MD_BUCKET_PINNED)
            continue;
        size_t at = 0;
        while (at < sizes && by[at].size != bucket->key)
            at++;
        if (at == sizeof by / sizeof by[0])
            return 0;
        sizes += at == sizes;
        by[at].size = bucket->key;
        by[at].bytes += (double)bucket->value[MD_PINNED_BYTES];
        all += (double)bucket->value[MD_PINNED_BYTES];
        greatest = by[at].bytes > by[greatest].bytes ? at : greatest;
    }
    return by[greatest].bytes > all / 2 ? by[greatest].size : 0;
}

/* All of it, not its growth: what was pinned before is as hard to get rid of. */
static void add_pinned(struct tally *tally, const struct snapshot *snapshot, struct names *names)
{
    for (size_t i = 0; i < snapshot->bucket_count; i++) {
        const struct md_bucket *bucket = &snapshot->buckets[i];
        double error = (double)bucket->value[MD_PINNED_ERROR];
        if (bucket->kind == MD_BUCKET_PINNED && bucket->value[MD_PINNED_BYTES])
            tally_add(tally, names_site(names, snapshot, bucket->stack), bucket->stack,
                      (double)bucket->value[MD_PINNED_BYTES], error * error);
    }
}

static double sum(const struct tally *tally)
{
    double bytes = 0;
    for (size_t i = 0; i < tally->count; i++)
        bytes += tally->site[i].bytes;
    return bytes;
}

static void attribute(struct verdict *verdict, const struct snapshot *snapshot,
                      const struct sites *sites, struct names *names, const struct verdict *before)
{
    struct tally tally = {0};
    double total = 0;
    switch (verdict->kind) {
    case VERDICT_LEAK:
        add_lost(&tally, snapshot, verdict, names);
        total = sum(&tally);
        break;
    case VERDICT_HELD:
    case VERDICT_GROWTH:
        add_growth(&tally, snapshot, &sites[MD_BUCKET_HEAP], names);
        /* The samples' sum errs as its parts do, so shares of it err less. */
        total = fmin(in_time_of(&sites[MD_BUCKET_HEAP], verdict), sum(&tally));
        break;
    case VERDICT_OUTSIDE:
        add_mapped(&tally, snapshot, &sites[MD_BUCKET_MMAP], verdict, names);
        total = sum(&tally);
        break;
    case VERDICT_KEPT:
        if (verdict->part == VERDICT_SLACK) {
            verdict->block_bytes = pinning_size(snapshot);
            add_pinned(&tally, snapshot, names);
            total = sum(&tally);
        }
        break;
    case VERDICT_NONE:
        break;
    }
    tally_attribute(&tally, verdict, total, before);
    tally_fini(&tally);
}

/* A name may show that a frame is an allocator's, and then its caller is the site. */
static void name_sites(struct verdict *verdict, const struct snapshot *snapshot,
                       const struct sites *sites, struct names *names, const struct verdict *before)
{
    for (int round = 0; round < 8 && verdict->kind != VERDICT_NONE; round++) {
        uint64_t learned = names_learned(names);
        attribute(verdict, snapshot, sites, names, before);
        for (size_t i = 0; i < verdict->name_count; i++)
            names_want(names, snapshot, verdict->name[i].stack);
        if (names_learned(names) == learned)
            break;
    }
}

void evidence_tick(struct evidence *evidence, const struct snapshot *snapshot, double rss_bytes,
                   const struct rss_parts *parts, const struct sites sites[MD_BUCKET_KINDS],
                   struct names *names)
{
    const struct md_counters *counters = &snapshot->header.counters;
    struct verdict_reading reading = verdict_blank(snapshot->taken_ns);
    reading.value[VERDICT_HEAP] = counters->alloc_bytes > counters->free_bytes
                                      ? (double)(counters->alloc_bytes - counters->free_bytes)
                                      : 0;
    reading.value[VERDICT_RSS] = rss_bytes;
    add_parts(&reading, parts);
    reading.value[VERDICT_MAPPED] = anonymous_bytes(snapshot);
    verdict_add(&evidence->history, &reading);
    struct verdict_point points[EVIDENCE_POINTS];
    struct verdict_evidence found = {.history = &evidence->history,
                                     .point = points,
                                     .point_count = evidence_points(snapshot, points),
                                     .sample_bytes = (double)snapshot->header.memprofilerate,
                                     .peak_bytes = (double)counters->peak_bytes};
    struct verdict_lost *all = all_lost(snapshot, &found.lost_count);
    found.lost = all;
    struct verdict before = evidence->verdict;
    evidence->verdict = verdict_find(&found, &before);
    free(all);
    name_sites(&evidence->verdict, snapshot, sites, names, &before);
}

struct verdict evidence_of_leaks(const struct snapshot *snapshot, struct names *names)
{
    static const struct verdict_history history;
    static const struct sites none[MD_BUCKET_KINDS]; /* only growth has any */
    struct verdict_point points[EVIDENCE_POINTS];
    struct verdict_evidence all = {.history = &history,
                                   .point = points,
                                   .point_count = evidence_points(snapshot, points),
                                   .peak_bytes = NAN,
                                   .whole_life = true};
    struct verdict verdict = verdict_find(&all, NULL);
    name_sites(&verdict, snapshot, none, names, NULL);
    return verdict;
}

enum evidence_cycles evidence_cycles(const struct verdict *verdict, const struct snapshot *snapshot)
{
    int64_t last_ns = 0;
    for (size_t i = 0; i < snapshot->cycle_count; i++)
        if (is_done(&snapshot->cycles[i]))
            last_ns = start_of(snapshot, &snapshot->cycles[i]);
    return !(snapshot->header.flags & (MD_FLAG_GC | MD_FLAG_ASKABLE)) ? EVIDENCE_NEVER
           : last_ns == 0                                             ? EVIDENCE_NONE
           : verdict->to_ns - last_ns > VERDICT_FRESH_NS              ? EVIDENCE_OLD
                                                                      : EVIDENCE_CYCLES;
}
