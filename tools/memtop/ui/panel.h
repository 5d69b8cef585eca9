/* The panels of the live view: descriptors, each with a function that draws the model into the
 * panel's rectangle.  Drawing changes cells alone. */
#ifndef MEMTOP_PANEL_H
#define MEMTOP_PANEL_H

#include "layout.h"
#include "view_state.h"
#include "series/model.h"

struct panel {
    const char *name;
    struct rect (*place)(const struct layout *layout);
    void (*draw)(struct screen *screen, struct rect area, const struct model *model,
                 const struct view_state *state);
};

extern const struct panel panels[];
extern const size_t panel_count;

/* Lays out and draws everything. */
void panels_draw(struct screen *screen, const struct model *model, const struct view_state *state);
struct layout panels_layout(const struct screen *screen, const struct model *model,
                            const struct view_state *state);

/* The help page: keys (keys.def), and what the figures mean. */
void panel_draw_help(struct screen *screen, struct rect area);
/* Shown alone when the screen is too small for anything else. */
void panel_draw_too_small(struct screen *screen);
/* Panels in files of their own: panel_sites.c, panel_charts.c. */
/* How many call sites the area has room for, beside the leaks that no sample names. */
int panel_site_rows(struct rect area, const struct model *model);
void panel_draw_sites(struct screen *screen, struct rect area, const struct model *model,
                      const struct view_state *state);
void panel_draw_stack(struct screen *screen, struct rect area, const struct model *model,
                      const struct view_state *state);
void panel_draw_heap(struct screen *screen, struct rect area, const struct model *model,
                     const struct view_state *state);
void panel_draw_rate(struct screen *screen, struct rect area, const struct model *model,
                     const struct view_state *state);
void panel_draw_pauses(struct screen *screen, struct rect area, const struct model *model,
                       const struct view_state *state);
/* A footer of keys: name, meaning, name, meaning, …, NULL.  Keys that do not fit are left out. */
void panel_draw_keys(struct screen *screen, struct rect area, const char *const *hints);

#endif
