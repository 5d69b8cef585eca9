/* How both forms of Rust's mangled names are read and their names written; private to rust_*.c. */
#ifndef VIEW_RUST_WALK_H
#define VIEW_RUST_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUST_NAME_MAX 16384

/* A walk over a mangled name.  Once it has failed, nothing is read and nothing put. */
struct rust_walk {
    const char *text; /* behind "_R" or "_ZN": back references count from here */
    size_t size, at;  /* bytes of `text`; the next to be read */
    unsigned nesting, steps;
    uint64_t lifetimes; /* how many are bound at this point */
    bool silent;        /* nothing is put */
    bool failed;
    char *out; /* RUST_NAME_MAX bytes, the caller's */
    size_t length;
};

/* The next character; 0 at the end, and once the walk has failed. */
char rust_peek(const struct rust_walk *w);
bool rust_is_digit(char c);
/* The length of something in the name.  It may be more than what is left of it, which the caller
 * checks, but never overflows. */
uint64_t rust_take_decimal(struct rust_walk *w);

/* Append to the name; RUST_NAME_MAX bytes or more are a failure. */
void rust_put(struct rust_walk *w, const char *text);
void rust_put_bytes(struct rust_walk *w, const char *bytes, size_t length);
void rust_put_number(struct rust_walk *w, uint64_t number);
/* In UTF-8.  False: there is no such character. */
bool rust_put_character(struct rust_walk *w, uint64_t c);

/* Shows all of a name of the legacy form. */
void rust_show_legacy(struct rust_walk *w);

#endif
