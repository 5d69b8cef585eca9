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

/* One of its figures, as units.h writes it, with "~" before an estimate. */
#define SITE_FIGURE_SIZE (UNITS_SIZE + 1)
char *site_figure_text(const struct sites *sites, const struct site *site,
                       const char figure[UNITS_SIZE], char text[SITE_FIGURE_SIZE]);
/* The relative standard error of what it has in use: "35%"; "-" where no sample tells. */
char *site_error_text(const struct sites *sites, const struct site *site, char text[UNITS_SIZE]);

#endif
