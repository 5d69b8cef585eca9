/* Charts: numbers in, cells out.  Pure.
 *
 * An area is filled from the bottom, a line is one stroke; later series are drawn over earlier
 * ones.  NAN means "not known" and leaves a gap.  A cell has 2x4 dots in braille, eight heights in
 * blocks, three in ASCII. */
#ifndef MEMTOP_CHART_H
#define MEMTOP_CHART_H

#include "screen.h"

#include <stddef.h>

enum chart_kind { CHART_AREA, CHART_LINE };

struct chart_series {
    const double *values; /* oldest first, as many as chart_points says */
    enum chart_kind kind;
    enum style style;
    char mark; /* its letter, which is also the stroke of a line in ASCII */
};

/* How many values a chart of this width shows. */
size_t chart_points(enum charset charset, int cols);

/* Draws `count` series of chart_points(charset, cols) values each into `cells`, rows x cols, row
 * by row from the top.  `high` > 0 is the value of the top edge, 0 the bottom. */
void chart_draw(struct cell *cells, int rows, int cols, enum charset charset,
                const struct chart_series *series, size_t count, double high);

/* The row in which `value` lies, -1 if it is not known. */
int chart_row(double value, int rows, double high);

/* The largest known value, 0 if there is none. */
double chart_max(const double *values, size_t count);

/* The next round number at or above `value`: of bytes with `base` 1024, else 1000. */
double chart_ceiling(double value, double base);

#endif
