/* The call sites, and the stack of the one under the cursor. */
#include "panel.h"

#include "series/site_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Columns that are not sorted by: of what is in use the relative standard error, the share. */
enum { COLUMN_ERROR = SITES_ORDERS, COLUMN_SHARE };

struct column {
    unsigned order; /* what sorting by it means, or COLUMN_* */
    int width;
    int from_width; /* shown in panels at least this wide, or when sorted by */
};

static const struct column columns[] = {
    {SITES_BY_GROWTH, 10, 0}, {SITES_BY_INUSE, 7, 0},    {COLUMN_ERROR, 5, 72},
    {COLUMN_SHARE, 5, 96},    {SITES_BY_OBJECTS, 8, 56}, {SITES_BY_ALLOC, 7, 90},
    {SITES_BY_LEAKS, 7, 120},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

static bool is_shown(const struct column *column, const struct rect *area,
                     const struct view_state *state)
{
    return area->cols >= column->from_width || column->order == state->order;
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
    case COLUMN_ERROR:
        snprintf(buffer, size, "ERROR");
        break;
    case COLUMN_SHARE:
        snprintf(buffer, size, "%%");
        break;
    }
}

static enum style value(const struct sites *sites, const struct site *site,
                        const struct column *column, char buffer[SITE_FIGURE_SIZE])
{
    char text[UNITS_SIZE];
    buffer[0] = '\0';
    switch (column->order) {
    case SITES_BY_GROWTH: {
        double growth = sites_key(sites, site, SITES_BY_GROWTH);
        site_figure_text(sites, site, units_growth(text, growth), buffer);
        /* Against the whole heap: a tenth more in a minute is bad, a hundredth worth a look. */
        return growth >= 0.1 * sites->inuse_bytes && growth > 0    ? STYLE_BAD
               : growth >= 0.01 * sites->inuse_bytes && growth > 0 ? STYLE_WARN
               : growth < 0                                        ? STYLE_HEAP
                                                                   : STYLE_NORMAL;
    }
    case SITES_BY_INUSE:
        site_figure_text(sites, site, units_bytes(text, site->inuse_bytes), buffer);
        break;
    case SITES_BY_OBJECTS:
        site_figure_text(sites, site, units_count(text, site->inuse_objects), buffer);
        break;
    case SITES_BY_ALLOC:
        site_figure_text(sites, site, units_bytes(text, site->alloc_bytes), buffer);
        break;
    case SITES_BY_LEAKS:
        units_bytes(text, sites->leaks_known ? site->leak_bytes : NAN);
        site_figure_text(sites, site, text, buffer);
        return sites->leaks_known && site->leak_bytes > 0 ? STYLE_WARN : STYLE_DIM;
    case COLUMN_ERROR:
        site_error_text(sites, site, text);
        snprintf(buffer, SITE_FIGURE_SIZE, "%s", text);
        return STYLE_DIM;
    case COLUMN_SHARE:
        if (sites->inuse_bytes > 0)
            snprintf(buffer, SITE_FIGURE_SIZE, "%.0f%%",
                     100 * site->inuse_bytes / sites->inuse_bytes);
        break;
    }
    return STYLE_NORMAL;
}

static void draw_row(struct screen *screen, struct rect area, int row, const struct model *model,
                     const struct view_state *state, const struct site *site)
{
    int col = 0;
    char text[SITE_FIGURE_SIZE], name[SITE_NAME_SIZE];
    for (size_t i = 0; i < COLUMNS; i++) {
        if (!is_shown(&columns[i], &area, state))
            continue;
        enum style style = value(model->sites, site, &columns[i], text);
        col += columns[i].width;
        screen_right(screen, area, row, col, style, text);
        col++;
    }
    col++;
    size_t head = site_name_text(model->names, site, name);
    int end = screen_text_cut(screen, area, row, col, STYLE_NORMAL, name);
    if (site->members > 1) { /* the callers that follow are of the greatest of them */
        name[head] = '\0';
        int behind = col + screen_width(screen, name);
        if (behind < end)
            screen_restyle(screen,
                           (struct rect){area.row + row, area.col + behind, 1, end - behind}, 0,
                           STYLE_DIM);
    }
}

void panel_draw_sites(struct screen *screen, struct rect area, const struct model *model,
                      const struct view_state *state)
{
    if (!model->sites || area.rows < 1)
        return;
    int col = 0;
    char text[64];
    for (size_t i = 0; i < COLUMNS; i++) {
        if (!is_shown(&columns[i], &area, state))
            continue;
        heading(model->sites, &columns[i], text, sizeof text);
        col += columns[i].width;
        screen_right(screen, area, 0, col,
                     state->order == columns[i].order ? STYLE_SORTED : STYLE_DIM, text);
        col++;
    }
    col = screen_text(screen, area, 0, col + 1, STYLE_DIM, "CALL SITE");
    if (state->filter[0] != '\0' || state->typing)
        screen_printf(screen, area, 0, col + 2, STYLE_WARN, "/%s%s", state->filter,
                      state->typing ? "_" : "");
    else if (state->row_count > 0)
        col = screen_printf(screen, area, 0, col + 1, STYLE_DIM, "(%zu)", state->row_count);
    if (state->order == SITES_BY_LEAKS && model->leaks_hint && state->row_count > 0 &&
        state->filter[0] == '\0' && !state->typing)
        screen_text_cut(screen, area, 0, col + 2, STYLE_WARN, model->leaks_hint);
    if (state->row_count == 0) {
        screen_text(screen, area, 2, 2, STYLE_NORMAL,
                    state->filter[0] ? "No call site matches the filter: Esc clears it."
                    : model->hint    ? model->hint
                                     : "No samples yet.");
        return;
    }
    for (int row = 1; row < area.rows; row++) {
        size_t place = state->first_row + (size_t)row - 1;
        if (place >= state->row_count)
            break;
        draw_row(screen, area, row, model, state, &model->sites->group[state->rows[place]]);
        if ((int)place == state->cursor)
            screen_restyle(screen, area, row, STYLE_SELECTED);
    }
}

/* "~1.50M (error 12%) in use, ~8.20M allocated, 1.0K/s; 12 live samples, 2s to 3m12s old" */
static void draw_ages(struct screen *screen, struct rect area, const struct model *model,
                      const struct view_state *state, const struct site *site)
{
    char inuse[UNITS_SIZE], alloc[UNITS_SIZE], rate[UNITS_SIZE], line[256];
    int n = 0;
    if (state->member_count > 1)
        n = snprintf(line, sizeof line, "stack %zu of %" PRIu32 ": ", state->member + 1,
                     model->sites->group[state->rows[state->cursor]].members);
    char held[SITE_FIGURE_SIZE], all[SITE_FIGURE_SIZE], speed[SITE_FIGURE_SIZE], error[UNITS_SIZE];
    units_bytes(inuse, site->inuse_bytes);
    units_bytes(alloc, site->alloc_bytes);
    units_bytes(rate, site->alloc_rate);
    n += snprintf(line + n, sizeof line - (size_t)n, "%s (error %s) in use, %s allocated",
                  site_figure_text(model->sites, site, inuse, held),
                  site_error_text(model->sites, site, error),
                  site_figure_text(model->sites, site, alloc, all));
    if (!isnan(site->alloc_rate))
        n += snprintf(line + n, sizeof line - (size_t)n, ", %s/s",
                      site_figure_text(model->sites, site, rate, speed));
    if (site->live_samples > 0) {
        char oldest[UNITS_SIZE], newest[UNITS_SIZE];
        double now = (double)(model->now_ns - (int64_t)model->header->start_ns) / 1e9;
        units_age(oldest, now - site->oldest_ds / 10.0);
        units_age(newest, now - site->newest_ds / 10.0);
        snprintf(line + n, sizeof line - (size_t)n, "; %" PRIu32 " live sample%s, %s to %s old",
                 site->live_samples, site->live_samples == 1 ? "" : "s", newest, oldest);
    }
    screen_text_cut(screen, area, 0, 0, STYLE_BOLD, line);
}

/* "  3 function dir/file.c:12 (inlined)".  Where that is too long the folder goes first, then the
 * function's end; the place stays whole, or is not there. */
static void draw_frame(struct screen *screen, struct rect area, int row, size_t number,
                       const struct name_frame *frame)
{
    char function[64], place[600] = "";
    const char *name = frame->function, *slash = strrchr(frame->file, '/');
    if (name[0] == '\0') {
        snprintf(function, sizeof function, "%.40s+0x%" PRIx64,
                 frame->module[0] ? frame->module : "?", frame->address);
        name = function;
    }
    int col = screen_printf(screen, area, row, 0, STYLE_DIM, "%3zu ", number);
    int room = area.cols - col, wanted = screen_width(screen, name);
    if (frame->line > 0) {
        snprintf(place, sizeof place, "%.500s:%" PRIu32, frame->file, frame->line);
        if (wanted + 1 + screen_width(screen, place) > room && slash)
            snprintf(place, sizeof place, "%.500s:%" PRIu32, slash + 1, frame->line);
    } else if (frame->function[0] != '\0') {
        snprintf(place, sizeof place, "%.500s", frame->module);
    }
    int left = room - 1 - screen_width(screen, place);
    if (place[0] == '\0' || (left < wanted && left < 12)) {
        screen_text_cut(screen, area, row, col, STYLE_NORMAL, name);
        return;
    }
    struct rect part = {area.row, area.col, area.rows, col + (left < wanted ? left : wanted)};
    col = screen_text_cut(screen, part, row, col, STYLE_NORMAL, name);
    col = screen_text(screen, area, row, col + 1, frame->line > 0 ? STYLE_TITLE : STYLE_DIM, place);
    if (frame->inlined && col + 10 <= area.cols)
        screen_text(screen, area, row, col + 1, STYLE_DIM, "(inlined)");
}

void panel_draw_stack(struct screen *screen, struct rect area, const struct model *model,
                      const struct view_state *state)
{
    if (!model->sites || state->member >= state->member_count || state->cursor < 0)
        return;
    const struct site *site = &model->sites->site[state->members[state->member]];
    const struct stack_names *names = names_find(model->names, site->stack);
    draw_ages(screen, area, model, state, site);
    if (!names)
        return;
    static const char reading[] = " reading symbols...", more[] = " more: PgDn";
    bool goes_on = state->stack_scroll + (size_t)area.rows - 1 < names->frame_count;
    for (int row = 1; row < area.rows; row++) {
        size_t i = state->stack_scroll + (size_t)row - 1;
        if (i >= names->frame_count)
            break;
        struct rect line = area;
        if (goes_on && names->resolved && row == area.rows - 1)
            line.cols -= (int)sizeof more - 1;
        draw_frame(screen, line, row, i, &names->frames[i]);
    }
    if (!names->resolved)
        screen_right(screen, area, 0, area.cols, STYLE_DIM, reading);
    else if (symbolizer_missing())
        screen_right(screen, area, 0, area.cols, STYLE_DIM, symbolizer_missing());
    else if (goes_on)
        screen_right(screen, area, area.rows - 1, area.cols, STYLE_DIM, more);
}
