/* The call sites, and the stack of the one under the cursor. */
#include "panel.h"

#include "series/site_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Shown in panels at least so wide, or when sorted by; in this order.  Once it is known what leaks,
 * that is worth more than how many objects there are. */
static const struct column {
    unsigned column;
    int from_width, from_width_leaks; /* and with leaks known */
} columns[] = {
    {SITES_BY_GROWTH, 0, 0},   {SITES_BY_INUSE, 0, 0},     {SITE_ERROR, 72, 72},
    {SITE_SHARE, 96, 104},     {SITES_BY_OBJECTS, 56, 96}, {SITES_BY_ALLOC, 90, 112},
    {SITES_BY_LEAKS, 120, 56},
};
/* Columns that a wrapper's name leaves to the callers. */
#define CALLERS_COLS 20
/* Of a function that is cut so that its position is whole, at least so much is shown. */
#define FUNCTION_COLS 12
enum { COLUMNS = sizeof columns / sizeof columns[0] };

static bool is_shown(const struct sites *sites, const struct column *column,
                     const struct rect *area, const struct view_state *state)
{
    int from = sites->leaks_known ? column->from_width_leaks : column->from_width;
    return site_has_column(sites, column->column) &&
           (area->cols >= from || column->column == state->order);
}

static enum style style_of(const struct sites *sites, const struct site *site, unsigned column)
{
    if (column == SITES_BY_GROWTH) {
        double growth = sites_key(sites, site, SITES_BY_GROWTH);
        /* Against all that is in use: a tenth more in a minute is bad, a hundredth worth a look. */
        return growth >= 0.1 * sites->inuse_bytes && growth > 0    ? STYLE_BAD
               : growth >= 0.01 * sites->inuse_bytes && growth > 0 ? STYLE_WARN
               : growth < 0                                        ? STYLE_HEAP
                                                                   : STYLE_NORMAL;
    }
    if (column == SITES_BY_LEAKS)
        return sites->leaks_known && site->leak_bytes > 0 ? STYLE_WARN : STYLE_DIM;
    return column == SITE_ERROR ? STYLE_DIM : STYLE_NORMAL;
}

/* "function file.c:12".  If there is not enough room, the function is cut; if hardly anything of it
 * were left, the position is left out.  Returns the column behind it. */
static int draw_place(struct screen *screen, struct rect area, int row, int col,
                      const char *function, enum style style, const char *place,
                      enum style place_style)
{
    int wanted = screen_width(screen, function);
    int left = area.cols - col - 1 - screen_width(screen, place);
    if (place[0] == '\0')
        return screen_text_cut(screen, area, row, col, style, function);
    if (left < wanted && left < FUNCTION_COLS) {
        char whole[SITE_NAME_SIZE];
        snprintf(whole, sizeof whole, "%s %s", function, place);
        return screen_text_cut(screen, area, row, col, style, whole);
    }
    struct rect part = {area.row, area.col, area.rows, col + (left < wanted ? left : wanted)};
    col = screen_text_cut(screen, part, row, col, style, function);
    return screen_text(screen, area, row, col + 1, place_style, place);
}

/* The width of the first bytes of a name. */
static int width_of(const struct screen *screen, const struct site_name *name, size_t bytes)
{
    char part[SITE_NAME_SIZE];
    snprintf(part, sizeof part, "%.*s", (int)bytes, name->text);
    return screen_width(screen, part);
}

/* A site's name: which wrapper it went through is said where that leaves room for its callers. */
static void draw_name(struct screen *screen, struct rect area, int row, int col,
                      const struct model *model, const struct site *site)
{
    struct site_name name;
    int room = area.cols - col;
    site_name_text(model->names, site, true, &name);
    int callers = screen_width(screen, name.text + name.callers);
    int kept = callers < CALLERS_COLS ? callers : CALLERS_COLS;
    if (width_of(screen, &name, name.callers) + kept > room)
        site_name_text(model->names, site, false, &name);
    int head = width_of(screen, &name, name.head);
    if (head > room) {
        char place[SITE_NAME_SIZE];
        snprintf(place, sizeof place, "%.*s", (int)(name.head - name.function),
                 name.text + name.function);
        name.text[name.function] = '\0';
        draw_place(screen, area, row, col, name.text, STYLE_NORMAL, place + (place[0] == ' '),
                   STYLE_NORMAL);
        return;
    }
    int end = screen_text_cut(screen, area, row, col, STYLE_NORMAL, name.text), behind = col + head;
    if (site->members > 1 && behind < end) /* the callers that follow are of the greatest of them */
        screen_restyle(screen, (struct rect){area.row + row, area.col + behind, 1, end - behind}, 0,
                       STYLE_DIM);
}

static void draw_row(struct screen *screen, struct rect area, int row, const struct model *model,
                     const struct view_state *state, const struct site *site)
{
    int col = 0;
    char text[SITE_FIGURE_SIZE];
    for (size_t i = 0; i < COLUMNS; i++) {
        unsigned column = columns[i].column;
        if (!is_shown(model->sites, &columns[i], &area, state))
            continue;
        site_column_text(model->sites, site, column, text);
        col += site_column_width(column);
        screen_right(screen, area, row, col, style_of(model->sites, site, column), text);
        col++;
    }
    draw_name(screen, area, row, col + 1, model, site);
}

/* Below so many rows of the table all are call sites. */
#define UNSAMPLED_ROWS_MIN 4

int panel_site_rows(struct rect area, const struct model *model)
{
    bool unsampled = model->sites && model->sites->kind == MD_BUCKET_HEAP &&
                     model->unsampled[0] != '\0' && area.rows >= UNSAMPLED_ROWS_MIN;
    return area.rows - 1 - unsampled;
}

void panel_draw_sites(struct screen *screen, struct rect area, const struct model *model,
                      const struct view_state *state)
{
    if (!model->sites || area.rows < 1)
        return;
    int col = 0;
    char text[SITE_HEADING_SIZE];
    for (size_t i = 0; i < COLUMNS; i++) {
        unsigned column = columns[i].column;
        if (!is_shown(model->sites, &columns[i], &area, state))
            continue;
        site_heading_text(model->sites, column, text);
        col += site_column_width(column);
        screen_right(screen, area, 0, col, state->order == column ? STYLE_SORTED : STYLE_DIM, text);
        col++;
    }
    col = screen_text(screen, area, 0, col + 1, STYLE_DIM, site_title_text(model->sites, text));
    if (state->filter[0] != '\0' || state->typing)
        screen_printf(screen, area, 0, col + 2, STYLE_WARN, "/%s%s", state->filter,
                      state->typing ? "_" : "");
    else if (state->row_count > 0)
        col = screen_printf(screen, area, 0, col + 1, STYLE_DIM, "(%zu)", state->row_count);
    if (state->order == SITES_BY_LEAKS && model->leaks_hint && state->row_count > 0 &&
        state->filter[0] == '\0' && !state->typing)
        screen_text_cut(screen, area, 0, col + 2, STYLE_WARN, model->leaks_hint);
    int rows = panel_site_rows(area, model);
    if (rows < area.rows - 1)
        screen_text_cut(screen, area, area.rows - 1, 2, STYLE_WARN, model->unsampled);
    if (state->row_count == 0) {
        screen_text(screen, area, 2, 2, STYLE_NORMAL,
                    state->filter[0] ? "No call site matches the filter: Esc clears it."
                    : model->hint    ? model->hint
                                     : "No samples yet.");
        return;
    }
    for (int row = 1; row <= rows; row++) {
        size_t place = state->first_row + (size_t)row - 1;
        if (place >= state->row_count)
            break;
        draw_row(screen, area, row, model, state, &model->sites->group[state->rows[place]]);
        if ((int)place == state->cursor)
            screen_restyle(screen, area, row, STYLE_SELECTED);
    }
}

/* "~1.50M (error 12%) in use, ~300K (error 30%) leaks, ~8.20M in all, ~1.0K/s; 12 live samples, 2s
 * to 3m12s old" */
static void draw_ages(struct screen *screen, struct rect area, const struct model *model,
                      const struct view_state *state, const struct site *site)
{
    const struct sites *sites = model->sites;
    char text[SITE_FIGURE_SIZE], figure[UNITS_SIZE], word[SITE_HEADING_SIZE], line[256];
    int n = 0;
    if (state->member_count > 1)
        n = snprintf(line, sizeof line, "stack %zu of %" PRIu32 ": ", state->member + 1,
                     sites->group[state->rows[state->cursor]].members);
    if (sites_has(sites, SITES_BY_INUSE)) {
        n += snprintf(line + n, sizeof line - (size_t)n, "%s ",
                      site_column_text(sites, site, SITES_BY_INUSE, text));
        if (site_has_column(sites, SITE_ERROR))
            n += snprintf(line + n, sizeof line - (size_t)n, "(error %s) ",
                          site_error_text(sites, site, SITES_BY_INUSE, figure));
        n += snprintf(line + n, sizeof line - (size_t)n, "%s, ", site_inuse_text(sites, word));
    }
    if (sites->leaks_known && site->leak_bytes > 0)
        n += snprintf(line + n, sizeof line - (size_t)n, "%s (error %s) leaks, ",
                      site_column_text(sites, site, SITES_BY_LEAKS, text),
                      site_error_text(sites, site, SITES_BY_LEAKS, figure));
    n += snprintf(line + n, sizeof line - (size_t)n, "%s in all",
                  site_column_text(sites, site, SITES_BY_ALLOC, text));
    if (!isnan(site->alloc_rate)) {
        units_bytes(figure, site->alloc_rate);
        n += snprintf(line + n, sizeof line - (size_t)n, ", %s/s",
                      site_figure_text(sites, site, figure, text));
    }
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

/* "  3 function dir/file.c:12 (inlined)".  If that is too long, the folder is left out first. */
static void draw_frame(struct screen *screen, struct rect area, int row, size_t number,
                       const struct name_frame *frame, enum style style)
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
    col = draw_place(screen, area, row, col, name, style, place,
                     frame->line > 0 && style != STYLE_DIM ? STYLE_TITLE : STYLE_DIM);
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
        draw_frame(screen, line, row, i, &names->frames[i],
                   i < names->first ? STYLE_DIM : STYLE_NORMAL);
    }
    if (!names->resolved)
        screen_right(screen, area, 0, area.cols, STYLE_DIM, reading);
    else if (symbolizer_missing())
        screen_right(screen, area, 0, area.cols, STYLE_DIM, symbolizer_missing());
    else if (goes_on)
        screen_right(screen, area, area.rows - 1, area.cols, STYLE_DIM, more);
}
