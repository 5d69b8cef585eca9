/* memtop leaks: what a process leaks, by call stack.  It asks a living process for two cycles
 * first, as a leak is what two did not reach; of a dead one it reports what the last two saw. */
#include "cli.h"
#include "commands.h"
#include "series/evidence.h"
#include "series/units.h"
#include "target/ask.h"
#include "target/discover.h"
#include "target/save.h"
#include "target/source.h"
#include "ui/report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 20
#define WAIT_SECONDS 60
#define CYCLES_MAX 4

/* Asks for two cycles that know which blocks are unreachable.  One is enough if it finds none; more
 * are tried if a cycle has not seen the registers of all threads, as that may pass.  False: it
 * failed, said on stderr, or the first is *pending, which has been printed. */
static bool do_cycles(struct source *source, const struct options *options, bool *pending)
{
    char error[VIEW_ERROR_SIZE];
    struct md_cycle cycle;
    struct ask_wait wait = cli_wait(options, WAIT_SECONDS);
    for (int i = 0, telling = 0; telling < 2 && i < CYCLES_MAX; i++) {
        if (ask_cycle(source, wait, &cycle, pending, error)) {
            cli_error("%s", error);
            return false;
        }
        if (*pending) {
            cli_pending(options, &source->target, "leaks");
            return false;
        }
        if (cycle.flags & MD_CYCLE_SKIPPED) {
            cli_error("%d %s could not do a cycle: %s; --no-cycle tells what earlier ones saw",
                      (int)source->target.pid, source->target.name, cycle.reason);
            return false;
        }
        if (!cycle.unreachable_objects)
            break;
        telling += leaks_tell(&cycle);
    }
    return true;
}

/* ---- JSON ---- */

static void set_sum(json_t *object, const struct leak_sum *sum)
{
    json_object_set_new(object, "bytes", ndjson_number(round(sum->bytes)));
    json_object_set_new(object, "bytes_standard_error",
                        ndjson_number(round(sqrt(sum->bytes_variance))));
    json_object_set_new(object, "objects", ndjson_number(round(sum->objects)));
    json_object_set_new(object, "objects_standard_error",
                        ndjson_number(round(sqrt(sum->objects_variance))));
    json_object_set_new(object, "exact", json_boolean(!(sum->objects_variance > 0)));
    json_object_set_new(object, "samples", json_integer((json_int_t)sum->samples));
}

static json_t *new_object(const struct source *source, const char *type)
{
    json_t *object = json_object();
    json_object_set_new(object, "version", json_integer(NDJSON_VERSION));
    json_object_set_new(object, "type", json_string(type));
    json_object_set_new(object, "pid", json_integer(source->target.pid));
    json_object_set_new(object, "name", ndjson_string(source->target.name));
    return object;
}

static json_t *text_or_null(const char *text)
{
    return *text ? ndjson_string(text) : json_null();
}

static json_t *frames_json(struct leaks *leaks, uint32_t stack, bool *recursive)
{
    size_t count;
    const struct leak_frame *frames = leaks_frames(leaks, stack, &count, recursive);
    size_t looked_through = leaks_looked_through(frames, count);
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *frame = json_object();
        char address[24];
        snprintf(address, sizeof address, "0x%" PRIx64, frames[i].address);
        json_object_set_new(frame, "function", text_or_null(frames[i].full_name));
        json_object_set_new(frame, "file", text_or_null(frames[i].file));
        json_object_set_new(frame, "line",
                            frames[i].line ? json_integer(frames[i].line) : json_null());
        json_object_set_new(frame, "module", text_or_null(frames[i].module));
        json_object_set_new(frame, "module_address", json_string(address));
        json_object_set_new(frame, "looked_through", json_boolean(i < looked_through));
        json_array_append_new(array, frame);
    }
    return array;
}

static json_t *group_json(const struct source *source, struct leaks *leaks,
                          const struct leak_group *group, double now_ds)
{
    static const char *const names[] = {"stack", "function", "type", "module", "size"};
    json_t *object = new_object(source, "leak");
    struct leak_sum sum = leak_sum_of(&group->sum[LEAK_DIRECT], &group->sum[LEAK_INDIRECT]);
    json_object_set_new(object, "by", json_string(names[leaks->by]));
    set_sum(object, &sum);
    json_object_set_new(object, "direct_bytes",
                        ndjson_number(round(group->sum[LEAK_DIRECT].bytes)));
    json_object_set_new(object, "direct_objects",
                        ndjson_number(round(group->sum[LEAK_DIRECT].objects)));
    json_object_set_new(object, "size_bytes",
                        group->size ? json_integer((json_int_t)group->size) : json_null());
    json_object_set_new(object, "oldest_seconds",
                        ndjson_number(fmax(0, now_ds - sum.oldest_ds) / 10));
    json_object_set_new(object, "newest_seconds",
                        ndjson_number(fmax(0, now_ds - sum.newest_ds) / 10));
    json_object_set_new(object, "stacks", json_integer(group->stacks));
    if (leaks->by == LEAKS_BY_STACK) {
        json_object_set_new(object, "kind",
                            json_string(group->sum[LEAK_DIRECT].samples ? "direct" : "indirect"));
        bool recursive;
        json_object_set_new(object, "stack", frames_json(leaks, group->stack, &recursive));
        json_object_set_new(object, "recursive", json_boolean(recursive));
    } else if (leaks->by != LEAKS_BY_SIZE) {
        const char *key = leaks->by == LEAKS_BY_TYPE ? "type_name" : names[leaks->by];
        json_object_set_new(object, key, ndjson_string(group->name));
    }
    return object;
}

static json_t *unsampled_json(const struct leaks *leaks)
{
    json_t *array = json_array();
    for (size_t i = 0; i < leaks->unsampled_count; i++) {
        const struct leaks_unsampled *u = &leaks->unsampled[i];
        json_t *object = json_object();
        json_object_set_new(object, "size_bytes",
                            u->size ? ndjson_number((double)u->size) : json_null());
        json_object_set_new(object, "objects", ndjson_number((double)u->objects));
        json_object_set_new(object, "bytes", ndjson_number((double)u->bytes));
        json_array_append_new(array, object);
    }
    return array;
}

static void print_json(const struct source *source, struct leaks *leaks, size_t count,
                       double now_ds, const char *verdict, FILE *out)
{
    for (size_t i = 0; i < leaks->group_count && (!count || i < count); i++)
        ndjson_line(out, group_json(source, leaks, &leaks->groups[i], now_ds));
    struct leak_sum sum = leaks_total(leaks), rest = leaks_unsampled_sum(leaks);
    json_t *object = new_object(source, "leaks");
    const struct md_cycle *cycle = &leaks->cycle;
    set_sum(object, &sum);
    json_object_set_new(object, "verdict", text_or_null(verdict));
    json_object_set_new(object, "direct_bytes",
                        ndjson_number(round(leaks->total[LEAK_DIRECT].bytes)));
    json_object_set_new(object, "direct_objects",
                        ndjson_number(round(leaks->total[LEAK_DIRECT].objects)));
    json_object_set_new(object, "groups", json_integer((json_int_t)leaks->group_count));
    json_object_set_new(object, "unsampled_bytes", ndjson_number(rest.bytes));
    json_object_set_new(object, "unsampled_objects", ndjson_number(rest.objects));
    json_object_set_new(object, "unsampled", unsampled_json(leaks));
    json_object_set_new(object, "suppressed_bytes", ndjson_number(round(leaks->suppressed.bytes)));
    json_object_set_new(object, "suppressed_objects",
                        ndjson_number(round(leaks->suppressed.objects)));
    json_object_set_new(object, "once_samples", json_integer((json_int_t)leaks->once));
    json_object_set_new(object, "lost_samples", json_integer((json_int_t)leaks->lost_samples));
    json_object_set_new(object, "memprofilerate_bytes", ndjson_number((double)leaks->rate));
    json_object_set_new(object, "cycle", json_integer((json_int_t)cycle->number));
    json_object_set_new(object, "unreachable_objects",
                        json_integer((json_int_t)cycle->unreachable_objects));
    json_object_set_new(object, "unreachable_bytes",
                        json_integer((json_int_t)cycle->unreachable_bytes));
    json_object_set_new(object, "leaked_objects",
                        leaks->counted ? ndjson_number((double)cycle->leaked_objects)
                                       : json_null());
    json_object_set_new(object, "leaked_bytes",
                        leaks->counted ? ndjson_number((double)cycle->leaked_bytes) : json_null());
    json_object_set_new(object, "unreachable_direct_objects",
                        json_integer((json_int_t)cycle->direct_objects));
    json_object_set_new(object, "unreachable_direct_bytes",
                        json_integer((json_int_t)cycle->direct_bytes));
    ndjson_line(out, object);
}

/* ---- files that options name ---- */

struct inputs {
    struct suppressions suppressions;
    struct profile base;
    bool has_base;
};

static void inputs_fini(struct inputs *in)
{
    suppressions_fini(&in->suppressions);
    if (in->has_base)
        profile_fini(&in->base);
}

/* False: it failed; said on stderr. */
static bool read_inputs(struct inputs *in, const struct options *options)
{
    char error[VIEW_ERROR_SIZE];
    *in = (struct inputs){0};
    if (options->suppressions &&
        suppressions_read(&in->suppressions, options->suppressions, error)) {
        cli_error("%s", error);
        return false;
    }
    if (in->suppressions.bad_lines)
        cli_error("%s: %zu line(s) are not leak:PATTERN, the first is line %zu",
                  options->suppressions, in->suppressions.bad_lines, in->suppressions.first_bad);
    if (!options->diff)
        return true;
    if (pprof_read(&in->base, options->diff, PPROF_LIMIT, error)) {
        cli_error("%s", error);
        return false;
    }
    in->has_base = true;
    if (profile_sample_index(&in->base, "leak_space") >= 0)
        return true;
    cli_error("%s has no leak_space: it was written before a cycle was done", options->diff);
    return false;
}

/* Of all leaks; "" if some are left out. */
static void verdict_of(const struct source *source, const struct leaks *leaks,
                       char text[VERDICT_TEXT_SIZE])
{
    char root[SOURCE_ROOT_SIZE];
    struct symbolizer_options symbols = source_symbols(source, root);
    struct names *names = leaks->filtered ? NULL : names_create(&symbols, false);
    text[0] = '\0';
    if (!names)
        return;
    struct verdict verdict = evidence_of_leaks(&source->snapshot, names);
    verdict_line(&verdict, evidence_cycles(&verdict, &source->snapshot), names, text);
    names_destroy(names);
}

static int print_to(const char *path, struct leaks *leaks, const struct source *source,
                    const struct options *options, const struct inputs *in, double now_ds)
{
    char *bytes = NULL, error[VIEW_ERROR_SIZE];
    size_t size = 0, count = options->all ? 0 : options->count ? (size_t)options->count : SHOWN;
    FILE *out = path ? open_memstream(&bytes, &size) : stdout;
    int status = EXIT_DONE;
    if (!out) {
        cli_error("out of memory");
        return EXIT_FAILED;
    }
    struct leaks_text how = {.pid = (uint32_t)source->target.pid,
                             .name = source->target.name,
                             .count = count,
                             .suppressions = &in->suppressions};
    char verdict[VERDICT_TEXT_SIZE];
    verdict_of(source, leaks, verdict);
    if (options->json)
        print_json(source, leaks, options->count ? count : 0, now_ds, verdict, out);
    else {
        if (*verdict)
            fprintf(out, "%s\n", verdict);
        leaks_print(leaks, &how, out);
    }
    if (!path)
        return cli_flush() == EXIT_FAILED ? EXIT_FAILED : EXIT_DONE;
    if (fclose(out) != 0 || !bytes) {
        cli_error("out of memory");
        status = EXIT_FAILED;
    } else if (save_file(path, bytes, size, error)) {
        cli_error("%s", error);
        status = EXIT_FAILED;
    }
    free(bytes);
    return status;
}

/* Says on stderr how old the last cycle is, as the report knows nothing of what came since. */
static void report_age(const struct source *source, const struct leaks *leaks, double now_ds)
{
    char age[UNITS_SIZE];
    double seconds = now_ds / 10 - (double)leaks->cycle.start_ns / 1e9;
    if (leaks->has_cycle && seconds >= 1)
        cli_error("%d %s: as its last cycle saw it, %s %s", (int)source->target.pid,
                  source->target.name, units_age(age, seconds),
                  source->state == SOURCE_LIVE ? "ago" : "before it last wrote");
}

static int report(struct source *source, const struct options *options, struct inputs *in)
{
    struct leaks leaks;
    char error[VIEW_ERROR_SIZE];
    const struct md_header *header = &source->snapshot.header;
    int pid = (int)source->target.pid;
    if (!header->counters.cycles) {
        cli_error("%d %s has done no cycle: which objects are reachable is not known", pid,
                  source->target.name);
        return EXIT_FAILED;
    }
    cli_missing_names();
    if (options->output && !options->json) {
        int result = save_profile(source, MD_BUCKET_HEAP, options->output, -1, "leak_space", error);
        if (result)
            cli_error("%s", error);
        return result ? EXIT_FAILED : EXIT_DONE;
    }
    double now_ds = header_uptime(header, monotonic_ns(), source->state == SOURCE_LIVE) * 10;
    double from_ds = options->since_seconds > 0 ? now_ds - options->since_seconds * 10 : 0;
    struct leaks_options how = {.symbolizer = save_symbolizer(source, true),
                                .suppressions = &in->suppressions,
                                .excludes = options->excludes,
                                .exclude_count = options->exclude_count,
                                .base = in->has_base ? &in->base : NULL,
                                .born_from_ds = from_ds > 0 ? (uint32_t)from_ds : 0,
                                .by = options->by};
    int status = EXIT_FAILED;
    if (leaks_build(&leaks, &source->snapshot, &how, error))
        cli_error("%s", error);
    else
        status = print_to(options->output, &leaks, source, options, in, now_ds);
    if (status == EXIT_DONE && (options->no_cycle || source->target.state != TARGET_LIVE))
        report_age(source, &leaks, now_ds);
    if (status == EXIT_DONE && options->leak_status)
        status = leaks_found(&leaks)    ? options->leak_status
                 : !leaks_known(&leaks) ? EXIT_FAILED
                                        : EXIT_DONE;
    leaks_fini(&leaks);
    symbolizer_destroy(how.symbolizer);
    return status;
}

static int leaks_of_target(const struct target *target, const struct options *options,
                           struct inputs *in)
{
    struct source source;
    char error[VIEW_ERROR_SIZE];
    if (ask_possible(target, error) || source_open(&source, target, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    int status = EXIT_FAILED;
    bool pending = false;
    bool asked =
        options->no_cycle || target->state != TARGET_LIVE || do_cycles(&source, options, &pending);
    if (pending && !options->leak_status) /* of a check, what is not known is no pass */
        status = EXIT_DONE;
    else if (asked && source_poll(&source, LEAKS_SNAPSHOT, error))
        cli_error("%s", error);
    else if (asked)
        status = report(&source, options, in);
    source_close(&source);
    return status;
}

int command_leaks(const struct options *options)
{
    if (options->argument_count == 0) {
        cli_error("leaks: a TARGET is wanted; memtop ps lists them");
        return EXIT_USAGE;
    }
    cli_wrappers();
    struct target target;
    struct targets matches;
    struct inputs in;
    char message[TARGET_MESSAGE_SIZE];
    int status = target_resolve(options->arguments[0], &target, message, &matches);
    if (status != 0)
        cli_targets(message, &matches);
    else if (read_inputs(&in, options)) {
        status = leaks_of_target(&target, options, &in);
        inputs_fini(&in);
    } else {
        inputs_fini(&in);
        status = EXIT_FAILED;
    }
    targets_fini(&matches);
    return status;
}
