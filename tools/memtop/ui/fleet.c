#include "fleet.h"

#include "chart.h"
#include "fleet_columns.h"
#include "panel.h"
#include "term.h"
#include "series/units.h"
#include "target/source.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAST_NS INT64_C(120000000000) /* of the sparkline */
enum { TITLE_ROW = 2, LIST_ROW = 3 };

struct fleet {
    struct roster roster;
    struct roster_order order;
    struct roster_row *rows;
    size_t row_count, row_room;
    struct screen screen;
    struct view_state state; /* of it: what keys that all views have change, and the filter */
    /* The member under the cursor, which follows it in the list; 0: none. */
    pid_t cursor_pid;
    ino_t cursor_ino;
    size_t cursor, first; /* rows: under the cursor, and the first that is shown */
};

static size_t rows_shown(const struct fleet *fleet)
{
    int rows = fleet->screen.rows - LIST_ROW - 1;
    return rows > 1 ? (size_t)rows : 1;
}

/* The text of a figure. */
static const char *figure_text(enum figure figure, double value, char text[static UNITS_SIZE])
{
    switch (figure) {
    case FIGURE_UP:
        return units_age(text, value);
    case FIGURE_GROWTH:
        return units_growth(text, value);
    case FIGURE_PAUSE:
        return units_pause(text, value);
    case FIGURE_THREADS:
        return units_count(text, value);
    default:
        return units_bytes(text, value);
    }
}

static enum style figure_style(enum figure figure, double value)
{
    if (figure == FIGURE_LEAKED && value > 0)
        return STYLE_BAD;
    if (figure == FIGURE_GROWTH && value >= 1 << 20)
        return STYLE_WARN;
    return figure == FIGURE_HEAP ? STYLE_BOLD : STYLE_NORMAL;
}

static void draw_past(struct screen *screen, struct rect area, const struct member *member)
{
    enum { MOST = 64 };
    double values[MOST];
    struct cell cells[MOST];
    size_t points = chart_points(screen->charset, area.cols);
    if (points > MOST || area.cols > MOST)
        return;
    member_past(member, monotonic_ns(), PAST_NS, values, points);
    struct chart_series heap = {values, CHART_AREA, STYLE_HEAP, 'H'};
    double high = chart_max(values, points);
    for (int i = 0; i < area.cols; i++)
        cells[i] = (struct cell){' ', STYLE_NORMAL};
    if (high > 0)
        chart_draw(cells, 1, area.cols, screen->charset, &heap, 1, high);
    for (int i = 0; i < area.cols; i++)
        screen_put(screen, area, 0, i, cells[i].ch, cells[i].style);
}

/* A command that does not fit loses folders of its program first, from the left. */
static void draw_command(struct screen *screen, struct rect area, enum style style,
                         const char *command)
{
    const char *text = command;
    size_t program = strcspn(command, " ");
    bool cut = false;
    while (screen_width(screen, text) + cut > area.cols) {
        const char *slash = strchr(text + 1, '/');
        if (command[0] != '/' || !slash || slash >= command + program)
            break;
        text = cut || slash[1] ? slash : text;
        cut = true;
    }
    int col = 0;
    if (cut)
        col = screen_text(screen, area, 0, 0, STYLE_DIM,
                          screen->charset == CHARSET_ASCII ? ">" : "\u2026");
    area.col += col;
    area.cols -= col;
    screen_text_cut(screen, area, 0, 0, style, text);
}

static void draw_what(const struct fleet *fleet, struct rect area, const struct roster_row *row)
{
    struct screen *screen = (struct screen *)&fleet->screen;
    const struct target *target = &row->member->target;
    bool readable = target_readable(target), ascii = screen->charset == CHARSET_ASCII;
    int col = 0;
    if (fleet->order.shape == ROSTER_TOTALS) {
        col = screen_text_cut(screen, area, 0, 0, STYLE_NORMAL, target->name);
        if (row->processes > 1)
            screen_printf(screen, area, 0, col, STYLE_DIM, " (%zu)", row->processes);
        return;
    }
    for (int i = 1; i < row->depth && i < 12; i++)
        col = screen_text(screen, area, 0, col, STYLE_DIM, "  ");
    if (row->depth > 0)
        col = screen_text(screen, area, 0, col, STYLE_DIM,
                          ascii       ? (row->last ? "`-" : "|-")
                          : row->last ? "\u2514\u2500"
                                      : "\u251c\u2500");
    area.col += col;
    area.cols -= col;
    const char *text = !readable            ? target->error
                       : target->cmdline[0] ? target->cmdline
                                            : target->name;
    if (area.cols > 0)
        draw_command(screen, area, readable ? STYLE_NORMAL : STYLE_DIM, text);
}

static void draw_cell(const struct fleet *fleet, struct rect area, const struct roster_row *row,
                      enum roster_column column)
{
    static const enum style styles[] = {STYLE_HEAP, STYLE_WARN, STYLE_DIM, STYLE_BAD, STYLE_HEAP};
    struct screen *screen = (struct screen *)&fleet->screen;
    const struct target *target = &row->member->target;
    bool total = fleet->order.shape == ROSTER_TOTALS && row->processes > 1;
    int figure = roster_figure(column);
    char text[UNITS_SIZE];
    if (figure >= 0) {
        double value = row->figure[figure];
        screen_right(screen, area, 0, area.cols, figure_style((enum figure)figure, value),
                     figure_text((enum figure)figure, value, text));
        return;
    }
    switch (column) {
    case ROSTER_PID:
        snprintf(text, sizeof text, "%d", (int)target->pid);
        screen_right(screen, area, 0, area.cols, STYLE_NORMAL,
                     total              ? "-"
                     : target->pid == 0 ? "-"
                                        : text);
        break;
    case ROSTER_USER:
        screen_text_cut(screen, area, 0, 0, STYLE_NORMAL, total ? "-" : row->member->user);
        break;
    case ROSTER_STATE:
        screen_text(screen, area, 0, 0, target->stopped ? STYLE_WARN : styles[target->state],
                    total ? "-" : target_state_name(target));
        break;
    case ROSTER_PAST:
        if (!total && target->state != TARGET_DEAD && target_readable(target))
            draw_past(screen, area, row->member);
        break;
    default:
        draw_what(fleet, area, row);
        break;
    }
}

static void draw_titles(struct fleet *fleet, const struct fleet_column *columns, size_t count)
{
    struct screen *screen = &fleet->screen;
    for (size_t i = 0; i < count; i++) {
        struct rect area = {TITLE_ROW, columns[i].start, 1, columns[i].width};
        enum style style = columns[i].column == fleet->order.column ? STYLE_SORTED : STYLE_DIM;
        const char *title = fleet_title(columns[i].column);
        if (fleet_is_number(columns[i].column))
            screen_right(screen, area, 0, area.cols, style, title);
        else
            screen_text(screen, area, 0, 0, style, title);
    }
}

/* What to do where there is nobody. */
static void draw_empty(struct screen *screen, struct rect area)
{
    bool root = geteuid() == 0;
    screen_text_cut(screen, area, 1, 1, STYLE_BOLD,
                    root ? "No program runs on memdebug."
                         : "No program of yours runs on memdebug.");
    screen_text_cut(screen, area, 3, 1, STYLE_NORMAL, "Start one:      memtop run -- PROGRAM");
    screen_text_cut(screen, area, 4, 1, STYLE_NORMAL, "In a service:   memtop unit NAME");
    screen_text_cut(screen, area, 5, 1, STYLE_NORMAL, "Why not those:  memtop ps --all");
    if (!root)
        screen_text_cut(screen, area, 7, 1, STYLE_DIM,
                        "Other users' programs: run memtop as root.");
}

static void draw_title(struct fleet *fleet, struct rect area)
{
    static const char *const shapes[] = {"", ", as a tree", ", by program"};
    struct screen *screen = &fleet->screen;
    size_t living = 0, dead = 0;
    for (size_t i = 0; i < fleet->roster.count; i++) {
        enum target_state state = fleet->roster.members[i]->target.state;
        living += state == TARGET_LIVE || state == TARGET_UNSEEN;
        dead += state == TARGET_DEAD;
    }
    int col = screen_text(screen, area, 0, 0, STYLE_TITLE, "memtop  ");
    col = screen_printf(screen, area, 0, col, STYLE_NORMAL, "%zu program%s on memdebug%s", living,
                        living == 1 ? "" : "s", shapes[fleet->order.shape]);
    if (dead > 0)
        col = screen_printf(screen, area, 0, col, STYLE_DIM, ", %zu dead", dead);
    if (fleet->state.filter[0] != '\0')
        col = screen_printf(screen, area, 0, col, STYLE_BOLD, "  /%s", fleet->state.filter);
    if (fleet->state.paused)
        screen_text(screen, area, 0, col, STYLE_WARN, "  PAUSED");
}

static void draw_footer(struct fleet *fleet, struct rect area)
{
    static const uint8_t shown[] = {KEY_QUIT, KEY_HELP,   KEY_OPEN,  KEY_SORT,     KEY_FILTER,
                                    KEY_TREE, KEY_TOTALS, KEY_PAUSE, KEY_INTERVAL, KEY_CHARSET};
    struct screen *screen = &fleet->screen;
    const struct view_state *state = &fleet->state;
    if (state->typing) {
        screen_printf(screen, area, 0, 0, STYLE_BOLD, "filter: %s_", state->filter);
        screen_right(screen, area, 0, area.cols, STYLE_DIM, "enter keeps, esc clears");
    } else if (state->message[0] != '\0') {
        screen_text_cut(screen, area, 0, 0, STYLE_BAD, state->message);
    } else {
        const char *hints[2 * sizeof shown + 1] = {NULL};
        for (size_t i = 0; i < sizeof shown; i++) {
            hints[2 * i] = keys[shown[i]].name;
            hints[2 * i + 1] = shown[i] == KEY_OPEN ? "watch" : keys[shown[i]].word;
        }
        panel_draw_keys(screen, area, hints);
    }
}

static void draw(struct fleet *fleet)
{
    struct screen *screen = &fleet->screen;
    int rows, cols;
    term_size(&rows, &cols);
    screen_resize(screen, rows, cols);
    if (rows < LAYOUT_MIN_ROWS || cols < LAYOUT_MIN_COLS) {
        panel_draw_too_small(screen);
        term_show(screen);
        return;
    }
    if (fleet->state.pane == PANE_HELP) {
        panel_draw_help(screen, screen_all(screen));
        term_show(screen);
        return;
    }
    struct rect all = screen_all(screen);
    draw_title(fleet, all);
    int col = 0;
    for (size_t i = 0; i < fleet->roster.lack_count; i++)
        col = screen_text_cut(screen, all, 1, col, STYLE_WARN, fleet->roster.lacks[i]) + 2;
    struct fleet_column columns[ROSTER_COLUMNS];
    size_t count = fleet_columns(cols, columns), shown = rows_shown(fleet);
    draw_titles(fleet, columns, count);
    for (size_t i = 0; i < shown && fleet->first + i < fleet->row_count; i++) {
        const struct roster_row *row = &fleet->rows[fleet->first + i];
        for (size_t c = 0; c < count; c++) {
            struct rect area = {LIST_ROW + (int)i, columns[c].start, 1, columns[c].width};
            draw_cell(fleet, area, row, columns[c].column);
        }
        if (fleet->first + i == fleet->cursor)
            screen_restyle(screen, all, LIST_ROW + (int)i, STYLE_SELECTED);
    }
    struct rect list = {LIST_ROW, 0, rows - LIST_ROW - 1, cols};
    if (fleet->roster.count == 0)
        draw_empty(screen, list);
    else if (fleet->row_count == 0)
        screen_text_cut(screen, list, 1, 1, STYLE_BOLD,
                        fleet->state.filter[0] ? "None of them matches the filter: esc clears it."
                                               : "None of them lives.");
    draw_footer(fleet, (struct rect){rows - 1, 0, 1, cols});
    term_show(screen);
}

/* Marks the members that are on the screen. */
static void mark_shown(struct fleet *fleet)
{
    size_t shown = rows_shown(fleet);
    for (size_t i = 0; i < fleet->roster.count; i++)
        fleet->roster.members[i]->on_screen = false;
    for (size_t i = fleet->first; i < fleet->row_count && i < fleet->first + shown; i++)
        ((struct member *)fleet->rows[i].member)->on_screen = true;
}

/* Makes the rows anew and keeps the cursor on its member, and in sight. */
static void arrange(struct fleet *fleet)
{
    if (fleet->roster.count > fleet->row_room) {
        size_t room = fleet->roster.count * 2;
        struct roster_row *grown = realloc(fleet->rows, room * sizeof grown[0]);
        if (!grown) { /* the old rows may point to members that are gone */
            fleet->row_count = 0;
            return;
        }
        fleet->rows = grown;
        fleet->row_room = room;
    }
    fleet->order.filter = fleet->state.filter;
    fleet->row_count =
        fleet->roster.count == 0
            ? 0
            : roster_rows(fleet->roster.members, fleet->roster.count, &fleet->order, fleet->rows);
    for (size_t i = 0; i < fleet->row_count && fleet->cursor_pid; i++)
        if (fleet->rows[i].member->target.pid == fleet->cursor_pid &&
            fleet->rows[i].member->target.ino == fleet->cursor_ino)
            fleet->cursor = i;
    if (fleet->cursor >= fleet->row_count)
        fleet->cursor = fleet->row_count > 0 ? fleet->row_count - 1 : 0;
    size_t shown = rows_shown(fleet);
    if (fleet->cursor < fleet->first)
        fleet->first = fleet->cursor;
    if (fleet->cursor >= fleet->first + shown)
        fleet->first = fleet->cursor - shown + 1;
    if (fleet->first + shown > fleet->row_count)
        fleet->first = fleet->row_count > shown ? fleet->row_count - shown : 0;
    mark_shown(fleet);
}

static void move(struct fleet *fleet, long by)
{
    long count = (long)fleet->row_count, to = (long)fleet->cursor + by;
    if (count == 0)
        return;
    fleet->cursor = (size_t)(to < 0 ? 0 : to >= count ? count - 1 : to);
    fleet->cursor_pid = fleet->rows[fleet->cursor].member->target.pid;
    fleet->cursor_ino = fleet->rows[fleet->cursor].member->target.ino;
}

/* Sorts by a column; the cursor stays on its row of the screen until it is moved. */
static void sort_by(struct fleet *fleet, enum roster_column column)
{
    if (column < ROSTER_COLUMNS && column != ROSTER_PAST)
        fleet->order.column = column;
}

/* The next column to one side of those that the screen shows. */
static void sort_next(struct fleet *fleet, int step)
{
    struct fleet_column columns[ROSTER_COLUMNS];
    size_t count = fleet_columns(fleet->screen.cols, columns);
    for (int tries = 0; tries < ROSTER_COLUMNS; tries++) {
        fleet->order.column = roster_next(fleet->order.column, step);
        for (size_t i = 0; i < count; i++)
            if (columns[i].column == fleet->order.column)
                return;
    }
}

/* Watches the member under the cursor.  False: the user has quit memtop there. */
static bool enter(struct fleet *fleet, const struct view_options *options)
{
    if (fleet->row_count == 0)
        return true;
    const struct roster_row *row = &fleet->rows[fleet->cursor];
    if (fleet->order.shape == ROSTER_TOTALS) { /* its processes */
        snprintf(fleet->state.filter, sizeof fleet->state.filter, "%s", row->member->target.name);
        fleet->order.shape = ROSTER_LIST;
        return true;
    }
    struct target target = row->member->target;
    if (target.state == TARGET_CLOSED || target.state == TARGET_BAD) {
        snprintf(fleet->state.message, sizeof fleet->state.message, "%s", target.error);
        return true;
    }
    char error[VIEW_ERROR_SIZE] = "";
    term_mouse(false);
    enum live_end end = live_watch(&target, options, true, error);
    term_mouse(true);
    if (end == LIVE_FAILED)
        snprintf(fleet->state.message, sizeof fleet->state.message, "%s", error);
    return end != LIVE_QUIT;
}

static bool click(struct fleet *fleet, const struct view_options *options)
{
    int row, col;
    term_click(&row, &col);
    if (row == TITLE_ROW) {
        sort_by(fleet, fleet_column_at(fleet->screen.cols, col));
        return true;
    }
    size_t at = fleet->first + (size_t)(row - LIST_ROW);
    if (row < LIST_ROW || row >= fleet->screen.rows - 1 || at >= fleet->row_count)
        return true;
    if (at == fleet->cursor && fleet->cursor_pid)
        return enter(fleet, options);
    move(fleet, (long)at - (long)fleet->cursor);
    return true;
}

static void filter_key(struct view_state *state, int key)
{
    size_t length = strlen(state->filter);
    if (key == TERM_ENTER) {
        state->typing = false;
    } else if (key == TERM_ESCAPE) {
        state->typing = false;
        state->filter[0] = '\0';
    } else if (key == TERM_BACKSPACE) {
        if (length > 0)
            state->filter[length - 1] = '\0';
    } else if (key >= ' ' && key < 0x7f && length + 1 < sizeof state->filter) {
        state->filter[length] = (char)key;
        state->filter[length + 1] = '\0';
    }
}

static void take_shape(struct fleet *fleet, enum roster_shape shape)
{
    fleet->order.shape = fleet->order.shape == shape ? ROSTER_LIST : shape;
}

/* False: the user leaves. */
static bool handle_key(struct fleet *fleet, int key, const struct view_options *options)
{
    struct view_state *state = &fleet->state;
    enum key_action action = key_action(key);
    if (key == TERM_NONE || key == TERM_RESIZE)
        return true;
    if (action == ACTION_QUIT)
        return false;
    state->message[0] = '\0';
    if (state->pane == PANE_HELP) {
        state->pane = PANE_NONE;
        return true;
    }
    if (state->typing && key != TERM_CLICK) {
        filter_key(state, key);
        return true;
    }
    if (live_common_key(state, &fleet->screen.charset, action, monotonic_ns()))
        return true;
    long page = (long)rows_shown(fleet) - 1;
    switch (action) {
    case ACTION_BACK:
        return false;
    case ACTION_CLOSE:
        state->filter[0] = '\0';
        break;
    case ACTION_UP:
        move(fleet, -1);
        break;
    case ACTION_DOWN:
        move(fleet, 1);
        break;
    case ACTION_PAGE_UP:
        move(fleet, -page);
        break;
    case ACTION_PAGE_DOWN:
        move(fleet, page);
        break;
    case ACTION_FIRST:
        move(fleet, -(long)fleet->row_count);
        break;
    case ACTION_LAST:
        move(fleet, (long)fleet->row_count);
        break;
    case ACTION_LEFT:
    case ACTION_SORT_LEFT:
        sort_next(fleet, -1);
        break;
    case ACTION_RIGHT:
    case ACTION_SORT_RIGHT:
        sort_next(fleet, 1);
        break;
    case ACTION_FILTER:
        state->typing = true;
        break;
    case ACTION_TREE:
        take_shape(fleet, ROSTER_TREE);
        break;
    case ACTION_TOTALS:
        take_shape(fleet, ROSTER_TOTALS);
        break;
    case ACTION_OPEN:
        move(fleet, 0);
        return enter(fleet, options);
    default:
        return key != TERM_CLICK || click(fleet, options);
    }
    return true;
}

enum live_end fleet_watch(const struct view_options *options, char error[VIEW_ERROR_SIZE])
{
    struct fleet fleet = {.order = {ROSTER_GROWTH, ROSTER_LIST, ""}, .state = live_state(options)};
    if (!roster_open(&fleet.roster)) {
        snprintf(error, VIEW_ERROR_SIZE, "out of memory");
        return LIVE_FAILED;
    }
    fleet.screen.charset = term_charset(options->charset);
    term_mouse(true);
    int64_t next_ns = monotonic_ns() + (int64_t)(fleet.state.interval_seconds * 1e9);
    for (bool stay = true; stay;) {
        int64_t now_ns = monotonic_ns();
        if (now_ns >= next_ns) {
            if (!fleet.state.paused)
                roster_tick(&fleet.roster);
            next_ns = now_ns + (int64_t)(fleet.state.interval_seconds * 1e9);
        }
        arrange(&fleet);
        draw(&fleet);
        int64_t wait_ms = (next_ns - monotonic_ns()) / 1000000 + 1;
        double before = fleet.state.interval_seconds;
        stay = handle_key(&fleet, term_key(wait_ms < 0 ? 0 : (int)wait_ms, -1), options);
        if (fleet.state.interval_seconds != before)
            next_ns = monotonic_ns();
    }
    term_mouse(false);
    roster_close(&fleet.roster);
    free(fleet.rows);
    screen_fini(&fleet.screen);
    return LIVE_QUIT;
}
