#include "site_text.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void site_name_text(const struct names *names, const struct site *site, bool via,
                    struct site_name *name)
{
    const struct stack_names *found = names_find(names, site->stack);
    if (!found || !found->label) {
        snprintf(name->text, sizeof name->text, "...");
        name->function = name->head = name->callers = 3;
        return;
    }
    int n = snprintf(name->text, sizeof name->text, "%.*s", (int)found->head, found->label);
    if (site->members > 1)
        n += snprintf(name->text + n, sizeof name->text - (size_t)n, " (%" PRIu32 ")",
                      site->members);
    if (via && found->via)
        n += snprintf(name->text + n, sizeof name->text - (size_t)n, " via %s", found->via);
    name->function = found->function;
    name->head = found->head;
    name->callers = (size_t)n;
    snprintf(name->text + n, sizeof name->text - (size_t)n, "%s", found->label + found->head);
}

char *site_figure_text(const struct sites *sites, const struct site *site,
                       const char figure[UNITS_SIZE], char text[SITE_FIGURE_SIZE])
{
    bool estimate = strcmp(figure, "-") != 0 && !sites_exact(sites, site);
    snprintf(text, SITE_FIGURE_SIZE, "%s%.*s", estimate ? "~" : "", UNITS_SIZE - 1, figure);
    return text;
}

char *site_error_text(const struct sites *sites, const struct site *site, enum site_order column,
                      char text[UNITS_SIZE])
{
    double error = sites_error(sites, site, sites_variance(sites, site, column));
    double figure = fabs(sites_key(sites, site, column));
    if (isnan(error) || (error > 0 && figure <= 0))
        snprintf(text, UNITS_SIZE, "-");
    else
        snprintf(text, UNITS_SIZE, "%.0f%%", error > 0 ? fmin(100 * error / figure, 999) : 0);
    return text;
}

bool site_has_column(const struct sites *sites, unsigned column)
{
    if (column == SITE_ERROR)
        return sites->sampled;
    return sites_has(sites, column == SITE_SHARE ? SITES_BY_INUSE : (enum site_order)column);
}

int site_column_width(unsigned column)
{
    static const int widths[SITE_COLUMNS] = {
        [SITES_BY_GROWTH] = 10, [SITES_BY_INUSE] = 7, [SITES_BY_OBJECTS] = 8, [SITES_BY_ALLOC] = 7,
        [SITES_BY_LEAKS] = 7,   [SITE_ERROR] = 5,     [SITE_SHARE] = 5};
    return widths[column];
}

/* A sample type without its unit: "alloc", "in use", "mapped". */
static char *type_text(const struct profile_value_rule *rule, char text[SITE_HEADING_SIZE])
{
    const char *type = rule ? rule->type.type : "", *unit = strrchr(type, '_');
    snprintf(text, SITE_HEADING_SIZE, "%.*s", unit ? (int)(unit - type) : (int)strlen(type), type);
    if (strcmp(text, "inuse") == 0)
        snprintf(text, SITE_HEADING_SIZE, "in use");
    return text;
}

static char *in_capitals(char text[SITE_HEADING_SIZE])
{
    for (char *c = text; *c != '\0'; c++)
        *c = (char)toupper((unsigned char)*c);
    return text;
}

char *site_heading_text(const struct sites *sites, unsigned column, char text[SITE_HEADING_SIZE])
{
    static const char *const fixed[SITE_COLUMNS] = {[SITES_BY_OBJECTS] = "OBJECTS",
                                                    [SITES_BY_LEAKS] = "LEAKS",
                                                    [SITE_ERROR] = "ERROR",
                                                    [SITE_SHARE] = "%"};
    char age[UNITS_SIZE], type[SITE_HEADING_SIZE];
    switch (column) {
    case SITES_BY_GROWTH:
        if (sites->marked_ns)
            snprintf(text, SITE_HEADING_SIZE, "SINCE %.4s", units_age(age, sites->growth_seconds));
        else if (sites_too_early(sites))
            snprintf(text, SITE_HEADING_SIZE, "NEW in 60s");
        else if (sites->growth_seconds >= SITES_WINDOW_SECONDS)
            snprintf(text, SITE_HEADING_SIZE, "GROWTH 60s");
        else
            snprintf(text, SITE_HEADING_SIZE, "GROWTH %.4s",
                     units_age(age, sites->growth_seconds + 0.5));
        return text;
    case SITES_BY_INUSE:
        return in_capitals(site_inuse_text(sites, text));
    case SITES_BY_ALLOC:
        type_text(sites->values.alloc_bytes, type);
        snprintf(text, SITE_HEADING_SIZE, "%s%.*s", sites->marked_ns ? "+" : "",
                 SITE_HEADING_SIZE - 2, type);
        return in_capitals(text);
    default:
        snprintf(text, SITE_HEADING_SIZE, "%s%s",
                 sites->marked_ns && column == SITES_BY_OBJECTS ? "+" : "",
                 column < SITE_COLUMNS ? fixed[column] : "");
        return text;
    }
}

/* What is a difference has its sign. */
static void signed_count(char figure[UNITS_SIZE], double count, bool difference)
{
    char text[UNITS_SIZE];
    units_count(text, fabs(count));
    snprintf(figure, UNITS_SIZE, "%s%.*s",
             count < 0                              ? "-"
             : difference && strcmp(text, "0") != 0 ? "+"
                                                    : "",
             UNITS_SIZE - 2, text);
}

char *site_column_text(const struct sites *sites, const struct site *site, unsigned column,
                       char text[SITE_FIGURE_SIZE])
{
    char figure[UNITS_SIZE] = "";
    switch (column) {
    case SITES_BY_GROWTH:
        units_growth(figure,
                     sites_growth_known(sites) ? sites_key(sites, site, SITES_BY_GROWTH) : NAN);
        break;
    case SITES_BY_INUSE:
        units_bytes(figure, site->inuse_bytes);
        break;
    case SITES_BY_OBJECTS:
        signed_count(figure, sites_key(sites, site, SITES_BY_OBJECTS), sites->marked_ns != 0);
        break;
    case SITES_BY_ALLOC:
        units_bytes(figure, fmax(sites_key(sites, site, SITES_BY_ALLOC), 0));
        break;
    case SITES_BY_LEAKS:
        units_bytes(figure, sites->leaks_known ? site->leak_bytes : NAN);
        break;
    case SITE_ERROR:
        site_error_text(sites, site, SITES_BY_INUSE, figure);
        snprintf(text, SITE_FIGURE_SIZE, "%s", figure);
        return text;
    case SITE_SHARE:
        text[0] = '\0';
        if (sites->inuse_bytes > 0)
            snprintf(text, SITE_FIGURE_SIZE, "%s%.0f%%", sites_exact(sites, site) ? "" : "~",
                     100 * site->inuse_bytes / sites->inuse_bytes);
        return text;
    default:
        break;
    }
    return site_figure_text(sites, site, figure, text);
}

char *site_inuse_text(const struct sites *sites, char text[SITE_HEADING_SIZE])
{
    return type_text(sites->values.inuse_bytes, text);
}

char *site_title_text(const struct sites *sites, char text[SITE_HEADING_SIZE])
{
    snprintf(text, SITE_HEADING_SIZE, "%.20s CALL SITE", profile_kind(sites->kind)->name);
    return in_capitals(text);
}
