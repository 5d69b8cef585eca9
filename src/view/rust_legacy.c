#include "view/rust_walk.h"

#include <string.h>

/* Whether a part is rustc's hash: "h" and 16 hexadecimal digits.  C++ may have a function of such a
 * name, but hardly one with 5 different digits or more. */
static bool is_hash(const char *name, size_t length)
{
    unsigned seen = 0, different = 0;
    if (length != 17 || name[0] != 'h')
        return false;
    for (size_t i = 1; i < length; i++) {
        char c = name[i];
        if (!rust_is_digit(c) && (c < 'a' || c > 'f'))
            return false;
        seen |= 1u << (rust_is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    for (; seen; seen &= seen - 1)
        different++;
    return different >= 5;
}

/* Puts what an escape ("$LT$" and others) at `name` stands for.  Returns the escape's length; 0:
 * there is none. */
static size_t put_escape(struct rust_walk *w, const char *name, size_t length)
{
    static const struct {
        const char *code, *text;
    } escapes[] = {{"$SP$", "@"}, {"$BP$", "*"}, {"$RF$", "&"}, {"$LT$", "<"},
                   {"$GT$", ">"}, {"$LP$", "("}, {"$RP$", ")"}, {"$C$", ","}};
    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
        size_t n = strlen(escapes[i].code);
        if (length >= n && memcmp(name, escapes[i].code, n) == 0) {
            rust_put(w, escapes[i].text);
            return n;
        }
    }
    const char *end = length > 3 && name[1] == 'u' ? memchr(name + 1, '$', length - 1) : NULL;
    uint64_t c = 0;
    if (!end || end - name > 8)
        return 0;
    for (const char *at = name + 2; at < end; at++) {
        if (!rust_is_digit(*at) && (*at < 'a' || *at > 'f'))
            return 0;
        c = c << 4 | (uint64_t)(rust_is_digit(*at) ? *at - '0' : *at - 'a' + 10);
    }
    return c >= ' ' && rust_put_character(w, c) ? (size_t)(end - name) + 1 : 0;
}

static void show_legacy_part(struct rust_walk *w, const char *name, size_t length)
{
    if (length > 1 && name[0] == '_' && name[1] == '$') {
        name++;
        length--;
    }
    for (size_t used; length && !w->failed; name += used, length -= used) {
        used = *name == '$' ? put_escape(w, name, length) : 0;
        if (!used && length > 1 && name[0] == '.' && name[1] == '.') {
            rust_put(w, "::");
            used = 2;
        } else if (!used) {
            rust_put_bytes(w, name, used = 1);
        }
    }
}

/* {LENGTH NAME} LENGTH HASH "E". */
void rust_show_legacy(struct rust_walk *w)
{
    for (unsigned i = 0; !w->failed; i++) {
        uint64_t length = rust_take_decimal(w);
        if (w->failed || !length || length > w->size - w->at)
            break;
        const char *name = w->text + w->at;
        w->at += (size_t)length;
        if (rust_peek(w) == 'E') {
            w->at++;
            bool ends = w->at == w->size || w->text[w->at] == '.';
            w->failed |= !i || !ends || !is_hash(name, (size_t)length);
            return;
        }
        if (i)
            rust_put(w, "::");
        show_legacy_part(w, name, (size_t)length);
    }
    w->failed = true;
}
