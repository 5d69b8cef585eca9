/* tools/memtop/ui/chart.c: numbers in, cells out. */
#include "ui/chart.h"
#include "support/tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 4, COLS = 8 };

static struct cell cells[ROWS * COLS];

static uint32_t at(int row, int col)
{
    return cells[row * COLS + col].ch;
}

static void draw(enum charset charset, enum chart_kind kind, const double *values)
{
    struct chart_series series = {values, kind, STYLE_HEAP, 'h'};
    chart_draw(cells, ROWS, COLS, charset, &series, 1, 100);
}

static void test_area(void)
{
    double values[2 * COLS];
    for (int i = 0; i < 2 * COLS; i++)
        values[i] = i < COLS ? 0 : 100;
    draw(CHARSET_BRAILLE, CHART_AREA, values);
    is(at(0, 3), ' ', "braille: nothing is blank");
    is(at(0, 4), 0x28ff, "braille: all is eight dots, to the top row");
    is(at(3, 7), 0x28ff, "and in the bottom row");
    for (int i = 0; i < COLS; i++)
        values[i] = 100.0 * i / (COLS - 1);
    draw(CHARSET_BLOCK, CHART_AREA, values);
    is(at(3, 0), ' ', "block: 0 is blank");
    is(at(0, 7), 0x2588, "block: the maximum is a full block in the top row");
    is(at(3, 1), 0x2580 + 5, "block: a seventh of four rows is five eighths of one");
    draw(CHARSET_ASCII, CHART_AREA, values);
    is(at(0, 7), '#', "ascii: full");
    is(at(3, 1), ':', "ascii: two thirds");
    bool plain = true;
    for (int i = 0; i < ROWS * COLS; i++)
        plain = plain && cells[i].ch < 0x7f;
    ok(plain, "ascii has nothing but ascii");
    values[0] = 1e-9;
    draw(CHARSET_BLOCK, CHART_AREA, values);
    is(at(3, 0), 0x2581, "what is not 0 is seen");
}

static void test_line(void)
{
    double values[2 * COLS];
    for (int i = 0; i < 2 * COLS; i++)
        values[i] = 50;
    draw(CHARSET_ASCII, CHART_LINE, values);
    is(at(2, 0), 'h', "ascii: a line is its series' letter");
    is(at(3, 0), ' ', "and nothing below");
    draw(CHARSET_BRAILLE, CHART_LINE, values);
    is(at(2, 0), 0x2809, "braille: one row of dots");
    values[8] = NAN;
    draw(CHARSET_BLOCK, CHART_LINE, values);
    is(at(2, 7), 0x2500, "block: a line before what is not known");
    for (int i = 0; i < 2 * COLS; i++)
        values[i] = NAN;
    draw(CHARSET_BRAILLE, CHART_LINE, values);
    bool blank = true;
    for (int i = 0; i < ROWS * COLS; i++)
        blank = blank && cells[i].ch == ' ';
    ok(blank, "what is not known is blank");
    /* A jump has no hole: each row between is crossed. */
    for (int i = 0; i < 2 * COLS; i++)
        values[i] = i < 7 ? 1 : 99;
    draw(CHARSET_BRAILLE, CHART_LINE, values);
    for (int row = 0; row < ROWS; row++)
        ok(at(row, 3) > 0x2800, "a jump crosses row %d", row);
}

static void test_scale(void)
{
    is(chart_ceiling(0, 1024), 1, "the ceiling of nothing");
    is(chart_ceiling(900 * 1024, 1024), 1000 * 1024, "900 KiB");
    is(chart_ceiling(5.5 * 1048576, 1024), 6 * 1048576, "5.5 MiB");
    is(chart_ceiling(1200, 1000), 1500, "1200");
    bool above = true;
    for (double value = 1; value < 1e18; value *= 1.07)
        above = above && chart_ceiling(value, 1024) >= value &&
                chart_ceiling(value, 1024) <= 2.1 * value;
    ok(above, "always at or above, never more than twice");
    is(chart_row(0, 4, 100), 3, "0 is in the bottom row");
    is(chart_row(100, 4, 100), 0, "the maximum in the top row");
    is(chart_row(1e9, 4, 100), 0, "what is above as well");
    is(chart_row(NAN, 4, 100), -1, "not known is nowhere");
    is(chart_points(CHARSET_BRAILLE, 10), 20, "braille has two values a column");
    is(chart_points(CHARSET_ASCII, 10), 10, "ascii one");
    is(chart_points(CHARSET_BLOCK, -3), 0, "no width, no values");
}

/* Any numbers into any size: nothing outside is written. */
static void test_hostile_values(void)
{
    static const double odd[] = {0, -1, 1e308, INFINITY, -INFINITY, NAN, 5e-324, 50};
    bool inside = true;
    for (int rows = 1; rows < 6; rows++)
        for (int cols = 1; cols < 20; cols++)
            for (int charset = CHARSET_BRAILLE; charset <= CHARSET_ASCII; charset++)
                for (int kind = CHART_AREA; kind <= CHART_LINE; kind++) {
                    struct cell *room = malloc((size_t)(rows * cols + 2) * sizeof room[0]);
                    double values[64];
                    for (int i = 0; i < 64; i++)
                        values[i] = odd[(i * 7 + rows + cols) % 8];
                    room[0].ch = room[rows * cols + 1].ch = 4711;
                    struct chart_series series = {values, (enum chart_kind)kind, STYLE_HEAP, 'x'};
                    chart_draw(room + 1, rows, cols, (enum charset)charset, &series, 1, 100);
                    inside = inside && room[0].ch == 4711 && room[rows * cols + 1].ch == 4711;
                    free(room);
                }
    ok(inside, "any numbers stay inside");
}

int main(void)
{
    test_area();
    test_line();
    test_scale();
    test_hostile_values();
    return tap_done();
}
