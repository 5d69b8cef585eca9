#include "panel.h"

#include "keys.h"
#include "series/counter_text.h"
#include "series/losses.h"
#include "series/units.h"
#include "view/gctrace.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void draw_title(struct screen *screen, struct rect area, const struct model *model,
                       const struct view_state *state)
{
    enum { MEMTOP, IDENTITY, STATE, TITLE, LOGS, OPTIONS, EVERY, PAUSED, PARTS };
    /* Which parts come first if not all fit. */
    static const int importance[PARTS] = {STATE, PAUSED, IDENTITY, MEMTOP,
                                          LOGS,  EVERY,  TITLE,    OPTIONS};
    char logs[64] = "", every[64] = "";
    if (model->logs > 1)
        snprintf(logs, sizeof logs, "program %zu of %zu: tab", model->log + 1, model->logs);
    if (model->alive && !state->paused)
        snprintf(every, sizeof every, "every %gs", state->interval_seconds);
    const struct {
        const char *text;
        enum style style;
    } parts[PARTS] = {
        [MEMTOP] = {"memtop", STYLE_TITLE},
        [IDENTITY] = {model->identity, STYLE_BOLD},
        [STATE] = {model->state, model->alive && !model->stopped ? STYLE_HEAP : STYLE_WARN},
        [TITLE] = {model->title, STYLE_NORMAL},
        [LOGS] = {logs, STYLE_DIM},
        [OPTIONS] = {model->header ? model->header->options : "", STYLE_DIM},
        [EVERY] = {every, STYLE_DIM},
        [PAUSED] = {state->paused ? " PAUSED " : "", STYLE_SELECTED},
    };
    int width[PARTS] = {0}, left = area.cols;
    for (int i = 0; i < PARTS; i++) {
        int part = importance[i], gap = left < area.cols ? 2 : 0;
        int wanted = screen_width(screen, parts[part].text);
        /* These two may be cut; the others are shown whole or not at all. */
        if (wanted + gap > left && (part == IDENTITY || (part == TITLE && left >= 20)))
            wanted = left - gap;
        if (wanted <= 0 || wanted + gap > left)
            continue;
        width[part] = wanted;
        left -= wanted + gap;
    }
    for (int part = 0, col = 0; part < PARTS; part++) {
        if (width[part] == 0)
            continue;
        if (part == EVERY || part == PAUSED) /* on the right */
            col = area.cols - width[part];
        struct rect place = {area.row, area.col + col, 1, width[part]};
        screen_text_cut(screen, place, 0, 0, parts[part].style, parts[part].text);
        col += width[part] + 2;
    }
}

/* Where the second row of a verdict begins: behind the last blank before which all fits into the
 * first; at its end, if one row does. */
static size_t verdict_break(const struct screen *screen, const char *text, int cols)
{
    size_t end = strlen(text);
    if (screen_width(screen, text) <= cols)
        return end;
    char row[VERDICT_TEXT_SIZE];
    snprintf(row, sizeof row, "%s", text);
    for (char *blank = row + end; (blank = memrchr(row, ' ', (size_t)(blank - row)));) {
        *blank = '\0';
        if (screen_width(screen, row) <= cols)
            return (size_t)(blank - row) + 1;
    }
    return end; /* one word, which is cut */
}

static int verdict_rows(const struct screen *screen, const struct model *model)
{
    char text[VERDICT_TEXT_SIZE];
    if (model->verdict.kind == VERDICT_NONE)
        return 0;
    verdict_line(&model->verdict, model->verdict_cycles, model->names, text);
    return text[verdict_break(screen, text, screen->cols)] == '\0' ? 1 : 2;
}

static void draw_verdict(struct screen *screen, struct rect area, const struct model *model,
                         const struct view_state *state)
{
    char text[VERDICT_TEXT_SIZE];
    enum style style = model->verdict.kind == VERDICT_LEAK ? STYLE_BAD : STYLE_WARN;
    (void)state;
    verdict_line(&model->verdict, model->verdict_cycles, model->names, text);
    if (area.rows > 1) {
        size_t second = verdict_break(screen, text, area.cols);
        screen_text_cut(screen, area, 1, 2, style, text + second);
        text[second] = '\0';
    }
    screen_text_cut(screen, area, 0, 0, style, text);
}

/* A row of "name value" pairs, as many as fit, and where the next goes. */
struct figures {
    struct screen *screen;
    struct rect area;
    int row, col;
};

/* Draws one pair.  False: it does not fit. */
static bool figure(struct figures *figures, enum style style, const char *name, const char *value)
{
    struct screen *screen = figures->screen;
    int width = screen_width(screen, name) + 1 + screen_width(screen, value);
    int start = figures->col + (figures->col > 0 ? 2 : 0);
    if (start + width > figures->area.cols)
        return false;
    int col = screen_text(screen, figures->area, figures->row, start, STYLE_DIM, name);
    figures->col = screen_text(screen, figures->area, figures->row, col + 1, style, value);
    return true;
}

/* What is known of a moment that has passed: the rest was not kept. */
static void draw_moment_figures(struct figures *figures, const struct model *model,
                                int64_t moment_ns, int64_t end_ns)
{
    static const struct {
        const char *name;
        enum history_series series;
        units_function *units;
        const char *unit;
    } each[] = {{"rss", HISTORY_RSS, units_bytes, ""},
                {"objects", HISTORY_OBJECTS, units_count, ""},
                {"alloc", HISTORY_ALLOC_RATE, units_bytes, "/s"},
                {"reachable", HISTORY_REACHABLE, units_bytes, ""}};
    char text[UNITS_SIZE], line[64], clock[32];
    const struct md_header *header = model->header;
    time_t at =
        (time_t)((header->start_realtime_ns + moment_ns - (int64_t)header->start_ns) / 1000000000);
    struct tm local;
    localtime_r(&at, &local);
    strftime(clock, sizeof clock, end_ns - moment_ns < INT64_C(43200000000000) ? "%T" : "%F %T",
             &local);
    figure(figures, STYLE_SELECTED, "at", clock);
    snprintf(line, sizeof line, "%s before", units_age(text, (double)(end_ns - moment_ns) / 1e9));
    figure(figures, STYLE_NORMAL, "that is", line);
    double heap = history_value(model->history, HISTORY_HEAP, moment_ns);
    figure(figures, STYLE_BOLD, "heap", units_bytes(text, heap));
    double later = history_value(model->history, HISTORY_HEAP, end_ns) - heap;
    if (!isnan(later))
        figure(figures, STYLE_NORMAL, "grew since", units_growth(text, later));
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        double value = history_value(model->history, each[i].series, moment_ns);
        snprintf(line, sizeof line, "%s%s", each[i].units(text, value),
                 isnan(value) ? "" : each[i].unit);
        figure(figures, STYLE_NORMAL, each[i].name, line);
    }
}

static void draw_program_figures(struct figures *figures, const struct model *model,
                                 const struct view_state *state)
{
    char text[UNITS_SIZE], line[64];
    const struct md_counters *counters = &model->header->counters;
    int64_t now_ns = view_end(state, model->now_ns), moment_ns = view_moment(state, now_ns);
    if (moment_ns < now_ns) {
        draw_moment_figures(figures, model, moment_ns, now_ns);
        return;
    }
    double heap = history_value(model->history, HISTORY_HEAP, now_ns);
    figure(figures, STYLE_BOLD, "heap", units_bytes(text, heap));
    if (model->growth_seconds >= 1) {
        double share = model->growth_bytes / fmax(heap, 1);
        snprintf(line, sizeof line, "%s/%.0fs", units_growth(text, model->growth_bytes),
                 model->growth_seconds);
        figure(figures,
               share >= 0.1    ? STYLE_BAD
               : share >= 0.01 ? STYLE_WARN
                               : STYLE_NORMAL,
               "grew", line);
    }
    figure(figures, STYLE_NORMAL, "peak", units_bytes(text, (double)counters->peak_bytes));
    figure(figures, STYLE_NORMAL, "rss",
           units_bytes(text, history_value(model->history, HISTORY_RSS, now_ns)));
    if (model->mapped_bytes > 0)
        figure(figures, STYLE_NORMAL, "mapped", units_bytes(text, model->mapped_bytes));
    char count[UNITS_SIZE];
    snprintf(line, sizeof line, "%s%s", model->objects_counted ? "" : "~",
             units_count(count, model->live_objects));
    figure(figures, STYLE_NORMAL, "objects", line);
    snprintf(line, sizeof line, "%s%s/s", model->alloc_bound ? "<" : "",
             units_bytes(text, model->alloc_rate));
    figure(figures, STYLE_NORMAL, "alloc", isnan(model->alloc_rate) ? "-" : line);
    snprintf(line, sizeof line, "%s%s/s", model->free_bound ? "<" : "",
             units_bytes(text, model->free_rate));
    figure(figures, STYLE_NORMAL, "free", isnan(model->free_rate) ? "-" : line);
    bool governed = counters->leak_rate_bytes > 0 ||
                    (counters->sample_rate_bytes > 0 &&
                     counters->sample_rate_bytes != model->header->memprofilerate);
    if (counters->leak_rate_bytes > 0)
        figure(figures, STYLE_DIM, "leak rate",
               units_bytes(text, (double)counters->leak_rate_bytes));
    if (governed && !isnan(model->sampling_share)) {
        snprintf(line, sizeof line, "%.2f%%", model->sampling_share * 100);
        figure(figures, STYLE_DIM, "sampling", line);
    }
    for (size_t i = 0; i < COUNTERS; i++) {
        const struct counter *counter = &counter_list[i];
        uint64_t value;
        if (counter->label && (!counter_value(counter, model->header, &value) || value > 0))
            figure(figures, STYLE_DIM, counter->label, counter_text(counter, model->header, text));
    }
}

static void draw_losses(struct figures *figures, const struct loss losses[LOSSES])
{
    char count[UNITS_SIZE], name[32];
    for (int i = 0; i < LOSSES; i++) {
        snprintf(name, sizeof name, "lost %s", losses[i].what);
        if (!losses[i].known)
            figure(figures, STYLE_DIM, name, "-");
        else if (losses[i].count > 0)
            figure(figures, STYLE_WARN, name, units_count(count, (double)losses[i].count));
    }
}

static void draw_reasons(struct figures *figures, const struct loss losses[LOSSES])
{
    char name[32];
    for (int i = 0; i < LOSSES; i++) {
        snprintf(name, sizeof name, "%s:", losses[i].what);
        if (loss_matters(&losses[i]))
            figure(figures, losses[i].known ? STYLE_WARN : STYLE_DIM, name, losses[i].why);
    }
}

static void draw_cycle_figures(struct figures *figures, const struct model *model)
{
    char text[UNITS_SIZE], other[UNITS_SIZE], line[96];
    const struct trace *trace = model->trace;
    if (trace->cycles == 0) {
        bool gc = model->header && (model->header->flags & (MD_FLAG_GC | MD_FLAG_ASKABLE));
        if (model->header &&
            !figure(figures, STYLE_DIM, "cycles",
                    gc ? "none yet: memtop gc asks for one"
                       : "none: it was started without MEMDEBUG=gc=ready or observe"))
            figure(figures, STYLE_DIM, "cycles", gc ? "none yet" : "none");
        return;
    }
    uint64_t cycles = model->header ? model->header->counters.cycles : trace->cycles;
    figure(figures, STYLE_NORMAL, "cycles", units_count(text, (double)cycles));
    figure(figures, STYLE_NORMAL, "reachable", units_bytes(text, (double)trace->reachable_last));
    double goal = model->header ? (double)model->header->heap_goal_bytes : (double)trace->goal_last;
    if (goal > 0 && goal < 0x1p50)
        figure(figures, STYLE_NORMAL, "goal", units_bytes(text, goal));
    if (trace->unreachable_known) {
        snprintf(line, sizeof line, "%s (%s)",
                 units_count(text, (double)trace->unreachable_objects),
                 units_bytes(other, (double)trace->unreachable_bytes));
        figure(figures, trace->unreachable_objects > 0 ? STYLE_WARN : STYLE_NORMAL, "unreachable",
               line);
    }
    figure(figures, STYLE_NORMAL, "pause", units_pause(text, trace->pause_last_ns));
    figure(figures, STYLE_NORMAL, "p99", units_pause(text, model->pauses.p99_ns));
    figure(figures, STYLE_NORMAL, "max", units_pause(text, model->pauses.max_ns));
    snprintf(line, sizeof line, "%" PRIu32 "%%", trace->utilization_percent);
    figure(figures, STYLE_NORMAL, "gc cpu", line);
    if (trace->skips > 0)
        figure(figures, STYLE_WARN, "skipped", units_count(text, (double)trace->skips));
}

/* The parts of the resident memory, the greatest first, as many as fit. */
static void draw_resident(struct figures *figures, const struct resident *resident)
{
    char bytes[UNITS_SIZE], value[UNITS_SIZE + 16];
    const struct rss_parts *parts = &resident->parts;
    enum rss_part order[RSS_PARTS];
    for (int i = 0; i < RSS_PARTS; i++) {
        int at = i;
        for (; at > 0 &&
               rss_part_bytes(parts, order[at - 1]) < rss_part_bytes(parts, (enum rss_part)i);
             at--)
            order[at] = order[at - 1];
        order[at] = (enum rss_part)i;
    }
    figure(figures, STYLE_NORMAL, "rss of", units_bytes(bytes, (double)parts->rss));
    for (int i = 0; i < RSS_PARTS && rss_part_bytes(parts, order[i]) > 0; i++) {
        bool pymalloc = order[i] == RSS_anonymous && resident->anonymous_pymalloc;
        snprintf(value, sizeof value, "%s%s",
                 units_bytes(bytes, (double)rss_part_bytes(parts, order[i])),
                 pymalloc ? " (pymalloc)" : "");
        if (!figure(figures, order[i] == RSS_unexplained ? STYLE_WARN : STYLE_NORMAL,
                    rss_part_names[order[i]].text, value))
            break;
    }
}

static void draw_figures(struct screen *screen, struct rect area, const struct model *model,
                         const struct view_state *state)
{
    struct figures figures = {.screen = screen, .area = area};
    if (!model->header) {
        draw_cycle_figures(&figures, model);
        return;
    }
    draw_program_figures(&figures, model, state);
    if (area.rows < 2)
        return;
    figures.row = 1;
    figures.col = 0;
    struct loss losses[LOSSES];
    losses_of(model->header, model->torn, losses);
    draw_losses(&figures, losses); /* first, as they say how far the rest can be trusted */
    draw_cycle_figures(&figures, model);
    draw_reasons(&figures, losses); /* last, as memtop -b has them too */
    figures.row = 2;
    figures.col = 0;
    if (area.rows > 2)
        draw_resident(&figures, model->resident);
}

static void draw_lines(struct screen *screen, struct rect area, const struct model *model,
                       const struct view_state *state)
{
    (void)state;
    /* The newest is at the bottom, as in a log. */
    for (int row = 0; row < area.rows; row++) {
        const struct md_cycle *cycle = trace_recent(model->trace, (size_t)(area.rows - 1 - row));
        char line[GCTRACE_LINE_SIZE];
        if (!cycle)
            continue;
        trace_line(model->trace, cycle, area.cols, line, sizeof line);
        bool newest = row == area.rows - 1;
        screen_text_cut(screen, area, row, 0,
                        cycle->flags & MD_CYCLE_SKIPPED ? STYLE_WARN
                        : newest                        ? STYLE_NORMAL
                                                        : STYLE_DIM,
                        line);
    }
}

void panel_draw_keys(struct screen *screen, struct rect area, const char *const *hints)
{
    screen_fill(screen, area, STYLE_NORMAL);
    int col = 0;
    for (; hints[0]; hints += 2) {
        int width = screen_width(screen, hints[0]) + 1 + screen_width(screen, hints[1]);
        if (col + (col > 0 ? 2 : 0) + width > area.cols)
            break;
        col += col > 0 ? 2 : 0;
        col = screen_text(screen, area, 0, col, STYLE_KEY, hints[0]);
        col = screen_text(screen, area, 0, col + 1, STYLE_DIM, hints[1]);
    }
}

static void draw_footer(struct screen *screen, struct rect area, const struct model *model,
                        const struct view_state *state)
{
    static const uint8_t target_keys[] = {
        KEY_QUIT, KEY_HELP, KEY_PAUSE, KEY_SORT, KEY_FILTER,   KEY_OPEN,    KEY_LEAKS, KEY_MARK,
        KEY_KIND, KEY_SAVE, KEY_CYCLE, KEY_SPAN, KEY_INTERVAL, KEY_CHARSET, KEYS_COUNT};
    static const uint8_t stack_keys[] = {KEY_CLOSE, KEY_SITE, KEY_SCROLL, KEY_QUIT, KEYS_COUNT};
    static const uint8_t log_keys[] = {KEY_QUIT, KEY_HELP,    KEY_PAUSE, KEY_PROGRAM,
                                       KEY_SPAN, KEY_CHARSET, KEYS_COUNT};
    static const uint8_t paused_keys[] = {KEY_QUIT, KEY_HELP, KEY_PAUSE, KEY_MOMENT, KEY_SPAN,
                                          KEY_SORT, KEY_OPEN, KEY_KIND,  KEYS_COUNT};
    const uint8_t *shown = !model->sites               ? log_keys
                           : state->pane == PANE_STACK ? stack_keys
                           : state->paused             ? paused_keys
                                                       : target_keys;
    if (state->typing) {
        screen_printf(screen, area, 0, 0, STYLE_BOLD, "filter: %s_", state->filter);
        screen_right(screen, area, 0, area.cols, STYLE_DIM, "enter keeps, esc clears");
    } else if (state->message[0] != '\0') {
        screen_text_cut(screen, area, 0, 0, STYLE_BOLD, state->message);
    } else {
        const char *hints[2 * KEYS_COUNT + 1] = {NULL};
        for (size_t i = 0; shown[i] < KEYS_COUNT; i++) {
            hints[2 * i] = keys[shown[i]].name;
            hints[2 * i + 1] = keys[shown[i]].word;
        }
        panel_draw_keys(screen, area, hints);
    }
}

#define PLACE(field)                                                                               \
    static struct rect place_##field(const struct layout *layout)                                  \
    {                                                                                              \
        return layout->field;                                                                      \
    }
PLACE(title)
PLACE(verdict)
PLACE(figures)
PLACE(heap)
PLACE(rate)
PLACE(pauses)
PLACE(sites)
PLACE(detail)
PLACE(lines)
PLACE(footer)

const struct panel panels[] = {
    {"title", place_title, draw_title},       {"verdict", place_verdict, draw_verdict},
    {"figures", place_figures, draw_figures}, {"heap", place_heap, panel_draw_heap},
    {"rate", place_rate, panel_draw_rate},    {"pauses", place_pauses, panel_draw_pauses},
    {"sites", place_sites, panel_draw_sites}, {"stack", place_detail, panel_draw_stack},
    {"lines", place_lines, draw_lines},       {"footer", place_footer, draw_footer},
};
const size_t panel_count = sizeof panels / sizeof panels[0];

struct layout panels_layout(const struct screen *screen, const struct model *model,
                            const struct view_state *state)
{
    return layout_make(
        screen->rows, screen->cols,
        (struct layout_parts){.sites = model->sites != NULL,
                              .cycles = model->trace->kept_count > 0,
                              .rate = model->sites != NULL,
                              .verdict = verdict_rows(screen, model),
                              .detail = state->pane == PANE_STACK,
                              .resident = model->resident && model->resident->parts.taken_ns != 0});
}

void panel_draw_too_small(struct screen *screen)
{
    screen_printf(screen, screen_all(screen), 0, 0, STYLE_BOLD,
                  "terminal too small: %dx%d, need %dx%d", screen->cols, screen->rows,
                  LAYOUT_MIN_COLS, LAYOUT_MIN_ROWS);
}

/* Draws a name and its meaning, in as many rows as that has lines.  Returns the row below. */
static int draw_help_line(struct screen *screen, struct rect area, int row, const char *name,
                          const char *text)
{
    screen_text(screen, area, row, 2, STYLE_KEY, name);
    for (size_t length; text[0] != '\0'; text += length + (text[length] == '\n')) {
        char line[80];
        length = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)length, text);
        screen_text_cut(screen, area, row++, 11, STYLE_NORMAL, line);
    }
    return row;
}

void panel_draw_help(struct screen *screen, struct rect area)
{
    static const char *const figures[][2] = {
        {"GROWTH", "bytes in use now less those a minute ago"},
        {"NEW", "until that is known: alive, born in the last minute"},
        {"~ ERROR", "an estimate from samples; its standard error, in use"},
        {"MAPPED", "address space that is still mapped; MMAP: all ever"},
        {"(N)", "N stacks lead there; callers are of the greatest"},
        {"-  <", "not known; at most, as nothing was published since"},
        {"lost", "counted; memtop -b TARGET says why and what to do"},
        {"H C G R",
         "heap in use, reachable at the last cycle,\ngoal of the next cycle, resident memory"},
    };
    screen_text(screen, area, 0, 0, STYLE_TITLE, "memtop " MEMDEBUG_VERSION "   any key goes back");
    int row = 2;
    for (size_t i = 0; i < KEYS_COUNT; i++)
        if (keys[i].help[0] != '\0')
            row = draw_help_line(screen, area, row, keys[i].help_name, keys[i].help);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        row = draw_help_line(screen, area, row, figures[i][0], figures[i][1]);
    if (row > area.rows) {
        struct rect last = area;
        last.row += area.rows - 1;
        last.rows = 1;
        screen_fill(screen, last, STYLE_NORMAL);
        screen_text_cut(screen, last, 0, 0, STYLE_DIM, "more: a larger window, or man memtop");
    }
}

void panels_draw(struct screen *screen, const struct model *model, const struct view_state *state)
{
    screen_fill(screen, screen_all(screen), STYLE_NORMAL);
    struct layout layout = panels_layout(screen, model, state);
    if (layout.too_small) {
        panel_draw_too_small(screen);
        return;
    }
    if (state->pane == PANE_HELP) {
        panel_draw_help(screen, screen_all(screen));
        return;
    }
    for (size_t i = 0; i < panel_count; i++) {
        struct rect area = panels[i].place(&layout);
        if (area.rows > 0 && area.cols > 0)
            panels[i].draw(screen, area, model, state);
    }
}
