/* The picture: a rectangle of cells that every widget draws into and that nothing but term.c shows.
 * Because it is plain memory, widgets can be tested without a terminal, and one place decides what
 * a terminal without UTF-8 or colour gets. */
#ifndef MEMTOP_SCREEN_H
#define MEMTOP_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum charset { CHARSET_AUTO, CHARSET_BRAILLE, CHARSET_BLOCK, CHARSET_ASCII };

/* What a cell means; term.c knows how a terminal can say it. */
enum style {
    STYLE_NORMAL,
    STYLE_DIM,
    STYLE_BOLD,
    STYLE_TITLE,
    STYLE_HEAP,
    STYLE_REACHABLE,
    STYLE_GOAL,
    STYLE_RSS,
    STYLE_PAUSE,
    STYLE_RATE,
    STYLE_WARN,
    STYLE_BAD,
    STYLE_SORTED,   /* the heading of the column sorted by */
    STYLE_SELECTED, /* the row that the cursor is on */
    STYLE_BAR,      /* the footer */
    STYLE_KEY,      /* a key named in it */
    STYLE_COUNT
};

struct rect {
    int row, col, rows, cols; /* rows or cols 0: not there */
};

struct cell {
    uint32_t ch; /* a code point; 0: the right half of a wide one */
    uint8_t style;
};

struct screen {
    int rows, cols;
    enum charset charset; /* resolved: not CHARSET_AUTO; ASCII replaces what is not */
    struct cell *cells;
};

/* Sets the size and blanks it.  False without memory: the size is then 0. */
bool screen_resize(struct screen *screen, int rows, int cols);
void screen_fini(struct screen *screen);

struct rect screen_all(const struct screen *screen);

/* Both ignore what lies outside `clip` (and the screen).  Coordinates are clip's own. */
void screen_put(struct screen *screen, struct rect clip, int row, int col, uint32_t ch,
                enum style style);
/* UTF-8 text; bytes that are none, and controls, become '?'.  Returns the column behind it. */
int screen_text(struct screen *screen, struct rect clip, int row, int col, enum style style,
                const char *text);
/* The same; what does not fit into the clip ends in an ellipsis.  A place in a source ("file.c:12",
 * "caller:34") is there whole or not at all. */
int screen_text_cut(struct screen *screen, struct rect clip, int row, int col, enum style style,
                    const char *text);
/* How many bytes of the text fit into so many columns: all of them, or what leaves one column for
 * the ellipsis and cuts no place in two. */
size_t screen_fit(const struct screen *screen, const char *text, int cols);
int screen_printf(struct screen *screen, struct rect clip, int row, int col, enum style style,
                  const char *format, ...) __attribute__((format(printf, 6, 7)));
/* The same, ending before column `end`. */
int screen_right(struct screen *screen, struct rect clip, int row, int end, enum style style,
                 const char *text);
void screen_fill(struct screen *screen, struct rect clip, enum style style);
/* Gives cells of a row a style, keeping their characters. */
void screen_restyle(struct screen *screen, struct rect clip, int row, enum style style);
/* How many columns the text takes. */
int screen_width(const struct screen *screen, const char *text);

#endif
