/* Letters as ASCII has them, whatever the program's locale is.  libc's own functions ask the
 * thread's locale, which is not there yet where the first allocation comes before libc has set
 * itself up: by a resolver of an IFUNC, or below an auditor (LD_AUDIT). */
#ifndef BASE_ASCII_H
#define BASE_ASCII_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool ascii_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool ascii_is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static inline bool ascii_is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static inline char ascii_lower(char c)
{
    return ascii_is_upper(c) ? (char)(c | 0x20) : c;
}

static inline char ascii_upper(char c)
{
    return ascii_is_lower(c) ? (char)(c & ~0x20) : c;
}

/* Whether the first `length` characters, or all to the end of both, are the same but for case. */
static inline bool ascii_begins_same(const char *a, const char *b, size_t length)
{
    for (; length > 0 && ascii_lower(*a) == ascii_lower(*b); a++, b++, length--)
        if (!*a)
            return true;
    return length == 0;
}

static inline bool ascii_same(const char *a, const char *b)
{
    return ascii_begins_same(a, b, SIZE_MAX);
}

#endif
