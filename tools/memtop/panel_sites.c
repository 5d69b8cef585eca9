/* The call sites, and the stack of the one under the cursor. */
#include "panel.h"

#include "units.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct column {
    enum site_order order; /* what sorting by it means; SITES_ORDERS: it is not sorted by */
    int width;
    int from_width; /* shown in panels at least this wide, or when sorted by */
};

static const struct column columns[] = {
    {SITES_BY_GROWTH, 10, 0},  {SITES_BY_INUSE, 7, 0},
    {SITES_ORDERS, 5, 96}, /* share of what is in use */
    {SITES_BY_OBJECTS, 8, 56}, {SITES_BY_ALLOC, 7, 90},
    {SITES_BY_LEAKS, 7, 120},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

static bool is_shown(const struct column *column, const struct rect *area, const struct wish *wish)
{
    return area->cols >= column->from_width || column->order == wish->order;
}

static void heading(const struct sites *sites, const struct column *column, char *buffer,
                    size_t size)
{
    char age[UNITS_SIZE];
    switch (column->order) {
    case SITES_BY_GROWTH:
        if (sites_too_early(sites))
            snprintf(buffer, size, "NEW in 60s");
        else
            snprintf(buffer, size, "GROWTH %.4s", units_age(age, sites->growth_seconds + 0.5));
        if (!sites_too_early(sites) && sites->growth_seconds >= SITES_WINDOW_SECONDS)
            snprintf(buffer, size, "GROWTH 60s");
        break;
    case SITES_BY_INUSE:
        snprintf(buffer, size, "IN USE");
        break;
    case SITES_BY_OBJECTS:
        snprintf(buffer, size, "OBJECTS");
        break;
    case SITES_BY_ALLOC:
        snprintf(buffer, size, "ALLOC");
        break;
    case SITES_BY_LEAKS:
        snprintf(buffer, size, "LEAKS");
        break;
    case SITES_ORDERS:
        snprintf(buffer, size, "%%");
        break;
    }
}

static enum style value(const struct sites *sites, const struct site *site,
                        const struct column *column, char *buffer, size_t size)
{
    char text[UNITS_SIZE];
    buffer[0] = '\0';
    switch (column->order) {
    case SITES_BY_GROWTH: {
        double growth = sites_key(sites, site, SITES_BY_GROWTH);
        snprintf(buffer, size, "%s", units_growth(text, growth));
        /* Against the whole heap: a tenth more in a minute is bad, a hundredth worth a look. */
        return growth >= 0.1 * sites->inuse_bytes && growth > 0    ? STYLE_BAD
               : growth >= 0.01 * sites->inuse_bytes && growth > 0 ? STYLE_WARN
               : growth < 0                                        ? STYLE_HEAP
                                                                   : STYLE_NORMAL;
    }
    case SITES_BY_INUSE:
        snprintf(buffer, size, "%s", units_bytes(text, site->inuse_bytes));
        break;
    case SITES_BY_OBJECTS:
        snprintf(buffer, size, "~%s", units_count(text, site->inuse_objects));
        break;
    case SITES_BY_ALLOC:
        snprintf(buffer, size, "%s", units_bytes(text, site->alloc_bytes));
        break;
    case SITES_BY_LEAKS:
        snprintf(buffer, size, "%s", units_bytes(text, site->leak_bytes));
        return site->leak_bytes > 0 ? STYLE_WARN : STYLE_DIM;
    case SITES_ORDERS:
        if (sites->inuse_bytes > 0)
            snprintf(buffer, size, "%.0f%%", 100 * site->inuse_bytes / sites->inuse_bytes);
        break;
    }
    return STYLE_NORMAL;
}

static void draw_row(struct screen *screen, struct rect area, int row, const struct model *model,
                     const struct wish *wish, const struct site *site)
{
    int col = 0;
    char text[64];
    for (size_t i = 0; i < COLUMNS; i++) {
        if (!is_shown(&columns[i], &area, wish))
            continue;
        enum style style = value(model->sites, site, &columns[i], text, sizeof text);
        col += columns[i].width;
        screen_right(screen, area, row, col, style, text);
        col++;
    }
    const struct stack_names *names = names_find(model->names, site->stack);
    if (!names || !names->label) {
        screen_text(screen, area, row, col + 1, STYLE_NORMAL, "...");
        return;
    }
    char head[320];
    snprintf(head, sizeof head, "%.*s", (int)names->head, names->label);
    col = screen_text(screen, area, row, col + 1, STYLE_NORMAL, head);
    if (site->members > 1) /* the callers that follow are of the greatest of them */
        col = screen_printf(screen, area, row, col, STYLE_DIM, " (%" PRIu32 ")", site->members);
    screen_text(screen, area, row, col, site->members > 1 ? STYLE_DIM : STYLE_NORMAL,
                names->label + names->head);
}

void panel_draw_sites(struct screen *screen, struct rect area, const struct model *model,
                      const struct wish *wish)
{
    if (!model->sites || area.rows < 1)
        return;
    int col = 0;
    char text[64];
    for (size_t i = 0; i < COLUMNS; i++) {
        if (!is_shown(&columns[i], &area, wish))
            continue;
        heading(model->sites, &columns[i], text, sizeof text);
        col += columns[i].width;
        screen_right(screen, area, 0, col,
                     wish->order == columns[i].order ? STYLE_SORTED : STYLE_DIM, text);
        col++;
    }
    col = screen_text(screen, area, 0, col + 1, STYLE_DIM, "CALL SITE");
    if (wish->filter[0] != '\0' || wish->typing)
        screen_printf(screen, area, 0, col + 2, STYLE_WARN, "/%s%s", wish->filter,
                      wish->typing ? "_" : "");
    else if (wish->row_count > 0)
        screen_printf(screen, area, 0, col + 1, STYLE_DIM, "(%zu)", wish->row_count);
    if (wish->row_count == 0) {
        screen_text(screen, area, 2, 2, STYLE_NORMAL,
                    wish->filter[0] ? "No call site matches the filter: Esc clears it."
                    : model->hint   ? model->hint
                                    : "No samples yet.");
        return;
    }
    for (int row = 1; row < area.rows; row++) {
        size_t place = wish->first_row + (size_t)row - 1;
        if (place >= wish->row_count)
            break;
        draw_row(screen, area, row, model, wish, &model->sites->group[wish->rows[place]]);
        if ((int)place == wish->cursor)
            screen_restyle(screen, area, row, STYLE_SELECTED);
    }
}

/* "1.50M in use, 8.20M allocated, 1.0K/s; 12 live samples, 2s to 3m12s old" */
static void draw_ages(struct screen *screen, struct rect area, const struct model *model,
                      const struct wish *wish, const struct site *site)
{
    char inuse[UNITS_SIZE], alloc[UNITS_SIZE], rate[UNITS_SIZE], line[256];
    int n = 0;
    if (wish->member_count > 1)
        n = snprintf(line, sizeof line, "stack %zu of %" PRIu32 ": ", wish->member + 1,
                     model->sites->group[wish->rows[wish->cursor]].members);
    n += snprintf(line + n, sizeof line - (size_t)n, "%s in use, %s allocated",
                  units_bytes(inuse, site->inuse_bytes), units_bytes(alloc, site->alloc_bytes));
    if (!isnan(site->alloc_rate))
        n += snprintf(line + n, sizeof line - (size_t)n, ", %s/s",
                      units_bytes(rate, site->alloc_rate));
    if (site->live_samples > 0) {
        char oldest[UNITS_SIZE], newest[UNITS_SIZE];
        double now = (double)(model->now_ns - (int64_t)model->header->start_ns) / 1e9;
        units_age(oldest, now - site->oldest_ds / 10.0);
        units_age(newest, now - site->newest_ds / 10.0);
        snprintf(line + n, sizeof line - (size_t)n, "; %" PRIu32 " live sample%s, %s to %s old",
                 site->live_samples, site->live_samples == 1 ? "" : "s", newest, oldest);
    }
    screen_text(screen, area, 0, 0, STYLE_BOLD, line);
}

void panel_draw_stack(struct screen *screen, struct rect area, const struct model *model,
                      const struct wish *wish)
{
    if (!model->sites || wish->member >= wish->member_count || wish->cursor < 0)
        return;
    const struct site *site = &model->sites->site[wish->members[wish->member]];
    const struct stack_names *names = names_find(model->names, site->stack);
    draw_ages(screen, area, model, wish, site);
    if (!names)
        return;
    for (int row = 1; row < area.rows; row++) {
        size_t i = wish->stack_scroll + (size_t)row - 1;
        if (i >= names->frame_count)
            break;
        const struct name_frame *frame = &names->frames[i];
        int col = screen_printf(screen, area, row, 0, STYLE_DIM, "%3zu ", i);
        if (frame->function[0] == '\0')
            col = screen_printf(screen, area, row, col, STYLE_NORMAL, "%s+0x%" PRIx64,
                                frame->module[0] ? frame->module : "?", frame->address);
        else
            col = screen_text(screen, area, row, col, STYLE_NORMAL, frame->function);
        if (frame->line > 0)
            col = screen_printf(screen, area, row, col + 1, STYLE_TITLE, "%s:%" PRIu32, frame->file,
                                frame->line);
        else if (frame->function[0] != '\0')
            col = screen_text(screen, area, row, col + 1, STYLE_DIM, frame->module);
        if (frame->inlined)
            screen_text(screen, area, row, col + 1, STYLE_DIM, "(inlined)");
    }
    if (!names->resolved)
        screen_right(screen, area, 0, area.cols, STYLE_DIM, " reading symbols...");
    else if (wish->stack_scroll + (size_t)area.rows - 1 < names->frame_count)
        screen_right(screen, area, area.rows - 1, area.cols, STYLE_DIM, " more: PgDn");
}
