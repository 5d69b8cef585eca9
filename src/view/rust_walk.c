#include "view/rust_walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

char rust_peek(const struct rust_walk *w)
{
    return w->failed || w->at == w->size ? 0 : w->text[w->at];
}

bool rust_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

uint64_t rust_take_decimal(struct rust_walk *w)
{
    uint64_t n = 0;
    if (!rust_is_digit(rust_peek(w)))
        w->failed = true;
    if (rust_peek(w) == '0') {
        w->at++;
        return 0;
    }
    while (rust_is_digit(rust_peek(w))) {
        if (n > w->size) /* longer than the whole name */
            w->failed = true;
        n = 10 * n + (uint64_t)(w->text[w->at++] - '0');
    }
    return n;
}

void rust_put_bytes(struct rust_walk *w, const char *bytes, size_t length)
{
    if (w->silent || w->failed)
        return;
    if (length >= RUST_NAME_MAX - w->length) {
        w->failed = true;
        return;
    }
    memcpy(w->out + w->length, bytes, length);
    w->length += length;
}

void rust_put(struct rust_walk *w, const char *text)
{
    rust_put_bytes(w, text, strlen(text));
}

void rust_put_number(struct rust_walk *w, uint64_t number)
{
    char text[24];
    rust_put_bytes(w, text, (size_t)snprintf(text, sizeof text, "%" PRIu64, number));
}

bool rust_put_character(struct rust_walk *w, uint64_t c)
{
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return false;
    char bytes[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6)
        bytes[i] = (char)(0x80 | (c & 0x3f));
    bytes[0] = (char)(first[n] | c);
    rust_put_bytes(w, bytes, n);
    return true;
}
