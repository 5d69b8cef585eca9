/* The screen in memory: a rectangle of cells that panels draw into and term.c shows.  So panels can
 * be tested without a terminal, and what a terminal without UTF-8 gets is decided here alone. */
#ifndef MEMTOP_SCREEN_H
#define MEMTOP_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum charset { CHARSET_AUTO, CHARSET_BRAILLE, CHARSET_BLOCK, CHARSET_ASCII };

/* What a cell means; term.c knows how a terminal shows that. */
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
    STYLE_SORTED,   /* the heading of the column that is sorted by */
    STYLE_SELECTED, /* the row under the cursor */
    STYLE_KEY,      /* the name of a key */
    STYLE_COUNT
};

struct rect {
    int row, col, rows, cols; /* rows or cols 0: it is empty */
};

struct cell {
    uint32_t ch; /* a code point; 0: the right half of a wide one */
    uint8_t style;
};

struct screen {
    int rows, cols;
    enum charset charset; /* not CHARSET_AUTO; with ASCII other characters are replaced */
    struct cell *cells;
};

/* Sets the size and blanks the screen, which is zeroed at first.  False: no memory; the size is
 * then 0. */
bool screen_resize(struct screen *screen, int rows, int cols);
void screen_fini(struct screen *screen);

struct rect screen_all(const struct screen *screen);

/* All that draws ignores what lies outside `clip` or the screen.  Rows and columns count from
 * clip's corner. */
void screen_put(struct screen *screen, struct rect clip, int row, int col, uint32_t ch,
                enum style style);
/* UTF-8 text, cleaned (plain_text.h).  Returns the column behind it. */
int screen_text(struct screen *screen, struct rect clip, int row, int col, enum style style,
                const char *text);
/* The same, but text that does not fit into the clip is cut and ends in an ellipsis.  Of a position
 * in a source, "file.c:12", all is shown or nothing; "caller:34" loses its line first. */
int screen_text_cut(struct screen *screen, struct rect clip, int row, int col, enum style style,
                    const char *text);
/* How many bytes of the text screen_text_cut shows in so many columns. */
size_t screen_fit(const struct screen *screen, const char *text, int cols);
/* screen_text of a formatted line, of 1023 bytes at most. */
int screen_printf(struct screen *screen, struct rect clip, int row, int col, enum style style,
                  const char *format, ...) __attribute__((format(printf, 6, 7)));
/* screen_text that ends before column `end`. */
int screen_right(struct screen *screen, struct rect clip, int row, int end, enum style style,
                 const char *text);
void screen_fill(struct screen *screen, struct rect clip, enum style style);
/* Changes the style of a row's cells. */
void screen_restyle(struct screen *screen, struct rect clip, int row, enum style style);
/* How many columns the text takes. */
int screen_width(const struct screen *screen, const char *text);

#endif
