#include "units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *put(char *buffer, const char *text)
{
    snprintf(buffer, UNITS_SIZE, "%s", text);
    return buffer;
}

/* Three significant digits, which fit into five columns. */
static char *scaled(char *buffer, double value, double base, const char *letters)
{
    size_t step = 0;
    while (value >= base * 0.9995 && letters[step + 1] != '\0') {
        value /= base;
        step++;
    }
    if (step == 0)
        snprintf(buffer, UNITS_SIZE, "%.0f", value);
    else if (value < 9.995)
        snprintf(buffer, UNITS_SIZE, "%.2f%c", value, letters[step]);
    else if (value < 99.95)
        snprintf(buffer, UNITS_SIZE, "%.1f%c", value, letters[step]);
    else
        snprintf(buffer, UNITS_SIZE, "%.0f%c", value, letters[step]);
    return buffer;
}

char *units_bytes(char buffer[static UNITS_SIZE], double bytes)
{
    if (!(bytes >= 0))
        return put(buffer, isnan(bytes) ? "-" : "0");
    return scaled(buffer, fmin(bytes, 0x1p64), 1024, " KMGTPE");
}

char *units_growth(char buffer[static UNITS_SIZE], double bytes)
{
    if (isnan(bytes))
        return put(buffer, "-");
    if (fabs(bytes) < 0.5)
        return put(buffer, "0");
    char digits[UNITS_SIZE];
    snprintf(buffer, UNITS_SIZE, "%c%.20s", bytes < 0 ? '-' : '+',
             units_bytes(digits, fabs(bytes)));
    return buffer;
}

char *units_count(char buffer[static UNITS_SIZE], double count)
{
    if (!(count >= 0))
        return put(buffer, isnan(count) ? "-" : "0");
    return scaled(buffer, fmin(count, 0x1p64), 1000, " kMGTPE");
}

char *units_pause(char buffer[static UNITS_SIZE], double ns)
{
    static const struct {
        double size;
        const char *name;
    } steps[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
    if (isnan(ns))
        return put(buffer, "-");
    if (!(ns >= 1))
        return put(buffer, "0");
    ns = fmin(ns, 1e18);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (ns >= steps[i].size) {
            double value = ns / steps[i].size;
            snprintf(buffer, UNITS_SIZE, "%.*f%s", value < 9.95 && steps[i].size > 1 ? 1 : 0, value,
                     steps[i].name);
            break;
        }
    return buffer;
}

char *units_age(char buffer[static UNITS_SIZE], double seconds)
{
    if (isnan(seconds))
        return put(buffer, "-");
    uint64_t s = seconds <= 0 ? 0 : seconds > 1e12 ? 1000000000000 : (uint64_t)seconds;
    if (s < 60)
        snprintf(buffer, UNITS_SIZE, "%us", (unsigned)s);
    else if (s < 3600)
        snprintf(buffer, UNITS_SIZE, "%um%02us", (unsigned)(s / 60), (unsigned)(s % 60));
    else if (s < 86400)
        snprintf(buffer, UNITS_SIZE, "%uh%02um", (unsigned)(s / 3600), (unsigned)(s / 60 % 60));
    else
        snprintf(buffer, UNITS_SIZE, "%ud%02uh", (unsigned)(s / 86400), (unsigned)(s / 3600 % 24));
    return buffer;
}

bool units_parse_seconds(const char *text, double *seconds)
{
    static const struct {
        const char *name;
        double size;
    } suffixes[] = {{"", 1}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};
    if (text[0] != '.' && (text[0] < '0' || text[0] > '9'))
        return false; /* strtod would take signs, blanks, "nan" and "inf" */
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        return false;
    char *end;
    double value = strtod(text, &end);
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (strcmp(end, suffixes[i].name) == 0) {
            value *= suffixes[i].size;
            if (!(value > 0 && value <= 86400))
                return false;
            *seconds = value;
            return true;
        }
    return false;
}
