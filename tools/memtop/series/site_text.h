/* A call site in words, the same on the screen and in text. */
#ifndef MEMTOP_SITE_TEXT_H
#define MEMTOP_SITE_TEXT_H

#include "names.h"
#include "sites.h"
#include "units.h"

/* Its name, "..." while that is not known; behind its head "(N)" where N stacks lead there: the
 * callers that follow are those of the greatest.  Returns the bytes of the head. */
#define SITE_NAME_SIZE 560
size_t site_name_text(const struct names *names, const struct site *site,
                      char text[SITE_NAME_SIZE]);
#define SITE_MERGED_NOTE "(N): N stacks lead there; the callers are those of the greatest"

/* One of its figures, as units.h writes it, with "~" before one that is not exact. */
#define SITE_FIGURE_SIZE (UNITS_SIZE + 1)
char *site_figure_text(const struct sites *sites, const struct site *site,
                       const char figure[UNITS_SIZE], char text[SITE_FIGURE_SIZE]);

/* The columns of a table of sites: those of enum site_order, and of what is in use the relative
 * standard error and the share of all. */
enum { SITE_ERROR = SITES_ORDERS, SITE_SHARE, SITE_COLUMNS };
/* Whether the kind has it: a column of no meaning is not shown. */
bool site_has_column(const struct sites *sites, unsigned column);
int site_column_width(unsigned column);
/* Its heading; "" for a column that is none. */
#define SITE_HEADING_SIZE 32
char *site_heading_text(const struct sites *sites, unsigned column, char text[SITE_HEADING_SIZE]);
/* What stands in it: "-" where that is not known. */
char *site_column_text(const struct sites *sites, const struct site *site, unsigned column,
                       char text[SITE_FIGURE_SIZE]);
/* What its kind calls that which is in use: "in use", "mapped". */
char *site_inuse_text(const struct sites *sites, char text[SITE_HEADING_SIZE]);
/* "HEAP CALL SITE": over the names. */
char *site_title_text(const struct sites *sites, char text[SITE_HEADING_SIZE]);

/* The relative standard error of what it has in use: "35%"; "-" where no sample tells. */
char *site_error_text(const struct sites *sites, const struct site *site, char text[UNITS_SIZE]);

#endif
