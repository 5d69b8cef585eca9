/* memtop tail: gctrace lines from logs, pipes and segments, as charts or as a summary. */
#include "cli.h"
#include "commands.h"
#include "series/tracelog.h"
#include "series/units.h"
#include "target/logread.h"
#include "target/source.h"
#include "ui/live_view.h"
#include "ui/panel.h"
#include "ui/term.h"
#include "view/gctrace.h"
#include "view/plain_text.h"

#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 20 };

/* Where lines come from: a log, or the ring of cycles in a target's segment. */
struct input {
    const char *name;
    bool is_target;
    struct logread log;
    struct source source;
    uint64_t next_index; /* of the next record of the ring to be taken in */
};

struct inputs {
    struct input *input;
    size_t count;
};

static void inputs_close(struct inputs *inputs)
{
    for (size_t i = 0; i < inputs->count; i++) {
        if (inputs->input[i].is_target)
            source_close(&inputs->input[i].source);
        else
            logread_close(&inputs->input[i].log);
    }
    free(inputs->input);
}

static int open_log(struct input *input)
{
    int error = logread_open(&input->log, input->name);
    if (!error)
        return EXIT_DONE;
    cli_error("%s: %s", input->name, strerror(error));
    return EXIT_FAILED;
}

/* A path is a log, unless it is a segment.  A name without a / is a process, as to all other
 * commands, or a log if there is no such process on memdebug. */
static int open_input(struct input *input, const char *name)
{
    struct target target;
    struct targets matches;
    struct stat st;
    char message[TARGET_MESSAGE_SIZE], error[VIEW_ERROR_SIZE];
    input->name = name;
    if (strcmp(name, "-") == 0 || (strchr(name, '/') && !target_is_segment(name)))
        return open_log(input);
    int found = target_resolve(name, &target, message, &matches);
    if (found == 1 && stat(name, &st) == 0 && !target_is_segment(name)) {
        targets_fini(&matches);
        return open_log(input);
    }
    if (found == 2)
        cli_targets(message, &matches);
    else if (found)
        cli_error("%s", message);
    targets_fini(&matches);
    if (found)
        return found == 2 ? EXIT_USAGE : EXIT_FAILED;
    if (source_open(&input->source, &target, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    input->is_target = true;
    return EXIT_DONE;
}

static int inputs_open(struct inputs *inputs, const struct options *options)
{
    size_t wanted = options->argument_count > 0 ? options->argument_count : 1;
    if (options->argument_count == 0 && isatty(STDIN_FILENO)) {
        cli_error("tail: a FILE or a TARGET is wanted, or a pipe: "
                  "GODEBUG=gctrace=1 PROGRAM 2>&1 | memtop tail");
        return EXIT_USAGE;
    }
    *inputs = (struct inputs){.input = calloc(wanted, sizeof inputs->input[0])};
    if (!inputs->input) {
        cli_error("out of memory");
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < wanted; i++) {
        const char *name = options->argument_count > 0 ? options->arguments[i] : "-";
        int status = open_input(&inputs->input[i], name);
        if (status != EXIT_DONE) {
            inputs_close(inputs);
            return status;
        }
        inputs->count++;
    }
    return EXIT_DONE;
}

static bool input_ended(const struct input *input)
{
    return input->is_target ? input->source.state != SOURCE_LIVE : input->log.ended;
}

/* Takes in what is new in the ring; writes it as text to `lines` too, if that is not NULL. */
static void poll_target(struct input *input, struct tracelog *trace, FILE *lines)
{
    char error[VIEW_ERROR_SIZE], line[GCTRACE_LINE_SIZE];
    if (source_poll(&input->source, SNAPSHOT_CYCLES, error))
        return;
    const struct snapshot *snapshot = &input->source.snapshot;
    const struct target *target = &input->source.target;
    for (size_t i = 0; i < snapshot->cycle_count; i++) {
        const struct md_cycle *cycle = &snapshot->cycles[i];
        if (cycle->index < input->next_index)
            continue;
        input->next_index = cycle->index + 1;
        tracelog_cycle(trace, GCTRACE_EXACT, cycle, (uint32_t)target->pid, target->name);
        size_t length =
            gctrace_format(cycle, (uint32_t)target->pid, target->name, line, sizeof line);
        if (!lines || !length)
            continue;
        line[length - 1] = '\0';
        plain_print(line, lines);
        fputc('\n', lines);
    }
}

/* Takes in what there is now.  False: there may be more already. */
static bool input_poll(struct input *input, struct tracelog *trace, FILE *lines)
{
    trace->log = input->name;
    if (input->is_target) {
        poll_target(input, trace, lines);
        return true;
    }
    bool was_ended = input->log.ended, all = logread_poll(&input->log, CHUNK, tracelog_line, trace);
    if (input->log.ended && !was_ended)
        logread_finish(&input->log, tracelog_line, trace);
    return all;
}

/* Says on stderr if records of the ring are lost, or it has none. */
static void report_lost(const struct input *input)
{
    const struct snapshot *snapshot = &input->source.snapshot;
    if (snapshot->cycle_count > 0 && snapshot->cycles[0].index > 0)
        cli_error("%s: the oldest %" PRIu64 " lines have been overwritten", input->name,
                  snapshot->cycles[0].index);
    if (snapshot->cycle_count == 0)
        cli_error("%s: no cycle yet: memtop gc %s asks for one", input->name, input->name);
}

/* Reads all inputs to their ends, waiting for pipes, and prints the summary. */
static int summarize(struct inputs *inputs, const struct options *options)
{
    struct tracelog trace;
    int status = EXIT_DONE;
    tracelog_init(&trace);
    trace.records = options->json ? stdout : NULL;
    trace.many_logs = inputs->count > 1;
    for (size_t i = 0; i < inputs->count && cli_flush() == EXIT_DONE; i++) {
        struct input *input = &inputs->input[i];
        struct logread *log = &input->log;
        if (input->is_target) {
            input_poll(input, &trace, options->json ? NULL : stdout);
            report_lost(input);
            continue;
        }
        for (;;) {
            bool all = input_poll(input, &trace, NULL);
            if ((log->is_pipe ? log->ended : all) || cli_flush() != EXIT_DONE)
                break;
            struct pollfd wait = {log->fd, POLLIN, 0};
            if (all)
                poll(&wait, 1, -1);
        }
        logread_finish(log, tracelog_line, &trace);
        if (log->damaged) {
            cli_error("%s: damaged, or not whole: what could be read of it follows", input->name);
            status = EXIT_FAILED;
        }
    }
    tracelog_report(&trace, options->json, stdout);
    if (trace.count == 0) {
        if (trace.lines > 0 || !inputs->input[0].is_target)
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

/* Fills in the model of the program that is shown, or of none yet. */
static void fill_model(struct model *model, const struct tracelog *trace, size_t shown,
                       const struct inputs *inputs, const struct trace *nothing,
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
    for (size_t i = 0; i < inputs->count; i++)
        ended = ended && input_ended(&inputs->input[i]);
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

/* The span of a whole log, which is what to show first. */
static double whole_span(const struct model *model)
{
    if (model->history->count == 0)
        return 120;
    const struct history_point *first = &model->history->points[0];
    double seconds = (double)(model->now_ns - first->time_ns) / 1e9 * 1.02;
    return seconds < 1 ? 1 : seconds;
}

static int view(struct inputs *inputs, const struct options *options)
{
    struct tracelog trace;
    struct trace nothing;
    struct history empty;
    struct screen screen = {.charset = term_charset(options->view.charset)};
    struct view_state state = live_state(&options->view);
    struct model model;
    size_t shown = 0;
    tracelog_init(&trace);
    trace.many_logs = inputs->count > 1;
    trace_init(&nothing, 0, "");
    history_init(&empty, 1);
    enum key_action action = ACTION_NONE;
    while (action != ACTION_BACK && action != ACTION_QUIT) {
        bool all = true;
        int wake = -1;
        for (size_t i = 0; i < inputs->count; i++) {
            struct input *input = &inputs->input[i];
            all = input_poll(input, &trace, NULL) && all;
            if (!input->is_target && input->log.is_pipe && !input->log.ended)
                wake = input->log.fd;
        }
        fill_model(&model, &trace, shown, inputs, &nothing, &empty);
        if (!state.span_chosen)
            state.span_seconds = whole_span(&model);
        int rows, cols;
        term_size(&rows, &cols);
        screen_resize(&screen, rows, cols);
        panels_draw(&screen, &model, &state);
        term_show(&screen);
        int key = term_key(!all ? 0 : wake >= 0 ? 250 : (int)(state.interval_seconds * 1000), wake);
        action = ACTION_NONE;
        if (key == TERM_NONE || key == TERM_RESIZE)
            continue;
        if (state.pane == PANE_HELP) {
            state.pane = PANE_NONE;
            continue;
        }
        action = key_action(key);
        live_common_key(&state, &screen.charset, action, model.now_ns);
        if ((action == ACTION_NEXT_PROGRAM || action == ACTION_RIGHT || action == ACTION_DOWN) &&
            trace.count > 0)
            shown = (shown + 1) % trace.count;
        if ((action == ACTION_LEFT || action == ACTION_UP) && trace.count > 0)
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
    struct inputs inputs;
    char error[256];
    int status = inputs_open(&inputs, options);
    if (status != EXIT_DONE)
        return status;
    if (cli_batch(options)) {
        status = summarize(&inputs, options);
    } else if (!term_open(options->view.color, error)) {
        cli_error("%s", error);
        status = EXIT_FAILED;
    } else {
        status = view(&inputs, options);
    }
    inputs_close(&inputs);
    return status;
}
