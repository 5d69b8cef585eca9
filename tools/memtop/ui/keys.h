/* The keys of the live view (keys.def), and the action of each. */
#ifndef MEMTOP_KEYS_H
#define MEMTOP_KEYS_H

enum key_action {
    ACTION_NONE, /* no key, or one without a meaning */
    ACTION_BACK,
    ACTION_QUIT,
    ACTION_HELP,
    ACTION_PAUSE,
    ACTION_SORT_LEFT,
    ACTION_SORT_RIGHT,
    ACTION_UP,
    ACTION_DOWN,
    ACTION_FIRST,
    ACTION_LAST,
    ACTION_MARK,
    ACTION_LEFT,
    ACTION_RIGHT,
    ACTION_OPEN,
    ACTION_CLOSE,
    ACTION_PAGE_UP,
    ACTION_PAGE_DOWN,
    ACTION_FILTER,
    ACTION_KIND,
    ACTION_SPAN_SHORTER,
    ACTION_SPAN_LONGER,
    ACTION_MORE_OFTEN,
    ACTION_LESS_OFTEN,
    ACTION_CYCLE,
    ACTION_LEAKS,
    ACTION_SAVE,
    ACTION_CHARSET,
    ACTION_NEXT_PROGRAM,
    ACTION_TREE,
    ACTION_TOTALS
};

enum {
#define KEY(ident, ...) KEY_##ident,
#include "keys.def"
#undef KEY
    KEYS_COUNT
};

#define KEY_BINDINGS_MAX 8

struct key {
    const char *name, *word;      /* in a footer */
    const char *help_name, *help; /* on the help page; "": it is not there */
    const char *man_name, *man;   /* in memtop(1), as scdoc source; "": it is not there */
    struct {
        int code; /* a character or one of enum term_key; 0 ends them */
        enum key_action action;
    } bindings[KEY_BINDINGS_MAX];
};

extern const struct key keys[KEYS_COUNT];

/* The action of a key that term_key has returned. */
enum key_action key_action(int code);

#endif
