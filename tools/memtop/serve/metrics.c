#include "metrics.h"

#include "target/source.h"
#include "view/counters.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_SIZE 128

/* A process with its labels, as 'pid="812",program="redis-server"'. */
struct row {
    const struct reading *reading;
    char labels[LABELS_SIZE];
};

struct page {
    FILE *out;
    bool openmetrics;
    const struct row *rows;
    size_t count;
};

enum type { COUNTER, GAUGE };

/* A family's name is that of its samples, but for a counter's, which end in _total: OpenMetrics
 * leaves that away. */
static void head(const struct page *page, const char *name, enum type type, const char *unit,
                 const char *help)
{
    const char *total = type == COUNTER && !page->openmetrics ? "_total" : "";
    fprintf(page->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, total, help, name, total,
            type == COUNTER ? "counter" : "gauge");
    if (page->openmetrics && unit[0])
        fprintf(page->out, "# UNIT %s %s\n", name, unit);
}

static void number(FILE *out, double value)
{
    if (value == floor(value) && fabs(value) < 1e15)
        fprintf(out, " %.0f\n", value);
    else
        fprintf(out, " %.9g\n", value);
}

/* A family of one figure a process; `value` NAN: not known, no sample. */
static void family(const struct page *page, const char *name, enum type type, const char *unit,
                   const char *help, double (*value)(const struct reading *reading))
{
    head(page, name, type, unit, help);
    for (size_t i = 0; i < page->count; i++) {
        double v = value(page->rows[i].reading);
        if (isnan(v))
            continue;
        fprintf(page->out, "%s%s{%s}", name, type == COUNTER ? "_total" : "", page->rows[i].labels);
        number(page->out, v);
    }
}

static const char *const counter_help[COUNTERS] = {
#define MD_COUNTER(name, since, kind, label, help) help,
#define MD_LOSS(name, since, what, remedy, help) help,
#include <memdebug/counters.def>
};

/* What counts nanoseconds is told in seconds; a name's last word is its unit, if it is one. */
static void counter_family(const struct page *page, size_t index)
{
    const struct counter *counter = &counter_list[index];
    char name[96];
    size_t length = strlen(counter->name);
    bool ns = length > 3 && strcmp(counter->name + length - 3, "_ns") == 0;
    bool bytes = length > 6 && strcmp(counter->name + length - 6, "_bytes") == 0;
    /* The highest value of something that falls again is no counter, though it only grows. */
    enum type type =
        counter->kind == MD_COUNTER_GAUGE || index == COUNTERS_WITH_peak_bytes ? GAUGE : COUNTER;
    snprintf(name, sizeof name, "memdebug_%.*s%s", (int)(ns ? length - 3 : length), counter->name,
             ns ? "_seconds" : "");
    head(page, name, type, ns ? "seconds" : bytes ? "bytes" : "", counter_help[index]);
    for (size_t i = 0; i < page->count; i++) {
        uint64_t value;
        if (!counter_value(counter, &page->rows[i].reading->header, &value))
            continue;
        fprintf(page->out, "%s%s{%s}", name, type == COUNTER ? "_total" : "", page->rows[i].labels);
        if (ns)
            number(page->out, (double)value / 1e9);
        else
            fprintf(page->out, " %" PRIu64 "\n", value);
    }
}

static void pause_family(const struct page *page)
{
    static const double bounds[PAUSE_BOUNDS_COUNT] = PAUSE_BOUNDS;
    static const char name[] = "memdebug_pause_seconds";
    fprintf(page->out,
            "# HELP %s pauses of the program by cycles, of those since serve has known it\n"
            "# TYPE %s histogram\n",
            name, name);
    if (page->openmetrics)
        fprintf(page->out, "# UNIT %s seconds\n", name);
    for (size_t i = 0; i < page->count; i++) {
        const struct pauses *pauses = &page->rows[i].reading->pauses;
        const char *labels = page->rows[i].labels;
        for (size_t k = 0; k < PAUSE_BOUNDS_COUNT; k++)
            fprintf(page->out, "%s_bucket{%s,le=\"%g%s\"} %" PRIu64 "\n", name, labels, bounds[k],
                    bounds[k] == floor(bounds[k]) ? ".0" : "", pauses->below[k]);
        fprintf(page->out, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, labels, pauses->count);
        fprintf(page->out, "%s_sum{%s} %.9g\n%s_count{%s} %" PRIu64 "\n", name, labels,
                pauses->sum_seconds, name, labels, pauses->count);
    }
}

/* Resident memory by who has it: the parts add up to the whole. */
static void parts_family(const struct page *page)
{
    static const char name[] = "memdebug_resident_part_bytes";
    head(page, name, GAUGE, "bytes", "what resident memory is made of, as it was last looked into");
    for (size_t i = 0; i < page->count; i++) {
        const struct rss_parts *parts = &page->rows[i].reading->parts;
        for (int k = 0; k < RSS_PARTS && parts->taken_ns; k++)
            if (rss_knows(parts, (enum rss_part)k))
                fprintf(page->out, "%s{%s,part=\"%s\"} %" PRId64 "\n", name, page->rows[i].labels,
                        rss_part_names[k].name, rss_part_bytes(parts, (enum rss_part)k));
    }
}

static double parts_age(const struct reading *r)
{
    double age = (double)(monotonic_ns() - r->parts.taken_ns) / 1e9;
    return r->parts.taken_ns ? fmax(age, 0) : NAN;
}

static double heap(const struct reading *r)
{
    return (double)header_inuse(&r->header);
}

static double goal(const struct reading *r)
{
    return r->header.heap_goal_bytes ? (double)r->header.heap_goal_bytes : NAN;
}

static double objects(const struct reading *r)
{
    const struct md_counters *c = &r->header.counters;
    bool known = r->header.flags & MD_FLAG_TRACKED;
    return !known                               ? NAN
           : c->alloc_objects > c->free_objects ? (double)(c->alloc_objects - c->free_objects)
                                                : 0;
}

static double resident(const struct reading *r)
{
    return r->rss_bytes ? (double)r->rss_bytes : NAN;
}

static double threads(const struct reading *r)
{
    return r->threads ? (double)r->threads : NAN;
}

static double start(const struct reading *r)
{
    return (double)r->header.start_realtime_ns / 1e9;
}

static double of_last(const struct reading *r, uint64_t value)
{
    return r->last.number ? (double)value : NAN;
}

static double reachable(const struct reading *r)
{
    return of_last(r, r->last.heap_live_bytes);
}

static double reachable_objects(const struct reading *r)
{
    return of_last(r, r->last.live_objects);
}

static double unreachable(const struct reading *r)
{
    return of_last(r, r->last.unreachable_bytes);
}

static double unreachable_objects(const struct reading *r)
{
    return of_last(r, r->last.unreachable_objects);
}

static double leaked(const struct reading *r)
{
    return r->last.flags & MD_CYCLE_LEAKS ? (double)r->last.leaked_bytes : NAN;
}

static double leaked_objects(const struct reading *r)
{
    return r->last.flags & MD_CYCLE_LEAKS ? (double)r->last.leaked_objects : NAN;
}

static double tracing_cpu(const struct reading *r)
{
    return r->last.number ? (double)r->last.total_cpu_ns / 1e9 : NAN;
}

static const struct {
    const char *name, *unit;
    enum type type;
    double (*value)(const struct reading *reading);
    const char *help;
} families[] = {
    {"memdebug_heap_bytes", "bytes", GAUGE, heap, "in use: allocated and not freed"},
    {"memdebug_heap_objects", "", GAUGE, objects, "in use, where objects are counted"},
    {"memdebug_heap_goal_bytes", "bytes", GAUGE, goal,
     "the heap size at which the next cycle runs"},
    {"memdebug_reachable_bytes", "bytes", GAUGE, reachable, "reached by the last cycle"},
    {"memdebug_reachable_objects", "", GAUGE, reachable_objects, "reached by the last cycle"},
    {"memdebug_unreachable_bytes", "bytes", GAUGE, unreachable, "not reached by the last cycle"},
    {"memdebug_unreachable_objects", "", GAUGE, unreachable_objects,
     "not reached by the last cycle"},
    {"memdebug_leaked_bytes", "bytes", GAUGE, leaked,
     "the same blocks not reached by the last two cycles"},
    {"memdebug_leaked_objects", "", GAUGE, leaked_objects,
     "the same blocks not reached by the last two cycles"},
    {"memdebug_tracing_cpu_seconds", "seconds", COUNTER, tracing_cpu, "CPU time of all cycles"},
    {"memdebug_resident_bytes", "bytes", GAUGE, resident, "resident memory of the process"},
    {"memdebug_resident_part_age_seconds", "seconds", GAUGE, parts_age,
     "since it was looked into what resident memory is made of"},
    {"memdebug_threads", "", GAUGE, threads, "threads of the process"},
    {"memdebug_start_time_seconds", "seconds", GAUGE, start,
     "when memdebug started in the process, since 1970"},
};

/* Escapes a label's value: its backslashes, quotes and ends of lines. */
static void make_labels(struct row *row)
{
    size_t n = (size_t)snprintf(row->labels, sizeof row->labels, "pid=\"%d\",program=\"",
                                (int)row->reading->pid);
    for (const char *at = row->reading->name; *at && n + 4 < sizeof row->labels; at++) {
        if (*at == '\\' || *at == '"' || *at == '\n')
            row->labels[n++] = '\\';
        row->labels[n++] = *at == '\n' ? 'n' : *at;
    }
    row->labels[n++] = '"';
    row->labels[n] = '\0';
}

static int greatest_heap(const void *a, const void *b)
{
    double x = heap(a), y = heap(b);
    return (x < y) - (x > y);
}

static int by_pid(const void *a, const void *b)
{
    const struct reading *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

static void one(const struct page *page, const char *name, const char *help, size_t value)
{
    head(page, name, GAUGE, "", help);
    fprintf(page->out, "%s %zu\n", name, value);
}

char *metrics_text(struct reading *readings, size_t count, bool openmetrics, size_t *size)
{
    char *text = NULL;
    size_t shown = count < METRICS_PROCESSES_MAX ? count : METRICS_PROCESSES_MAX;
    struct row *rows = calloc(shown + 1, sizeof *rows);
    struct page page = {open_memstream(&text, size), openmetrics, rows, shown};
    if (!rows || !page.out) {
        if (page.out)
            fclose(page.out);
        free(text);
        free(rows);
        return NULL;
    }
    if (shown < count) {
        qsort(readings, count, sizeof *readings, greatest_heap);
        qsort(readings, shown, sizeof *readings, by_pid);
    }
    for (size_t i = 0; i < shown; i++) {
        rows[i].reading = &readings[i];
        make_labels(&rows[i]);
    }
    one(&page, "memdebug_processes", "processes on memdebug that are told here", shown);
    one(&page, "memdebug_processes_left_out",
        "processes that are not, as there are too many: those with the smallest heaps",
        count - shown);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        family(&page, families[i].name, families[i].type, families[i].unit, families[i].help,
               families[i].value);
    for (size_t i = 0; i < COUNTERS; i++)
        if (counter_list[i].kind != MD_COUNTER_TIME)
            counter_family(&page, i);
    parts_family(&page);
    pause_family(&page);
    if (openmetrics)
        fputs("# EOF\n", page.out);
    bool good = !ferror(page.out);
    good = fclose(page.out) == 0 && good;
    free(rows);
    if (!good) {
        free(text);
        text = NULL;
    }
    return text;
}

/* The quality of a media range in an Accept header; -1: it is not there. */
static double quality(const char *accept, const char *type)
{
    const char *at = strstr(accept, type);
    if (!at)
        return -1;
    size_t length = strcspn(at, ",");
    const char *q = memmem(at, length, "q=", 2);
    return q ? strtod(q + 2, NULL) : 1;
}

bool metrics_wants_openmetrics(const char *accept)
{
    if (!accept)
        return false;
    double open = quality(accept, "application/openmetrics-text");
    return open > 0 && open >= quality(accept, "text/plain");
}
