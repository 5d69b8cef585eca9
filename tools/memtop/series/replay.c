#include "replay.h"

#include "view/plain_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static const struct recording_process *process_of(const struct replay *replay)
{
    return replay->number < replay->recording.count ? &replay->recording.process[replay->number]
                                                    : NULL;
}

/* Goes to the next tick.  False: there is none. */
static bool step(struct replay *replay)
{
    replay->ended = replay->ended || !recording_next(&replay->recording);
    return !replay->ended;
}

static bool is_known(const struct replay *replay)
{
    const struct recording_process *p = process_of(replay);
    return p && p->state != RECORDING_STATES && p->section[RECORDING_HEADER].count > 0;
}

static void go_on(struct replay *replay)
{
    int64_t now = monotonic_real_ns();
    while (!is_known(replay) && step(replay))
        continue;
    if (!replay->began_ns) {
        replay->began_ns = now;
        replay->first_ns = replay->recording.time_ns;
    } else if (replay->speed > 0) {
        double until = (double)replay->first_ns + (double)(now - replay->began_ns) * replay->speed;
        while ((double)replay->recording.time_ns < until && step(replay))
            continue;
    } else {
        step(replay);
    }
}

static int feed(struct source *source, char error[VIEW_ERROR_SIZE])
{
    static const enum source_state states[RECORDING_STATES] = {[RECORDING_LIVE] = SOURCE_LIVE,
                                                               [RECORDING_STOPPED] = SOURCE_LIVE,
                                                               [RECORDING_ENDED] = SOURCE_ENDED};
    struct replay *replay = source->feeder;
    go_on(replay);
    const struct recording_process *p = process_of(replay);
    replay->segment_size =
        is_known(replay) ? recording_segment(p, &replay->segment, &replay->segment_room) : 0;
    if (!replay->segment_size) {
        snprintf(error, VIEW_ERROR_SIZE, "the recording has no reading of it");
        return EINVAL;
    }
    source->file.base = replay->segment;
    source->file.size = replay->segment_size;
    source->state = states[p->state];
    source->stopped = p->state == RECORDING_STOPPED;
    source->threads = (long)p->threads;
    source->rss_known = p->rss_known;
    source->rss_bytes = p->rss_bytes;
    source->fed_ns = replay->recording.time_ns;
    if (replay->speed <= 0) /* else the clock on the wall says when the next one is due */
        monotonic_fix(replay->recording.time_ns, replay->recording.realtime_ns);
    return 0;
}

struct source replay_source(struct replay *replay)
{
    const struct recording_process *p = process_of(replay);
    struct source source = {.feed = feed, .feeder = replay, .file = {.fd = -1}};
    struct md_header header = {.name = ""};
    if (p->section[RECORDING_HEADER].count == sizeof header / sizeof(uint64_t))
        memcpy(&header, p->section[RECORDING_HEADER].word, sizeof header);
    source.target.state = TARGET_DEAD; /* nothing can be asked of it */
    source.target.pid = (pid_t)p->pid;
    source.target.uid = p->uid;
    source.target.start_ticks = p->start_ticks;
    plain_text(source.target.name, sizeof source.target.name, p->name, sizeof p->name);
    plain_text(source.target.cmdline, sizeof source.target.cmdline, header.cmdline,
               sizeof header.cmdline);
    return source;
}

/* The process that `text` means among those of all the recording.  SIZE_MAX: none, or several. */
static size_t find(const struct recording *all, const char *text, size_t *matches)
{
    size_t found = SIZE_MAX;
    *matches = 0;
    for (size_t i = 0; i < all->count; i++) {
        char pid[16];
        snprintf(pid, sizeof pid, "%u", all->process[i].pid);
        if (text && strcmp(text, pid) != 0 && strcmp(text, all->process[i].name) != 0)
            continue;
        ++*matches;
        found = i;
    }
    return *matches == 1 ? found : SIZE_MAX;
}

static void tell_choice(const struct recording *all, const char *text, size_t matches,
                        char error[VIEW_ERROR_SIZE])
{
    size_t length = (size_t)snprintf(error, VIEW_ERROR_SIZE,
                                     matches           ? "which of them:"
                                     : all->count == 0 ? "it has no process"
                                                       : "it has no %.60s:",
                                     text ? text : "");
    for (size_t i = 0; i < all->count && length + 50 < VIEW_ERROR_SIZE; i++)
        length += (size_t)snprintf(error + length, VIEW_ERROR_SIZE - length, " %u %.31s%s",
                                   all->process[i].pid, all->process[i].name,
                                   i + 1 < all->count ? "," : "");
}

static int open_file(struct recording *recording, const char *path, char error[VIEW_ERROR_SIZE])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0)
        return recording_open(recording, fd, path, error);
    int result = errno;
    *recording = (struct recording){0};
    snprintf(error, VIEW_ERROR_SIZE, "%.180s: %s", path, strerror(result));
    return result;
}

int replay_open(struct replay *replay, const char *path, const char *text,
                char error[VIEW_ERROR_SIZE])
{
    struct recording all;
    size_t matches;
    *replay = (struct replay){0};
    int status = open_file(&all, path, error) ? 1 : 0;
    while (!status && recording_next(&all)) /* which processes there are its end knows */
        continue;
    if (!status) {
        replay->number = find(&all, text, &matches);
        status = replay->number != SIZE_MAX ? 0 : matches ? 2 : 1;
        if (status)
            tell_choice(&all, text, matches, error);
    }
    recording_close(&all);
    if (!status && open_file(&replay->recording, path, error))
        status = 1;
    while (!status && !is_known(replay))
        if (!step(replay)) {
            snprintf(error, VIEW_ERROR_SIZE, "the recording has no reading of it");
            status = 1;
        }
    return status;
}

void replay_close(struct replay *replay)
{
    recording_close(&replay->recording);
    free(replay->segment);
    *replay = (struct replay){0};
}
