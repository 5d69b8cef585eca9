#include "view/verdict.h"

#include <math.h>
#include <string.h>

#define MIB 1048576.0
#define SECOND INT64_C(1000000000)

static const int64_t reading_gap_ns = 2 * SECOND;
/* What is looked at: the last minute, and where that says nothing the last ten. */
static const int64_t windows_ns[] = {60 * SECOND, 600 * SECOND};
/* A window may be longer by this, as readings and cycles come when they come. */
static const double window_room = 1.25;
static const int64_t growth_least_ns = 45 * SECOND; /* less may be a start, */
static const int64_t leak_least_ns = 10 * SECOND;   /* but two cycles are proof */
static const double growth_least = 4 * MIB, growth_least_share = 0.02; /* of the heap */
static const double rss_least = 8 * MIB, rss_least_share = 0.05;       /* of RSS */
static const double leak_least = 1 * MIB, leak_least_share = 0.1;      /* of the growth */
static const double part_least_share = 0.5; /* of RSS's growth: what explains it */
/* Of the growth, in each third of the time; an even one has a third of it. */
static const double step_least_share = 1 / 6.0, last_step_least_share = 1 / 4.0;
/* Of the growth: what the series may have fallen meanwhile, and how much of it must be above all
 * that was before. */
static const double fall_most_share = 0.5, new_least_share = 0.5;
static const double errors_least = 3, name_least_share = 0.2;

struct verdict_reading verdict_blank(int64_t time_ns)
{
    struct verdict_reading reading = {.time_ns = time_ns};
    for (size_t i = 0; i < VERDICT_SERIES; i++)
        reading.value[i] = NAN;
    return reading;
}

void verdict_add(struct verdict_history *history, const struct verdict_reading *reading)
{
    struct verdict_reading *all = history->reading;
    size_t count = history->count;
    if (count > 0 && reading->time_ns < all[count - 1].time_ns)
        return;
    /* The newest is replaced until it is far enough from the one before it. */
    if (count > 1 && all[count - 1].time_ns - all[count - 2].time_ns < reading_gap_ns)
        history->count = --count;
    if (count == VERDICT_READINGS) {
        memmove(all, all + 1, (VERDICT_READINGS - 1) * sizeof *all);
        history->count = --count;
    }
    all[count] = *reading;
    history->count = count + 1;
}

/* ---- a series over a time ---- */

static bool known(const struct verdict_reading *reading, enum verdict_series series)
{
    return !isnan(reading->value[series]);
}

/* The first reading with a value that is not older than `from_ns`; `count`: there is none. */
static size_t first_since(const struct verdict_history *history, enum verdict_series series,
                          int64_t from_ns)
{
    size_t i = 0;
    while (i < history->count &&
           (history->reading[i].time_ns < from_ns || !known(&history->reading[i], series)))
        i++;
    return i;
}

/* A series from one reading to the newest. */
struct growth {
    double bytes, now_bytes;
    int64_t from_ns, to_ns;
    double floor[3];   /* the least value since the beginning of each third of the time */
    double fall_bytes; /* the most that it has fallen meanwhile */
    double ceiling;    /* the greatest value before that time; -INFINITY: nothing is known */
    int64_t known_ns;  /* how long that is known for */
};

static bool measure(const struct verdict_history *history, enum verdict_series series,
                    int64_t window_ns, struct growth *growth)
{
    if (history->count == 0 || !known(&history->reading[history->count - 1], series))
        return false;
    const struct verdict_reading *last = &history->reading[history->count - 1];
    size_t base = first_since(history, series, last->time_ns - window_ns);
    /* Where readings are rare, one that is a little older makes the time whole. */
    int64_t oldest_ns = last->time_ns - (int64_t)((double)window_ns * window_room);
    if (base > 0 && history->reading[base - 1].time_ns >= oldest_ns &&
        known(&history->reading[base - 1], series))
        base--;
    const struct verdict_reading *first = &history->reading[base];
    *growth = (struct growth){.bytes = last->value[series] - first->value[series],
                              .now_bytes = last->value[series],
                              .from_ns = first->time_ns,
                              .to_ns = last->time_ns,
                              .floor = {INFINITY, INFINITY, INFINITY},
                              .ceiling = -INFINITY};
    int64_t time_ns = growth->to_ns - growth->from_ns;
    double highest = -INFINITY;
    for (size_t i = 0; i < history->count; i++) {
        const struct verdict_reading *reading = &history->reading[i];
        double value = reading->value[series];
        if (isnan(value))
            continue;
        if (i < base) {
            growth->ceiling = fmax(growth->ceiling, value);
            if (growth->known_ns == 0)
                growth->known_ns = first->time_ns - reading->time_ns;
            continue;
        }
        highest = fmax(highest, value);
        growth->fall_bytes = fmax(growth->fall_bytes, highest - value);
        for (int third = 0; third < 3; third++)
            if (reading->time_ns - first->time_ns >= time_ns / 3 * third)
                growth->floor[third] = fmin(growth->floor[third], value);
    }
    return true;
}

/* Whether it has grown all the time, to where it has not been: one step does not, nor do noise and
 * the teeth of a saw. */
static bool grows(const struct verdict_history *history, enum verdict_series series,
                  int64_t window_ns, double hold, struct growth *growth)
{
    if (!measure(history, series, window_ns, growth) ||
        growth->to_ns - growth->from_ns < growth_least_ns || growth->bytes <= 0)
        return false;
    const double *floor = growth->floor;
    double step = hold * step_least_share * growth->bytes;
    return floor[1] - floor[0] >= step && floor[2] - floor[1] >= step &&
           growth->now_bytes - floor[2] >= hold * last_step_least_share * growth->bytes &&
           hold * growth->fall_bytes <= fall_most_share * growth->bytes &&
           growth->now_bytes - growth->ceiling >= hold * new_least_share * growth->bytes;
}

/* The change of a series from one time to another, both of which have a reading; NAN: not known. */
static double change(const struct verdict_history *history, enum verdict_series series,
                     int64_t from_ns, int64_t to_ns)
{
    double first = NAN, last = NAN;
    for (size_t i = 0; i < history->count; i++) {
        const struct verdict_reading *reading = &history->reading[i];
        if (reading->time_ns < from_ns || reading->time_ns > to_ns || !known(reading, series))
            continue;
        first = isnan(first) ? reading->value[series] : first;
        last = reading->value[series];
    }
    return last - first;
}

/* How much of RSS's growth is a part's: its share from the first time to the last at which it is
 * known, if RSS has grown by half of that between those.  NAN: it is not known. */
static double part_of(const struct verdict_history *history, enum verdict_series part,
                      const struct growth *growth)
{
    double of[2] = {NAN, NAN}, all[2] = {NAN, NAN};
    for (size_t i = 0; i < history->count; i++) {
        const struct verdict_reading *reading = &history->reading[i];
        if (reading->time_ns < growth->from_ns || reading->time_ns > growth->to_ns ||
            !known(reading, part) || !known(reading, VERDICT_PARTED))
            continue;
        int place = isnan(of[0]) ? 0 : 1;
        of[place] = reading->value[part];
        all[place] = reading->value[VERDICT_PARTED];
    }
    double grown = all[1] - all[0];
    return grown >= growth->bytes / 2 ? (of[1] - of[0]) / grown * growth->bytes : NAN;
}

/* ---- the rules ---- */

/* What cycles tell of a time. */
struct told {
    double growth_bytes, leaked_bytes, leaked_max; /* _max: it may be that much, by the error */
    int64_t from_ns, to_ns;
    bool significant; /* leaked_bytes stands out of its error */
};

/* From one point to another both are counted.  Where the first is missing, what is lost of what was
 * born since a reading is added up from samples. */
static bool tell(const struct verdict_evidence *e, int64_t window_ns, struct told *told)
{
    if (e->point_count == 0)
        return false;
    const struct verdict_point *last = &e->point[e->point_count - 1];
    int64_t room_ns = (int64_t)((double)window_ns * window_room);
    int64_t oldest_ns = e->whole_life ? INT64_MIN : last->time_ns - room_ns;
    int64_t newest_ns = last->time_ns - (e->whole_life ? 0 : leak_least_ns);
    for (size_t i = 0; i + 1 < e->point_count; i++) {
        const struct verdict_point *first = &e->point[i];
        if (first->time_ns < oldest_ns || first->time_ns > newest_ns)
            continue;
        double leaked = fmax(last->leaked_bytes - first->leaked_bytes, 0);
        *told = (struct told){last->heap_bytes - first->heap_bytes,
                              leaked,
                              leaked,
                              first->time_ns,
                              last->time_ns,
                              true};
        return true;
    }
    size_t base = first_since(e->history, VERDICT_HEAP, oldest_ns);
    if (base == e->history->count || e->history->reading[base].time_ns > newest_ns)
        return false;
    const struct verdict_reading *first = &e->history->reading[base];
    double leaked = 0, variance = 0;
    for (size_t i = 0; i < e->lost_count; i++)
        if (e->lost[i].born_ns > first->time_ns && e->lost[i].born_ns <= last->time_ns) {
            leaked += e->lost[i].bytes;
            variance += e->lost[i].variance;
        }
    leaked = fmin(leaked, last->leaked_bytes);
    /* Of what no sample says, three may have been missed (the rule of three). */
    double max = leaked + errors_least * (sqrt(variance) + e->sample_bytes);
    *told = (struct told){last->heap_bytes - first->value[VERDICT_HEAP],
                          leaked,
                          fmin(max, last->leaked_bytes),
                          first->time_ns,
                          last->time_ns,
                          leaked > errors_least * sqrt(variance)};
    return true;
}

static struct verdict verdict_of(enum verdict_kind kind, double growth, int64_t from_ns,
                                 int64_t to_ns)
{
    return (struct verdict){.kind = kind,
                            .growth_bytes = growth,
                            .seconds = (double)(to_ns - from_ns) / 1e9,
                            .from_ns = from_ns,
                            .to_ns = to_ns};
}

/* A leak: what is lost is a tenth of the growth at least, and more than a program loses once. */
static bool find_leak(const struct verdict_evidence *e, const struct told *told, double hold,
                      struct verdict *found)
{
    if (!told->significant || told->leaked_bytes < hold * leak_least ||
        told->leaked_bytes < hold * leak_least_share * told->growth_bytes)
        return false;
    /* An old cycle tells of now as long as the heap goes on growing. */
    const struct verdict_history *history = e->history;
    struct growth growth;
    if (history->count > 0 && !e->whole_life &&
        history->reading[history->count - 1].time_ns - told->to_ns > VERDICT_FRESH_NS &&
        !grows(history, VERDICT_HEAP, windows_ns[0], hold, &growth))
        return false;
    *found = verdict_of(VERDICT_LEAK, told->growth_bytes, told->from_ns, told->to_ns);
    found->leaked_bytes = told->leaked_bytes;
    return true;
}

/* The heap: growth of some size, to where it has never been. */
static bool find_growth(const struct verdict_evidence *e, int64_t window_ns, double hold,
                        struct verdict *found)
{
    struct growth growth;
    struct told told;
    if (!grows(e->history, VERDICT_HEAP, window_ns, hold, &growth) ||
        growth.bytes < hold * fmax(growth_least, growth_least_share * growth.now_bytes) ||
        /* Of what was before that time, if it was not watched for as long, the peak tells. */
        (growth.known_ns < window_ns && growth.now_bytes + growth.bytes / 4 < e->peak_bytes))
        return false;
    *found = verdict_of(VERDICT_GROWTH, growth.bytes, growth.from_ns, growth.to_ns);
    if (tell(e, window_ns, &told) && growth.to_ns - told.to_ns <= VERDICT_FRESH_NS &&
        told.leaked_max < leak_least_share * told.growth_bytes / hold) {
        found->kind = VERDICT_HELD;
        found->leaked_bytes = told.leaked_bytes;
    }
    return true;
}

/* RSS has grown, and the heap by less than half of that: one part explains most of it. */
static bool find_resident(const struct verdict_evidence *e, int64_t window_ns, double hold,
                          struct verdict *found)
{
    struct growth growth;
    if (!grows(e->history, VERDICT_RSS, window_ns, hold, &growth) ||
        growth.bytes < hold * fmax(rss_least, rss_least_share * growth.now_bytes))
        return false;
    double least = hold * part_least_share * growth.bytes;
    double heap = change(e->history, VERDICT_HEAP, growth.from_ns, growth.to_ns);
    if (!(heap < (1 - hold * part_least_share) * growth.bytes))
        return false;
    enum verdict_series greatest = VERDICT_SERIES;
    double bytes = 0;
    bool parts = false;
    for (enum verdict_series part = VERDICT_SLACK; part < VERDICT_SERIES; part++) {
        double by = part_of(e->history, part, &growth);
        parts = parts || !isnan(by);
        if (by > bytes) {
            greatest = part;
            bytes = by;
        }
    }
    /* What the program maps is address space, which need not be resident. */
    double mapped = change(e->history, VERDICT_MAPPED, growth.from_ns, growth.to_ns);
    if (!parts && mapped >= least) {
        greatest = VERDICT_ANONYMOUS;
        bytes = fmin(mapped, growth.bytes - fmax(heap, 0));
    }
    if (greatest == VERDICT_SERIES || bytes < least)
        return false;
    /* Anonymous memory that was mapped before may be another heap, which fills up and is emptied.
     */
    if (greatest == VERDICT_ANONYMOUS && !(mapped >= least))
        return false;
    *found = verdict_of(greatest < VERDICT_STACKS ? VERDICT_KEPT : VERDICT_OUTSIDE, growth.bytes,
                        growth.from_ns, growth.to_ns);
    found->part = greatest;
    found->part_bytes = fmin(bytes, growth.bytes);
    found->heap_bytes = heap;
    return true;
}

static double held(const struct verdict *before, enum verdict_kind a, enum verdict_kind b)
{
    return before && (before->kind == a || before->kind == b) ? 0.5 : 1;
}

struct verdict verdict_find(const struct verdict_evidence *e, const struct verdict *before)
{
    struct verdict found = {0};
    struct told told;
    double leak = held(before, VERDICT_LEAK, VERDICT_LEAK);
    double heap = held(before, VERDICT_HELD, VERDICT_GROWTH);
    double resident = held(before, VERDICT_KEPT, VERDICT_OUTSIDE);
    for (size_t i = 0; i < sizeof windows_ns / sizeof windows_ns[0]; i++) {
        if ((tell(e, windows_ns[i], &told) && find_leak(e, &told, leak, &found)) ||
            (!e->whole_life && (find_resident(e, windows_ns[i], resident, &found) ||
                                find_growth(e, windows_ns[i], heap, &found))))
            return found;
    }
    return (struct verdict){0};
}

/* ---- who it is ---- */

static bool was_named(const struct verdict *before, enum verdict_kind kind, uint64_t site)
{
    for (size_t i = 0; before && before->kind == kind && i < before->name_count; i++)
        if (before->name[i].site == site)
            return true;
    return false;
}

void verdict_attribute(struct verdict *verdict, const struct verdict_site *sites, size_t count,
                       double total_bytes, const struct verdict *before)
{
    verdict->name_count = 0;
    for (size_t i = 0; i < count && total_bytes > 0; i++) {
        const struct verdict_site *site = &sites[i];
        double hold = was_named(before, verdict->kind, site->site) ? 0.5 : 1;
        double share = fmin(site->bytes / total_bytes, 1);
        /* Also where the error is not known, which is NAN. */
        if (!(site->bytes > hold * errors_least * site->error) || share < hold * name_least_share)
            continue;
        size_t place = verdict->name_count;
        while (place > 0 && verdict->name[place - 1].share < share)
            place--;
        if (place == VERDICT_NAMES)
            continue;
        size_t behind = verdict->name_count - place;
        if (verdict->name_count == VERDICT_NAMES)
            behind--;
        else
            verdict->name_count++;
        memmove(&verdict->name[place + 1], &verdict->name[place], behind * sizeof verdict->name[0]);
        verdict->name[place] = (struct verdict_name){site->stack, site->site, share};
    }
}
