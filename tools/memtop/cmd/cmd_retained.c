/* memtop retained: what would go with each call site's blocks.  The process answers
 * (src/gc/ask/retained.h). */
#include "cli.h"
#include "commands.h"
#include "series/names.h"
#include "series/ndjson.h"
#include "series/units.h"
#include "target/discover.h"
#include "target/source.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_SECONDS 120
#define SHOWN 20

struct rows {
    struct source source;
    struct names *names;
    struct md_answer_heap heap;
    struct md_answer_site *site; /* the one that retains most first */
    size_t count;
};

static int compare_sites(const void *a, const void *b)
{
    const struct md_answer_site *x = a, *y = b;
    if (x->retained_bytes != y->retained_bytes)
        return x->retained_bytes < y->retained_bytes ? 1 : -1;
    return x->stack < y->stack ? -1 : x->stack > y->stack;
}

/* Reads the answer's records.  False: no memory. */
static bool read_rows(struct rows *rows)
{
    const struct snapshot *snapshot = &rows->source.snapshot;
    const struct md_answer_record *record;
    size_t at = 0, room = snapshot->answer_word_count / (sizeof *rows->site / sizeof(uint64_t)) + 1;
    rows->site = calloc(room, sizeof *rows->site);
    if (!rows->site)
        return false;
    record = snapshot_record(snapshot, &at, MD_ANSWER_HEAP, sizeof rows->heap);
    if (record)
        memcpy(&rows->heap, record, sizeof rows->heap);
    for (at = 0; rows->count < room &&
                 (record = snapshot_record(snapshot, &at, MD_ANSWER_SITE, sizeof *rows->site));)
        memcpy(&rows->site[rows->count++], record, sizeof *rows->site);
    qsort(rows->site, rows->count, sizeof *rows->site, compare_sites);
    return true;
}

static const char *label_of(struct rows *rows, uint32_t stack)
{
    if (!snapshot_stack(&rows->source.snapshot, stack))
        return "?";
    names_want(rows->names, &rows->source.snapshot, stack);
    names_take(rows->names);
    const struct stack_names *names = names_find(rows->names, stack);
    return names && names->label ? names->label : "?";
}

/* A standard error; what is no variance has none. */
static double error_of(double variance)
{
    return isfinite(variance) && variance > 0 ? sqrt(variance) : 0;
}

/* "35%": of the figure. */
static const char *error_text(double variance, double figure, char text[UNITS_SIZE])
{
    double error = error_of(variance);
    if (!(error > 0))
        return "-";
    if (figure > 0)
        snprintf(text, UNITS_SIZE, "%.0f%%", fmin(100 * error / figure, 9999));
    else
        snprintf(text, UNITS_SIZE, "?");
    return text;
}

typedef char *units_text(char buffer[static UNITS_SIZE], double figure);
static void figure_text(double figure, double variance, units_text *units,
                        char text[UNITS_SIZE + 1])
{
    char plain[UNITS_SIZE];
    snprintf(text, UNITS_SIZE + 1, "%s%s", error_of(variance) > 0 ? "~" : "", units(plain, figure));
}

static void print_table(struct rows *rows, size_t count)
{
    char heap[UNITS_SIZE], blocks[UNITS_SIZE], pause[UNITS_SIZE];
    const struct md_answer *answer = &rows->source.snapshot.header.answer;
    printf("RETAINED  ERROR      OWN  OBJECTS  CALL SITE\n");
    for (size_t i = 0; i < rows->count && i < count; i++) {
        const struct md_answer_site *site = &rows->site[i];
        char retained[UNITS_SIZE + 1], own[UNITS_SIZE + 1], objects[UNITS_SIZE + 1];
        char error[UNITS_SIZE];
        figure_text((double)site->retained_bytes, site->retained_variance, units_bytes, retained);
        figure_text((double)site->own_bytes, site->own_variance, units_bytes, own);
        figure_text((double)site->objects / MD_WEIGHT_ONE, site->objects_variance, units_count,
                    objects);
        printf("%8s  %5s %8s %8s  %s\n", retained,
               error_text(site->retained_variance, (double)site->retained_bytes, error), own,
               objects, label_of(rows, site->stack));
    }
    if (rows->count > count)
        printf("%zu more: --all\n", rows->count - count);
    printf("%s in %s reachable blocks; what two sites hold goes with neither; the program stood "
           "still for %s\n",
           units_bytes(heap, (double)rows->heap.bytes),
           units_count(blocks, (double)rows->heap.blocks),
           units_pause(pause, (double)answer->stop_ns));
}

static json_t *new_object(const struct rows *rows, const char *type)
{
    json_t *object = json_object();
    json_object_set_new(object, "version", json_integer(NDJSON_VERSION));
    json_object_set_new(object, "type", json_string(type));
    json_object_set_new(object, "pid", json_integer(rows->source.target.pid));
    json_object_set_new(object, "name", ndjson_string(rows->source.target.name));
    return object;
}

static void print_json(struct rows *rows, size_t count)
{
    const struct md_answer *answer = &rows->source.snapshot.header.answer;
    for (size_t i = 0; i < rows->count && i < count; i++) {
        const struct md_answer_site *site = &rows->site[i];
        json_t *object = new_object(rows, "retained");
        json_object_set_new(object, "site", ndjson_string(label_of(rows, site->stack)));
        json_object_set_new(object, "retained_bytes", ndjson_number((double)site->retained_bytes));
        json_object_set_new(object, "retained_bytes_error",
                            ndjson_number(round(error_of(site->retained_variance))));
        json_object_set_new(object, "own_bytes", ndjson_number((double)site->own_bytes));
        json_object_set_new(object, "own_bytes_error",
                            ndjson_number(round(error_of(site->own_variance))));
        json_object_set_new(object, "objects",
                            ndjson_number((double)site->objects / MD_WEIGHT_ONE));
        json_object_set_new(object, "objects_error",
                            ndjson_number(error_of(site->objects_variance)));
        json_object_set_new(object, "exact", json_boolean(!(error_of(site->objects_variance) > 0)));
        json_object_set_new(object, "samples", json_integer(site->samples));
        ndjson_line(stdout, object);
    }
    json_t *object = new_object(rows, "retained_heap");
    json_object_set_new(object, "sites", json_integer((json_int_t)rows->count));
    json_object_set_new(object, "cut", json_boolean(answer->flags & MD_ANSWER_CUT));
    json_object_set_new(object, "reachable_blocks", ndjson_number((double)rows->heap.blocks));
    json_object_set_new(object, "reachable_bytes", ndjson_number((double)rows->heap.bytes));
    json_object_set_new(object, "samples", ndjson_number((double)rows->heap.samples));
    json_object_set_new(object, "pause_ns", ndjson_number((double)answer->stop_ns));
    json_object_set_new(object, "wall_ns", ndjson_number((double)answer->wall_ns));
    json_object_set_new(object, "cpu_ns", ndjson_number((double)answer->cpu_ns));
    ndjson_line(stdout, object);
}

static int retained_of_target(struct rows *rows, const struct options *options)
{
    char error[VIEW_ERROR_SIZE], root[SOURCE_ROOT_SIZE];
    bool pending;
    if (ask_question(&rows->source, "retained", cli_wait(options, WAIT_SECONDS), SNAPSHOT_PROFILE,
                     &pending, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    if (pending) {
        cli_pending(options, &rows->source.target, "retained");
        return EXIT_DONE;
    }
    struct symbolizer_options symbols = source_symbols(&rows->source, root);
    rows->names = names_create(&symbols, false);
    if (!rows->names || !read_rows(rows)) {
        cli_error("out of memory");
        return EXIT_FAILED;
    }
    size_t count = options->all     ? SIZE_MAX
                   : options->count ? (size_t)options->count
                   : options->json  ? SIZE_MAX
                                    : SHOWN;
    if (options->json)
        print_json(rows, count);
    else
        print_table(rows, count);
    if (rows->source.snapshot.header.answer.flags & MD_ANSWER_CUT)
        cli_error("not all call sites had room in the answer");
    return cli_flush() == EXIT_FAILED ? EXIT_FAILED : EXIT_DONE;
}

int command_retained(const struct options *options)
{
    struct target target;
    struct rows rows = {0};
    char error[VIEW_ERROR_SIZE];
    if (options->argument_count == 0) {
        cli_error("retained: a TARGET is wanted; memtop ps lists them");
        return EXIT_USAGE;
    }
    int status = cli_live_target(options->arguments[0], &target);
    if (status != EXIT_DONE)
        return status;
    if (ask_possible(&target, error) || source_open(&rows.source, &target, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    cli_wrappers();
    cli_missing_names();
    status = retained_of_target(&rows, options);
    if (rows.names)
        names_destroy(rows.names);
    free(rows.site);
    source_close(&rows.source);
    return status;
}
