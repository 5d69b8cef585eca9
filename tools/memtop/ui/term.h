/* The terminal: shows a screen, reads keys, and restores the terminal at the end, also at a crash
 * or by a signal that asks to end.  Only this file knows ncurses.  One thread. */
#ifndef MEMTOP_TERM_H
#define MEMTOP_TERM_H

#include "screen.h"

enum term_key {
    TERM_NONE,          /* the time is up, or a key without a meaning */
    TERM_RESIZE,        /* the terminal has another size */
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
    TERM_CLICK, /* of the first button: term_click says where */
    TERM_QUIT   /* F10, a signal, or the terminal is gone */
};

/* False: the cursor of this terminal cannot be moved (TERM=dumb).  True also for one that is not
 * known, as term_open then says so. */
bool term_can_draw(void);
/* Takes over the terminal on standard output, and the signals that end the program.  Keys come from
 * /dev/tty if standard input is something else.  False with one line in `error` (256 bytes). */
bool term_open(bool color, char *error);
void term_close(void);
void term_size(int *rows, int *cols);
void term_show(const struct screen *screen);
/* A character, or one of enum term_key; waits up to `milliseconds`.  If `extra_fd` (or -1) is
 * readable, the wait ends with TERM_NONE. */
int term_key(int milliseconds, int extra_fd);
/* Whether clicks are told, where the terminal can: it then cannot be used to select text.  Off at
 * first; term_close, a crash and a stop (^Z) turn it off too.  The wheel is TERM_UP, TERM_DOWN. */
void term_mouse(bool on);
/* Where the last TERM_CLICK was, from 0. */
void term_click(int *row, int *col);
/* The charset to use: ASCII if the locale is not UTF-8, else `wanted`, CHARSET_AUTO resolved. */
enum charset term_charset(enum charset wanted);
/* The signal that asked memtop to end, or 0. */
int term_signal(void);

#endif
