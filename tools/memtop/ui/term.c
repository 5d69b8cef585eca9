#include "term.h"

#include "target/bus_error.h"

#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <ncursesw/term.h> /* <term.h> is ours */
#include <unistd.h>

static SCREEN *terminal;
static FILE *keyboard;
static volatile sig_atomic_t open_now, ended_by, resized, stopping, mouse_on;
static int click_row, click_col;
static attr_t attributes[STYLE_COUNT];
static short pairs[STYLE_COUNT];

/* Clicks as numbers (SGR): any column, and nothing that could be a character. */
static const char MOUSE_ON[] = "\033[?1000h\033[?1006h", MOUSE_OFF[] = "\033[?1006l\033[?1000l";
enum { KEY_SGR_MOUSE = KEY_MAX + 1 };

/* By one write, so that it also works in a signal handler. */
static void tell_terminal(const char *text)
{
    ssize_t n = write(STDOUT_FILENO, text, strlen(text));
    (void)n; /* it is gone: so is what it would have done */
}

static void on_stop(int number)
{
    (void)number;
    stopping = 1;
}

static void on_end(int number)
{
    ended_by = number;
}

static void on_resize(int number)
{
    (void)number;
    resized = 1;
}

/* At a crash: restores the terminal, then does what the signal would have done.  endwin is not
 * async-signal-safe, but the process is lost either way, and the terminal is the user's. */
static void on_crash(int number)
{
    if (open_now) {
        open_now = 0;
        if (mouse_on)
            tell_terminal(MOUSE_OFF);
        endwin();
    }
    signal(number, SIG_DFL);
    raise(number);
}

static void catch_signals(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    static const int crashes[] = {SIGSEGV, SIGABRT, SIGFPE, SIGILL};
    struct sigaction action = {.sa_handler = on_end};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        sigaction(ends[i], &action, NULL);
    action.sa_handler = on_resize;
    sigaction(SIGWINCH, &action, NULL);
    action.sa_handler = on_stop;
    sigaction(SIGTSTP, &action, NULL);
    action.sa_handler = on_crash;
    action.sa_flags = (int)SA_RESETHAND;
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++)
        sigaction(crashes[i], &action, NULL);
    bus_error_otherwise(on_crash);
    signal(SIGPIPE, SIG_IGN);
}

/* What styles look like: attributes without colour; attributes and a colour, of 256 or of 8. */
static void define_styles(bool color)
{
    static const struct {
        attr_t mono, with_color;
        short color256, color8;
    } looks[STYLE_COUNT] = {
        [STYLE_NORMAL] = {A_NORMAL, A_NORMAL, -1, -1},
        [STYLE_DIM] = {A_DIM, A_NORMAL, 245, -1},
        [STYLE_BOLD] = {A_BOLD, A_BOLD, -1, -1},
        [STYLE_TITLE] = {A_BOLD, A_BOLD, 39, COLOR_CYAN},
        [STYLE_HEAP] = {A_NORMAL, A_NORMAL, 71, COLOR_GREEN},
        [STYLE_REACHABLE] = {A_BOLD, A_NORMAL, 39, COLOR_CYAN},
        [STYLE_GOAL] = {A_DIM, A_NORMAL, 178, COLOR_YELLOW},
        [STYLE_RSS] = {A_BOLD, A_NORMAL, 170, COLOR_MAGENTA},
        [STYLE_PAUSE] = {A_NORMAL, A_NORMAL, 208, COLOR_YELLOW},
        [STYLE_RATE] = {A_NORMAL, A_NORMAL, 75, COLOR_BLUE},
        [STYLE_WARN] = {A_BOLD, A_BOLD, 214, COLOR_YELLOW},
        [STYLE_BAD] = {A_BOLD, A_BOLD, 203, COLOR_RED},
        [STYLE_SORTED] = {A_BOLD | A_UNDERLINE, A_BOLD | A_UNDERLINE, -1, -1},
        [STYLE_SELECTED] = {A_REVERSE, A_REVERSE, -1, -1},
        [STYLE_KEY] = {A_BOLD, A_BOLD, -1, -1},
    };
    color = color && has_colors() && start_color() == OK;
    if (color)
        use_default_colors();
    for (int i = 0; i < STYLE_COUNT; i++) {
        attributes[i] = color ? looks[i].with_color : looks[i].mono;
        pairs[i] = 0;
        short wanted = COLORS >= 256 ? looks[i].color256 : looks[i].color8;
        if (color && wanted >= 0 && init_pair((short)(i + 1), wanted, -1) == OK)
            pairs[i] = (short)(i + 1);
    }
}

bool term_can_draw(void)
{
    int status;
    if (setupterm(NULL, STDOUT_FILENO, &status) != OK)
        return true;
    bool can = cursor_address != NULL && clear_screen != NULL;
    del_curterm(cur_term);
    return can;
}

bool term_open(bool color, char *error)
{
    keyboard = stdin;
    if (!isatty(STDIN_FILENO)) {
        keyboard = fopen("/dev/tty", "re");
        if (!keyboard) {
            snprintf(error, 256, "no terminal to read keys from: use -b");
            return false;
        }
    }
    if (!getenv("ESCDELAY"))
        setenv("ESCDELAY", "25", 1);
    const char *type = getenv("TERM");
    terminal = newterm(NULL, stdout, keyboard);
    if (!terminal) {
        snprintf(error, 256, "TERM=%.60s is not known here: set TERM, or use -b",
                 type ? type : "(not set)");
        return false;
    }
    open_now = 1;
    catch_signals();
    define_styles(color);
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    curs_set(0);
    return true;
}

void term_close(void)
{
    if (!open_now)
        return;
    term_mouse(false);
    open_now = 0;
    curs_set(1);
    endwin();
    delscreen(terminal);
    terminal = NULL;
    if (keyboard != stdin)
        fclose(keyboard);
}

void term_mouse(bool on)
{
    const char *starts = tigetstr("kmous"); /* who has no such key has no mouse */
    on = on && starts && starts != (char *)-1;
    if (!open_now || on == mouse_on)
        return;
    mouse_on = on;
    tell_terminal(on ? MOUSE_ON : MOUSE_OFF);
    define_key("\033[<", on ? KEY_SGR_MOUSE : 0);
}

void term_click(int *row, int *col)
{
    *row = click_row;
    *col = click_col;
}

/* The rest of a report: "BUTTON;COLUMN;ROW" and M, or m at the release. */
static int read_click(void)
{
    int number[3] = {0}, at = 0;
    wint_t key = 0;
    for (int i = 0; i < 32 && at < 3; i++) {
        if (get_wch(&key) != OK)
            return TERM_NONE;
        if (key >= '0' && key <= '9' && number[at] < 10000)
            number[at] = number[at] * 10 + (int)(key - '0');
        else if (key == ';')
            at++;
        else
            break;
    }
    if (key != 'M' || at != 2)
        return TERM_NONE;
    if (number[0] == 64)
        return TERM_UP;
    if (number[0] == 65)
        return TERM_DOWN;
    click_col = number[1] - 1;
    click_row = number[2] - 1;
    return number[0] == 0 ? TERM_CLICK : TERM_NONE;
}

/* ^Z: gives the terminal back meanwhile. */
static void stop_here(void)
{
    bool mouse = mouse_on != 0;
    stopping = 0;
    term_mouse(false);
    curs_set(1);
    endwin();
    raise(SIGSTOP);
    curs_set(0);
    term_mouse(mouse);
    resized = 1; /* it may be, and all is to be drawn anew */
}

void term_size(int *rows, int *cols)
{
    *rows = LINES;
    *cols = COLS;
}

void term_show(const struct screen *screen)
{
    for (int row = 0; row < screen->rows && row < LINES; row++) {
        const struct cell *cells = &screen->cells[(size_t)row * (size_t)screen->cols];
        move(row, 0);
        for (int col = 0; col < screen->cols && col < COLS; col++) {
            if (cells[col].ch == 0) /* behind a wide character */
                continue;
            wchar_t text[2] = {(wchar_t)cells[col].ch, 0};
            cchar_t complex;
            setcchar(&complex, text, attributes[cells[col].style], pairs[cells[col].style], NULL);
            mvadd_wch(row, col, &complex);
        }
        clrtoeol();
    }
    refresh();
}

static void take_new_size(void)
{
    struct winsize size;
    resized = 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
        resizeterm(size.ws_row, size.ws_col);
    erase();
    clearok(stdscr, TRUE);
}

static int translate(wint_t key)
{
    switch (key) {
    case KEY_UP:
        return TERM_UP;
    case KEY_DOWN:
        return TERM_DOWN;
    case KEY_PPAGE:
        return TERM_PAGE_UP;
    case KEY_NPAGE:
        return TERM_PAGE_DOWN;
    case KEY_HOME:
        return TERM_HOME;
    case KEY_END:
        return TERM_END;
    case KEY_LEFT:
        return TERM_LEFT;
    case KEY_RIGHT:
        return TERM_RIGHT;
    case KEY_ENTER:
        return TERM_ENTER;
    case KEY_BACKSPACE:
        return TERM_BACKSPACE;
    case KEY_F(1):
        return TERM_HELP;
    case KEY_F(10):
        return TERM_QUIT;
    case KEY_RESIZE:
        return TERM_RESIZE;
    default:
        return TERM_NONE;
    }
}

int term_key(int milliseconds, int extra_fd)
{
    for (int waited = 0;; waited = 1) {
        if (ended_by)
            return TERM_QUIT;
        if (stopping)
            stop_here();
        if (resized) {
            take_new_size();
            return TERM_RESIZE;
        }
        wint_t key;
        int got = get_wch(&key);
        if (got == KEY_CODE_YES)
            return key == KEY_SGR_MOUSE ? read_click() : translate(key);
        if (got == OK)
            return key == '\r' || key == '\n' ? TERM_ENTER
                   : key == 27                ? TERM_ESCAPE
                   : key == 127 || key == 8   ? TERM_BACKSPACE
                                              : (int)key;
        if (waited)
            return TERM_NONE;
        struct pollfd fds[2] = {{fileno(keyboard), POLLIN, 0}, {extra_fd, POLLIN, 0}};
        int ready = poll(fds, extra_fd >= 0 ? 2 : 1, milliseconds);
        if (ready > 0 && (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)))
            return TERM_QUIT;
    }
}

enum charset term_charset(enum charset wanted)
{
    bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    if (!utf8) /* ncurses can write nothing else */
        return CHARSET_ASCII;
    if (wanted != CHARSET_AUTO)
        return wanted;
    const char *type = getenv("TERM"); /* the console's fonts have no braille */
    return type && strcmp(type, "linux") == 0 ? CHARSET_BLOCK : CHARSET_BRAILLE;
}

int term_signal(void)
{
    return ended_by;
}
