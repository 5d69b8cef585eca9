#include "report.h"

#include "series/counter_text.h"
#include "series/losses.h"
#include "series/past.h"
#include "series/site_text.h"
#include "view/gctrace.h"
#include "view/plain_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* All that the process counts, but the time, which is told as an age.  `header` NULL: it cannot be
 * read. */
static void add_counters(json_t *object, const struct md_header *header)
{
    for (size_t i = 0; i < COUNTERS; i++) {
        const struct counter *counter = &counter_list[i];
        uint64_t value;
        bool known = header && counter_value(counter, header, &value);
        if (counter->kind != MD_COUNTER_TIME)
            json_object_set_new(object, counter->name,
                                known ? ndjson_number((double)value) : json_null());
    }
}

json_t *report_target_json(const struct target *target)
{
    const struct md_header *header = &target->header;
    bool readable = target_readable(target);
    bool live = target->state == TARGET_LIVE;
    uint64_t rss;
    bool rss_known = live && proc_rss(target->pid, &rss);
    json_t *object = json_object();
    json_object_set_new(object, "version", json_integer(NDJSON_VERSION));
    json_object_set_new(object, "type", json_string("process"));
    json_object_set_new(object, "time_seconds", ndjson_number(realtime_seconds()));
    json_object_set_new(object, "pid", json_integer(target->pid));
    json_object_set_new(object, "name", ndjson_string(target->name));
    json_object_set_new(object, "command", ndjson_string(target->cmdline));
    json_object_set_new(object, "state", json_string(target_state_name(target)));
    json_object_set_new(object, "successor",
                        target->successor[0] ? ndjson_string(target->successor) : json_null());
    json_object_set_new(object, "instrumented", json_true());
    json_object_set_new(object, "uid", json_integer(target->uid));
    json_object_set_new(object, "segment", ndjson_string(target->path));
    json_object_set_new(object, "uptime_seconds",
                        readable ? ndjson_number(header_uptime(header, monotonic_ns(), live))
                                 : json_null());
    json_object_set_new(object, "heap_bytes",
                        readable ? ndjson_number((double)header_inuse(header)) : json_null());
    json_object_set_new(object, "rss_bytes", rss_known ? ndjson_number((double)rss) : json_null());
    add_counters(object, readable ? header : NULL);
    static const char *const outputs[] = {[MD_TRACE_STDERR] = "stderr",
                                          [MD_TRACE_REPLACED] = "replaced stderr",
                                          [MD_TRACE_FILE] = "gctracefile",
                                          [MD_TRACE_SEGMENT] = "segment"};
    const char *output = readable && header->trace_output < sizeof outputs / sizeof outputs[0]
                             ? outputs[header->trace_output]
                             : NULL;
    json_object_set_new(object, "trace_output", output ? json_string(output) : json_null());
    json_object_set_new(object, "report_kept",
                        readable ? json_boolean(header->flags & MD_FLAG_REPORT) : json_null());
    json_object_set_new(object, "error",
                        target->error[0] ? ndjson_string(target->error) : json_null());
    return object;
}

static json_t *stack_json(const struct stack_names *names)
{
    json_t *frames = json_array();
    for (size_t i = 0; names && i < names->frame_count; i++) {
        const struct name_frame *frame = &names->frames[i];
        char address[24];
        snprintf(address, sizeof address, "0x%" PRIx64, frame->address);
        json_t *object = json_object();
        json_object_set_new(object, "function",
                            frame->function[0] ? ndjson_string(frame->function) : json_null());
        json_object_set_new(object, "file",
                            frame->file[0] ? ndjson_string(frame->file) : json_null());
        json_object_set_new(object, "line", frame->line ? json_integer(frame->line) : json_null());
        json_object_set_new(object, "module",
                            frame->module[0] ? ndjson_string(frame->module) : json_null());
        json_object_set_new(object, "module_address", json_string(address));
        json_object_set_new(object, "inlined", json_boolean(frame->inlined));
        json_object_set_new(object, "looked_through", json_boolean(i < names->first));
        json_array_append_new(frames, object);
    }
    return frames;
}

static json_t *site_json(struct watch *watch, const struct site *site)
{
    const struct sites *sites = watch->model.sites;
    const struct stack_names *names = names_find(watch->names, site->stack);
    bool growth = sites->growth_seconds > 0;
    bool objects = sites_has(sites, SITES_BY_OBJECTS), sampled = sites->sampled;
    /* The variance that each byte allocated adds. */
    double each = site->alloc_bytes > 0 ? site->alloc_variance / site->alloc_bytes : 0;
    const struct {
        const char *key, *error_key;
        bool known;
        double value, variance;
    } figures[] = {
        {"inuse_growth_bytes", "inuse_growth_bytes_error", growth, site->growth_bytes,
         site->growth_variance},
        {"young_bytes", "young_bytes_error", sites->samples_known, site->young_bytes,
         site->young_variance},
        {"inuse_bytes", "inuse_bytes_error", sites_has(sites, SITES_BY_INUSE), site->inuse_bytes,
         site->inuse_variance},
        {"leak_bytes", "leak_bytes_error", sites->leaks_known, site->leak_bytes,
         site->leak_variance},
        {"inuse_objects", "inuse_objects_error", objects, round(site->inuse_objects),
         site->objects_variance},
        {"alloc_bytes", "alloc_bytes_error", sites_has(sites, SITES_BY_ALLOC), site->alloc_bytes,
         site->alloc_variance},
        {"alloc_objects", "alloc_objects_error", objects, round(site->alloc_objects),
         site->alloc_objects_variance},
        {"alloc_bytes_per_second", "alloc_bytes_per_second_error", growth, site->alloc_rate,
         site->alloc_rate * each / sites->growth_seconds},
    };
    json_t *object = json_object();
    json_object_set_new(object, "site", ndjson_string(names && names->label ? names->label : "?"));
    json_object_set_new(object, "via",
                        names && names->via ? ndjson_string(names->via) : json_null());
    json_object_set_new(object, "exact", json_boolean(sites_exact(sites, site)));
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        double error = sites_error(sites, site, figures[i].variance);
        json_object_set_new(object, figures[i].key,
                            ndjson_number(figures[i].known ? figures[i].value : NAN));
        json_object_set_new(object, figures[i].error_key,
                            ndjson_number(figures[i].known ? round(error) : NAN));
    }
    json_object_set_new(object, "samples", ndjson_number(sampled ? (double)site->samples : NAN));
    json_object_set_new(object, "stacks", json_integer(site->members));
    json_object_set_new(object, "stack", stack_json(names));
    return object;
}

static json_t *sites_json(struct watch *watch, size_t count)
{
    json_t *array = json_array();
    uint32_t *order = malloc((count + 1) * sizeof order[0]);
    size_t found = order ? watch_sites(watch, SITES_BY_GROWTH, order, count, count) : 0;
    for (size_t i = 0; i < found; i++)
        json_array_append_new(array, site_json(watch, &watch->model.sites->group[order[i]]));
    free(order);
    return array;
}

static json_t *last_cycle_json(const struct trace *trace)
{
    for (size_t i = 0; i < TRACE_KEPT; i++) {
        const struct md_cycle *cycle = trace_recent(trace, i);
        char text[GCTRACE_JSON_SIZE];
        if (!cycle)
            break;
        if ((cycle->flags & MD_CYCLE_SKIPPED) ||
            gctrace_format_json(GCTRACE_EXACT, cycle, trace->pid, trace->name, text, sizeof text) ==
                0)
            continue;
        json_t *object = json_loads(text, 0, NULL);
        return object ? object : json_null();
    }
    return json_null();
}

static json_t *verdict_json(const struct model *model)
{
    const struct verdict *verdict = &model->verdict;
    char text[VERDICT_TEXT_SIZE];
    if (verdict->kind == VERDICT_NONE)
        return json_null();
    bool resident = verdict->kind == VERDICT_KEPT || verdict->kind == VERDICT_OUTSIDE;
    bool told = verdict->kind == VERDICT_LEAK || verdict->kind == VERDICT_HELD;
    const char *part = verdict_part_name(verdict);
    json_t *object = json_object(), *sites = json_array();
    verdict_line(verdict, model->verdict_cycles, model->names, text);
    json_object_set_new(object, "text", ndjson_string(text));
    json_object_set_new(object, "kind", json_string(verdict_kind_name(verdict)));
    json_object_set_new(object, "seconds", ndjson_number(verdict->seconds));
    json_object_set_new(object, "growth_bytes", ndjson_number(verdict->growth_bytes));
    json_object_set_new(object, "leaked_bytes", ndjson_number(told ? verdict->leaked_bytes : NAN));
    json_object_set_new(object, "part", part ? json_string(part) : json_null());
    json_object_set_new(object, "part_bytes", ndjson_number(resident ? verdict->part_bytes : NAN));
    json_object_set_new(object, "block_bytes",
                        ndjson_number(verdict->block_bytes ? (double)verdict->block_bytes : NAN));
    for (size_t i = 0; i < verdict->name_count; i++) {
        const struct stack_names *names = names_find(model->names, verdict->name[i].stack);
        json_t *site = json_object();
        json_object_set_new(site, "site",
                            ndjson_string(names && names->label ? names->label : "?"));
        json_object_set_new(site, "share", ndjson_number(verdict->name[i].share));
        json_array_append_new(sites, site);
    }
    json_object_set_new(object, "sites", sites);
    return object;
}

static json_t *losses_json(const struct watch *watch)
{
    struct loss losses[LOSSES];
    json_t *array = json_array();
    losses_of(watch->model.header, watch->source.torn, losses);
    for (int i = 0; i < LOSSES; i++) {
        if (!loss_matters(&losses[i]))
            continue;
        json_t *object = json_object();
        json_object_set_new(object, "what", json_string(losses[i].what));
        json_object_set_new(object, "count",
                            losses[i].known ? ndjson_number((double)losses[i].count) : json_null());
        json_object_set_new(object, "reason", json_string(losses[i].why));
        json_array_append_new(array, object);
    }
    return array;
}

/* Bytes of each part, null what is not known. */
static json_t *rss_parts_json(const struct rss_parts *parts)
{
    if (!parts->taken_ns)
        return json_null();
    json_t *object = json_object();
    json_object_set_new(object, "rss", ndjson_number((double)parts->rss));
    for (int i = 0; i < RSS_PARTS; i++) {
        enum rss_part part = (enum rss_part)i;
        json_object_set_new(
            object, rss_part_names[i].name,
            ndjson_number(rss_knows(parts, part) ? (double)rss_part_bytes(parts, part) : NAN));
    }
    return object;
}

/* Who has mapped most of the anonymous part. */
static json_t *rss_anonymous_json(const struct watch *watch)
{
    const struct resident *resident = watch->model.resident;
    if (!resident->anonymous_bytes)
        return json_null();
    const struct stack_names *names = names_find(watch->names, resident->anonymous_stack);
    json_t *object = json_object();
    json_object_set_new(object, "bytes", ndjson_number((double)resident->anonymous_bytes));
    json_object_set_new(object, "site", ndjson_string(names && names->label ? names->label : "?"));
    json_object_set_new(object, "stack", stack_json(names));
    json_object_set_new(object, "hint",
                        resident->anonymous_pymalloc ? json_string(RESIDENT_PYMALLOC_HINT)
                                                     : json_null());
    return object;
}

json_t *report_json(struct watch *watch, size_t sites)
{
    const struct model *model = &watch->model;
    const struct md_header *header = model->header;
    const struct md_counters *counters = &header->counters;
    bool live = watch->source.state == SOURCE_LIVE;
    bool cycles = watch->trace.cycles > 0;
    json_t *object = json_object();
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"uptime_seconds", header_uptime(header, monotonic_ns(), live)},
        {"heap_bytes", (double)header_inuse(header)},
        {"rss_bytes", live && watch->source.rss_known ? (double)watch->source.rss_bytes : NAN},
        {"mapped_bytes", model->mapped_bytes},
        {"reachable_bytes", cycles ? (double)watch->trace.reachable_last : NAN},
        {"goal_bytes", header->heap_goal_bytes ? (double)header->heap_goal_bytes : NAN},
        {"live_objects", round(model->live_objects)},
        {"counters_age_seconds",
         live && counters->publish_ns
             ? fmax((double)(monotonic_ns() - (int64_t)counters->publish_ns) / 1e9, 0)
             : NAN},
        {"alloc_bytes_per_second", model->alloc_bound ? NAN : model->alloc_rate},
        {"free_bytes_per_second", model->free_bound ? NAN : model->free_rate},
        {"alloc_objects_per_second", model->alloc_objects_rate},
        {"memprofilerate_bytes", (double)header->memprofilerate},
        {"sampling_cpu_percent", model->sampling_share * 100},
        {"torn_records", (double)watch->source.torn},
        {"pause_last_ns", watch->trace.pause_last_ns},
        {"pause_p50_ns", model->pauses.p50_ns},
        {"pause_p99_ns", model->pauses.p99_ns},
        {"pause_max_ns", model->pauses.max_ns},
        {"unreachable_objects", cycles ? (double)watch->trace.unreachable_objects : NAN},
        {"unreachable_bytes", cycles ? (double)watch->trace.unreachable_bytes : NAN},
        {"growth_bytes", model->growth_seconds > 0 ? model->growth_bytes : NAN},
        {"growth_seconds", model->growth_seconds},
        {"inuse_growth_seconds", model->sites->growth_seconds},
    };
    json_object_set_new(object, "version", json_integer(REPORT_TARGET_VERSION));
    json_object_set_new(object, "type", json_string("target"));
    json_object_set_new(object, "time_seconds", ndjson_number(realtime_seconds()));
    json_object_set_new(object, "pid", json_integer(watch->source.target.pid));
    json_object_set_new(object, "name", ndjson_string(watch->source.target.name));
    json_object_set_new(object, "command", ndjson_string(watch->source.target.cmdline));
    json_object_set_new(object, "state", json_string(source_state_name(&watch->source)));
    json_object_set_new(object, "options", ndjson_string(header->options));
    json_object_set_new(object, "live_objects_counted", json_boolean(model->objects_counted));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_set_new(object, numbers[i].key, ndjson_number(numbers[i].value));
    json_object_set_new(object, "rss_parts", rss_parts_json(&model->resident->parts));
    json_object_set_new(object, "rss_anonymous", rss_anonymous_json(watch));
    json_object_set_new(object, "rss_pending", json_boolean(model->resident->pending));
    add_counters(object, header);
    json_object_set_new(object, "verdict", verdict_json(model));
    json_object_set_new(object, "last_cycle", last_cycle_json(&watch->trace));
    json_object_set_new(object, "losses", losses_json(watch));
    json_object_set_new(object, "sites_kind", json_string(profile_kind(model->sites->kind)->name));
    json_object_set_new(object, "sites", sites_json(watch, sites));
    json_object_set_new(object, "sites_missing",
                        model->sites->count == 0 ? json_string(model->hint) : json_null());
    if (watch->with_past)
        json_object_set_new(object, "history", past_json(&watch->source.snapshot));
    return object;
}

char *report_json_text(struct watch *watch, size_t sites)
{
    json_t *object = report_json(watch, sites);
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(object);
    return text;
}

void report_csv(struct csv *csv, FILE *out, struct watch *watch)
{
    /* Lists and objects, which are null at times. */
    static const char *const left_out[] = {"version", "type",          "rss_parts", "rss_anonymous",
                                           "verdict", "last_cycle",    "losses",    "sites_kind",
                                           "sites",   "sites_missing", "history",   NULL};
    json_t *object = report_json(watch, 0);
    if (!csv->columns)
        csv_begin(csv, out, json_incref(object), left_out);
    csv_row(csv, out, object);
}

void report_losses(FILE *out, const struct watch *watch, const char *indent)
{
    struct loss losses[LOSSES];
    losses_of(watch->model.header, watch->source.torn, losses);
    for (int i = 0; i < LOSSES; i++) {
        const struct loss *loss = &losses[i];
        if (!loss->known)
            fprintf(out, "%slost: %s not known: %s\n", indent, loss->what, loss->why);
        else if (loss->count > 0)
            fprintf(out, "%slost: %" PRIu64 " %s: %s\n", indent, loss->count, loss->what,
                    loss->why);
    }
}

/* Those counters that have no other place in the text. */
static void print_counters(FILE *out, const struct md_header *header)
{
    for (size_t i = 0; i < COUNTERS; i++) {
        const struct counter *counter = &counter_list[i];
        char text[UNITS_SIZE];
        if (counter->label)
            fprintf(out, "  %s %s", counter->label, counter_text(counter, header, text));
    }
}

/* What the resident memory is made of, and who has mapped most of what is not the heap's. */
static void report_resident(FILE *out, const struct watch *watch)
{
    const struct resident *resident = watch->model.resident;
    const struct rss_parts *parts = &resident->parts;
    char bytes[UNITS_SIZE];
    if (!parts->taken_ns)
        return;
    fprintf(out, "rss %s:", units_bytes(bytes, (double)parts->rss));
    for (int i = 0; i < RSS_PARTS; i++) {
        int64_t value = rss_part_bytes(parts, (enum rss_part)i);
        if (!rss_knows(parts, (enum rss_part)i))
            fprintf(out, " %s -", rss_part_names[i].text);
        else if (value != 0)
            fprintf(out, " %s %s", rss_part_names[i].text, units_bytes(bytes, (double)value));
    }
    fprintf(out, "%s\n", resident->pending ? "; more at its next 64 KiB" : "");
    const struct stack_names *names = names_find(watch->names, resident->anonymous_stack);
    if (resident->anonymous_bytes && names && names->label)
        fprintf(out, "anonymous: %s by %s%s%s\n",
                units_bytes(bytes, (double)resident->anonymous_bytes), names->label,
                resident->anonymous_pymalloc ? "; " : "",
                resident->anonymous_pymalloc ? RESIDENT_PYMALLOC_HINT : "");
}

/* How close together samples are, and what they cost. */
static void print_sampling(FILE *out, const struct model *model)
{
    char rate[UNITS_SIZE], leaks[UNITS_SIZE], share[32] = "-";
    const struct md_header *header = model->header;
    if (!header->counters.sample_rate_bytes) /* none, or an older writer */
        return;
    if (!isnan(model->sampling_share))
        snprintf(share, sizeof share, "%.2f%%", model->sampling_share * 100);
    fprintf(out, "sampled one each %s",
            units_bytes(rate, (double)header->counters.sample_rate_bytes));
    if (header->counters.leak_rate_bytes)
        fprintf(out, ", of sizes with unnamed leaks one each %s",
                units_bytes(leaks, (double)header->counters.leak_rate_bytes));
    fprintf(out, "  for %s of a CPU\n", share);
}

static void rate_text(double rate, bool bound, char text[UNITS_SIZE + 4])
{
    char bytes[UNITS_SIZE];
    if (isnan(rate))
        snprintf(text, UNITS_SIZE + 4, "-");
    else
        snprintf(text, UNITS_SIZE + 4, "%s%s/s", bound ? "<" : "", units_bytes(bytes, rate));
}

static void report_sites(FILE *out, struct watch *watch, size_t count)
{
    static const unsigned columns[] = {SITES_BY_GROWTH,  SITES_BY_INUSE, SITE_ERROR,
                                       SITES_BY_OBJECTS, SITES_BY_ALLOC, SITES_BY_LEAKS};
    const size_t column_count = sizeof columns / sizeof columns[0];
    const struct model *model = &watch->model;
    const struct sites *sites = model->sites;
    char heading[SITE_HEADING_SIZE], figure[SITE_FIGURE_SIZE];
    struct site_name name;
    uint32_t *order = malloc((count + 1) * sizeof order[0]);
    size_t found = order ? watch_sites(watch, SITES_BY_GROWTH, order, count, count) : 0;
    bool merged = false;
    if (found == 0)
        fprintf(out, "%s\n", model->hint);
    for (size_t i = 0; i < column_count && found > 0; i++)
        if (site_has_column(sites, columns[i]))
            fprintf(out, "%*s ", site_column_width(columns[i]),
                    site_heading_text(sites, columns[i], heading));
    if (found > 0)
        fprintf(out, " %s\n", site_title_text(sites, heading));
    for (size_t i = 0; i < found; i++) {
        const struct site *site = &sites->group[order[i]];
        for (size_t k = 0; k < column_count; k++)
            if (site_has_column(sites, columns[k]))
                fprintf(out, "%*s ", site_column_width(columns[k]),
                        site_column_text(sites, site, columns[k], figure));
        site_name_text(watch->names, site, true, &name);
        fprintf(out, " %s\n", name.text);
        merged = merged || site->members > 1;
    }
    if (merged)
        fprintf(out, SITE_MERGED_NOTE "\n");
    if (found > 0 && model->leaks_hint)
        fprintf(out, "%s\n", model->leaks_hint);
    if (sites->kind == MD_BUCKET_HEAP && model->unsampled[0] != '\0')
        fprintf(out, "leaks %s\n", model->unsampled);
    free(order);
}

void report_text(FILE *out, struct watch *watch, size_t count)
{
    const struct model *model = &watch->model;
    const struct md_counters *counters = &model->header->counters;
    char a[UNITS_SIZE], b[UNITS_SIZE], c[UNITS_SIZE], d[UNITS_SIZE], e[UNITS_SIZE];
    bool live = watch->source.state == SOURCE_LIVE;
    char verdict[VERDICT_TEXT_SIZE];
    fprintf(out, "%s  %s  %s\n", model->identity, model->state, model->header->options);
    if (model->verdict.kind != VERDICT_NONE)
        fprintf(out, "%s\n",
                verdict_line(&model->verdict, model->verdict_cycles, model->names, verdict));
    fprintf(out, "heap %s  peak %s  rss %s  mapped %s  objects %s%s",
            units_bytes(a, (double)header_inuse(model->header)),
            units_bytes(b, (double)counters->peak_bytes),
            units_bytes(c, live && watch->source.rss_known ? (double)watch->source.rss_bytes : NAN),
            units_bytes(d, model->mapped_bytes), model->objects_counted ? "" : "~",
            units_count(e, model->live_objects));
    print_counters(out, model->header);
    putc('\n', out);
    char allocating[UNITS_SIZE + 4], freeing[UNITS_SIZE + 4];
    rate_text(model->alloc_rate, model->alloc_bound, allocating);
    rate_text(model->free_rate, model->free_bound, freeing);
    fprintf(out, "allocated %s  freed %s  now %s and %s\n",
            units_bytes(a, (double)counters->alloc_bytes),
            units_bytes(b, (double)counters->free_bytes), allocating, freeing);
    report_resident(out, watch);
    print_sampling(out, model);
    report_losses(out, watch, "");
    const struct md_cycle *cycle = trace_recent(&watch->trace, 0);
    if (cycle) {
        char line[GCTRACE_LINE_SIZE];
        fprintf(out, "pause p50 %s p99 %s max %s\n", units_pause(a, model->pauses.p50_ns),
                units_pause(b, model->pauses.p99_ns), units_pause(c, model->pauses.max_ns));
        trace_line(&watch->trace, cycle, GCTRACE_LINE_SIZE, line, sizeof line);
        fprintf(out, "%s\n", line);
    }
    report_sites(out, watch, count);
}
