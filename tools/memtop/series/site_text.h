/* A call site as text, the same on the screen and in batch output.  Pure.  Functions return `text`,
 * if they return anything. */
#ifndef MEMTOP_SITE_TEXT_H
#define MEMTOP_SITE_TEXT_H

#include "names.h"
#include "sites.h"
#include "units.h"

/* Its label (names.h), "..." while that is not known, in parts: "function file.c:12", then "(N)" if
 * N stacks lead there, then the wrapper it called ("via ngx_alloc"), if `via`, then the callers,
 * which are those of the greatest stack. */
#define SITE_NAME_SIZE 800
struct site_name {
    char text[SITE_NAME_SIZE];
    size_t function, head, callers; /* bytes before " file.c:12", "(N)", the callers */
};
void site_name_text(const struct names *names, const struct site *site, bool via,
                    struct site_name *name);
#define SITE_MERGED_NOTE "(N): N stacks lead there; the callers are those of the greatest"

/* One of its figures, as units.h has written it, with "~" before it if it is not exact. */
#define SITE_FIGURE_SIZE (UNITS_SIZE + 1)
char *site_figure_text(const struct sites *sites, const struct site *site,
                       const char figure[UNITS_SIZE], char text[SITE_FIGURE_SIZE]);

/* The columns of a table of sites: enum site_order's, and of what is in use the relative standard
 * error and the share of the sum. */
enum { SITE_ERROR = SITES_ORDERS, SITE_SHARE, SITE_COLUMNS };
/* Whether the kind has the column; one that it has not is not shown. */
bool site_has_column(const struct sites *sites, unsigned column);
int site_column_width(unsigned column);
/* Its heading; "": there is no such column. */
#define SITE_HEADING_SIZE 32
char *site_heading_text(const struct sites *sites, unsigned column, char text[SITE_HEADING_SIZE]);
/* The site's figure in it; "-": it is not known. */
char *site_column_text(const struct sites *sites, const struct site *site, unsigned column,
                       char text[SITE_FIGURE_SIZE]);
/* The kind's word for what is in use: "in use", "mapped". */
char *site_inuse_text(const struct sites *sites, char text[SITE_HEADING_SIZE]);
/* The heading of the names, "HEAP CALL SITE". */
char *site_title_text(const struct sites *sites, char text[SITE_HEADING_SIZE]);

/* The relative standard error of the figure in a column of enum site_order, "35%"; "-": no sample
 * says. */
char *site_error_text(const struct sites *sites, const struct site *site, enum site_order column,
                      char text[UNITS_SIZE]);

#endif
