/* Charts: numbers in, cells out.  Knows neither bytes nor processes nor terminals.
 *
 * An area is filled from the bottom, a line is one stroke; later series lie in front.  NAN is "not
 * known" and leaves a gap.  Braille has 2x4 dots a cell, blocks eight heights, ASCII three. */
#ifndef MEMTOP_CHART_H
#define MEMTOP_CHART_H

#include "screen.h"

#include <stddef.h>

enum chart_kind { CHART_AREA, CHART_LINE };

struct chart_series {
    const double *values; /* oldest first, as many as chart_points says */
    enum chart_kind kind;
    enum style style;
    char mark; /* the letter that stands for it: on the right edge, and as stroke in ASCII */
};

/* How many values a chart of this width takes. */
size_t chart_points(enum charset charset, int cols);

/* Draws `count` series of chart_points(charset, cols) values each into `cells`, rows x cols, row
 * by row from the top.  `high` > 0 is the value of the top edge, 0 the bottom. */
void chart_draw(struct cell *cells, int rows, int cols, enum charset charset,
                const struct chart_series *series, size_t count, double high);

/* The row in which `value` lies, -1 if it is not known. */
int chart_row(double value, int rows, double high);

/* The largest known value, 0 if there is none. */
double chart_max(const double *values, size_t count);

/* The next round number at or above `value`, in powers of `base` (1024 bytes, 1000 else). */
double chart_ceiling(double value, double base);

#endif
