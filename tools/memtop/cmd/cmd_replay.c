/* memtop replay: a recording in the live view, or as text and JSON, each reading by its own clock.
 */
#include "cli.h"
#include "commands.h"
#include "series/replay.h"
#include "series/watch.h"
#include "ui/live_view.h"
#include "ui/report.h"
#include "ui/term.h"

#include <math.h>
#include <stdio.h>

enum { BATCH_SITES = 20 };

static int replay_batch(struct replay *replay, const struct options *options)
{
    struct source source = replay_source(replay);
    struct watch watch;
    struct csv csv = {NULL};
    char error[VIEW_ERROR_SIZE];
    int status = EXIT_DONE;
    if (!cli_output(options))
        return EXIT_FAILED;
    if (watch_fed(&watch, &source, false, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    watch_show(&watch, options->view.kind);
    for (long i = 0; !options->count || i < options->count; i++) {
        if (i > 0 && watch_tick(&watch, false, error)) {
            cli_error("%s", error);
            status = EXIT_FAILED;
            break;
        }
        if (replay->ended)
            break;
        if (options->csv)
            report_csv(&csv, stdout, &watch);
        else if (options->json)
            ndjson_line(stdout, report_json(&watch, BATCH_SITES));
        else {
            printf("%s", i > 0 ? "\n" : "");
            report_text(stdout, &watch, BATCH_SITES);
        }
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

static int replay_live(struct replay *replay, const struct options *options)
{
    struct source source = replay_source(replay);
    struct watch watch;
    char error[VIEW_ERROR_SIZE];
    struct view_options view = options->view;
    replay->speed = isinf(options->speed) ? 0 : options->speed > 0 ? options->speed : 1;
    if (isinf(options->speed))
        view.interval_seconds = 0.02;
    if (!term_open(options->view.color, error)) {
        cli_error("%s", error);
        return EXIT_FAILED;
    }
    bool opened = watch_fed(&watch, &source, true, error) == 0;
    if (opened)
        live_show(&watch, &view, false);
    term_close();
    if (!opened)
        cli_error("%s", error);
    return !opened ? EXIT_FAILED : term_signal() ? 128 + term_signal() : EXIT_DONE;
}

int command_replay(const struct options *options)
{
    struct replay replay;
    char error[VIEW_ERROR_SIZE];
    cli_wrappers();
    int status = replay_open(&replay, options->arguments[0],
                             options->argument_count > 1 ? options->arguments[1] : NULL, error);
    if (status) {
        cli_error("%s", error);
    } else {
        bool batch = options->output || cli_batch(options);
        status = batch ? replay_batch(&replay, options) : replay_live(&replay, options);
        if (replay.ended && replay.recording.cut)
            cli_error("%s ends in the middle of something: what stands before is shown",
                      options->arguments[0]);
    }
    replay_close(&replay);
    return status;
}
