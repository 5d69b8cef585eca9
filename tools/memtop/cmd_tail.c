/* memtop tail: gctrace lines out of logs and pipes, as charts or as a summary. */
#include "cli.h"
#include "live.h"
#include "logread.h"
#include "panel.h"
#include "source.h"
#include "term.h"
#include "tracelog.h"
#include "units.h"

#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 20 };

struct logs {
    struct logread *log;
    size_t count;
};

static void logs_close(struct logs *logs)
{
    for (size_t i = 0; i < logs->count; i++)
        logread_close(&logs->log[i]);
    free(logs->log);
}

static int logs_open(struct logs *logs, const struct options *options)
{
    size_t wanted = options->argument_count > 0 ? options->argument_count : 1;
    *logs = (struct logs){.log = calloc(wanted, sizeof logs->log[0])};
    if (!logs->log) {
        cli_error("out of memory");
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < wanted; i++) {
        const char *path = options->argument_count > 0 ? options->arguments[i] : "-";
        if (options->argument_count == 0 && isatty(STDIN_FILENO)) {
            cli_error(
                "tail: a FILE is wanted, or a pipe: GODEBUG=gctrace=1 PROGRAM 2>&1 | memtop tail");
            logs_close(logs);
            return EXIT_USAGE;
        }
        int error = logread_open(&logs->log[i], path);
        if (error) {
            cli_error("%s: %s", path, strerror(error));
            logs_close(logs);
            return EXIT_FAILED;
        }
        logs->count++;
    }
    return EXIT_DONE;
}

/* Reads everything to the end, waiting for pipes. */
static int summarize(struct logs *logs, const struct options *options)
{
    struct tracelog trace;
    tracelog_init(&trace);
    for (size_t i = 0; i < logs->count; i++) {
        struct logread *log = &logs->log[i];
        for (;;) {
            bool all = logread_poll(log, CHUNK, tracelog_line, &trace);
            if (log->is_pipe ? log->ended : all)
                break;
            struct pollfd wait = {log->fd, POLLIN, 0};
            if (all)
                poll(&wait, 1, -1);
        }
        logread_finish(log, tracelog_line, &trace);
    }
    tracelog_report(&trace, options->json, stdout);
    int status = EXIT_DONE;
    if (trace.count == 0) {
        cli_error("no gctrace line in %" PRIu64
                  " lines: run the program with MEMDEBUG=gctrace=1, or "
                  "GODEBUG=gctrace=1 for Go",
                  trace.lines);
        status = EXIT_FAILED;
    }
    if (trace.out_of_memory) {
        cli_error("out of memory: some programs were left out");
        status = EXIT_FAILED;
    }
    tracelog_fini(&trace);
    return status;
}

/* The model of the program that is shown, or of none yet. */
static void fill_model(struct model *model, const struct tracelog *trace, size_t shown,
                       const struct logs *logs, const struct trace *nothing,
                       const struct history *empty)
{
    bool any = trace->count > 0;
    const struct log_program *program = any ? &trace->program[shown] : NULL;
    *model = (struct model){.history = any ? &program->history : empty,
                            .trace = any ? &program->trace : nothing,
                            .logs = trace->count,
                            .log = shown,
                            .alloc_rate = NAN,
                            .free_rate = NAN};
    if (any)
        tracelog_who(trace, program, model->identity, sizeof model->identity);
    else
        snprintf(model->identity, sizeof model->identity, "no gctrace line yet");
    bool ended = true;
    for (size_t i = 0; i < logs->count; i++)
        ended = ended && logs->log[i].ended;
    model->alive = !ended;
    char lines[UNITS_SIZE], of[UNITS_SIZE];
    snprintf(model->state, sizeof model->state, "%s, %s of %s lines", ended ? "ended" : "reading",
             units_count(lines, (double)trace->trace_lines), units_count(of, (double)trace->lines));
    model->pauses = trace_pauses(model->trace);
    const struct history_point *last = history_last(model->history);
    model->now_ns = last ? last->time_ns : 0;
    if (!any)
        model->hint = "MEMDEBUG=gctrace=1 PROGRAM, or GODEBUG=gctrace=1 for Go";
}

/* The whole of a log is what one wants to see first. */
static double whole_span(const struct model *model)
{
    if (model->history->count == 0)
        return 120;
    const struct history_point *first = &model->history->points[model->history->first];
    double seconds = (double)(model->now_ns - first->time_ns) / 1e9 * 1.02;
    return seconds < 1 ? 1 : seconds;
}

static int view(struct logs *logs, const struct options *options)
{
    struct tracelog trace;
    struct trace nothing;
    struct history empty;
    struct screen screen = {.charset = term_charset(options->charset)};
    struct wish wish = live_wish(options);
    struct model model;
    size_t shown = 0;
    tracelog_init(&trace);
    trace_init(&nothing, 0, "");
    history_init(&empty, 1);
    for (int key = TERM_NONE; key != 'q' && key != TERM_QUIT;) {
        bool all = true;
        int wake = -1;
        for (size_t i = 0; i < logs->count; i++) {
            struct logread *log = &logs->log[i];
            bool was_ended = log->ended;
            all = logread_poll(log, CHUNK, tracelog_line, &trace) && all;
            if (log->ended && !was_ended)
                logread_finish(log, tracelog_line, &trace);
            if (log->is_pipe && !log->ended)
                wake = log->fd;
        }
        fill_model(&model, &trace, shown, logs, &nothing, &empty);
        if (!wish.span_chosen)
            wish.span_seconds = whole_span(&model);
        int rows, cols;
        term_size(&rows, &cols);
        screen_resize(&screen, rows, cols);
        panels_draw(&screen, &model, &wish);
        term_show(&screen);
        key = term_key(!all ? 0 : wake >= 0 ? 250 : (int)(wish.interval_seconds * 1000), wake);
        if (key == TERM_NONE || key == TERM_RESIZE)
            continue;
        if (wish.pane == PANE_HELP) {
            wish.pane = PANE_NONE;
            key = TERM_NONE;
            continue;
        }
        live_common_key(&wish, &screen.charset, key, model.now_ns);
        if ((key == '\t' || key == TERM_RIGHT || key == TERM_DOWN) && trace.count > 0)
            shown = (shown + 1) % trace.count;
        if ((key == TERM_LEFT || key == TERM_UP) && trace.count > 0)
            shown = (shown + trace.count - 1) % trace.count;
    }
    term_close();
    /* What was seen stays on the terminal as text. */
    tracelog_report(&trace, false, stdout);
    screen_fini(&screen);
    trace_fini(&nothing);
    history_fini(&empty);
    tracelog_fini(&trace);
    return term_signal() ? 128 + term_signal() : EXIT_DONE;
}

int command_tail(const struct options *options)
{
    struct logs logs;
    char error[256];
    int status = logs_open(&logs, options);
    if (status != EXIT_DONE)
        return status;
    if (cli_batch(options)) {
        status = summarize(&logs, options);
    } else if (!term_open(options->color, error)) {
        cli_error("%s", error);
        status = EXIT_FAILED;
    } else {
        status = view(&logs, options);
    }
    logs_close(&logs);
    return status;
}
