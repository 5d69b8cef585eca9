#include "screen.h"

#include "view/plain_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

bool screen_resize(struct screen *screen, int rows, int cols)
{
    if (rows < 0 || cols < 0 || rows > 4096 || cols > 4096)
        rows = cols = 0;
    if (rows != screen->rows || cols != screen->cols) {
        free(screen->cells);
        screen->cells = malloc((size_t)rows * (size_t)cols * sizeof screen->cells[0] + 1);
        screen->rows = screen->cells ? rows : 0;
        screen->cols = screen->cells ? cols : 0;
    }
    screen_fill(screen, screen_all(screen), STYLE_NORMAL);
    return screen->cells != NULL;
}

void screen_fini(struct screen *screen)
{
    free(screen->cells);
    screen->cells = NULL;
    screen->rows = screen->cols = 0;
}

struct rect screen_all(const struct screen *screen)
{
    return (struct rect){0, 0, screen->rows, screen->cols};
}

/* The cell, or NULL outside of the clip or the screen. */
static struct cell *at(struct screen *screen, struct rect clip, int row, int col)
{
    if (row < 0 || col < 0 || row >= clip.rows || col >= clip.cols)
        return NULL;
    row += clip.row;
    col += clip.col;
    if (row < 0 || col < 0 || row >= screen->rows || col >= screen->cols)
        return NULL;
    return &screen->cells[(size_t)row * (size_t)screen->cols + (size_t)col];
}

/* What stands for a character in ASCII. */
static uint32_t ascii_of(uint32_t ch)
{
    if (ch < 0x7f)
        return ch;
    switch (ch) {
    case 0x2190: /* arrows */
        return '<';
    case 0x2192:
        return '>';
    case 0x2500: /* lines */
        return '-';
    case 0x2502:
        return '|';
    case 0x2026: /* the ellipsis; ~ is for estimates */
        return '>';
    default:
        return '?';
    }
}

void screen_put(struct screen *screen, struct rect clip, int row, int col, uint32_t ch,
                enum style style)
{
    struct cell *cell = at(screen, clip, row, col);
    if (cell)
        *cell = (struct cell){screen->charset == CHARSET_ASCII ? ascii_of(ch) : ch, (uint8_t)style};
}

/* Takes one character off; '?' if it is none, or could control the terminal. */
static const unsigned char *decode(const unsigned char *text, uint32_t *ch)
{
    const char *at = (const char *)text;
    return text + plain_character(at, strnlen(at, 4), ch);
}

/* The columns that a character takes, which may be replaced; -1: a combining mark, not shown. */
static int columns(const struct screen *screen, uint32_t *ch)
{
    if (*ch < 0x7f)
        return 1;
    if (screen->charset == CHARSET_ASCII) {
        *ch = ascii_of(*ch);
        return 1;
    }
    int width = wcwidth((wchar_t)*ch);
    if (width < 0) {
        *ch = '?';
        return 1;
    }
    return width == 0 ? -1 : width;
}

int screen_text(struct screen *screen, struct rect clip, int row, int col, enum style style,
                const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0';) {
        uint32_t ch;
        p = decode(p, &ch);
        int width = columns(screen, &ch);
        if (width < 0)
            continue;
        if (width == 2 && col + 2 > clip.cols)
            ch = ' ';
        screen_put(screen, clip, row, col, ch, style);
        if (width == 2) {
            struct cell *right = at(screen, clip, row, col + 1);
            if (right)
                *right = (struct cell){0, (uint8_t)style};
        }
        col += width;
    }
    return col;
}

int screen_printf(struct screen *screen, struct rect clip, int row, int col, enum style style,
                  const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    return screen_text(screen, clip, row, col, style, line);
}

int screen_right(struct screen *screen, struct rect clip, int row, int end, enum style style,
                 const char *text)
{
    return screen_text(screen, clip, row, end - screen_width(screen, text), style, text);
}

void screen_fill(struct screen *screen, struct rect clip, enum style style)
{
    for (int row = 0; row < clip.rows; row++)
        for (int col = 0; col < clip.cols; col++)
            screen_put(screen, clip, row, col, ' ', style);
}

void screen_restyle(struct screen *screen, struct rect clip, int row, enum style style)
{
    for (int col = 0; col < clip.cols; col++) {
        struct cell *cell = at(screen, clip, row, col);
        if (cell)
            cell->style = (uint8_t)style;
    }
}

/* The length of "word:123", and of the word in it, if the text begins with such; else 0. */
static size_t position_length(const char *text, size_t *word)
{
    size_t length = strcspn(text, " "), digits = 0;
    while (digits < length && text[length - digits - 1] >= '0' && text[length - digits - 1] <= '9')
        digits++;
    if (digits == 0 || digits + 1 >= length || text[length - digits - 1] != ':')
        return 0;
    *word = length - digits - 1;
    return length;
}

size_t screen_fit(const struct screen *screen, const char *text, int cols)
{
    if (screen_width(screen, text) <= cols)
        return strlen(text);
    size_t fits = 0;
    int used = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0';) {
        uint32_t ch;
        p = decode(p, &ch);
        int width = columns(screen, &ch);
        used += width < 0 ? 0 : width;
        if (used > cols - 1)
            break;
        fits = (size_t)((const char *)p - text);
    }
    /* The word that the cut is in. */
    size_t start = fits, word;
    while (start > 0 && text[start - 1] != ' ')
        start--;
    if (position_length(text + start, &word) > fits - start) {
        /* A function may lose its end and its line; of a file nothing stays. */
        bool is_file = memchr(text + start, '.', word) && !memchr(text + start, '(', word);
        if (is_file)
            fits = start;
        else if (fits - start > word)
            fits = start + word;
    }
    return fits;
}

int screen_text_cut(struct screen *screen, struct rect clip, int row, int col, enum style style,
                    const char *text)
{
    size_t length = strlen(text), fits = screen_fit(screen, text, clip.cols - col);
    if (fits == length)
        return screen_text(screen, clip, row, col, style, text);
    char *part = strndup(text, fits);
    if (part)
        col = screen_text(screen, clip, row, col, style, part);
    free(part);
    screen_put(screen, clip, row, col, 0x2026, style);
    return col + 1;
}

int screen_width(const struct screen *screen, const char *text)
{
    int total = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0';) {
        uint32_t ch;
        p = decode(p, &ch);
        int width = columns(screen, &ch);
        total += width < 0 ? 0 : width;
    }
    return total;
}
