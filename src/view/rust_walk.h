/* What both forms of Rust's mangled names are read and written by; private to rust_*.c. */
#ifndef VIEW_RUST_WALK_H
#define VIEW_RUST_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUST_NAME_MAX 16384

/* A walk over a name.  Once it has failed it does nothing. */
struct rust_walk {
    const char *text; /* behind "_R" or "_ZN": back references count from here */
    size_t size, at;
    unsigned nesting, steps;
    uint64_t lifetimes; /* bound where we are */
    bool silent;        /* what is read is not shown */
    bool failed;
    char *out;
    size_t length;
};

/* The next character, 0 at the end. */
char rust_peek(const struct rust_walk *w);
bool rust_is_digit(char c);
/* A length: no more than there is, or the walk has failed. */
uint64_t rust_take_decimal(struct rust_walk *w);

/* Text of the name; more than RUST_NAME_MAX fails. */
void rust_put(struct rust_walk *w, const char *text);
void rust_put_bytes(struct rust_walk *w, const char *bytes, size_t length);
void rust_put_number(struct rust_walk *w, uint64_t number);
/* In UTF-8.  False: there is no such character. */
bool rust_put_character(struct rust_walk *w, uint64_t c);

/* The older form, from behind "_ZN". */
void rust_show_legacy(struct rust_walk *w);

#endif
