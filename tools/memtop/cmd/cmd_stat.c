/* memtop stat: the figures of a process as a row of fixed columns each tick, as jstat has them. */
#include "cli.h"
#include "commands.h"
#include "series/csv.h"
#include "series/ndjson.h"
#include "series/units.h"
#include "series/watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum stat_kind { BYTES, GROWTH, COUNT, PAUSE, CLOCK };

static const struct stat_column {
    const char *name, *heading;
    int width;
    enum stat_kind kind;
} columns[] = {
#define STAT_COLUMN(name, heading, width, kind, value) {#name, heading, width, kind},
#include "series/stat.def"
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

/* What the row before had. */
struct before {
    int64_t time_ns; /* 0: there was none */
    double heap_bytes;
};

/* Of the last cycle that has counted leaks. */
static double leaked_bytes(const struct trace *trace)
{
    const struct md_cycle *cycle;
    for (size_t i = 0; (cycle = trace_recent(trace, i)); i++)
        if (cycle->flags & MD_CYCLE_LEAKS)
            return (double)cycle->leaked_bytes;
    return NAN;
}

static void take_row(const struct watch *watch, struct before *before, double row[COLUMNS])
{
    const struct model *model = &watch->model;
    const struct source *source = &watch->source;
    bool live = source->state == SOURCE_LIVE;
    double heap = (double)header_inuse(model->header);
    double seconds = (double)(model->now_ns - before->time_ns) / 1e9;
    double growth = before->time_ns && seconds > 0 ? (heap - before->heap_bytes) / seconds : NAN;
    const double values[COLUMNS] = {
#define STAT_COLUMN(name, heading, width, kind, value) value,
#include "series/stat.def"
    };
    memcpy(row, values, sizeof values);
    *before = (struct before){model->now_ns, heap};
}

static const char *cell_text(enum stat_kind kind, double value, char text[UNITS_SIZE])
{
    time_t seconds = (time_t)value;
    struct tm local;
    switch (kind) {
    case BYTES:
        return units_bytes(text, value);
    case GROWTH:
        return units_growth(text, value);
    case COUNT:
        return units_count(text, value);
    case PAUSE:
        return units_pause(text, value);
    case CLOCK:
        localtime_r(&seconds, &local);
        strftime(text, UNITS_SIZE, "%H:%M:%S", &local);
        return text;
    }
    return "-";
}

static json_t *row_json(const struct watch *watch, const double row[COLUMNS])
{
    json_t *object = json_object();
    json_object_set_new(object, "version", json_integer(NDJSON_VERSION));
    json_object_set_new(object, "type", json_string("stat"));
    json_object_set_new(object, "pid", json_integer(watch->source.target.pid));
    json_object_set_new(object, "name", ndjson_string(watch->source.target.name));
    for (size_t i = 0; i < COLUMNS; i++)
        json_object_set_new(object, columns[i].name, ndjson_number(row[i]));
    return object;
}

static void print_headings(void)
{
    for (size_t i = 0; i < COLUMNS; i++)
        printf("%s%*s", i ? " " : "", columns[i].width, columns[i].heading);
    putchar('\n');
}

/* Rows between two lines of headings; 0: one line for all. */
static long rows_of_screen(void)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row < 4)
        return 0;
    return size.ws_row - 2;
}

static void print_row(const struct watch *watch, const double row[COLUMNS], long number,
                      struct csv *csv, const struct options *options)
{
    char text[UNITS_SIZE];
    long screen = rows_of_screen();
    if (options->csv) {
        json_t *object = row_json(watch, row);
        if (number == 0)
            csv_begin(csv, stdout, json_incref(object),
                      (const char *const[]){"version", "type", NULL});
        csv_row(csv, stdout, object);
        return;
    }
    if (options->json) {
        ndjson_line(stdout, row_json(watch, row));
        return;
    }
    if (number == 0 || (screen && number % screen == 0))
        print_headings();
    for (size_t i = 0; i < COLUMNS; i++)
        printf("%s%*s", i ? " " : "", columns[i].width, cell_text(columns[i].kind, row[i], text));
    putchar('\n');
}

static int stat_of(const struct target *target, double interval, long count,
                   const struct options *options)
{
    struct watch watch;
    struct before before = {0, 0};
    struct csv csv = {NULL};
    char error[VIEW_ERROR_SIZE];
    int status = EXIT_DONE;
    if (!cli_output(options))
        return EXIT_FAILED;
    if (watch_open(&watch, target, false, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    for (long i = 0; count == 0 || i < count; i++) {
        double row[COLUMNS];
        if (i > 0) {
            struct timespec time = {(time_t)interval,
                                    (long)((interval - (double)(time_t)interval) * 1e9)};
            nanosleep(&time, NULL);
            if (watch_tick(&watch, false, error)) {
                cli_error("%s", error);
                status = EXIT_FAILED;
                break;
            }
        }
        take_row(&watch, &before, row);
        print_row(&watch, row, i, &csv, options);
        int flushed = cli_flush();
        if (flushed != EXIT_DONE) {
            status = flushed == EXIT_FAILED ? EXIT_FAILED : EXIT_DONE;
            break;
        }
        if (watch.source.state != SOURCE_LIVE)
            break;
    }
    csv_end(&csv);
    watch_close(&watch);
    return status;
}

int command_stat(const struct options *options)
{
    struct target target;
    struct targets matches;
    char message[TARGET_MESSAGE_SIZE], *end;
    double interval = options->view.interval_seconds;
    bool endless = options->argument_count == 2;
    long count = options->count ? options->count : endless ? 0 : 1;
    if (options->argument_count > 1 &&
        (!units_parse_seconds(options->arguments[1], &interval) || interval < 0.01)) {
        cli_error("stat: INTERVAL %.40s: seconds are wanted, as 1, 0.5 or 500ms",
                  options->arguments[1]);
        return EXIT_USAGE;
    }
    if (options->argument_count > 2) {
        count = strtol(options->arguments[2], &end, 10);
        if (count <= 0 || *end || options->arguments[2][0] == '+') {
            cli_error("stat: COUNT %.40s: a number above 0 is wanted", options->arguments[2]);
            return EXIT_USAGE;
        }
    }
    int status = target_resolve(options->arguments[0], &target, message, &matches);
    if (status != 0)
        cli_targets(message, &matches);
    targets_fini(&matches);
    return status == 0 ? stat_of(&target, interval, count, options) : status;
}
