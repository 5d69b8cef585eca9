/* tools/memtop/ui/layout.c and the panels, over every size: nothing overlaps, nothing leaves the
 * screen, what matters most is there. */
#include "ui/layout.h"
#include "ui/panel.h"
#include "support/tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PANELS = 10 };

static void rects(const struct layout *layout, struct rect out[PANELS])
{
    out[0] = layout->title;
    out[1] = layout->figures;
    out[2] = layout->heap;
    out[3] = layout->rate;
    out[4] = layout->pauses;
    out[5] = layout->sites;
    out[6] = layout->detail;
    out[7] = layout->lines;
    out[8] = layout->footer;
    out[9] = layout->verdict;
}

static bool there(struct rect r)
{
    return r.rows > 0 && r.cols > 0;
}

static bool apart(struct rect a, struct rect b)
{
    return !there(a) || !there(b) || a.row + a.rows <= b.row || b.row + b.rows <= a.row ||
           a.col + a.cols <= b.col || b.col + b.cols <= a.col;
}

static void test_all_sizes(void)
{
    bool inside = true, disjoint = true, named = true, sites_shown = true, small = true,
         edges = true;
    for (int rows = 1; rows <= 70; rows++)
        for (int cols = 1; cols <= 200; cols++)
            for (int bits = 0; bits < 64; bits++) {
                struct layout_parts parts = {bits & 1,  bits & 2,
                                             bits & 4,  bits & 8 ? 1 + bits % 2 : 0,
                                             bits & 16, bits & 32};
                struct layout layout = layout_make(rows, cols, parts);
                bool too_small = rows < LAYOUT_MIN_ROWS || cols < LAYOUT_MIN_COLS;
                small = small && layout.too_small == too_small;
                if (too_small)
                    continue;
                struct rect all[PANELS];
                rects(&layout, all);
                for (int i = 0; i < PANELS; i++) {
                    if (!there(all[i]))
                        continue;
                    inside = inside && all[i].row >= 0 && all[i].col >= 0 &&
                             all[i].row + all[i].rows <= rows && all[i].col + all[i].cols <= cols;
                    for (int k = 0; k < i; k++)
                        disjoint = disjoint && apart(all[i], all[k]);
                }
                named = named && there(layout.title) && there(layout.footer) &&
                        there(layout.verdict) == (parts.verdict > 0);
                edges = edges && layout.title.row == 0 && layout.footer.row == rows - 1;
                if (parts.sites && !parts.detail)
                    sites_shown = sites_shown && layout.sites.rows >= 4;
                if (parts.sites && parts.detail)
                    sites_shown = sites_shown && layout.sites.rows >= 1 && layout.detail.rows >= 2;
                if (!parts.sites)
                    sites_shown = sites_shown && there(layout.heap) && !there(layout.sites);
            }
    ok(inside, "no panel leaves the screen");
    ok(disjoint, "no two overlap");
    ok(named, "title and keys are always there, the verdict if there is one");
    ok(edges, "at the top and the bottom");
    ok(sites_shown, "a heading and three call sites, or a log's chart, are always there");
    ok(small, "below 40x10 it says so");
}

static void test_known_sizes(void)
{
    struct layout_parts parts = {.sites = true, .cycles = true, .rate = true, .resident = true};
    struct layout layout = layout_make(24, 80, parts);
    ok(there(layout.heap) && there(layout.pauses) && there(layout.rate) && there(layout.lines) &&
           layout.sites.rows >= 6,
       "80x24 has everything");
    layout = layout_make(15, 60, parts);
    ok(layout_make(24, 80, parts).figures.rows == 3 && layout.figures.rows == 1,
       "what is resident has a row where there is room");
    ok(there(layout.heap) && !there(layout.pauses) && layout.sites.rows >= 4, "60x15 drops panes");
}

/* The parts of a title are there whole or not at all, whatever the width. */
static void test_title(void)
{
    struct md_header header = {.options = "gctrace=1"};
    struct history history;
    struct trace trace;
    struct sites sites;
    history_init(&history, 2);
    trace_init(&trace, 812, "redis-server");
    sites_init(&sites, MD_BUCKET_HEAP);
    struct model model = {.identity = "812 redis-server",
                          .state = "live 3m12s",
                          .alive = true,
                          .header = &header,
                          .sites = &sites,
                          .history = &history,
                          .trace = &trace};
    struct view_state state = {.interval_seconds = 1, .span_seconds = 60, .cursor = -1};
    struct screen screen = {.charset = CHARSET_ASCII};
    static const char *const words[] = {"memtop", "812 redis-server", "live 3m12s", "gctrace=1",
                                        "every 1s"};
    bool whole = true, all = false, there = true;
    for (int paused = 0; paused < 2; paused++)
        for (int cols = LAYOUT_MIN_COLS; cols <= 120; cols++) {
            char row[121], *at = row;
            state.paused = paused;
            screen_resize(&screen, 12, cols);
            panels_draw(&screen, &model, &state);
            for (int col = 0; col < cols; col++)
                row[col] = (char)screen.cells[col].ch;
            row[cols] = '\0';
            there = there && strstr(row, words[1]) && strstr(row, words[2]);
            there = there && (!paused || strstr(row, "PAUSED"));
            /* nothing but the words, in their order */
            int found = 0;
            for (int i = 0; i < 5; i++) {
                const char *word = i == 4 && paused ? "PAUSED" : words[i];
                at += strspn(at, " ");
                if (strncmp(at, word, strlen(word)) == 0) {
                    at += strlen(word);
                    found++;
                }
            }
            whole = whole && at[strspn(at, " ")] == '\0';
            all = found == 5;
        }
    ok(there, "who and how it is are in every title, and that it is paused");
    ok(whole, "no part is cut or overwritten");
    ok(all, "a wide one has all");
    state.paused = false;
    snprintf(model.identity, sizeof model.identity, "4194304 a-name-that-is-thirty-one-long");
    snprintf(model.state, sizeof model.state, "stopped, up 3m12s");
    screen_resize(&screen, 12, 40);
    panels_draw(&screen, &model, &state);
    char row[41] = "";
    for (int col = 0; col < 40; col++)
        row[col] = (char)screen.cells[col].ch;
    if (!ok(strcmp(row, "4194304 a-name-that->  stopped, up 3m12s") == 0,
            "a long name is cut, with a mark"))
        tap_print("# got %s", row);
    screen_fini(&screen);
    history_fini(&history);
    trace_fini(&trace);
    sites_fini(&sites);
}

/* Draws a made-up model at every size with every pane: sanitizers watch. */
static void test_draws(void)
{
    struct history history;
    struct trace trace;
    struct sites sites;
    struct md_header header = {.version = MD_SEGMENT_VERSION};
    history_init(&history, 100);
    trace_init(&trace, 812, "redis-server");
    sites_init(&sites, MD_BUCKET_HEAP);
    for (int i = 0; i < 30; i++) {
        struct history_point point = history_blank((int64_t)i * 1000000000);
        for (int k = 0; k < HISTORY_SERIES_COUNT; k++)
            point.value[k] = i * 1e6;
        history_push(&history, &point);
        struct md_cycle cycle = {.number = (uint64_t)i + 1,
                                 .start_ns = (uint64_t)i * 1000000000,
                                 .stop1_ns = 100000,
                                 .heap_start_bytes = 1 << 20};
        if (i == 20)
            cycle = (struct md_cycle){.flags = MD_CYCLE_SKIPPED, .reason = "a task did not stop"};
        trace_add(&trace, &cycle);
    }
    struct model model = {.identity = "812 redis-server",
                          .state = "live 3m12s",
                          .alive = true,
                          .now_ns = 29000000000,
                          .header = &header,
                          .sites = &sites,
                          .history = &history,
                          .trace = &trace,
                          .alloc_rate = 1e6,
                          .free_rate = NAN,
                          .growth_bytes = 1e6,
                          .growth_seconds = 29};
    header.counters.lost_samples = 3;
    model.pauses = trace_pauses(&trace);
    struct view_state state = {.interval_seconds = 1, .span_seconds = 60, .cursor = -1};
    struct screen screen = {0};
    bool title = true;
    for (int rows = 1; rows <= 60; rows += rows < 26 ? 1 : 7)
        for (int cols = 1; cols <= 200; cols += 13)
            for (int bits = 0; bits < 12; bits++) {
                screen.charset = (enum charset)(CHARSET_BRAILLE + bits % 3);
                state.pane = (enum live_pane)(bits / 4);
                state.typing = bits == 5;
                model.sites = bits == 7 ? NULL : &sites;
                if (!screen_resize(&screen, rows, cols))
                    continue;
                panels_draw(&screen, &model, &state);
                if (rows >= 10 && cols >= 40) /* "memtop", or "812" where that has no room */
                    title = title && (screen.cells[0].ch == 'm' || screen.cells[0].ch == '8');
            }
    ok(title, "draws at every size");
    screen_fini(&screen);
    history_fini(&history);
    trace_fini(&trace);
    sites_fini(&sites);
}

/* Each kind's table says whose it is, and has the columns that mean something for it. */
static void test_columns(void)
{
    static const char *const wanted[MD_BUCKET_KINDS] = {
        [MD_BUCKET_HEAP] = "GROWTH 0s  IN USE ERROR     %  OBJECTS   ALLOC   LEAKS  HEAP CALL SITE",
        [MD_BUCKET_MMAP] = "GROWTH 0s  MAPPED     %    MMAP  MMAP CALL SITE",
        [MD_BUCKET_PEAK] = "GROWTH 0s    PEAK     %  OBJECTS  PEAK CALL SITE",
        [MD_BUCKET_PINNED] = "GROWTH 0s  PINNED     %  PINNED CALL SITE"};
    struct screen screen = {.charset = CHARSET_ASCII};
    screen_resize(&screen, 4, 130);
    for (int kind = MD_BUCKET_HEAP; kind < MD_BUCKET_KINDS; kind++) {
        struct sites sites;
        char row[131] = "";
        sites_init(&sites, (enum md_bucket_kind)kind);
        struct model model = {.sites = &sites};
        struct view_state state = {.cursor = -1};
        screen_fill(&screen, screen_all(&screen), STYLE_NORMAL);
        panel_draw_sites(&screen, screen_all(&screen), &model, &state);
        for (int col = 0; col < 130; col++)
            row[col] = (char)screen.cells[col].ch;
        for (int end = 130; end > 0 && row[end - 1] == ' '; end--)
            row[end - 1] = '\0';
        const char *shown = row + strspn(row, " ");
        if (!ok(strcmp(shown, wanted[kind]) == 0, "the columns of %s",
                profile_kind((enum md_bucket_kind)kind)->name))
            tap_print("# got %s", shown);
        sites_fini(&sites);
    }
    screen_fini(&screen);
}

static void row_text(const struct screen *screen, int row, char text[121])
{
    int end = 0;
    for (int col = 0; col < screen->cols; col++) {
        uint32_t ch = screen->cells[row * screen->cols + col].ch;
        text[col] = ch < 128 ? (char)ch : '?';
        end = ch == ' ' ? end : col + 1;
    }
    text[end] = '\0';
}

/* A verdict that one row has no room for goes on in a second, where the screen has some. */
static void test_verdict(void)
{
    static const struct {
        int rows, cols;
        const char *first, *second;
    } wanted[] = {
        {24, 60, "RSS +14.0 MB in 60 s, heap flat: 90 % fragmentation (free",
         "  space in partly used slabs)"},
        {24, 90,
         "RSS +14.0 MB in 60 s, heap flat: 90 % fragmentation (free space in partly used slabs)",
         NULL},
        {21, 60, "RSS +14.0 MB in 60 s, heap flat: 90 % fragmentation (free s>", NULL}};
    struct md_header header = {.version = MD_SEGMENT_VERSION};
    struct history history;
    struct trace trace;
    struct sites sites;
    history_init(&history, 2);
    trace_init(&trace, 812, "redis-server");
    sites_init(&sites, MD_BUCKET_HEAP);
    struct model model = {.header = &header,
                          .sites = &sites,
                          .history = &history,
                          .trace = &trace,
                          .verdict = {.kind = VERDICT_KEPT,
                                      .part = VERDICT_SLACK,
                                      .growth_bytes = 14 << 20,
                                      .part_bytes = 0.9 * (14 << 20),
                                      .seconds = 60}};
    struct view_state state = {.cursor = -1};
    struct screen screen = {.charset = CHARSET_ASCII};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        char first[121], second[121];
        screen_resize(&screen, wanted[i].rows, wanted[i].cols);
        panels_draw(&screen, &model, &state);
        row_text(&screen, 1, first);
        row_text(&screen, 2, second);
        bool right = strcmp(first, wanted[i].first) == 0 &&
                     (wanted[i].second ? strcmp(second, wanted[i].second) == 0
                                       : strncmp(second, "heap", 4) == 0);
        if (!ok(right, "%dx%d: the verdict", wanted[i].cols, wanted[i].rows))
            tap_print("# got %s\n# and %s", first, second);
    }
    screen_fini(&screen);
    history_fini(&history);
    trace_fini(&trace);
    sites_fini(&sites);
}

int main(void)
{
    test_all_sizes();
    test_known_sizes();
    test_columns();
    test_title();
    test_draws();
    test_verdict();
    return tap_done();
}
