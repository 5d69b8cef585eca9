#include "fleet.h"

#include "panel.h"
#include "term.h"
#include "series/units.h"
#include "target/source.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct fleet {
    struct targets targets;
    struct screen screen;
    pid_t cursor_pid; /* the target under the cursor, which follows it in the list */
    ino_t cursor_ino;
    size_t cursor, first; /* rows: under the cursor, and the first that is shown */
    char lacks[TARGETS_LACKS][TARGETS_LACK_SIZE]; /* of the list */
    size_t lack_count;
    char message[VIEW_ERROR_SIZE];
};

static void draw_row(struct screen *screen, struct rect area, int row, const struct target *target)
{
    static const enum style styles[] = {STYLE_HEAP, STYLE_WARN, STYLE_DIM, STYLE_BAD, STYLE_HEAP};
    char text[UNITS_SIZE];
    bool readable = target_readable(target);
    bool live = target->state == TARGET_LIVE;
    const struct md_header *header = &target->header;
    uint64_t bytes;
    bool rss_known = live && proc_rss(target->pid, &bytes);
    snprintf(text, sizeof text, "%d", (int)target->pid);
    screen_right(screen, area, row, 7, STYLE_NORMAL, text);
    screen_text(screen, area, row, 9, target->stopped ? STYLE_WARN : styles[target->state],
                target_state_name(target));
    units_age(text, readable ? header_uptime(header, monotonic_ns(), live) : NAN);
    screen_right(screen, area, row, 24, STYLE_NORMAL, text);
    units_bytes(text, readable ? (double)header_inuse(header) : NAN);
    screen_right(screen, area, row, 31, STYLE_BOLD, text);
    units_bytes(text, rss_known ? (double)bytes : NAN);
    screen_right(screen, area, row, 38, STYLE_NORMAL, text);
    const char *what = !readable            ? target->error
                       : target->cmdline[0] ? target->cmdline
                                            : target->name;
    screen_text_cut(screen, area, row, 40, readable ? STYLE_NORMAL : STYLE_DIM, what);
}

static void draw(struct fleet *fleet)
{
    static const char *const hints[] = {"q", "quit", "enter", "watch", "up down", "choose", NULL};
    struct screen *screen = &fleet->screen;
    int rows, cols;
    term_size(&rows, &cols);
    screen_resize(screen, rows, cols);
    if (rows < LAYOUT_MIN_ROWS || cols < LAYOUT_MIN_COLS) {
        panel_draw_too_small(screen);
        term_show(screen);
        return;
    }
    struct rect all = screen_all(screen), list = {3, 0, rows - 4, cols};
    int col = screen_text(screen, all, 0, 0, STYLE_TITLE, "memtop  ");
    screen_printf(screen, all, 0, col, STYLE_NORMAL, "%zu program%s on memdebug",
                  fleet->targets.count, fleet->targets.count == 1 ? "" : "s");
    col = 0;
    for (size_t i = 0; i < fleet->lack_count; i++)
        col = screen_text_cut(screen, all, 1, col, STYLE_WARN, fleet->lacks[i]) + 2;
    screen_printf(screen, all, 2, 0, STYLE_DIM, "%7s  %-7s %7s %6s %6s  COMMAND", "PID", "STATE",
                  "UP", "HEAP", "RSS");
    size_t shown = list.rows > 0 ? (size_t)list.rows : 1;
    if (fleet->cursor < fleet->first)
        fleet->first = fleet->cursor;
    if (fleet->cursor >= fleet->first + shown)
        fleet->first = fleet->cursor - shown + 1;
    for (size_t i = 0; i < shown && fleet->first + i < fleet->targets.count; i++) {
        draw_row(screen, list, (int)i, &fleet->targets.target[fleet->first + i]);
        if (fleet->first + i == fleet->cursor)
            screen_restyle(screen, list, (int)i, STYLE_SELECTED);
    }
    if (fleet->targets.count == 0) {
        screen_text(screen, list, 1, 2, STYLE_BOLD,
                    geteuid() == 0 ? "No program runs on memdebug."
                                   : "No program of yours runs on memdebug.");
        screen_text(screen, list, 3, 2, STYLE_NORMAL, "Start one:        memtop run -- PROGRAM");
        screen_text(screen, list, 4, 2, STYLE_NORMAL,
                    "or, in a service: LD_PRELOAD=libmemdebug.so.0");
        screen_text(screen, list, 5, 2, STYLE_NORMAL, "Why not those:    memtop ps --all");
        if (geteuid() != 0)
            screen_text(screen, list, 7, 2, STYLE_DIM,
                        "Other users' programs: run memtop as root.");
    }
    struct rect footer = {rows - 1, 0, 1, cols};
    if (fleet->message[0] != '\0')
        screen_text_cut(screen, footer, 0, 0, STYLE_BAD, fleet->message);
    else
        panel_draw_keys(screen, footer, hints);
    term_show(screen);
}

/* Reads the list anew and keeps the cursor on its target. */
static void rescan(struct fleet *fleet)
{
    targets_fini(&fleet->targets);
    targets_scan(&fleet->targets);
    fleet->lack_count = targets_lacks(&fleet->targets, fleet->lacks);
    for (size_t i = 0; i < fleet->targets.count; i++)
        if (fleet->targets.target[i].pid == fleet->cursor_pid &&
            fleet->targets.target[i].ino == fleet->cursor_ino)
            fleet->cursor = i;
    if (fleet->cursor >= fleet->targets.count)
        fleet->cursor = fleet->targets.count > 0 ? fleet->targets.count - 1 : 0;
}

static void move(struct fleet *fleet, long by)
{
    long count = (long)fleet->targets.count, to = (long)fleet->cursor + by;
    if (count == 0)
        return;
    fleet->cursor = (size_t)(to < 0 ? 0 : to >= count ? count - 1 : to);
    fleet->cursor_pid = fleet->targets.target[fleet->cursor].pid;
    fleet->cursor_ino = fleet->targets.target[fleet->cursor].ino;
}

/* Watches the target under the cursor.  False: the user has quit memtop there. */
static bool enter(struct fleet *fleet, const struct view_options *options)
{
    if (fleet->targets.count == 0)
        return true;
    struct target target = fleet->targets.target[fleet->cursor];
    if (target.state == TARGET_CLOSED || target.state == TARGET_BAD) {
        snprintf(fleet->message, sizeof fleet->message, "%s", target.error);
        return true;
    }
    return live_watch(&target, options, true, fleet->message) != LIVE_QUIT;
}

enum live_end fleet_watch(const struct view_options *options, char error[VIEW_ERROR_SIZE])
{
    struct fleet fleet = {0};
    (void)error;
    fleet.screen.charset = term_charset(options->charset);
    int64_t next_ns = 0;
    for (bool stay = true; stay;) {
        if (monotonic_ns() >= next_ns) {
            rescan(&fleet);
            next_ns = monotonic_ns() + (int64_t)(options->interval_seconds * 1e9);
        }
        draw(&fleet);
        int64_t wait_ms = (next_ns - monotonic_ns()) / 1000000 + 1;
        int key = term_key(wait_ms < 0 ? 0 : (int)wait_ms, -1);
        if (key != TERM_NONE && key != TERM_RESIZE)
            fleet.message[0] = '\0';
        switch (key_action(key)) {
        case ACTION_BACK:
        case ACTION_QUIT:
            stay = false;
            break;
        case ACTION_UP:
            move(&fleet, -1);
            break;
        case ACTION_DOWN:
            move(&fleet, 1);
            break;
        case ACTION_OPEN:
            move(&fleet, 0);
            stay = enter(&fleet, options);
            next_ns = 0;
            break;
        default:
            break;
        }
    }
    targets_fini(&fleet.targets);
    screen_fini(&fleet.screen);
    return LIVE_QUIT;
}
