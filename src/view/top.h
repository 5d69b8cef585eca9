/* The table of functions with their flat and cum values, by the arithmetic of `go tool pprof -top`,
 * so that the two print the same numbers.
 *
 * flat: the sum of the samples whose leaf is the function; cum: of those that have it anywhere in
 * the stack, each counted once.  Functions are told apart by name, as pprof does by default.
 *
 * Standard errors are those of sampling.h.
 *
 * Memory: malloc.  Each object is used by one thread at a time. */
#ifndef VIEW_TOP_H
#define VIEW_TOP_H

#include "view/profile.h"

#include <stdio.h>

enum top_inline { TOP_NOT_INLINED, TOP_PARTLY_INLINED, TOP_INLINED };

struct top_row {
    const char *name; /* the profile's string, or "[module]" where there is no symbol */
    int64_t flat, cum;
    double flat_variance, cum_variance; /* 0: exact, or not an estimate that we know of */
    enum top_inline inlined;
};

struct top_options {
    double node_fraction; /* leave out functions whose cum is below this share; pprof: 0.005 */
    double edge_fraction; /* likewise of calls, which only say what is inlined; pprof: 0.001 */
    size_t count;         /* rows at most, 0: all */
    bool cum;             /* sort by cum */
    bool errors;          /* with standard errors, which pprof does not have */
};
#define TOP_OPTIONS_PPROF ((struct top_options){0.005, 0.001, 0, false, false})

struct top {
    struct top_row *rows;
    size_t row_count;
    size_t node_count;   /* functions before `count` cut them */
    size_t dropped;      /* functions below node_fraction */
    int64_t dropped_cum; /* node_fraction of `total`, which pprof shows as their bound */
    int64_t total;
    bool errors;             /* rows have errors: asked for, and the values are estimates */
    const char *type, *unit; /* of the sample type: the profile's strings */
    const char *output_unit; /* the unit that values are shown in: static, or `unit` */
    struct string_pool names;
};

/* Makes the table for sample type `index` of `p`, which must outlive it.  False: no memory, or no
 * such type.  top_fini may follow either way. */
bool top_build(struct top *top, const struct profile *p, int index,
               const struct top_options *options);
void top_fini(struct top *top);

/* A value in the table's unit, as pprof prints it, in any locale: "1.50MB", "512.03kB", "0". */
#define TOP_TEXT_SIZE 32
void top_value_text(const struct top *top, int64_t value, char text[TOP_TEXT_SIZE]);
/* "  100%", "12.34%", " 0.05%": six characters or more. */
void top_percent_text(int64_t value, int64_t total, char text[TOP_TEXT_SIZE]);

/* What `go tool pprof -top` prints, and the relative standard errors if there are any, from
 * "Showing nodes" on; with `header` also what comes before it (file, comments, type, time). */
void top_print(const struct top *top, const struct profile *p, bool header, FILE *out);

/* Chooses output_unit, as pprof's unit "minimum" does; for top_build.  (top_text.c) */
void top_select_unit(struct top *top);

#endif
