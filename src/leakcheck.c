#include "leakcheck.h"

#include "base/compiler.h"
#include "base/fmt.h"
#include "base/message.h"
#include "base/options.h"
#include "base/os.h"
#include "malloc/counts.h"
#include "segment/segment.h"
#include "view/leaks.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SHOWN 20
#define FRAMES 32 /* LeakSanitizer keeps 30 */
/* Whoever reads the other end of a pipe gets this long in all to keep up; the program is at its
 * end, and nobody else waits. */
#define PATIENCE_NS INT64_C(2000000000)
#define PIECE 2048 /* written at once: less than PIPE_BUF, so a pipe takes all of it or nothing */

static char suppressions_path[PATH_MAX];
static bool found;

void leakcheck_init(void)
{
    fmt_absolute(suppressions_path, sizeof suppressions_path, option_text(OPTION_LEAKSUPPRESSIONS));
}

bool leakcheck_found(void)
{
    return found;
}

void leakcheck_renew(void)
{
    found = false;
}

void leakcheck_failed(const char *reason)
{
    char line[200];
    struct fmt f = fmt_on(line, sizeof line);
    fmt_text(&f, "leakcheck: not done: ");
    fmt_text(&f, reason);
    message(line);
}

/* Line by line, so that what is lost to a full pipe is whole lines. */
static void write_text(const char *text, size_t length)
{
    int64_t end = os_now_ns() + PATIENCE_NS;
    while (length) {
        size_t piece = MIN(length, PIECE);
        if (piece < length) {
            const char *last = memrchr(text, '\n', piece);
            piece = last ? (size_t)(last - text) + 1 : piece;
        }
        int error = message_write(text, piece);
        if (error == EAGAIN && os_now_ns() < end) {
            nanosleep(&(struct timespec){0, 2000000}, NULL);
            continue;
        }
        if (error) {
            COUNT_ADD(lost_lines, 1);
            return;
        }
        text += piece;
        length -= piece;
    }
}

static void read_suppressions(struct suppressions *s)
{
    char error[VIEW_ERROR_SIZE], line[VIEW_ERROR_SIZE + 200], path[PATH_MAX];
    const struct md_header *who = segment_identity();
    struct fmt f = fmt_on(path, sizeof path);
    *s = (struct suppressions){0};
    if (!suppressions_path[0])
        return;
    fmt_path(&f, suppressions_path, who->pid, who->name);
    f = fmt_on(line, sizeof line);
    fmt_text(&f, "leaksuppressions: ");
    if (suppressions_read(s, path, error)) {
        fmt_text(&f, error);
        message(line);
    } else if (s->bad_lines) {
        fmt_u64(&f, s->bad_lines);
        fmt_text(&f, " line(s) are not leak:PATTERN, the first is line ");
        fmt_u64(&f, s->first_bad);
        message(line);
    }
}

static int print(struct leaks *leaks, const struct suppressions *suppressions)
{
    const struct md_header *who = segment_identity();
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return ENOMEM;
    struct leaks_text how = {.pid = who->pid,
                             .name = who->name,
                             .count = SHOWN,
                             .frames = FRAMES,
                             .suppressions = suppressions};
    fputc('\n', out);
    leaks_print(leaks, &how, out);
    int error = fclose(out) != 0 || !text ? ENOMEM : 0;
    if (!error)
        write_text(text, length);
    free(text);
    return error;
}

/* Nothing leaks, as far as anyone can tell. */
static bool is_clean(const struct leaks *leaks)
{
    return !leaks->group_count && !leaks->suppressed.samples &&
           (!leaks->has_cycle || !leaks->cycle.unreachable_objects);
}

int leakcheck_report(void)
{
    char error[VIEW_ERROR_SIZE];
    struct snapshot snap;
    struct suppressions suppressions;
    struct leaks leaks;
    segment_identity();
    segment_hold(true);
    int result = snapshot_take(&snap, segment_header(), segment_size(), LEAKS_SNAPSHOT, error);
    segment_hold(false);
    if (result)
        return result;
    snap.header.counters = *segment_counters();
    read_suppressions(&suppressions);
    struct symbolizer_options options = {.pid = getpid(), .full_names = true};
    struct symbolizer *symbolizer = symbolizer_create(&options);
    struct leaks_options how = {.symbolizer = symbolizer, .suppressions = &suppressions};
    result = leaks_build(&leaks, &snap, &how, error);
    if (!result && !is_clean(&leaks))
        result = print(&leaks, &suppressions);
    found = leaks.group_count > 0;
    leaks_fini(&leaks);
    symbolizer_destroy(symbolizer);
    suppressions_fini(&suppressions);
    snapshot_fini(&snap);
    return result;
}
