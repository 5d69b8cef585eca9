#include "view/rust_name.h"

#include "view/rust_walk.h"

#include <stdlib.h>
#include <string.h>

#define NESTING_MAX 200 /* some 20 KiB of stack */
#define STEPS_MAX 20000 /* paths, types and constants; by a back reference each counts again */
#define UNICODE_MAX 128 /* characters of an identifier that is not ASCII */

/* ---- v0: characters and numbers ---- */

static bool take(struct rust_walk *w, char c)
{
    if (rust_peek(w) != c)
        return false;
    w->at++;
    return true;
}

static char next(struct rust_walk *w)
{
    char c = rust_peek(w);
    if (c)
        w->at++;
    else
        w->failed = true;
    return c;
}

/* "_" is 0, "0_" is 1. */
static uint64_t take_base_62(struct rust_walk *w)
{
    uint64_t n = 0;
    if (take(w, '_'))
        return 0;
    while (!take(w, '_')) {
        char c = next(w);
        unsigned digit = rust_is_digit(c)       ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'z' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'Z' ? (unsigned)(c - 'A') + 36
                                                : 62;
        if (digit == 62 || n > (UINT64_MAX - 63) / 62)
            w->failed = true;
        if (w->failed)
            return 0;
        n = 62 * n + digit;
    }
    return n + 1;
}

/* `tag` and a number, which is made one more; 0: they are left out. */
static uint64_t take_optional(struct rust_walk *w, char tag)
{
    return take(w, tag) ? take_base_62(w) + 1 : 0;
}

struct identifier {
    const char *bytes;
    size_t length;
    bool punycode;
};

static struct identifier take_identifier(struct rust_walk *w)
{
    struct identifier name = {.punycode = take(w, 'u')};
    uint64_t length = rust_take_decimal(w);
    take(w, '_'); /* where the name begins with a digit or with that */
    if (w->failed || length > w->size - w->at) {
        w->failed = true;
        return name;
    }
    name.bytes = w->text + w->at;
    name.length = (size_t)length;
    w->at += name.length;
    return name;
}

/* ---- identifiers ---- */

static uint32_t punycode_bias(uint32_t delta, uint32_t points, bool first)
{
    uint32_t k = 0;
    delta /= first ? 700 : 2;
    for (delta += delta / points; delta > 455; k += 36)
        delta /= 35;
    return k + 36 * delta / (delta + 38);
}

/* RFC 3492, with "_" in place of "-".  Returns the number of characters; 0: the name is damaged or
 * too long. */
static size_t punycode_decode(struct identifier name, uint32_t letters[UNICODE_MAX])
{
    size_t count = 0, at = name.length;
    while (at && name.bytes[at - 1] != '_')
        at--;
    for (size_t i = 0; at && i < at - 1; i++) {
        if (count == UNICODE_MAX)
            return 0;
        letters[count++] = (uint8_t)name.bytes[i];
    }
    uint32_t n = 128, i = 0, bias = 72;
    while (at < name.length) {
        uint32_t before = i, weight = 1;
        for (uint32_t k = 36;; k += 36) {
            if (at == name.length)
                return 0;
            char c = name.bytes[at++];
            uint32_t digit = c >= 'a' && c <= 'z' ? (uint32_t)(c - 'a')
                             : rust_is_digit(c)   ? (uint32_t)(c - '0') + 26
                                                  : 36;
            uint32_t t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
            if (digit == 36 || digit > (UINT32_MAX - i) / weight)
                return 0;
            i += digit * weight;
            if (digit < t)
                break;
            if (weight > UINT32_MAX / (36 - t))
                return 0;
            weight *= 36 - t;
        }
        if (count == UNICODE_MAX)
            return 0;
        count++;
        bias = punycode_bias(i - before, (uint32_t)count, before == 0);
        if (i / count > 0x10ffff - n)
            return 0;
        n += i / (uint32_t)count;
        i %= (uint32_t)count;
        memmove(&letters[i + 1], &letters[i], (count - 1 - i) * sizeof letters[0]);
        letters[i++] = n;
    }
    return count;
}

static void put_identifier(struct rust_walk *w, struct identifier name)
{
    if (w->failed)
        return;
    if (!name.punycode) {
        rust_put_bytes(w, name.bytes, name.length);
        return;
    }
    uint32_t letters[UNICODE_MAX];
    size_t count = punycode_decode(name, letters);
    w->failed |= !count;
    for (size_t i = 0; i < count; i++)
        w->failed |= !rust_put_character(w, letters[i]);
}

/* ---- v0: paths, types, constants ---- */

static void show_path(struct rust_walk *w, bool value);
static void show_type(struct rust_walk *w);
static void show_constant(struct rust_walk *w);

/* Begins a path, type or constant.  False: a bound is reached, or the walk has failed before. */
static bool enter(struct rust_walk *w)
{
    if (w->nesting == NESTING_MAX || ++w->steps > STEPS_MAX)
        w->failed = true;
    w->nesting += !w->failed;
    return !w->failed;
}

static void leave(struct rust_walk *w)
{
    w->nesting--;
}

/* Follows a back reference, whose "B" has been taken, if it must be shown: goes to where it points,
 * which must lie before it, with the place to come back to in *back.  The walk ends, as each turn
 * is a step. */
static bool refer(struct rust_walk *w, size_t *back)
{
    size_t here = w->at - 1;
    uint64_t to = take_base_62(w);
    if (to >= here)
        w->failed = true;
    if (w->failed || w->silent)
        return false;
    *back = w->at;
    w->at = (size_t)to;
    return true;
}

/* Lifetime `number`, counted from the innermost bound one, which is 1: 'a is the outermost.  0 is
 * '_, of which nothing is known. */
static void show_lifetime(struct rust_walk *w, uint64_t number)
{
    rust_put(w, "'");
    if (number > w->lifetimes) {
        w->failed = true;
    } else if (number == 0) {
        rust_put(w, "_");
    } else {
        uint64_t depth = w->lifetimes - number;
        char letter = (char)('a' + depth % 26);
        if (depth < 26)
            rust_put_bytes(w, &letter, 1);
        else
            rust_put(w, "_");
        if (depth >= 26)
            rust_put_number(w, depth);
    }
}

/* "for<'a, 'b> ".  Returns how many lifetimes it binds, which the caller takes off w->lifetimes
 * behind what they are bound for. */
static uint64_t show_binder(struct rust_walk *w)
{
    uint64_t count = take_optional(w, 'G');
    if (count > STEPS_MAX) {
        w->failed = true;
        return 0;
    }
    for (uint64_t i = 0; i < count && !w->failed; i++) {
        rust_put(w, i ? ", " : "for<");
        w->lifetimes++;
        show_lifetime(w, 1);
    }
    if (count)
        rust_put(w, "> ");
    return w->failed ? 0 : count;
}

static void show_arguments(struct rust_walk *w)
{
    for (unsigned i = 0; !w->failed && !take(w, 'E'); i++) {
        if (i)
            rust_put(w, ", ");
        if (take(w, 'L'))
            show_lifetime(w, take_base_62(w));
        else if (take(w, 'K'))
            show_constant(w);
        else
            show_type(w);
    }
}

/* Passes over the path at which an impl block stands: the type that it is for says more. */
static void skip_place(struct rust_walk *w)
{
    bool before = w->silent;
    take_optional(w, 's');
    w->silent = true;
    show_path(w, false);
    w->silent = before;
}

static void show_nested(struct rust_walk *w, bool value)
{
    char space = next(w);
    show_path(w, value);
    uint64_t number = take_optional(w, 's');
    struct identifier name = take_identifier(w);
    if (space >= 'A' && space <= 'Z') {
        const char *what = space == 'C' ? "closure" : space == 'S' ? "shim" : NULL;
        rust_put(w, "::{");
        rust_put_bytes(w, what ? what : &space, what ? strlen(what) : 1);
        if (name.length)
            rust_put(w, ":");
        put_identifier(w, name);
        rust_put(w, "#");
        rust_put_number(w, number);
        rust_put(w, "}");
    } else if (space < 'a' || space > 'z') {
        w->failed = true;
    } else if (name.length) {
        rust_put(w, "::");
        put_identifier(w, name);
    }
}

/* With `open`, the bracket of generic arguments is left open, for the caller to add to; true if
 * there is one. */
static bool show_path_of(struct rust_walk *w, bool value, bool open)
{
    size_t back;
    bool left_open = false;
    if (!enter(w))
        return false;
    switch (next(w)) {
    case 'C':
        take_optional(w, 's');
        put_identifier(w, take_identifier(w));
        break;
    case 'N':
        show_nested(w, value);
        break;
    case 'M':
        skip_place(w);
        rust_put(w, "<");
        show_type(w);
        rust_put(w, ">");
        break;
    case 'X':
        skip_place(w);
        /* fall through */
    case 'Y':
        rust_put(w, "<");
        show_type(w);
        rust_put(w, " as ");
        show_path(w, false);
        rust_put(w, ">");
        break;
    case 'I':
        show_path(w, value);
        rust_put(w, value ? "::<" : "<");
        show_arguments(w);
        left_open = open;
        if (!open)
            rust_put(w, ">");
        break;
    case 'B':
        if (refer(w, &back)) {
            left_open = show_path_of(w, value, open);
            w->at = back;
        }
        break;
    default:
        w->failed = true;
    }
    leave(w);
    return left_open;
}

static void show_path(struct rust_walk *w, bool value)
{
    show_path_of(w, value, false);
}

/* `dyn Trait<Argument, Output = Type> + 'a`. */
static void show_dyn(struct rust_walk *w)
{
    rust_put(w, "dyn ");
    uint64_t bound = show_binder(w);
    for (unsigned i = 0; !w->failed && !take(w, 'E'); i++) {
        if (i)
            rust_put(w, " + ");
        bool open = show_path_of(w, false, true);
        while (take(w, 'p')) {
            rust_put(w, open ? ", " : "<");
            open = true;
            put_identifier(w, take_identifier(w));
            rust_put(w, " = ");
            show_type(w);
        }
        if (open)
            rust_put(w, ">");
    }
    w->lifetimes -= bound;
    if (!take(w, 'L')) {
        w->failed = true;
        return;
    }
    uint64_t lifetime = take_base_62(w);
    if (lifetime) {
        rust_put(w, " + ");
        show_lifetime(w, lifetime);
    }
}

static void show_function(struct rust_walk *w)
{
    uint64_t bound = show_binder(w);
    if (take(w, 'U'))
        rust_put(w, "unsafe ");
    if (take(w, 'K')) {
        rust_put(w, "extern \"");
        if (take(w, 'C')) {
            rust_put(w, "C");
        } else {
            struct identifier abi = take_identifier(w);
            for (size_t i = 0; i < abi.length && !w->failed; i++)
                rust_put_bytes(w, abi.bytes[i] == '_' ? "-" : &abi.bytes[i], 1);
        }
        rust_put(w, "\" ");
    }
    rust_put(w, "fn(");
    for (unsigned i = 0; !w->failed && !take(w, 'E'); i++) {
        if (i)
            rust_put(w, ", ");
        show_type(w);
    }
    rust_put(w, ")");
    if (!take(w, 'u')) {
        rust_put(w, " -> ");
        show_type(w);
    }
    w->lifetimes -= bound;
}

static const char *basic_type(char c)
{
    static const char *const names[26] = {"i8",   "bool",  "char",  "f64", "str", "f32", NULL,
                                          "u8",   "isize", "usize", NULL,  "i32", "u32", "i128",
                                          "u128", "_",     NULL,    NULL,  "i16", "u16", "()",
                                          "...",  NULL,    "i64",   "u64", "!"};
    return c >= 'a' && c <= 'z' ? names[c - 'a'] : NULL;
}

static void show_reference(struct rust_walk *w, bool mutable)
{
    rust_put(w, "&");
    if (take(w, 'L')) {
        uint64_t lifetime = take_base_62(w);
        if (lifetime) {
            show_lifetime(w, lifetime);
            rust_put(w, " ");
        }
    }
    if (mutable)
        rust_put(w, "mut ");
    show_type(w);
}

static void show_tuple(struct rust_walk *w)
{
    unsigned count = 0;
    rust_put(w, "(");
    for (; !w->failed && !take(w, 'E'); count++) {
        if (count)
            rust_put(w, ", ");
        show_type(w);
    }
    rust_put(w, count == 1 ? ",)" : ")");
}

static void show_type(struct rust_walk *w)
{
    size_t back;
    if (!enter(w))
        return;
    char c = next(w);
    const char *basic = basic_type(c);
    if (basic) {
        rust_put(w, basic);
    } else if (c == 'R' || c == 'Q') {
        show_reference(w, c == 'Q');
    } else if (c == 'P' || c == 'O') {
        rust_put(w, c == 'P' ? "*const " : "*mut ");
        show_type(w);
    } else if (c == 'A' || c == 'S') {
        rust_put(w, "[");
        show_type(w);
        if (c == 'A') {
            rust_put(w, "; ");
            show_constant(w);
        }
        rust_put(w, "]");
    } else if (c == 'T') {
        show_tuple(w);
    } else if (c == 'F') {
        show_function(w);
    } else if (c == 'D') {
        show_dyn(w);
    } else if (c == 'B') {
        if (refer(w, &back)) {
            show_type(w);
            w->at = back;
        }
    } else if (!w->failed) {
        w->at--;
        show_path(w, false);
    }
    leave(w);
}

/* Hexadecimal digits up to "_", also in *digits.  False: *number has not room for them. */
static bool take_hex(struct rust_walk *w, uint64_t *number, struct identifier *digits)
{
    *number = 0;
    digits->bytes = w->text + w->at;
    for (digits->length = 0; !w->failed && !take(w, '_'); digits->length++) {
        char c = next(w);
        if (!rust_is_digit(c) && (c < 'a' || c > 'f'))
            w->failed = true;
        *number = *number << 4 | (uint64_t)(rust_is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    return digits->length <= 16;
}

static void show_letter(struct rust_walk *w, uint64_t c)
{
    rust_put(w, "'");
    if (c == '\n')
        rust_put(w, "\\n");
    else if (c == '\r')
        rust_put(w, "\\r");
    else if (c == '\t')
        rust_put(w, "\\t");
    else if (c == '\'' || c == '\\')
        rust_put(w, c == '\'' ? "\\'" : "\\\\");
    else
        w->failed |= !rust_put_character(w, c);
    rust_put(w, "'");
}

/* A constant that is an integer, a bool or a char.  Others, which only unstable features allow, are
 * failures. */
static void show_constant(struct rust_walk *w)
{
    size_t back;
    uint64_t number;
    struct identifier digits;
    if (!enter(w))
        return;
    char type = next(w);
    if (type == 'p') {
        rust_put(w, "_");
    } else if (type == 'B') {
        if (refer(w, &back)) {
            show_constant(w);
            w->at = back;
        }
    } else if (!type || !strchr("abchijlmnostxy", type)) {
        w->failed = true;
    } else {
        if (take(w, 'n'))
            rust_put(w, "-");
        bool fits = take_hex(w, &number, &digits);
        if (!fits && !w->failed) {
            rust_put(w, "0x");
            rust_put_bytes(w, digits.bytes, digits.length);
        } else if (type == 'b' && number < 2) {
            rust_put(w, number ? "true" : "false");
        } else if (type == 'c') {
            show_letter(w, number);
        } else {
            rust_put_number(w, number);
        }
    }
    leave(w);
}

/* A path; the crate that it was instantiated in, which is not shown; a suffix of the compiler's,
 * which is not read. */
static void show_v0(struct rust_walk *w)
{
    if (rust_is_digit(rust_peek(w))) /* a later version of the encoding */
        w->failed = true;
    show_path(w, true);
    if (w->at < w->size && w->text[w->at] >= 'A' && w->text[w->at] <= 'Z') {
        w->silent = true;
        show_path(w, false);
    }
    w->failed |= w->at < w->size && w->text[w->at] != '.' && w->text[w->at] != '$';
}

char *rust_name(const char *mangled)
{
    bool v0 = strncmp(mangled, "_R", 2) == 0;
    if (!v0 && (strncmp(mangled, "_ZN", 3) != 0 || !strstr(mangled, "17h")))
        return NULL;
    const char *text = mangled + (v0 ? 2 : 3);
    struct rust_walk w = {.text = text, .size = strlen(text), .out = malloc(RUST_NAME_MAX)};
    if (!w.out)
        return NULL;
    if (v0)
        show_v0(&w);
    else
        rust_show_legacy(&w);
    char *name = w.failed ? NULL : realloc(w.out, w.length + 1);
    if (name)
        name[w.length] = 0;
    else
        free(w.out);
    return name;
}
