/* The three charts of the live view: heap over time, allocation rate, pauses. */
#include "panel.h"

#include "chart.h"
#include "series/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A series of a chart. */
struct curve {
    enum history_series series;
    enum chart_kind kind;
    enum style style;
    char mark;
    const char *name;
};

struct axis {
    units_function *units; /* of values in the caption */
    units_function *scale; /* of the axis, in five columns */
    double base;           /* of its round numbers (chart_ceiling) */
    const char *note;      /* on the right of the caption */
};

static char *bytes_a_second(char buffer[static UNITS_SIZE], double value)
{
    char bytes[UNITS_SIZE];
    units_bytes(bytes, value);
    snprintf(buffer, UNITS_SIZE, "%.16s%s", bytes, bytes[0] == '-' ? "" : "/s");
    return buffer;
}

/* "H heap 53.2M  C reachable 40.0M": each curve's mark in its colour, its name and, with `values`,
 * its last value.  Returns the width; without `draw` that is all. */
static int caption(struct screen *screen, struct rect area, const struct history *history,
                   int64_t end_ns, const struct curve *curves, size_t count, units_function *units,
                   bool values, bool draw)
{
    int col = 0;
    for (size_t i = 0; i < count; i++) {
        char value[UNITS_SIZE], text[64];
        double last = history_value(history, curves[i].series, end_ns);
        if (isnan(last) && i > 0)
            continue;
        col += col > 0 ? 2 : 0;
        if (count > 1 && draw)
            screen_put(screen, area, 0, col, (unsigned char)curves[i].mark, curves[i].style);
        col += count > 1 ? 2 : 0;
        snprintf(text, sizeof text, "%s%s%s", curves[i].name, values ? " " : "",
                 values ? units(value, last) : "");
        if (draw)
            screen_text(screen, area, 0, col, STYLE_NORMAL, text);
        col += screen_width(screen, text);
    }
    return col;
}

/* The moment that is looked at, `at` of the width from the left. */
static void draw_moment(struct screen *screen, struct rect body, double at, enum style style)
{
    int col = (int)(at * body.cols);
    col = col < 0 ? 0 : col < body.cols ? col : body.cols - 1;
    for (int row = 0; row < body.rows; row++)
        screen_restyle(screen, (struct rect){body.row + row, body.col + col, 1, 1}, 0, style);
}

/* A chart of the last span_seconds, with caption, the axis on the left and the curves' marks on the
 * right. */
static void draw_curves(struct screen *screen, struct rect area, const struct model *model,
                        const struct view_state *state, const struct curve *curves, size_t count,
                        const struct axis *axis)
{
    enum { SCALE = 5, SERIES_MAX = 5 };
    int64_t end_ns = view_end(state, model->now_ns), moment_ns = view_moment(state, model->now_ns);
    struct rect head = {area.row, area.col, 1, area.cols - screen_width(screen, axis->note) - 1};
    bool with_values = caption(screen, head, model->history, moment_ns, curves, count, axis->units,
                               true, false) <= head.cols;
    caption(screen, head, model->history, moment_ns, curves, count, axis->units, with_values, true);
    screen_right(screen, area, 0, area.cols, STYLE_DIM, axis->note);
    struct rect body = {area.row + 1, area.col + SCALE + 1, area.rows - 1, area.cols - SCALE - 2};
    if (body.rows < 1 || body.cols < 4)
        return;
    size_t points = chart_points(screen->charset, body.cols);
    double *values = malloc(points * count * sizeof values[0]);
    struct cell *cells = malloc((size_t)body.rows * (size_t)body.cols * sizeof cells[0]);
    if (!values || !cells) {
        free(values);
        free(cells);
        return;
    }
    struct chart_series series[SERIES_MAX];
    double max = 0;
    for (size_t i = 0; i < count; i++) {
        double *out = values + i * points;
        history_window(model->history, curves[i].series, end_ns,
                       (int64_t)(state->span_seconds * 1e9), out, points);
        series[i] = (struct chart_series){out, curves[i].kind, curves[i].style, curves[i].mark};
        max = fmax(max, chart_max(out, points));
    }
    double high = chart_ceiling(max * 1.02, axis->base);
    chart_draw(cells, body.rows, body.cols, screen->charset, series, count, high);
    for (int row = 0; row < body.rows; row++)
        for (int col = 0; col < body.cols; col++) {
            struct cell cell = cells[row * body.cols + col];
            screen_put(screen, body, row, col, cell.ch, cell.style);
        }
    double marked = 1 - (double)(end_ns - model->marked_ns) / 1e9 / state->span_seconds;
    if (model->marked_ns && marked >= 0 && marked <= 1)
        draw_moment(screen, body, marked, STYLE_SORTED);
    if (moment_ns < end_ns)
        draw_moment(screen, body, 1 - (double)(end_ns - moment_ns) / 1e9 / state->span_seconds,
                    STYLE_SELECTED);
    char label[UNITS_SIZE];
    if (max > 0)
        screen_right(screen, area, 1, SCALE, STYLE_DIM, axis->scale(label, high));
    if (body.rows > 1)
        screen_right(screen, area, body.rows, SCALE, STYLE_DIM, "0");
    for (int row = 0; row < body.rows; row++)
        screen_put(screen, area, row + 1, SCALE, 0x2502, STYLE_DIM);
    if (count > 1)
        for (size_t i = 0; i < count; i++) {
            int row = chart_row(values[i * points + points - 1], body.rows, high);
            if (row >= 0)
                screen_put(screen, area, row + 1, area.cols - 1, (unsigned char)curves[i].mark,
                           curves[i].style);
        }
    free(values);
    free(cells);
}

void panel_draw_heap(struct screen *screen, struct rect area, const struct model *model,
                     const struct view_state *state)
{
    static const struct curve curves[] = {
        {HISTORY_HEAP, CHART_AREA, STYLE_HEAP, 'H', "heap"},
        {HISTORY_REACHABLE, CHART_LINE, STYLE_REACHABLE, 'C', "reachable"},
        {HISTORY_GOAL, CHART_LINE, STYLE_GOAL, 'G', "goal"},
        {HISTORY_RSS, CHART_LINE, STYLE_RSS, 'R', "rss"},
    };
    char note[32];
    double span = state->span_seconds;
    bool hours = span >= 7200, days = span > 86400;
    double unit = days ? 86400 : hours ? 3600 : 60;
    if (span < 120)
        snprintf(note, sizeof note, "last %.0fs", span);
    else
        snprintf(note, sizeof note, "last %.*f%c", fmod(span, unit) < 1 ? 0 : 1, span / unit,
                 days    ? 'd'
                 : hours ? 'h'
                         : 'm');
    draw_curves(screen, area, model, state, curves, sizeof curves / sizeof curves[0],
                &(struct axis){units_bytes, units_bytes, 1024, note});
}

void panel_draw_rate(struct screen *screen, struct rect area, const struct model *model,
                     const struct view_state *state)
{
    static const struct curve curves[] = {
        {HISTORY_ALLOC_RATE, CHART_AREA, STYLE_RATE, 'A', "allocating"}};
    draw_curves(screen, area, model, state, curves, 1,
                &(struct axis){bytes_a_second, units_bytes, 1024, ""});
}

void panel_draw_pauses(struct screen *screen, struct rect area, const struct model *model,
                       const struct view_state *state)
{
    static const struct curve curves[] = {{HISTORY_PAUSE, CHART_AREA, STYLE_PAUSE, 'P', "pause"}};
    char max[UNITS_SIZE], note[UNITS_SIZE + 8];
    snprintf(note, sizeof note, "max %s", units_pause(max, model->pauses.max_ns));
    draw_curves(screen, area, model, state, curves, 1,
                &(struct axis){units_pause, units_pause, 1000, note});
}
