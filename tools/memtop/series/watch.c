#include "watch.h"

#include "past.h"
#include "target/ask.h"
#include "target/mapped.h"
#include "units.h"
#include "view/counters.h"
#include "view/leaks.h"
#include "view/plain_text.h"
#include "view/plumbing.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A thread publishes its counts each time it has allocated or freed that much (segment.h). */
#define PUBLISH_BYTES 65536
#define PINS_EVERY_NS INT64_C(30000000000)

enum { FIRST_KIND = MD_BUCKET_UNUSED + 1 };

/* Sets the model's title.  A command line that begins with the program's name is none. */
static void describe_title(struct watch *watch)
{
    const struct target *target = &watch->source.target;
    struct model *model = &watch->model;
    plain_text(model->title, sizeof model->title, target->cmdline, SIZE_MAX);
    model->title[strcspn(model->title, " ")] = '\0';
    if (!model->alive || strcmp(plumbing_base_name(model->title), target->name) == 0)
        model->title[0] = '\0';
    else
        plain_text(model->title, sizeof model->title, target->cmdline, SIZE_MAX);
}

static void describe_state(struct watch *watch)
{
    struct model *model = &watch->model;
    const struct md_header *header = &watch->source.snapshot.header;
    char age[UNITS_SIZE];
    model->alive = watch->source.state == SOURCE_LIVE;
    model->stopped = watch->source.stopped;
    const char *state = source_state_name(&watch->source);
    if (model->alive) {
        units_age(age, header_uptime(header, model->now_ns, true));
        snprintf(model->state, sizeof model->state, model->stopped ? "%s, up %s" : "%s %s", state,
                 age);
    } else if (watch->source.target.successor[0]) {
        units_age(age, header_uptime(header, 0, false));
        snprintf(model->state, sizeof model->state, "%s after %s, by exec of %s", state, age,
                 watch->source.target.successor);
    } else if (watch->source.state == SOURCE_REPLACED) {
        snprintf(model->state, sizeof model->state, "has a new segment: open it again");
    } else if (watch->source.state == SOURCE_UNSEEN) {
        snprintf(model->state, sizeof model->state, "lives in another PID namespace");
    } else {
        units_age(age, header_uptime(header, 0, false));
        snprintf(model->state, sizeof model->state, "%s after %s%s", state, age,
                 header->flags & MD_FLAG_EXITED ? ", by exit" : "");
    }
    describe_title(watch);
}

static void push_point(struct watch *watch, size_t new_cycles)
{
    const struct md_header *header = &watch->source.snapshot.header;
    struct model *model = &watch->model;
    struct history_point point = history_blank(model->now_ns);
    point.value[HISTORY_HEAP] = (double)header_inuse(header);
    if (header->heap_goal_bytes > 0)
        point.value[HISTORY_GOAL] = (double)header->heap_goal_bytes;
    if (watch->trace.cycles > 0)
        point.value[HISTORY_REACHABLE] = (double)watch->trace.reachable_last;
    if (watch->source.rss_known && watch->source.state == SOURCE_LIVE)
        point.value[HISTORY_RSS] = (double)watch->source.rss_bytes;
    point.value[HISTORY_OBJECTS] = model->live_objects;
    point.value[HISTORY_ALLOC_RATE] = model->alloc_rate;
    for (size_t i = 0; i < new_cycles; i++) {
        const struct md_cycle *cycle = trace_recent(&watch->trace, i);
        if (cycle && !(cycle->flags & MD_CYCLE_SKIPPED))
            point.value[HISTORY_PAUSE] =
                fmax(isnan(point.value[HISTORY_PAUSE]) ? 0 : point.value[HISTORY_PAUSE],
                     cycle_pause_ns(cycle));
    }
    history_push(&watch->history, &point);
}

/* Bytes that the program has mapped itself, with its threads' stacks; NAN: not known. */
static double mapped_bytes(const struct watch *watch)
{
    return mapped_why_none(&watch->source.snapshot) ? NAN
                                                    : watch->sites[MD_BUCKET_MMAP].inuse_bytes;
}

/* Why there may be no call sites of the kind that is shown, and what to do about it. */
static const char *why_no_sites(const struct watch *watch)
{
    const struct md_header *header = &watch->shown;
    const char *why = NULL;
    switch (watch->model.sites->kind) {
    case MD_BUCKET_HEAP:
        return header->memprofilerate == 0
                   ? "Sampling is off (memprofilerate=0): no call sites are recorded."
               : header->counters.samples == 0
                   ? "No samples yet: a site shows after about 512 KiB of allocation "
                     "(MEMDEBUG=memprofilerate=N)."
                   : "No samples yet.";
    case MD_BUCKET_MMAP:
        why = mapped_why_none(&watch->source.snapshot);
        return why ? why : "It has mapped nothing itself.";
    case MD_BUCKET_PEAK:
        return "The profile at the heap's high-water mark is kept with "
               "MEMDEBUG=heapprofilepeak=SIZE.";
    case MD_BUCKET_PINNED:
        return "Who pins partly used slabs is told by: memtop profile TARGET pinned.";
    default:
        return "Nothing of this kind yet.";
    }
}

/* Sets what the model has of the kind that is shown. */
static void describe_sites(struct watch *watch)
{
    struct model *model = &watch->model;
    const struct snapshot *snapshot = &watch->source.snapshot;
    model->sites = &watch->sites[watch->kind];
    model->hint = why_no_sites(watch);
    model->leaks_hint = !sites_has(model->sites, SITES_BY_LEAKS) || model->sites->leaks_known ? NULL
                        : !snapshot_has(snapshot, MD_SECTION_UNSAMPLED)
                            ? "an older memdebug has not counted leaks: memtop leaks estimates them"
                        : !(snapshot->header.flags & (MD_FLAG_GC | MD_FLAG_ASKABLE))
                            ? "leaks are known of programs started with MEMDEBUG=gc=ready"
                            : "leaks are known after two cycles: memtop leaks asks for them";
}

/* "not sampled: 868 objects, 27.1K, of 32 B (820), 48 B (48)" */
static void tell_unsampled(struct watch *watch)
{
    struct leaks_unsampled sizes[LEAKS_UNSAMPLED_MAX];
    char *text = watch->model.unsampled, figure[UNITS_SIZE];
    size_t room = sizeof watch->model.unsampled, length = 0;
    size_t count = leaks_unsampled_of(&watch->source.snapshot, sizes);
    uint64_t objects = 0;
    double bytes = 0;
    for (size_t i = 0; i < count; i++) {
        objects += sizes[i].objects;
        bytes += (double)sizes[i].bytes;
    }
    text[0] = '\0';
    if (objects)
        length = (size_t)snprintf(text, room, "not sampled: %" PRIu64 " objects, %s", objects,
                                  units_bytes(figure, bytes));
    for (size_t i = 0; i < count && length < room; i++)
        if (sizes[i].size)
            length +=
                (size_t)snprintf(text + length, room - length, "%s %" PRIu64 " B (%" PRIu64 ")",
                                 i ? "," : ", of", sizes[i].size, sizes[i].objects);
}

static void update_model(struct watch *watch)
{
    const struct snapshot *snapshot = &watch->source.snapshot;
    const struct md_counters *counters = &snapshot->header.counters;
    const struct sites *heap = &watch->sites[MD_BUCKET_HEAP];
    struct model *model = &watch->model;
    watch->shown = snapshot->header;
    watch->shown_trace = watch->trace;
    watch->shown_trace.pauses = NULL;
    watch->shown_resident = watch->resident;
    if (watch->resident.anonymous_bytes)
        names_want(watch->names, snapshot, watch->resident.anonymous_stack);
    model->objects_counted = (snapshot->header.flags & MD_FLAG_TRACKED) != 0;
    model->live_objects = !model->objects_counted ? heap->inuse_objects
                          : counters->alloc_objects > counters->free_objects
                              ? (double)(counters->alloc_objects - counters->free_objects)
                              : 0;
    model->mapped_bytes = mapped_bytes(watch);
    int64_t now = snapshot->taken_ns, published = (int64_t)counters->publish_ns;
    double unpublished =
        (double)PUBLISH_BYTES * (watch->source.threads > 1 ? (double)watch->source.threads : 1);
    bool bound;
    model->alloc_rate = rate_update(&watch->alloc_rate, now, published, counters->alloc_bytes,
                                    unpublished, &model->alloc_bound);
    model->free_rate = rate_update(&watch->free_rate, now, published, counters->free_bytes,
                                   unpublished, &model->free_bound);
    model->alloc_objects_rate = rate_update(&watch->objects_rate, now, published,
                                            model->objects_counted ? counters->alloc_objects
                                                                   : (uint64_t)heap->alloc_objects,
                                            NAN, &bound);
    uint64_t cost_ns;
    model->sampling_share = NAN;
    if (counter_value(&counter_list[COUNTERS_WITH_sample_cost_ns], &snapshot->header, &cost_ns))
        model->sampling_share =
            rate_update(&watch->sampling_rate, now, published, cost_ns, NAN, &bound) / 1e9;
    if (watch->source.state != SOURCE_LIVE)
        model->sampling_share = model->alloc_rate = model->free_rate = model->alloc_objects_rate =
            NAN;
    model->torn = watch->source.torn;
    model->pauses = trace_pauses(&watch->trace);
    describe_sites(watch);
}

/* Of a process that lives: the dead say nothing new. */
static void judge(struct watch *watch)
{
    struct snapshot *snapshot = &watch->source.snapshot;
    if (watch->source.state == SOURCE_LIVE) {
        if (watch->ticks == 0)
            evidence_begin(&watch->evidence, &watch->history);
        evidence_tick(&watch->evidence, snapshot,
                      watch->source.rss_known ? (double)watch->source.rss_bytes : NAN,
                      &watch->resident.parts, watch->sites, watch->names);
    }
    watch->model.verdict = watch->evidence.verdict;
    watch->model.verdict_cycles = evidence_cycles(&watch->model.verdict, snapshot);
}

/* Where the verdict is that slabs are partly used: it costs the process some 100 ns for each live
 * sample.  A later tick has the answer. */
static void ask_who_pins(struct watch *watch)
{
    const struct verdict *verdict = &watch->evidence.verdict;
    char error[VIEW_ERROR_SIZE];
    int64_t now = monotonic_ns();
    if (watch->source.state != SOURCE_LIVE || verdict->kind != VERDICT_KEPT ||
        verdict->part != VERDICT_SLACK ||
        (watch->pins_asked_ns && now - watch->pins_asked_ns < PINS_EVERY_NS))
        return;
    watch->pins_asked_ns = now;
    ask_pins(&watch->source, error);
}

/* Of the last minute, or since the mark. */
static void update_growth(struct watch *watch)
{
    struct model *model = &watch->model;
    int64_t span_ns = model->marked_ns ? model->now_ns - model->marked_ns
                                       : (int64_t)SITES_WINDOW_SECONDS * 1000000000;
    model->growth_bytes =
        history_change(&watch->history, HISTORY_HEAP, span_ns, &model->growth_seconds);
}

void watch_mark(struct watch *watch, bool on)
{
    for (int kind = FIRST_KIND; kind < MD_BUCKET_KINDS; kind++)
        sites_mark(&watch->sites[kind], on);
    watch->model.marked_ns = watch->sites[MD_BUCKET_HEAP].marked_ns;
    update_growth(watch);
}

int watch_tick(struct watch *watch, bool frozen, char error[VIEW_ERROR_SIZE])
{
    unsigned what = SNAPSHOT_CYCLES | SNAPSHOT_PROFILE | SNAPSHOT_MAPPINGS;
    what |= watch->ticks == 0 || watch->with_past ? SNAPSHOT_PAST : 0;
    what |= frozen ? 0 : SNAPSHOT_SAMPLES | SNAPSHOT_LEAKS | SNAPSHOT_RANGES;
    bool fed = watch->source.feed != NULL; /* there is nobody to ask */
    if (!frozen && !fed)
        resident_ask(&watch->resident, &watch->source);
    struct snapshot *snapshot = &watch->source.snapshot;
    int result = source_poll(&watch->source, what, error);
    if (result)
        return result;
    if (!frozen && !fed)
        resident_read(&watch->resident, &watch->source);
    if (!fed)
        mapped_correct(&watch->source);
    bool alive = watch->source.state == SOURCE_LIVE;
    /* A dead process's time stands still where it last wrote. */
    int64_t wrote = (int64_t)snapshot->header.counters.publish_ns;
    watch->model.now_ns = alive || wrote <= 0 ? snapshot->taken_ns : wrote;
    if (!alive && snapshot->taken_ns > watch->model.now_ns)
        snapshot->taken_ns = watch->model.now_ns;
    size_t added = trace_add_ring(&watch->trace, snapshot->cycles, snapshot->cycle_count);
    if (watch->ticks == 0) {
        past_fill(&watch->history, snapshot);
        past_rates(snapshot, &watch->alloc_rate, &watch->free_rate);
    }
    if (!frozen) {
        for (int kind = FIRST_KIND; kind < MD_BUCKET_KINDS; kind++)
            sites_update(&watch->sites[kind], snapshot);
        update_model(watch);
        tell_unsampled(watch);
        judge(watch);
        if (!fed)
            ask_who_pins(watch);
    }
    if (alive || watch->ticks == 0)
        push_point(watch, watch->ticks == 0 ? 0 : added);
    if (!frozen)
        update_growth(watch);
    if (!frozen || !alive)
        describe_state(watch);
    watch->ticks++;
    return 0;
}

void watch_moved(struct watch *watch)
{
    struct model *model = &watch->model;
    model->header = &watch->shown;
    model->sites = &watch->sites[watch->kind];
    model->names = watch->names;
    model->history = &watch->history;
    model->trace = &watch->shown_trace;
    model->resident = &watch->shown_resident;
}

void watch_show(struct watch *watch, enum md_bucket_kind kind)
{
    watch->kind = kind;
    describe_sites(watch);
}

bool watch_show_next(struct watch *watch, char why[VIEW_ERROR_SIZE])
{
    enum md_bucket_kind before = watch->kind;
    why[0] = '\0';
    do {
        bool last = watch->kind == MD_BUCKET_KINDS - 1;
        watch_show(watch, (enum md_bucket_kind)(last ? FIRST_KIND : watch->kind + 1));
        bool any = watch->model.sites->count > 0 && sites_has(watch->model.sites, SITES_BY_GROWTH);
        if (any && watch->kind != before)
            return true;
        if (why[0] == '\0')
            snprintf(why, VIEW_ERROR_SIZE, "%s: %s", profile_kind(watch->kind)->name,
                     watch->model.hint);
    } while (watch->kind != before);
    return false;
}

static uint64_t site_of(void *context, uint32_t stack)
{
    struct watch *watch = context;
    return names_site(watch->names, &watch->source.snapshot, stack);
}

size_t watch_sites(struct watch *watch, enum site_order by, uint32_t *order, size_t count,
                   size_t named)
{
    /* A name may show that a frame is an allocator's.  Then its caller is the call site, which
     * needs a name in turn.  It ends when no name has taught anything, or after 8 rounds. */
    struct sites *sites = &watch->sites[watch->kind];
    size_t found = 0;
    for (int round = 0; round < 8; round++) {
        uint64_t learned = names_learned(watch->names);
        sites_group(sites, site_of, watch, by);
        found = sites_sort(sites, by, order, count);
        for (size_t i = found < named ? found : named; i > 0; i--)
            names_want(watch->names, &watch->source.snapshot, sites->group[order[i - 1]].stack);
        if (names_learned(watch->names) == learned)
            break;
    }
    return found;
}

/* Begins to watch the source, which is open or fed. */
static int begin(struct watch *watch, bool background, char error[VIEW_ERROR_SIZE])
{
    const struct target *target = &watch->source.target;
    char root[SOURCE_ROOT_SIZE];
    struct symbolizer_options options = source_symbols(&watch->source, root);
    for (int kind = FIRST_KIND; kind < MD_BUCKET_KINDS; kind++)
        sites_init(&watch->sites[kind], (enum md_bucket_kind)kind);
    trace_init(&watch->trace, (uint32_t)target->pid, target->name);
    watch->names = names_create(&options, background);
    if (!watch->names || !history_init(&watch->history, MODEL_HISTORY)) {
        watch_close(watch);
        snprintf(error, VIEW_ERROR_SIZE, "out of memory");
        return ENOMEM;
    }
    struct model *model = &watch->model;
    snprintf(model->identity, sizeof model->identity, "%d %s", (int)target->pid, target->name);
    watch_moved(watch);
    int result = watch_tick(watch, false, error);
    if (result)
        watch_close(watch);
    return result;
}

int watch_open(struct watch *watch, const struct target *target, bool background,
               char error[VIEW_ERROR_SIZE])
{
    *watch = (struct watch){.kind = MD_BUCKET_HEAP};
    int result = source_open(&watch->source, target, error);
    return result ? result : begin(watch, background, error);
}

int watch_fed(struct watch *watch, const struct source *source, bool background,
              char error[VIEW_ERROR_SIZE])
{
    *watch = (struct watch){.kind = MD_BUCKET_HEAP, .source = *source};
    return begin(watch, background, error);
}

void watch_close(struct watch *watch)
{
    names_destroy(watch->names);
    watch->names = NULL;
    history_fini(&watch->history);
    for (int kind = FIRST_KIND; kind < MD_BUCKET_KINDS; kind++)
        sites_fini(&watch->sites[kind]);
    trace_fini(&watch->trace);
    source_close(&watch->source);
}
