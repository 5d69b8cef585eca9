/* tools/memtop/ui/screen.c: text into cells, whatever the text and wherever. */
#include "ui/screen.h"
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

static void cut_is(struct screen *screen, const char *text, const char *expected)
{
    screen_fill(screen, screen_all(screen), STYLE_NORMAL);
    screen_text_cut(screen, screen_all(screen), 0, 0, STYLE_NORMAL, text);
    row_is(screen, 0, expected);
}

/* '*' is the ellipsis, or an arrow. */
static void test_cut(void)
{
    struct screen screen = {.charset = CHARSET_BRAILLE};
    screen_resize(&screen, 1, 20);
    cut_is(&screen, "twenty columns whole", "twenty columns whole");
    cut_is(&screen, "more than twenty columns", "more than twenty co*");
    cut_is(&screen, "make_token sess.c:1", "make_token sess.c:1 ");
    cut_is(&screen, "make_token sessi.c:13", "make_token *        ");
    cut_is(&screen, "make_token session.c:131", "make_token *        ");
    cut_is(&screen, "make \xe2\x86\x90 renew_session:154", "make * renew_sessio*");
    cut_is(&screen, "make \xe2\x86\x90 renew_sess:3333", "make * renew_sess*  ");
    cut_is(&screen, "make \xe2\x86\x90 renew:3333 rest", "make * renew:3333 r*");
    cut_is(&screen, "std::vector::push_back:1184", "std::vector::push_b*");
    cut_is(&screen,
           "\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad"
           "\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad",
           "*_*_*_*_*_*_*_*_*_* ");
    screen.charset = CHARSET_ASCII;
    cut_is(&screen, "more than twenty columns", "more than twenty co>");
    cut_is(&screen, "", "                    ");
    struct rect none = {0, 20, 1, 0};
    screen_text_cut(&screen, none, 0, 0, STYLE_NORMAL, "no room");
    screen_fini(&screen);
}

int main(void)
{
    setlocale(LC_ALL, "C.UTF-8");
    test_cut();
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
