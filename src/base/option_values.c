#include "base/option_values.h"

#include "base/ascii.h"
#include "base/compiler.h"
#include "base/fmt.h"
#include "base/options.h"

#include <signal.h>
#include <string.h>

bool option_value_digits(const char *text, uint64_t *number, const char **end)
{
    uint64_t n = 0;
    const char *p = text;
    for (; ascii_is_digit(*p); p++)
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
            return false;
    *number = n;
    *end = p;
    return p > text;
}

static bool parse_size(const char *text, uint64_t *number)
{
    const char *unit;
    if (!option_value_digits(text, number, &unit))
        return false;
    while (*unit == ' ')
        unit++;
    unsigned shift = 0;
    if (*unit) {
        const char *units = "kmgt", *u = strchr(units, ascii_lower(*unit));
        if (u && *u) {
            shift = 10 * (unsigned)(u - units + 1);
            unit++;
        }
        if (!ascii_same(unit, "") && !ascii_same(unit, "b") && !(shift && ascii_same(unit, "ib")))
            return false;
    }
    if (*number >> (62 - shift))
        return false;
    *number <<= shift;
    return true;
}

static bool parse_duration(const char *text, uint64_t *number)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"", 1000000000},   {"s", 1000000000},    {"ms", 1000000},
                 {"m", 60000000000}, {"h", 3600000000000}, {"us", 1000}};
    const char *unit;
    if (!option_value_digits(text, number, &unit))
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(units); i++)
        if (ascii_same(unit, units[i].name))
            return !__builtin_mul_overflow(*number, units[i].ns, number) && *number < INT64_MAX;
    return false;
}

static bool parse_signal(const char *text, uint64_t *number)
{
    const char *end;
    if (option_value_digits(text, number, &end)) {
        if (*end || *number == 0 || *number >= (uint64_t)SIGRTMAX)
            return false;
    } else {
        if (ascii_begins_same(text, "SIG", 3))
            text += 3;
        *number = 0;
        for (int s = 1; s < 32; s++) {
            const char *name = sigabbrev_np(s);
            if (name && ascii_same(name, text))
                *number = (uint64_t)s;
        }
        if (*number == 0)
            return false;
    }
    switch (*number) {
    /* Cannot be caught; glibc's own. */
    case SIGKILL:
    case SIGSTOP:
    case 32:
    case 33:
    /* Of an instruction that faults: after a handler that does nothing about it, it faults again.
     */
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
        return false;
    }
    return true;
}

/* Index of `text` among the words of `accepts`. */
static enum option_parsed parse_word(const char *accepts, const char *text, uint64_t *number)
{
    uint64_t index = 0;
    for (const char *word = accepts; *word; index++) {
        size_t length = strcspn(word, "|");
        bool later = *word == '~';
        if (strlen(text) == length - later &&
            ascii_begins_same(word + later, text, length - later)) {
            *number = index;
            return later ? PARSED_LATER : PARSED;
        }
        word += length;
        word += *word == '|';
    }
    return PARSED_BAD;
}

/* A switch takes what the contract writes for it (0|1, on|off) and the other pair. */
static bool parse_switch(const char *text, uint64_t *number)
{
    static const char *const words[] = {"0", "1", "off", "on", "no", "yes", "false", "true"};
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (ascii_same(words[i], text)) {
            *number = i & 1;
            return true;
        }
    return false;
}

static bool within_range(const char *accepts, uint64_t number)
{
    const char *to = strstr(accepts, " to ");
    uint64_t low, high;
    const char *end;
    if (!to || !option_value_digits(accepts, &low, &end) ||
        !option_value_digits(to + 4, &high, &end))
        return true;
    return number >= low && number <= high;
}

/* "90%" or a size, not 0. */
static bool parse_limit(const char *text, uint64_t *number)
{
    const char *end;
    if (option_value_digits(text, number, &end) && !strcmp(end, "%")) {
        bool ok = *number >= 1 && *number <= 100;
        *number |= OPTION_SHARE;
        return ok;
    }
    return parse_size(text, number) && *number != 0;
}

/* "0.5" or "0.5%" of a CPU, in millionths; not 0. */
static bool parse_cpu(const char *text, uint64_t *number)
{
    const char *end, *fraction_end;
    uint64_t fraction = 0;
    if (!option_value_digits(text, number, &end) || *number > 100)
        return false;
    *number *= 10000;
    if (*end == '.') {
        const char *digits = end + 1;
        if (!option_value_digits(digits, &fraction, &fraction_end) || fraction_end - digits > 4)
            return false;
        for (long given = fraction_end - digits; given < 4; given++)
            fraction *= 10;
        *number += fraction;
        end = fraction_end;
    }
    return (!*end || !strcmp(end, "%")) && *number > 0 && *number <= 1000000;
}

enum option_parsed option_value_read(const struct option *o, const char *text, uint64_t *number)
{
    const char *end;
    bool ok = false;
    *number = 0;
    if (o->type == WORD)
        return parse_word(o->accepts, text, number);
    if (o->type == TEXT)
        return *text || !*o->initial ? PARSED : PARSED_BAD;
    if (o->type != SWITCH && ascii_same(text, "off") && strstr(o->accepts, "off")) {
        *number = OPTION_OFF;
        return PARSED;
    }
    if (ascii_same(text, "auto") && strstr(o->accepts, "auto")) {
        *number = OPTION_AUTO;
        return PARSED;
    }
    switch (o->type) {
    case SWITCH:
        ok = parse_switch(text, number);
        break;
    case COUNT:
    case PERCENT:
        ok = option_value_digits(text, number, &end) &&
             (!*end || (o->type == PERCENT && !strcmp(end, "%"))) && *number < 1000000000 &&
             within_range(o->accepts, *number);
        break;
    case SIZE:
        ok = parse_size(text, number);
        break;
    case DURATION:
        ok = parse_duration(text, number);
        break;
    case CPU:
        ok = parse_cpu(text, number);
        break;
    case LIMIT:
        ok = parse_limit(text, number);
        break;
    case SIGNAL:
        ok = parse_signal(text, number);
        break;
    case WORD:
    case TEXT:
        break;
    }
    return ok ? PARSED : PARSED_BAD;
}

static void write_cpu(struct fmt *f, uint64_t number)
{
    uint64_t fraction = number % 10000;
    unsigned digits = 4;
    fmt_u64(f, number / 10000);
    if (!fraction)
        return;
    for (; fraction % 10 == 0; digits--)
        fraction /= 10;
    fmt_char(f, '.');
    fmt_padded(f, fraction, digits);
}

void option_value_write(struct fmt *f, const struct option *o, uint64_t number)
{
    if (number == OPTION_OFF) {
        fmt_text(f, "off");
    } else if (number == OPTION_AUTO) {
        fmt_text(f, "auto");
    } else if (o->type == WORD) {
        const char *word = o->accepts;
        for (; number && *word; number--)
            word += strcspn(word, "|") + 1;
        fmt_bytes(f, word, strcspn(word, "|"));
    } else if (o->type == DURATION) {
        bool whole = number % 1000000 == 0;
        fmt_u64(f, number / (whole ? 1000000 : 1000));
        fmt_text(f, whole ? "ms" : "us");
    } else if (o->type == CPU) {
        write_cpu(f, number);
    } else if (o->type == LIMIT && number & OPTION_SHARE) {
        fmt_u64(f, number & ~OPTION_SHARE);
        fmt_char(f, '%');
    } else {
        fmt_u64(f, number);
    }
}
