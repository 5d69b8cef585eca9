/* tools/memtop/series/units.c: what numbers look like, and which texts are durations. */
#include "support/tap.h"
#include "series/units.h"
#include "view/plain_text.h"

#include <math.h>
#include <string.h>

static void text_is(const char *got, const char *expected)
{
    if (!ok(strcmp(got, expected) == 0, "%s", expected))
        tap_print("# got %s", got);
}

static void test_numbers(void)
{
    char b[UNITS_SIZE];
    text_is(units_bytes(b, 0), "0");
    text_is(units_bytes(b, 1023), "1023");
    text_is(units_bytes(b, 1024), "1.00K");
    text_is(units_bytes(b, 53.25 * 1048576), "53.2M");
    text_is(units_bytes(b, 1023.9 * 1048576), "1.00G");
    text_is(units_bytes(b, 0x1p64), "16.0E");
    text_is(units_bytes(b, NAN), "-");
    text_is(units_bytes(b, INFINITY), "16.0E");
    text_is(units_growth(b, 1.2 * 1048576), "+1.20M");
    text_is(units_growth(b, -3072), "-3.00K");
    text_is(units_growth(b, 0), "0");
    text_is(units_count(b, 999), "999");
    text_is(units_count(b, 48211), "48.2k");
    text_is(units_pause(b, 0), "0");
    text_is(units_pause(b, 850), "850ns");
    text_is(units_pause(b, 1200000), "1.2ms");
    text_is(units_pause(b, 3.42e9), "3.4s");
    text_is(units_age(b, 8.9), "8s");
    text_is(units_age(b, 192), "3m12s");
    text_is(units_age(b, 7500), "2h05m");
    text_is(units_age(b, 4 * 86400 + 3 * 3600), "4d03h");
    text_is(units_age(b, -5), "0s");
    /* Whatever the number: it fits the buffer, and five columns are enough for bytes. */
    bool fits = true;
    for (double value = 0.1; value < 1e19; value *= 1.0137)
        fits = fits && strlen(units_bytes(b, value)) <= 5 && strlen(units_count(b, value)) <= 5 &&
               strlen(units_pause(b, value)) < UNITS_SIZE &&
               strlen(units_age(b, value)) < UNITS_SIZE;
    ok(fits, "five columns from 0.1 to 1e19");
}

static void test_durations(void)
{
    static const struct {
        const char *text;
        double seconds;
    } good[] = {{"1", 1},   {"0.5", 0.5}, {"500ms", 0.5}, {"2s", 2},
                {"1m", 60}, {"1h", 3600}, {".5", 0.5}};
    static const char *const bad[] = {"",    "-1",   "0",    "x",    "1x", "1 s", " 1", "nan",
                                      "inf", "0x10", "1e99", "100h", "+1", "ms",  "1sm"};
    double seconds;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ok(units_parse_seconds(good[i].text, &seconds) && fabs(seconds - good[i].seconds) < 1e-9,
           "%s is a duration", good[i].text);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ok(!units_parse_seconds(bad[i], &seconds), "'%s' is none", bad[i]);
}

static void test_clean(void)
{
    char b[32];
    static const char *const steering[] = {"\x9b",
                                           "\xc2\x80",
                                           "\xc2\x9d",
                                           "\xd8\x9c",
                                           "\xe2\x80\x8e",
                                           "\xe2\x80\xae",
                                           "\xe2\x81\xa6",
                                           "\xe2\x80\xa8",
                                           "\xf5\x80\x80\x80",
                                           "\xed\xa0\x80",
                                           "\xc0\x9b",
                                           "\xe0\x82\x9b",
                                           "\x7f",
                                           "\r"};
    static const char *const harmless[] = {"\xc2\xa0",     "\xe2\x86\x90",     "\xe2\x80\xa7",
                                           "\xe2\x80\xaf", "\xf0\x9f\x90\x9e", "~"};
    for (size_t i = 0; i < sizeof steering / sizeof steering[0]; i++) {
        char expected[] = "????", text[8];
        expected[strlen(steering[i])] = '\0';
        snprintf(text, sizeof text, "%s", steering[i]);
        text_is(plain_text(text, sizeof text, text, SIZE_MAX), expected);
    }
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
        text_is(plain_text(b, sizeof b, harmless[i], SIZE_MAX), harmless[i]);
    text_is(plain_text(b, 3, "\xe2\x86\x90", 64), "");
    text_is(plain_text(b, sizeof b, "a\033[2Jb\n", 64), "a?[2Jb?");
    text_is(plain_text(b, sizeof b, "gr\xc3\xbcn", 64), "gr\xc3\xbcn");
    text_is(plain_text(b, sizeof b, "\xc2\x9b[2J", 64), "??[2J");
    text_is(plain_text(b, sizeof b, "abcdef", 3), "abc");
    text_is(plain_text(b, 4, "abcdef", 64), "abc");
}

int main(void)
{
    test_numbers();
    test_durations();
    test_clean();
    return tap_done();
}
