#include "leakcheck.h"

#include "base/compiler.h"
#include "base/fmt.h"
#include "base/message.h"
#include "base/options.h"
#include "base/os.h"
#include "malloc/counts.h"
#include "own_names.h"
#include "segment/segment.h"
#include "view/leaks.h"

#include <errno.h>
#include <fcntl.h>
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

/* Said once: a report that comes when it has been given up is not printed, nor the other way. */
enum verdict { NONE, CLEAN, LEAKS, NOT_CHECKED };
static uint32_t verdict;

static char suppressions_path[PATH_MAX], report_path[PATH_MAX];
static bool sets_status; /* leakexitcode acts here */

/* The text of MEMDEBUG goes to children, and to what this process becomes by exec.  So that these
 * can tell which they are, it is given on with a mark of this process. */
static void mark_environment(void)
{
    static const char key[] = "MEMDEBUG=";
    for (char **at = environ; at && *at; at++) {
        if (strncmp(*at, key, sizeof key - 1) != 0)
            continue;
        size_t size = strlen(*at) + OPTIONS_MARK_SIZE;
        char *text = own_map(size);
        if (!text)
            return;
        struct fmt f = fmt_on(text, size);
        fmt_text(&f, *at);
        options_mark(&f);
        *at = text;
        return;
    }
}

void leakcheck_boot(void)
{
    enum options_given_to whom = options_given_to();
    bool named = *option_text(OPTION_ONLY);
    sets_status = named || whom != GIVEN_TO_PARENT;
    if (!named && whom == GIVEN_FIRST && option_number(OPTION_LEAKCHECK) &&
        option_number(OPTION_LEAKEXITCODE))
        mark_environment();
}

void leakcheck_unasked(char *text)
{
    static const struct {
        enum option_id id;
        const char *key;
    } needs_it[] = {{OPTION_LEAKEXITCODE, "leakexitcode"},
                    {OPTION_LEAKFILE, "leakfile"},
                    {OPTION_LEAKSUPPRESSIONS, "leaksuppressions"}};
    char line[120];
    struct fmt f = fmt_on(line, sizeof line);
    if (option_given(OPTION_LEAKCHECK))
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(needs_it); i++)
        if (option_given(needs_it[i].id)) {
            fmt_text(&f, f.length ? ", " : "MEMDEBUG: ");
            fmt_text(&f, needs_it[i].key);
        }
    if (!f.length || !options_first_in_tree(text))
        return;
    fmt_text(&f, ": nothing is checked without leakcheck=1");
    message(line);
}

void leakcheck_init(void)
{
    fmt_absolute(suppressions_path, sizeof suppressions_path, option_text(OPTION_LEAKSUPPRESSIONS));
    fmt_absolute(report_path, sizeof report_path, option_text(OPTION_LEAKFILE));
}

int leakcheck_exit_code(void)
{
    uint32_t now = __atomic_load_n(&verdict, __ATOMIC_ACQUIRE);
    return sets_status && now >= LEAKS ? (int)option_number(OPTION_LEAKEXITCODE) : 0;
}

void leakcheck_postfork_child(void)
{
    verdict = NONE;
    sets_status = *option_text(OPTION_ONLY);
}

/* False: it has been said already. */
static bool decide(enum verdict what)
{
    uint32_t none = NONE;
    return __atomic_compare_exchange_n(&verdict, &none, what, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

/* leakfile, or -1 where there is none; `path` gets its name. */
static int open_report(char path[PATH_MAX])
{
    struct fmt f = fmt_on(path, PATH_MAX);
    const struct md_header *who = segment_identity();
    if (!report_path[0])
        return -1;
    fmt_path(&f, report_path, who->pid, who->name);
    int fd = os_open_append(path);
    if (fd < 0)
        message_refused("leakfile", path, errno, "; the report goes to stderr");
    return fd;
}

/* Line by line, so that what is lost to a full pipe is whole lines. */
static void write_text(const char *text, size_t length)
{
    char path[PATH_MAX];
    int fd = open_report(path);
    int64_t end = os_now_ns() + PATIENCE_NS;
    while (length) {
        size_t piece = MIN(length, PIECE);
        if (piece < length) {
            const char *last = memrchr(text, '\n', piece);
            piece = last ? (size_t)(last - text) + 1 : piece;
        }
        int error = fd >= 0 ? write_unblocked(fd, text, piece) : message_write(text, piece);
        if (error == EAGAIN && os_now_ns() < end) {
            nanosleep(&(struct timespec){0, 2000000}, NULL);
            continue;
        }
        if (error && fd >= 0) { /* a full disk */
            message_refused("leakfile", path, error, "; the rest of the report goes to stderr");
            close(fd);
            fd = -1;
            continue;
        }
        if (error) {
            /* Who finds no report finds the process still: memtop leaks FILE. */
            COUNT_ADD(lost_lines, 1);
            segment_keep();
            break;
        }
        text += piece;
        length -= piece;
    }
    if (fd >= 0)
        close(fd);
}

void leakcheck_failed(const char *reason)
{
    char text[1000];
    struct fmt f = fmt_on(text, sizeof text);
    const struct md_header *who = segment_identity();
    if (!decide(NOT_CHECKED))
        return;
    fmt_text(&f, "==");
    fmt_u64(&f, who->pid);
    fmt_text(&f, "==ERROR: memdebug: no leak check of ");
    fmt_text(&f, who->name);
    fmt_text(&f, "\nSUMMARY: memdebug: not checked: ");
    fmt_text(&f, reason);
    fmt_char(&f, '\n');
    write_text(text, f.length);
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

/* Nothing leaks, as far as anyone can tell. */
static bool is_clean(const struct leaks *leaks)
{
    return !leaks_found(leaks) && !leaks->suppressed.samples &&
           (!leaks->has_cycle || !leaks->cycle.unreachable_objects);
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
    if (!error && decide(leaks_found(leaks) ? LEAKS : CLEAN) && !is_clean(leaks))
        write_text(text, length);
    free(text);
    return error;
}

static int report(char *error)
{
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
    struct symbolizer *symbolizer = own_names_create(true);
    struct leaks_options how = {.symbolizer = symbolizer, .suppressions = &suppressions};
    result = leaks_build(&leaks, &snap, &how, error);
    if (!result)
        result = print(&leaks, &suppressions);
    leaks_fini(&leaks);
    symbolizer_destroy(symbolizer);
    suppressions_fini(&suppressions);
    snapshot_fini(&snap);
    return result;
}

int leakcheck_report(void)
{
    char error[VIEW_ERROR_SIZE] = "";
    int result = report(error);
    if (result)
        leakcheck_failed(*error ? error : "no memory for the report");
    return result;
}
