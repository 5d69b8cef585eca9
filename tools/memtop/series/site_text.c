#include "site_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

size_t site_name_text(const struct names *names, const struct site *site, char text[SITE_NAME_SIZE])
{
    const struct stack_names *found = names_find(names, site->stack);
    if (!found || !found->label) {
        snprintf(text, SITE_NAME_SIZE, "...");
        return 3;
    }
    const char *callers = found->label + found->head;
    if (site->members > 1)
        snprintf(text, SITE_NAME_SIZE, "%.*s (%" PRIu32 ")%s", (int)found->head, found->label,
                 site->members, callers);
    else
        snprintf(text, SITE_NAME_SIZE, "%s", found->label);
    return found->head;
}

char *site_figure_text(const struct sites *sites, const struct site *site,
                       const char figure[UNITS_SIZE], char text[SITE_FIGURE_SIZE])
{
    bool estimate = strcmp(figure, "-") != 0 && !sites_exact(sites, site);
    snprintf(text, SITE_FIGURE_SIZE, "%s%.*s", estimate ? "~" : "", UNITS_SIZE - 1, figure);
    return text;
}

char *site_error_text(const struct sites *sites, const struct site *site, char text[UNITS_SIZE])
{
    double error = sites_error(sites, site, site->inuse_variance);
    if (isnan(error) || (error > 0 && site->inuse_bytes <= 0))
        snprintf(text, UNITS_SIZE, "-");
    else
        snprintf(text, UNITS_SIZE, "%.0f%%",
                 error > 0 ? fmin(100 * error / site->inuse_bytes, 999) : 0);
    return text;
}
