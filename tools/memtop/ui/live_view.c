#include "live_view.h"

#include "panel.h"
#include "report.h"
#include "term.h"
#include "series/units.h"
#include "series/watch.h"
#include "target/ask.h"
#include "target/save.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROWS_NAMED = 2000 }; /* sites whose names a filter asks for */

struct live {
    struct watch watch;
    struct view_state state;
    struct screen screen;
    uint32_t *rows;
    size_t room;
    uint64_t cursor_key;  /* the site under the cursor, if cursor_set */
    uint32_t members[64]; /* the greatest stacks of that site */
    bool cursor_set;
    bool back; /* there is a list to go back to */
    struct ask_cycles asked;
    bool told_pending; /* of that */
};

struct view_state live_state(const struct view_options *options)
{
    return (struct view_state){.order = SITES_BY_GROWTH,
                               .interval_seconds = options->interval_seconds,
                               .span_seconds = 120,
                               .cursor = -1};
}

static double step(double value, const double *steps, size_t count, int direction)
{
    if (direction > 0) {
        for (size_t i = 0; i < count; i++)
            if (steps[i] > value * 1.001)
                return steps[i];
    } else {
        for (size_t i = count; i > 0; i--)
            if (steps[i - 1] < value * 0.999)
                return steps[i - 1];
    }
    return value;
}

bool live_common_key(struct view_state *state, enum charset *charset, enum key_action action,
                     int64_t now_ns)
{
    static const double intervals[] = {0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60};
    static const double spans[] = {30, 60, 120, 300, 600, 1800, 7200, 28800, 86400, 604800};
    const size_t interval_count = sizeof intervals / sizeof intervals[0];
    const size_t span_count = sizeof spans / sizeof spans[0];
    switch (action) {
    case ACTION_HELP:
        state->pane = PANE_HELP;
        return true;
    case ACTION_PAUSE:
        state->paused = !state->paused;
        state->frozen_ns = now_ns;
        state->moment_ns = 0;
        return true;
    case ACTION_MORE_OFTEN:
        state->interval_seconds = step(state->interval_seconds, intervals, interval_count, -1);
        return true;
    case ACTION_LESS_OFTEN:
        state->interval_seconds = step(state->interval_seconds, intervals, interval_count, 1);
        return true;
    case ACTION_SPAN_SHORTER:
        state->span_chosen = true;
        state->span_seconds = step(state->span_seconds, spans, span_count, -1);
        return true;
    case ACTION_SPAN_LONGER:
        state->span_chosen = true;
        state->span_seconds = step(state->span_seconds, spans, span_count, 1);
        return true;
    case ACTION_CHARSET:
        *charset = term_charset(*charset == CHARSET_BRAILLE ? CHARSET_BLOCK
                                : *charset == CHARSET_BLOCK ? CHARSET_ASCII
                                                            : CHARSET_BRAILLE);
        return true;
    default:
        return false;
    }
}

static bool matches(const struct live *live, uint32_t place)
{
    const struct stack_names *names =
        names_find(live->watch.names, live->watch.model.sites->group[place].stack);
    return names && names->label && strcasestr(names->label, live->state.filter);
}

/* Sorts and filters the sites, and moves the cursor with its site. */
static void arrange(struct live *live)
{
    const struct sites *sites = live->watch.model.sites;
    struct view_state *state = &live->state;
    if (sites->count > live->room) {
        uint32_t *grown = realloc(live->rows, sites->count * 2 * sizeof grown[0]);
        if (grown) {
            live->rows = grown;
            live->room = sites->count * 2;
        }
    }
    bool filtered = state->filter[0] != '\0';
    size_t count =
        watch_sites(&live->watch, state->order, live->rows, live->room, filtered ? ROWS_NAMED : 0);
    if (filtered) {
        size_t kept = 0;
        for (size_t i = 0; i < count; i++) {
            if (matches(live, live->rows[i]))
                live->rows[kept++] = live->rows[i];
        }
        count = kept;
    }
    state->rows = live->rows;
    state->row_count = count;
    int place = -1;
    for (size_t i = 0; live->cursor_set && i < count && place < 0; i++)
        if (sites->group[live->rows[i]].key == live->cursor_key)
            place = (int)i;
    if (live->cursor_set && place < 0 && state->cursor >= 0) /* filtered away */
        place = state->cursor < (int)count ? state->cursor : (int)count - 1;
    state->cursor = place;
    if (place >= 0)
        live->cursor_key = sites->group[live->rows[place]].key;
    state->members = live->members;
    state->member_count = place >= 0 && state->pane == PANE_STACK
                              ? sites_members(sites, live->cursor_key, state->order, live->members,
                                              sizeof live->members / sizeof live->members[0])
                              : 0;
    if (state->member >= state->member_count)
        state->member = 0;
    if (state->member_count > 0)
        names_want(live->watch.names, &live->watch.source.snapshot,
                   sites->site[live->members[state->member]].stack);
}

/* Keeps the cursor in sight, and asks for the names of the rows in sight, the top one last, as what
 * is asked for last is looked up first. */
static void scroll(struct live *live)
{
    struct view_state *state = &live->state;
    struct layout layout = panels_layout(&live->screen, &live->watch.model, state);
    int site_rows = panel_site_rows(layout.sites, &live->watch.model);
    size_t shown = site_rows > 0 ? (size_t)site_rows : 1;
    if (state->cursor >= 0) {
        size_t cursor = (size_t)state->cursor;
        if (cursor < state->first_row)
            state->first_row = cursor;
        if (cursor >= state->first_row + shown)
            state->first_row = cursor - shown + 1;
    } else {
        state->first_row = 0;
    }
    if (state->first_row + shown > state->row_count)
        state->first_row = state->row_count > shown ? state->row_count - shown : 0;
    for (size_t i = shown; i > 0; i--)
        if (state->first_row + i - 1 < state->row_count)
            names_want(live->watch.names, &live->watch.source.snapshot,
                       live->watch.model.sites->group[state->rows[state->first_row + i - 1]].stack);
}

static void move_cursor(struct live *live, long by)
{
    struct view_state *state = &live->state;
    if (state->row_count == 0)
        return;
    long to = state->cursor < 0 ? (by > 0 ? 0 : (long)state->row_count - 1) : state->cursor + by;
    to = to < 0 ? 0 : to >= (long)state->row_count ? (long)state->row_count - 1 : to;
    state->cursor = (int)to;
    state->stack_scroll = 0;
    state->member = 0;
    live->cursor_key = live->watch.model.sites->group[state->rows[to]].key;
    live->cursor_set = true;
}

/* Goes to a moment a hundredth of the charts earlier or later, within them. */
static void move_moment(struct view_state *state, int by)
{
    int64_t span_ns = (int64_t)(state->span_seconds * 1e9);
    int64_t moment = view_moment(state, 0) + by * span_ns / 100;
    if (moment < state->frozen_ns - span_ns)
        moment = state->frozen_ns - span_ns;
    state->moment_ns = moment < state->frozen_ns ? moment : 0;
}

/* Sorts by the next column to one side that the kind has. */
static void sort_by(struct live *live, unsigned step_by)
{
    enum site_order *order = &live->state.order;
    do
        *order = (*order + step_by) % SITES_ORDERS;
    while (!sites_has(live->watch.model.sites, *order) && *order != SITES_BY_GROWTH);
}

/* Shows the call sites of the next kind, or says why there are none. */
static void show_next_kind(struct live *live)
{
    struct view_state *state = &live->state;
    char why[VIEW_ERROR_SIZE];
    if (!watch_show_next(&live->watch, why)) {
        snprintf(state->message, sizeof state->message, "%s", why);
        return;
    }
    if (!sites_has(live->watch.model.sites, state->order))
        state->order = SITES_BY_GROWTH;
    state->pane = PANE_NONE;
    live->cursor_set = false;
    state->cursor = -1;
}

/* Saves memtop-PID-TIME.pb.gz and .json in the working directory. */
static void save_both(struct live *live)
{
    char base[64], path[96], error[VIEW_ERROR_SIZE], stamp[32];
    time_t now = time(NULL);
    struct tm local;
    localtime_r(&now, &local);
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &local);
    snprintf(base, sizeof base, "memtop-%d-%s", (int)live->watch.source.target.pid, stamp);
    snprintf(path, sizeof path, "%s.pb.gz", base);
    int result = save_profile(&live->watch.source, live->watch.kind, path, -1, NULL, error);
    if (result == 0) {
        snprintf(path, sizeof path, "%s.json", base);
        char *text = report_json_text(&live->watch, 50);
        result = text ? save_file(path, text, strlen(text), error) : -1;
        if (!text)
            snprintf(error, sizeof error, "out of memory");
        free(text);
    }
    if (result == 0)
        snprintf(live->state.message, sizeof live->state.message, "saved %s.pb.gz and %s.json",
                 base, base);
    else
        snprintf(live->state.message, sizeof live->state.message, "not saved: %s", error);
}

/* Asks for cycles, and goes on meanwhile. */
static void ask_for(struct live *live, unsigned cycles)
{
    char *message = live->state.message;
    live->told_pending = false;
    if (ask_cycles_begin(&live->asked, &live->watch.source, cycles, message) == 0)
        snprintf(message, sizeof live->state.message, "asked for %s",
                 cycles == 1 ? "a cycle" : "two cycles, which tell of leaks");
}

/* What has become of that. */
static void look_after_asked(struct live *live)
{
    struct view_state *state = &live->state;
    struct md_cycle last;
    char size[UNITS_SIZE], error[VIEW_ERROR_SIZE];
    switch (ask_cycles_look(&live->asked, &live->watch.source, &last, error)) {
    case ASK_RUNS:
        break;
    case ASK_PENDING:
        if (!live->told_pending)
            snprintf(state->message, sizeof state->message,
                     "a cycle is pending: read at its next 64 KiB");
        live->told_pending = true;
        break;
    case ASK_FAILED:
        snprintf(state->message, sizeof state->message, "%s", error);
        break;
    case ASK_DONE:
        if (last.flags & MD_CYCLE_SKIPPED)
            snprintf(state->message, sizeof state->message, "no cycle: %.*s",
                     (int)sizeof last.reason, last.reason);
        else
            snprintf(state->message, sizeof state->message,
                     "cycle %" PRIu64 ": %" PRIu64 " unreachable object(s), %s",
                     (uint64_t)last.number, (uint64_t)last.unreachable_objects,
                     units_bytes(size, (double)last.unreachable_bytes));
        break;
    }
}

static void filter_key(struct live *live, int key)
{
    struct view_state *state = &live->state;
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

/* False: the user leaves the view. */
static bool handle_key(struct live *live, int key, bool *quit)
{
    struct view_state *state = &live->state;
    enum key_action action = key_action(key);
    if (action == ACTION_QUIT) {
        *quit = true;
        return false;
    }
    if (key == TERM_NONE || key == TERM_RESIZE)
        return true;
    state->message[0] = '\0';
    if (state->pane == PANE_HELP) {
        state->pane = PANE_NONE;
        return true;
    }
    if (state->typing) {
        filter_key(live, key);
        return true;
    }
    if (live_common_key(state, &live->screen.charset, action, live->watch.model.now_ns))
        return true;
    long page = live->screen.rows / 3;
    switch (action) {
    case ACTION_BACK:
        return false;
    case ACTION_CLOSE:
        if (state->pane != PANE_NONE)
            state->pane = PANE_NONE;
        else if (state->filter[0] != '\0')
            state->filter[0] = '\0';
        else if (state->cursor < 0 && live->back)
            return false;
        else
            live->cursor_set = false, state->cursor = -1;
        break;
    case ACTION_LEFT:
    case ACTION_RIGHT:
        if (state->pane == PANE_STACK && state->member_count > 0) {
            size_t step_by = action == ACTION_RIGHT ? 1 : state->member_count - 1;
            state->member = (state->member + step_by) % state->member_count;
            state->stack_scroll = 0;
            break;
        }
        if (state->paused)
            move_moment(state, action == ACTION_RIGHT ? 1 : -1);
        else
            sort_by(live, action == ACTION_RIGHT ? 1 : SITES_ORDERS - 1);
        break;
    case ACTION_SORT_LEFT:
        sort_by(live, SITES_ORDERS - 1);
        break;
    case ACTION_SORT_RIGHT:
        sort_by(live, 1);
        break;
    case ACTION_KIND:
        show_next_kind(live);
        break;
    case ACTION_MARK:
        watch_mark(&live->watch, live->watch.model.marked_ns == 0);
        snprintf(state->message, sizeof state->message, "%s",
                 live->watch.model.marked_ns ? "marked: growth, ALLOC and OBJECTS are since now"
                                             : "the mark is gone");
        break;
    case ACTION_FILTER:
        state->typing = true;
        break;
    case ACTION_CYCLE:
        ask_for(live, 1);
        break;
    case ACTION_LEAKS:
        ask_for(live, 2);
        break;
    case ACTION_SAVE:
        save_both(live);
        break;
    case ACTION_UP:
        move_cursor(live, -1);
        break;
    case ACTION_DOWN:
        move_cursor(live, 1);
        break;
    case ACTION_PAGE_UP:
        if (state->pane == PANE_STACK)
            state->stack_scroll -= state->stack_scroll < 4 ? state->stack_scroll : 4;
        else
            move_cursor(live, -page);
        break;
    case ACTION_PAGE_DOWN:
        if (state->pane == PANE_STACK)
            state->stack_scroll += 4;
        else
            move_cursor(live, page);
        break;
    case ACTION_FIRST:
        move_cursor(live, -(long)state->row_count);
        break;
    case ACTION_LAST:
        move_cursor(live, (long)state->row_count);
        break;
    case ACTION_OPEN:
        if (state->cursor < 0)
            move_cursor(live, 1);
        state->pane = state->pane == PANE_STACK || state->cursor < 0 ? PANE_NONE : PANE_STACK;
        break;
    default:
        break;
    }
    return true;
}

static void redraw(struct live *live)
{
    int rows, cols;
    term_size(&rows, &cols);
    screen_resize(&live->screen, rows, cols);
    names_take(live->watch.names);
    arrange(live);
    scroll(live);
    if (!live->state.span_chosen) { /* as much as is known, half a minute to ten */
        double known = history_seconds(&live->watch.history);
        live->state.span_seconds = known < 30 ? 30 : known > 600 ? 600 : known;
    }
    panels_draw(&live->screen, &live->watch.model, &live->state);
    term_show(&live->screen);
}

/* Goes on with the new segment of a process that has another one now, by exec. */
static void follow_replaced(struct live *live)
{
    struct targets targets;
    struct watch fresh;
    char error[VIEW_ERROR_SIZE];
    if (targets_scan(&targets) != 0)
        return;
    for (size_t i = 0; i < targets.count; i++) {
        const struct target *target = &targets.target[i];
        if (target->pid != live->watch.source.target.pid || target->state != TARGET_LIVE ||
            target->ino == live->watch.source.target.ino ||
            watch_open(&fresh, target, true, error) != 0)
            continue;
        enum md_bucket_kind kind = live->watch.kind;
        watch_close(&live->watch);
        live->watch = fresh;
        watch_moved(&live->watch);
        watch_show(&live->watch, kind);
        live->cursor_set = false;
        live->state.cursor = -1;
        snprintf(live->state.message, sizeof live->state.message, "it runs another program now: %s",
                 target->name);
        break;
    }
    targets_fini(&targets);
}

enum live_end live_show(struct watch *watch, const struct view_options *options, bool back)
{
    struct live live = {.state = live_state(options), .back = back, .watch = *watch};
    char error[VIEW_ERROR_SIZE];
    watch_moved(&live.watch);
    watch_show(&live.watch, options->kind);
    live.screen.charset = term_charset(options->charset);
    enum live_end end = back ? LIVE_BACK : LIVE_QUIT;
    bool quit = false;
    /* The first tick was at the opening. */
    int64_t next_ns = monotonic_real_ns() + (int64_t)(live.state.interval_seconds * 1e9);
    for (;;) {
        int64_t now = monotonic_real_ns();
        if (now >= next_ns) {
            if (watch_tick(&live.watch, live.state.paused, error)) {
                /* The file was cut: what was read before stays on the screen. */
                snprintf(live.state.message, sizeof live.state.message, "%s", error);
            }
            if (live.asked.left)
                look_after_asked(&live);
            if (live.watch.source.state == SOURCE_REPLACED && !live.state.paused)
                follow_replaced(&live);
            next_ns = now + (int64_t)(live.state.interval_seconds * 1e9);
        }
        redraw(&live);
        int64_t wait_ms = (next_ns - monotonic_real_ns()) / 1000000 + 1;
        double before = live.state.interval_seconds;
        int key = term_key(wait_ms < 0 ? 0 : (int)wait_ms, names_fd(live.watch.names));
        if (!handle_key(&live, key, &quit))
            break;
        if (live.state.interval_seconds != before)
            next_ns = monotonic_real_ns();
    }
    watch_close(&live.watch);
    screen_fini(&live.screen);
    free(live.rows);
    return quit ? LIVE_QUIT : end;
}

enum live_end live_watch(const struct target *target, const struct view_options *options, bool back,
                         char error[VIEW_ERROR_SIZE])
{
    struct watch watch;
    return watch_open(&watch, target, true, error) ? LIVE_FAILED : live_show(&watch, options, back);
}
