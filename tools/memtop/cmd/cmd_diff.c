/* memtop diff: two profiles side by side, and a verdict for whoever runs tests. */
#include "cli.h"
#include "commands.h"
#include "series/condition.h"
#include "series/ndjson.h"
#include "series/units.h"
#include "view/plain_text.h"
#include "view/pprof.h"

#include <math.h>
#include <string.h>

enum { SHOWN = 20 };

static const char *const by_names[] = {"stack", "function", "type", "module", "size"};

/* Two profiles, and the sample type of which the table is. */
struct pair {
    const char *path[DIFF_SIDES];
    struct profile profile[DIFF_SIDES];
    const struct profile *of[DIFF_SIDES];
    int index[DIFF_SIDES];
};

/* "+81.1M", "1.20k", "3.4s" in the unit of a sample type. */
#define VALUE_SIZE (UNITS_SIZE + 1)
static char *value_text(char text[VALUE_SIZE], double value, const char *unit, bool sign)
{
    double size = fabs(value);
    text[0] = '\0';
    if (sign && size > 0)
        snprintf(text, VALUE_SIZE, "%c", value < 0 ? '-' : '+');
    else if (value < 0)
        snprintf(text, VALUE_SIZE, "-");
    char *number = text + strlen(text);
    if (strcmp(unit, "bytes") == 0)
        units_bytes(number, size);
    else if (strcmp(unit, "nanoseconds") == 0)
        units_pause(number, size);
    else
        units_count(number, size);
    return text;
}

/* By how much b is above a; NAN: a is 0. */
static double percent_of(const struct sampling_sum side[DIFF_SIDES])
{
    double a = side[DIFF_A].value;
    return a != 0 ? (side[DIFF_B].value - a) * 100 / fabs(a) : NAN;
}

static char *percent_text(char text[UNITS_SIZE], const struct sampling_sum side[DIFF_SIDES])
{
    double percent = percent_of(side);
    if (isnan(percent))
        snprintf(text, UNITS_SIZE, "%s", side[DIFF_B].value != 0 ? "new" : "-");
    else if (fabs(percent) >= 1e6)
        snprintf(text, UNITS_SIZE, "%.1g%%", percent);
    else
        snprintf(text, UNITS_SIZE, fabs(percent) < 10 ? "%+.1f%%" : "%+.0f%%", percent);
    return text;
}

/* "+12.1M (+50%) ± 1.2M, from 24.0M to 36.1M" */
#define CHANGE_SIZE 160
static char *change_text(char text[CHANGE_SIZE], const struct sampling_sum side[DIFF_SIDES],
                         const char *unit)
{
    char difference[VALUE_SIZE], percent[UNITS_SIZE], error[VALUE_SIZE], a[VALUE_SIZE],
        b[VALUE_SIZE];
    struct sampling_sum sum = profile_diff_of(side);
    double deviation = sqrt(sum.variance);
    value_text(error, deviation, unit, false);
    snprintf(text, CHANGE_SIZE, "%s (%s)%s%s, from %s to %s",
             value_text(difference, sum.value, unit, true), percent_text(percent, side),
             isnan(deviation) ? ", error not known"
             : deviation > 0  ? " ± "
                              : "",
             deviation > 0 ? error : "", value_text(a, side[DIFF_A].value, unit, false),
             value_text(b, side[DIFF_B].value, unit, false));
    return text;
}

/* ---- reading ---- */

static void pair_fini(struct pair *pair)
{
    for (int side = 0; side < DIFF_SIDES; side++)
        profile_fini(&pair->profile[side]);
}

static bool same_unit(const struct pair *pair, const int index[DIFF_SIDES])
{
    return strcmp(pair->profile[DIFF_A].types[index[DIFF_A]].unit,
                  pair->profile[DIFF_B].types[index[DIFF_B]].unit) == 0;
}

/* The types of that name; NULL: of the default of B.  False: one has none such; said on stderr. */
static bool find_type(const struct pair *pair, const char *name, int index[DIFF_SIDES])
{
    const struct profile *b = &pair->profile[DIFF_B];
    index[DIFF_B] = profile_sample_index(b, name);
    if (!name && index[DIFF_B] >= 0)
        name = b->types[index[DIFF_B]].type;
    index[DIFF_A] = profile_sample_index(&pair->profile[DIFF_A], name);
    for (int side = 0; side < DIFF_SIDES; side++)
        if (index[side] < 0) {
            cli_error("%.200s has no %.60s%s", pair->path[side], name ? name : "sample type",
                      name && strncmp(name, "leak_", 5) == 0
                          ? ": no cycle had been done when it was written"
                          : "");
            return false;
        }
    if (same_unit(pair, index))
        return true;
    cli_error("%.60s is in %.30s in one profile, in %.30s in the other", name,
              pair->profile[DIFF_A].types[index[DIFF_A]].unit, b->types[index[DIFF_B]].unit);
    return false;
}

/* Says what makes the two differ but what they tell of. */
static void compare_sampling(const struct pair *pair)
{
    const struct profile *a = &pair->profile[DIFF_A], *b = &pair->profile[DIFF_B];
    char rates[DIFF_SIDES][UNITS_SIZE];
    if (a->period == b->period || strcmp(b->period_type.unit, "bytes") != 0)
        return;
    cli_error("the two were sampled at different rates, %s and %s: both estimate the same, with "
              "different errors",
              units_bytes(rates[DIFF_A], (double)a->period),
              units_bytes(rates[DIFF_B], (double)b->period));
}

/* False: it failed; said on stderr.  pair_fini may follow either way. */
static bool pair_read(struct pair *pair, const struct options *options)
{
    char error[VIEW_ERROR_SIZE];
    for (int side = 0; side < DIFF_SIDES; side++) {
        pair->path[side] = options->arguments[side];
        pair->of[side] = &pair->profile[side];
        profile_init(&pair->profile[side]);
    }
    for (int side = 0; side < DIFF_SIDES; side++)
        if (pprof_read(&pair->profile[side], pair->path[side], PPROF_LIMIT, error)) {
            cli_error("%s", error);
            return false;
        }
    const struct profile_value_type *a = &pair->profile[DIFF_A].period_type,
                                    *b = &pair->profile[DIFF_B].period_type;
    if (strcmp(a->type, b->type) != 0 || strcmp(a->unit, b->unit) != 0) {
        cli_error("these are profiles of different kinds: one is by %.40s (%.40s), the other by "
                  "%.40s (%.40s)",
                  *a->type ? a->type : "nothing", a->unit, *b->type ? b->type : "nothing", b->unit);
        return false;
    }
    const char *type = options->allocs ? "alloc_space" : options->leaks ? "leak_space" : NULL;
    if (!find_type(pair, type, pair->index))
        return false;
    compare_sampling(pair);
    return true;
}

/* ---- conditions ---- */

struct judged {
    const char *text; /* as it was given */
    struct condition condition;
    enum condition_state state;
    struct sampling_sum side[DIFF_SIDES];
    const char *unit;
};

struct judgement {
    struct judged list[CLI_LIST_MAX];
    size_t count;
    bool holds; /* one of them does */
};

/* EXIT_DONE, or the status of a failure that is said on stderr. */
static int read_conditions(struct judgement *judgement, const struct options *options)
{
    for (size_t i = 0; i < options->condition_count; i++) {
        struct judged *judged = &judgement->list[judgement->count++];
        judged->text = options->conditions[i];
        if (!condition_read(judged->text, &judged->condition)) {
            cli_error("--fail-if '%.60s': a condition is wanted, %s", judged->text,
                      CONDITION_ACCEPTED);
            return EXIT_USAGE;
        }
    }
    return EXIT_DONE;
}

static int judge(struct judgement *judgement, const struct pair *pair)
{
    for (size_t i = 0; i < judgement->count; i++) {
        struct judged *judged = &judgement->list[i];
        int index[DIFF_SIDES];
        if (!find_type(pair, judged->condition.type, index))
            return EXIT_FAILED;
        judged->unit = pair->profile[DIFF_B].types[index[DIFF_B]].unit;
        if (judged->condition.has_unit && strcmp(judged->unit, "bytes") != 0) {
            cli_error("--fail-if '%.60s': %s is no number of bytes; a plain number is wanted",
                      judged->text, judged->condition.type);
            return EXIT_USAGE;
        }
        for (int side = 0; side < DIFF_SIDES; side++) {
            struct sampling sampling = sampling_of(pair->of[side], index[side]);
            judged->side[side] = sampling_total(&sampling);
        }
        judged->state = condition_look(&judged->condition, judged->side);
        judgement->holds |= judged->state == CONDITION_HOLDS;
    }
    return EXIT_DONE;
}

static const char *state_name(enum condition_state state)
{
    static const char *const names[] = {"no", "uncertain", "holds"};
    return names[state];
}

static void print_conditions(const struct judgement *judgement)
{
    static const char *const words[] = {"ok", "UNCERTAIN", "FAIL"};
    for (size_t i = 0; i < judgement->count; i++) {
        const struct judged *judged = &judgement->list[i];
        char change[CHANGE_SIZE];
        printf("%s: ", words[judged->state]);
        plain_print(judged->text, stdout);
        printf(": %s%s\n", change_text(change, judged->side, judged->unit),
               judged->state == CONDITION_UNCERTAIN ? "; that may be chance: it does not count"
                                                    : "");
    }
}

/* ---- the table and the verdict ---- */

#define VERDICT_SIZE 512
/* "inuse_space grew: +12.1M (+50%) ± 1.2M, from 24.0M to 36.1M; most of it make_token (+11.0M)" */
static void diff_verdict(const struct profile_diff *diff, const struct profile_value_type *type,
                         char text[VERDICT_SIZE])
{
    struct sampling_sum sum = profile_diff_of(diff->total);
    char change[CHANGE_SIZE], part[VALUE_SIZE];
    bool certain = profile_diff_certain(&sum);
    const struct profile_diff_row *first = diff->row_count ? &diff->rows[0] : NULL;
    const char *what = !(fabs(sum.value) > 0)      ? "is the same"
                       : !certain && sum.value > 0 ? "did not grow for certain"
                       : !certain                  ? "did not fall for certain"
                       : sum.value > 0             ? "grew"
                                                   : "fell";
    snprintf(text, VERDICT_SIZE, "%.60s %s: %s", type->type, what,
             change_text(change, diff->total, type->unit));
    if (!certain || !first)
        return;
    struct sampling_sum most = profile_diff_of(first->side);
    size_t length = strlen(text);
    if (most.value / sum.value > 0.5 && profile_diff_certain(&most))
        snprintf(text + length, VERDICT_SIZE - length, "; most of it %.200s (%s)", first->name,
                 value_text(part, most.value, type->unit, true));
}

static size_t rows_shown(const struct profile_diff *diff, const struct options *options)
{
    size_t wanted = options->all ? SIZE_MAX : options->count ? (size_t)options->count : SHOWN;
    size_t differ = 0;
    while (differ < diff->row_count && differ < wanted &&
           fabs(profile_diff_of(diff->rows[differ].side).value) > 0)
        differ++;
    return differ;
}

static void print_row(const struct sampling_sum side[DIFF_SIDES], const char *unit)
{
    char a[VALUE_SIZE], b[VALUE_SIZE], difference[VALUE_SIZE], error[VALUE_SIZE],
        percent[UNITS_SIZE];
    struct sampling_sum sum = profile_diff_of(side);
    printf("%8s %8s %10s %8s %8s  ", value_text(a, side[DIFF_A].value, unit, false),
           value_text(b, side[DIFF_B].value, unit, false),
           value_text(difference, sum.value, unit, true),
           value_text(error, sqrt(sum.variance), unit, false), percent_text(percent, side));
}

static void print_text(const struct profile_diff *diff, const struct pair *pair,
                       const struct judgement *judgement, const struct options *options)
{
    static const char *const headings[] = {"CALL STACK", "FUNCTION", "TYPE", "MODULE", "SIZE"};
    const struct profile_value_type *type = &pair->profile[DIFF_B].types[pair->index[DIFF_B]];
    char verdict[VERDICT_SIZE];
    size_t shown = rows_shown(diff, options);
    printf("%8s %8s %10s %8s %8s  %s\n", "A", "B", "DIFFERENCE", "ERROR", "PERCENT",
           headings[options->by]);
    for (size_t i = 0; i < shown; i++) {
        print_row(diff->rows[i].side, type->unit);
        plain_print(diff->rows[i].name, stdout);
        putchar('\n');
    }
    print_row(diff->total, type->unit);
    printf("all\n");
    print_conditions(judgement);
    diff_verdict(diff, type, verdict);
    plain_print(verdict, stdout);
    putchar('\n');
}

static void set_change(json_t *object, const struct sampling_sum side[DIFF_SIDES], const char *unit)
{
    struct sampling_sum sum = profile_diff_of(side);
    json_object_set_new(object, "unit", ndjson_string(unit));
    json_object_set_new(object, "a", ndjson_number(side[DIFF_A].value));
    json_object_set_new(object, "a_error", ndjson_number(round(sqrt(side[DIFF_A].variance))));
    json_object_set_new(object, "b", ndjson_number(side[DIFF_B].value));
    json_object_set_new(object, "b_error", ndjson_number(round(sqrt(side[DIFF_B].variance))));
    json_object_set_new(object, "difference", ndjson_number(sum.value));
    json_object_set_new(object, "difference_error", ndjson_number(round(sqrt(sum.variance))));
    json_object_set_new(object, "difference_percent", ndjson_number(percent_of(side)));
}

static json_t *new_object(const char *type)
{
    json_t *object = json_object();
    json_object_set_new(object, "version", json_integer(NDJSON_VERSION));
    json_object_set_new(object, "type", json_string(type));
    return object;
}

static json_t *conditions_json(const struct judgement *judgement)
{
    json_t *array = json_array();
    for (size_t i = 0; i < judgement->count; i++) {
        const struct judged *judged = &judgement->list[i];
        json_t *object = json_object();
        json_object_set_new(object, "condition", ndjson_string(judged->text));
        json_object_set_new(object, "state", json_string(state_name(judged->state)));
        json_object_set_new(object, "value", ndjson_string(judged->condition.type));
        set_change(object, judged->side, judged->unit);
        json_array_append_new(array, object);
    }
    return array;
}

static void print_json(const struct profile_diff *diff, const struct pair *pair,
                       const struct judgement *judgement, const struct options *options)
{
    const struct profile_value_type *type = &pair->profile[DIFF_B].types[pair->index[DIFF_B]];
    size_t shown = rows_shown(diff, options);
    char verdict[VERDICT_SIZE];
    for (size_t i = 0; i < shown; i++) {
        json_t *row = new_object("difference");
        json_object_set_new(row, "by", json_string(by_names[options->by]));
        json_object_set_new(row, "name", ndjson_string(diff->rows[i].name));
        json_object_set_new(row, "value", ndjson_string(type->type));
        set_change(row, diff->rows[i].side, type->unit);
        ndjson_line(stdout, row);
    }
    json_t *object = new_object("diff");
    diff_verdict(diff, type, verdict);
    struct sampling_sum sum = profile_diff_of(diff->total);
    json_object_set_new(object, "verdict", ndjson_string(verdict));
    json_object_set_new(object, "certain", json_boolean(profile_diff_certain(&sum)));
    json_object_set_new(object, "value", ndjson_string(type->type));
    set_change(object, diff->total, type->unit);
    json_object_set_new(object, "rows", json_integer((json_int_t)diff->row_count));
    json_object_set_new(object, "conditions", conditions_json(judgement));
    ndjson_line(stdout, object);
}

int command_diff(const struct options *given)
{
    static struct judgement judgement;
    struct options options = *given;
    struct pair pair;
    struct profile_diff diff;
    if (!options.by_given)
        options.by = LEAKS_BY_FUNCTION;
    if (options.by == LEAKS_BY_TYPE) {
        cli_error("diff: profiles have no types of C++: --by=function, stack, module or size");
        return EXIT_USAGE;
    }
    int status = read_conditions(&judgement, &options);
    if (status != EXIT_DONE)
        return status;
    cli_wrappers();
    if (pair_read(&pair, &options)) {
        status = judge(&judgement, &pair);
    } else {
        pair_fini(&pair);
        return EXIT_FAILED;
    }
    if (status == EXIT_DONE && !profile_diff_build(&diff, pair.of, pair.index, options.by)) {
        cli_error("out of memory");
        profile_diff_fini(&diff);
        status = EXIT_FAILED;
    } else if (status == EXIT_DONE) {
        if (options.json)
            print_json(&diff, &pair, &judgement, &options);
        else
            print_text(&diff, &pair, &judgement, &options);
        profile_diff_fini(&diff);
        status = cli_flush() == EXIT_FAILED ? EXIT_FAILED
                 : judgement.holds          ? EXIT_CONDITION
                                            : EXIT_DONE;
    }
    pair_fini(&pair);
    return status;
}
