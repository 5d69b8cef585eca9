#include "chart.h"

#include <math.h>
#include <string.h>

size_t chart_points(enum charset charset, int cols)
{
    if (cols <= 0)
        return 0;
    return charset == CHARSET_BRAILLE ? 2 * (size_t)cols : (size_t)cols;
}

/* The height of a value, of the chart's `steps`.  What is above 0 has at least one: a small heap is
 * not an empty one. */
static int height(double value, int steps, double high)
{
    if (!(value > 0))
        return 0;
    double steps_high = value / high * steps;
    if (!(steps_high < steps))
        return steps;
    int rounded = (int)(steps_high + 0.5);
    return rounded < 1 ? 1 : rounded;
}

int chart_row(double value, int rows, double high)
{
    if (isnan(value) || rows <= 0 || !(high > 0))
        return -1;
    int steps = height(value, rows * 8, high);
    return rows - 1 - (steps > 0 ? (steps - 1) / 8 : 0);
}

double chart_max(const double *values, size_t count)
{
    double max = 0;
    for (size_t i = 0; i < count; i++)
        if (values[i] > max)
            max = values[i];
    return max;
}

double chart_ceiling(double value, double base)
{
    static const double steps[] = {1, 1.5, 2, 3, 4, 5, 6, 8};
    if (!(value > 1))
        return 1;
    if (!(value < 1e300))
        return value;
    double unit = 1;
    while (unit * base <= value)
        unit *= base;
    for (;; unit *= 10)
        for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
            if (steps[i] * unit >= value)
                return steps[i] * unit;
}

/* Braille's dots by (row from the top, column). */
static const uint8_t braille_dot[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};

static void dot(struct cell *cells, int rows, int cols, int x, int y, enum style style)
{
    struct cell *cell = &cells[(rows - 1 - y / 4) * cols + x / 2];
    if (cell->ch < 0x2800 || cell->ch > 0x28ff)
        cell->ch = 0x2800;
    cell->ch |= braille_dot[3 - y % 4][x % 2];
    cell->style = (uint8_t)style;
}

static void draw_braille(struct cell *cells, int rows, int cols, const struct chart_series *series,
                         double high)
{
    int before = 0; /* the height of the value on the left, as a line must have no holes */
    for (int x = 0; x < cols * 2; x++) {
        if (isnan(series->values[x])) {
            before = 0;
            continue;
        }
        int top = height(series->values[x], rows * 4, high);
        int from = top > 0 ? top - 1 : 0, to = from;
        if (series->kind == CHART_AREA) {
            from = 0;
            if (top == 0)
                continue;
        } else if (before > 0) {
            if (before - 1 < from)
                from = before;
            if (before - 1 > to)
                to = before - 2;
            if (from > to)
                from = to;
        }
        for (int y = from; y <= to; y++)
            dot(cells, rows, cols, x, y, series->style);
        before = top > 0 ? top : 1;
    }
}

/* Cells of eight (block) or three (ASCII) heights. */
static void draw_cells(struct cell *cells, int rows, int cols, enum charset charset,
                       const struct chart_series *series, double high)
{
    static const char ascii_part[] = " .:|";
    int parts = charset == CHARSET_BLOCK ? 8 : 3;
    for (int x = 0; x < cols; x++) {
        if (isnan(series->values[x]))
            continue;
        int top = height(series->values[x], rows * parts, high);
        if (series->kind == CHART_LINE) {
            int y = top > 0 ? (top - 1) / parts : 0;
            uint32_t stroke = charset == CHARSET_BLOCK ? 0x2500 : (unsigned char)series->mark;
            cells[(rows - 1 - y) * cols + x] = (struct cell){stroke, (uint8_t)series->style};
            continue;
        }
        for (int y = 0; y * parts < top; y++) {
            int part = top - y * parts < parts ? top - y * parts : parts;
            uint32_t ch = charset == CHARSET_BLOCK ? 0x2580 + (uint32_t)part
                          : part == parts          ? '#'
                                                   : (unsigned char)ascii_part[part];
            cells[(rows - 1 - y) * cols + x] = (struct cell){ch, (uint8_t)series->style};
        }
    }
}

void chart_draw(struct cell *cells, int rows, int cols, enum charset charset,
                const struct chart_series *series, size_t count, double high)
{
    if (rows <= 0 || cols <= 0)
        return;
    for (int i = 0; i < rows * cols; i++)
        cells[i] = (struct cell){' ', STYLE_NORMAL};
    if (!(high > 0))
        return;
    for (size_t i = 0; i < count; i++) {
        if (charset == CHARSET_BRAILLE)
            draw_braille(cells, rows, cols, &series[i], high);
        else
            draw_cells(cells, rows, cols, charset, &series[i], high);
    }
}
