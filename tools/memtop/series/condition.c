#include "condition.h"

#include "base/option_values.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

/* Digits, and more behind a point.  NULL: there is no number. */
static const char *read_decimal(const char *text, double *number)
{
    static const char digits[] = "0123456789";
    size_t whole = strspn(text, digits), length = whole;
    if (!whole || whole > 15)
        return NULL;
    if (text[length] == '.') {
        size_t part = strspn(text + length + 1, digits);
        if (!part || part > 15)
            return NULL;
        length += 1 + part;
    }
    double scale = 1;
    *number = 0;
    for (size_t i = 0; i < length; i++) {
        if (i < whole)
            *number = *number * 10 + (text[i] - '0');
        else if (i > whole)
            *number += (text[i] - '0') * (scale /= 10);
    }
    return text + length;
}

/* The number and its unit, up to the end. */
static bool read_bound(const char *text, struct condition *c)
{
    char size[32];
    uint64_t number;
    const char *end;
    bool more = *text == '+';
    text = skip_blanks(text + more);
    end = read_decimal(text, &c->number);
    if (end && *skip_blanks(end) == '%') {
        c->bound = CONDITION_SHARE;
        return more && *skip_blanks(skip_blanks(end) + 1) == '\0';
    }
    size_t length = strlen(text);
    while (length && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        length--;
    if (!length || length >= sizeof size)
        return false;
    memcpy(size, text, length);
    size[length] = '\0';
    const struct option wanted = {
        .key = "", .initial = "", .accepts = "", .meaning = "", .type = SIZE};
    if (option_value_read(&wanted, size, &number) != PARSED)
        return false;
    c->bound = more ? CONDITION_MORE : CONDITION_VALUE;
    c->number = (double)number;
    c->has_unit = size[strspn(size, "0123456789")] != '\0';
    return true;
}

bool condition_read(const char *text, struct condition *c)
{
    *c = (struct condition){.bound = CONDITION_VALUE};
    text = skip_blanks(text);
    size_t length =
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    if (!length || length >= sizeof c->type)
        return false;
    memcpy(c->type, text, length);
    text = skip_blanks(text + length);
    return *text == '>' && read_bound(skip_blanks(text + 1), c);
}

enum condition_state condition_look(const struct condition *c,
                                    const struct sampling_sum side[DIFF_SIDES])
{
    double a = side[DIFF_A].value, b = side[DIFF_B].value;
    double bound = c->bound == CONDITION_SHARE  ? a + fabs(a) * c->number / 100
                   : c->bound == CONDITION_MORE ? a + c->number
                                                : c->number;
    if (!(b > bound))
        return CONDITION_NOT;
    struct sampling_sum difference = profile_diff_of(side);
    return c->bound == CONDITION_VALUE || profile_diff_certain(&difference) ? CONDITION_HOLDS
                                                                            : CONDITION_UNCERTAIN;
}
