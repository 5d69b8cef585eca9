/* The terminal: the only file that knows ncurses.  Shows a screen, reads keys, and gives the
 * terminal back whatever ends the program. */
#ifndef MEMTOP_TERM_H
#define MEMTOP_TERM_H

#include "screen.h"

enum term_key {
    TERM_NONE, /* the time is over */
    TERM_RESIZE,
    TERM_UP = 0x110000, /* above all characters */
    TERM_DOWN,
    TERM_PAGE_UP,
    TERM_PAGE_DOWN,
    TERM_HOME,
    TERM_END,
    TERM_LEFT,
    TERM_RIGHT,
    TERM_ENTER,
    TERM_ESCAPE,
    TERM_BACKSPACE,
    TERM_HELP,
    TERM_QUIT /* F10, a signal, or the terminal is gone */
};

/* False: standard output is a kind of terminal whose cursor cannot be moved (TERM=dumb).  True too
 * where it is not known: term_open says so. */
bool term_can_draw(void);
/* Takes over the terminal.  Keys come from /dev/tty if standard input is something else.  False
 * with one line in `error` (256 bytes). */
bool term_open(bool color, char *error);
void term_close(void);
void term_size(int *rows, int *cols);
void term_show(const struct screen *screen);
/* A character, or one of term_key; waits up to `milliseconds`.  `extra_fd` (or -1) also ends the
 * wait, with TERM_NONE. */
int term_key(int milliseconds, int extra_fd);
/* CHARSET_AUTO resolved for the locale; the rest stays. */
enum charset term_charset(enum charset wanted);
/* The signal that asked us to end, or 0. */
int term_signal(void);

#endif
