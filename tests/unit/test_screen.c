/* tools/memtop/screen.c: text into cells, whatever the text and wherever. */
#include "screen.h"
#include "support/tap.h"

#include <locale.h>
#include <string.h>

static void row_text(const struct screen *screen, int row, char *buffer)
{
    for (int col = 0; col < screen->cols; col++) {
        uint32_t ch = screen->cells[row * screen->cols + col].ch;
        buffer[col] = ch == 0 ? '_' : ch < 0x7f ? (char)ch : '*';
    }
    buffer[screen->cols] = '\0';
}

static void row_is(const struct screen *screen, int row, const char *expected)
{
    char text[128];
    row_text(screen, row, text);
    if (!ok(strcmp(text, expected) == 0, "'%s'", expected))
        tap_print("# got '%s'", text);
}

int main(void)
{
    setlocale(LC_ALL, "C.UTF-8");
    struct screen screen = {.charset = CHARSET_BRAILLE};
    screen_resize(&screen, 2, 10);
    struct rect all = screen_all(&screen), part = {0, 2, 1, 4};
    is(screen_text(&screen, all, 0, 0, STYLE_NORMAL, "abc"), 3, "the column behind the text");
    row_is(&screen, 0, "abc       ");
    screen_text(&screen, part, 0, 0, STYLE_NORMAL, "0123456789");
    row_is(&screen, 0, "ab0123    ");
    screen_text(&screen, part, 0, -2, STYLE_NORMAL, "xyz");
    row_is(&screen, 0, "abz123    ");
    screen_text(&screen, part, 5, 0, STYLE_NORMAL, "no");
    screen_right(&screen, all, 1, 10, STYLE_NORMAL, "end");
    row_is(&screen, 1, "       end");
    screen_fill(&screen, all, STYLE_NORMAL);
    is(screen_text(&screen, all, 0, 0, STYLE_NORMAL, "\xe4\xb8\xad!"), 3,
       "a wide character is two columns");
    row_is(&screen, 0, "*_!       ");
    screen_text(&screen, all, 0, 9, STYLE_NORMAL, "\xe4\xb8\xad");
    row_is(&screen, 0, "*_!       ");
    screen_text(&screen, all, 1, 0, STYLE_NORMAL, "a\033b\xff\xc0\x80 e\xcc\x81");
    row_is(&screen, 1, "a?b??? e  ");
    screen.charset = CHARSET_ASCII;
    screen_fill(&screen, all, STYLE_NORMAL);
    screen_text(&screen, all, 0, 0, STYLE_NORMAL, "a \xe2\x86\x90 \xc3\xbc");
    row_is(&screen, 0, "a < ?     ");
    screen_put(&screen, all, 1, 0, 0x28ff, STYLE_NORMAL);
    row_is(&screen, 1, "?         ");
    screen_resize(&screen, 0, 0);
    screen_text(&screen, screen_all(&screen), 0, 0, STYLE_NORMAL, "nothing");
    ok(!screen_resize(&screen, 100000, 100000) || screen.rows == 0, "an absurd size is no screen");
    screen_fini(&screen);
    return tap_done();
}
