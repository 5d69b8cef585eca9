#include "layout.h"

static int min(int a, int b)
{
    return a < b ? a : b;
}

/* Cuts `rows` off the top of what is left. */
static struct rect cut(struct rect *rest, int rows)
{
    rows = min(rows, rest->rows);
    struct rect top = {rest->row, rest->col, rows, rest->cols};
    rest->row += rows;
    rest->rows -= rows;
    return top;
}

static struct rect cut_bottom(struct rect *rest, int rows)
{
    rows = min(rows, rest->rows);
    rest->rows -= rows;
    return (struct rect){rest->row + rest->rows, rest->col, rows, rest->cols};
}

/* Splits the charts' band: the heap gets two thirds, or all if the rest would be too narrow. */
static void split_charts(struct layout *layout, struct rect band, struct layout_parts parts)
{
    layout->heap = band;
    if (band.cols < 72 || band.rows < 3 || !(parts.cycles || parts.rate))
        return;
    int side = band.cols / 3;
    layout->heap.cols = band.cols - side - 1;
    struct rect right = {band.row, band.col + band.cols - side, band.rows, side};
    if (parts.cycles && parts.rate && band.rows >= 6) {
        layout->rate = cut(&right, right.rows / 2);
        layout->pauses = right;
    } else {
        *(parts.cycles ? &layout->pauses : &layout->rate) = right;
    }
}

struct layout layout_make(int rows, int cols, struct layout_parts parts)
{
    struct layout layout = {0};
    struct rect rest = {0, 0, rows, cols};
    if (rows < LAYOUT_MIN_ROWS || cols < LAYOUT_MIN_COLS) {
        layout.too_small = true;
        return layout;
    }
    layout.title = cut(&rest, 1);
    if (parts.verdict)
        layout.verdict = cut(&rest, rows >= 22 ? parts.verdict : 1);
    layout.footer = cut_bottom(&rest, 1);
    layout.figures = cut(&rest, rows < 18 ? 1 : parts.resident && rows >= 22 ? 3 : 2);

    if (parts.cycles && rows >= 18)
        layout.lines = cut_bottom(&rest, rows >= 50 ? 9 : rows >= 30 ? 6 : rows >= 22 ? 4 : 2);
    if (!parts.sites) { /* a log: the charts take what there is */
        split_charts(&layout, rest, parts);
        return layout;
    }
    if (parts.detail) {
        int stack = rest.rows * 2 / 5;
        layout.detail = cut_bottom(&rest, stack < 4 ? min(4, rest.rows / 2) : stack);
    }
    /* Call sites keep a heading and three rows. */
    int charts = rest.rows - 4 < 3 ? 0 : rest.rows * 9 / 20;
    if (charts < 3)
        charts = rest.rows - 4 >= 3 ? 3 : 0;
    if (charts > 16)
        charts = 16;
    if (charts > 0)
        split_charts(&layout, cut(&rest, charts), parts);
    layout.sites = rest;
    return layout;
}
