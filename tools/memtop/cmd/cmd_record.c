/* memtop record: readings of one program, or of all, into a file for memtop replay. */
#include "cli.h"
#include "commands.h"
#include "series/recording.h"
#include "target/mapped.h"
#include "target/source.h"
#include "view/containers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FLUSH_SECONDS 60
#define LOOK_SECONDS 10 /* for programs that have started */
#define NS INT64_C(1000000000)

/* A program that is recorded. */
struct recorded {
    struct source source;
    size_t number; /* in the recording */
    bool open;
};

struct session {
    struct recorder recorder;
    struct recorded *list;
    size_t count, room;
    int64_t flush_ns, look_ns; /* when each is due */
};

static volatile sig_atomic_t asked_to_end;

static void on_signal(int number)
{
    asked_to_end = number;
}

static bool is_new(const struct session *session, const struct target *target)
{
    for (size_t i = 0; i < session->count; i++) {
        const struct target *known = &session->list[i].source.target;
        if (known->dev == target->dev && known->ino == target->ino && known->pid == target->pid)
            return false;
    }
    return true;
}

/* False: it cannot be looked at; `error` says why. */
static bool add(struct session *session, const struct target *target, char error[VIEW_ERROR_SIZE])
{
    if (session->count >= RECORDING_PROCESSES_MAX ||
        !array_reserve(&session->list, &session->room, session->count + 1, sizeof *session->list)) {
        snprintf(error, VIEW_ERROR_SIZE, "too many programs for one recording");
        return false;
    }
    struct recorded *recorded = &session->list[session->count];
    *recorded = (struct recorded){.open = true};
    if (source_open(&recorded->source, target, error))
        return false;
    recorded->number = recorder_add(&session->recorder, (uint32_t)target->pid, target->uid,
                                    target->start_ticks, target->name);
    session->count++;
    return recorded->number != SIZE_MAX;
}

static void add_all(struct session *session)
{
    struct targets targets;
    char error[VIEW_ERROR_SIZE];
    if (targets_scan(&targets) == 0)
        for (size_t i = 0; i < targets.count; i++)
            if (targets.target[i].state == TARGET_LIVE && is_new(session, &targets.target[i]))
                add(session, &targets.target[i], error); /* one that ends meanwhile is left out */
    targets_fini(&targets);
}

static void read_one(struct session *session, struct recorded *recorded, bool sites)
{
    struct source *source = &recorded->source;
    char error[VIEW_ERROR_SIZE];
    unsigned what = SNAPSHOT_CYCLES;
    what |= sites ? SNAPSHOT_PROFILE | SNAPSHOT_LEAKS | SNAPSHOT_MAPPINGS : 0;
    if (source_poll(source, what, error))
        return;
    if (sites)
        mapped_correct(source);
    struct recording_reading reading = {
        .state = source->state != SOURCE_LIVE ? RECORDING_ENDED
                 : source->stopped            ? RECORDING_STOPPED
                                              : RECORDING_LIVE,
        .threads = source->threads > 0 ? (uint64_t)source->threads : 0,
        .rss_known = source->rss_known,
        .rss_bytes = source->rss_bytes,
        .snapshot = &source->snapshot,
        .sites = sites,
    };
    recorder_read(&session->recorder, recorded->number, &reading);
    if (source->state != SOURCE_LIVE) {
        source_close(source);
        recorded->open = false;
    }
}

/* How many still run. */
static size_t tick(struct session *session, bool sites)
{
    struct timespec now;
    size_t open = 0;
    clock_gettime(CLOCK_REALTIME, &now);
    recorder_tick(&session->recorder, monotonic_ns(), now.tv_sec * NS + now.tv_nsec);
    for (size_t i = 0; i < session->count; i++)
        if (session->list[i].open) {
            /* Of one that has just come its call sites too. */
            bool first =
                session->recorder.process[session->list[i].number].state == RECORDING_STATES;
            read_one(session, &session->list[i], sites || first);
            open += session->list[i].open;
        }
    return open;
}

static void wait_until(int64_t time_ns)
{
    struct timespec until = {time_ns / NS, time_ns % NS};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static int run(struct session *session, const struct options *options)
{
    int64_t interval_ns = (int64_t)(options->view.interval_seconds * 1e9), due = monotonic_ns();
    bool written = true;
    session->flush_ns = due + FLUSH_SECONDS * NS;
    session->look_ns = due + LOOK_SECONDS * NS;
    for (long i = 0; written && !asked_to_end && (!options->count || i < options->count); i++) {
        int64_t now = monotonic_ns();
        bool flush = now >= session->flush_ns;
        if (options->all && now >= session->look_ns) {
            add_all(session);
            session->look_ns = now + LOOK_SECONDS * NS;
        }
        size_t open = tick(session, flush || i + 1 == options->count);
        if (flush) {
            written = recorder_flush(&session->recorder);
            session->flush_ns = now + FLUSH_SECONDS * NS;
        }
        if (!open && !options->all)
            break;
        due += interval_ns;
        if (due < monotonic_ns())
            due = monotonic_ns();
        if (i + 1 != options->count && !asked_to_end)
            wait_until(due);
    }
    if (asked_to_end)
        tick(session, true);
    written = written && recorder_flush(&session->recorder);
    if (!written)
        cli_error("%s: %s", options->output, strerror(errno));
    return written ? EXIT_DONE : EXIT_FAILED;
}

/* 0, or the exit status; said on stderr. */
static int find_targets(struct session *session, const struct options *options)
{
    struct target target;
    char error[VIEW_ERROR_SIZE];
    if (options->all) {
        add_all(session);
        return EXIT_DONE;
    }
    int status = cli_live_target(options->arguments[0], &target);
    if (status == EXIT_DONE && !add(session, &target, error)) {
        cli_error("%s", error);
        status = EXIT_FAILED;
    }
    return status;
}

int command_record(const struct options *options)
{
    struct session session = {.count = 0};
    if (options->all != (options->argument_count == 0) || !options->output) {
        cli_error("record: a TARGET or --all is wanted, and -o FILE");
        return EXIT_USAGE;
    }
    recorder_init(&session.recorder, NULL);
    int status = find_targets(&session, options);
    int fd = -1;
    if (status == EXIT_DONE) {
        fd = open(options->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        session.recorder.file = fd >= 0 ? fdopen(fd, "wb") : NULL;
        if (!session.recorder.file) {
            cli_error("%s: %s", options->output, strerror(errno));
            status = EXIT_FAILED;
        }
    }
    if (status == EXIT_DONE) {
        struct sigaction action = {.sa_handler = on_signal};
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGHUP, &action, NULL);
        status = run(&session, options);
        if (fclose(session.recorder.file) != 0 && status == EXIT_DONE) {
            cli_error("%s: %s", options->output, strerror(errno));
            status = EXIT_FAILED;
        }
    }
    for (size_t i = 0; i < session.count; i++)
        if (session.list[i].open)
            source_close(&session.list[i].source);
    free(session.list);
    recorder_fini(&session.recorder);
    return status;
}
