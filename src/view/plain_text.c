#include "view/plain_text.h"

#include <stdbool.h>
#include <string.h>

size_t utf8_character(const char *start, size_t left, uint32_t *code)
{
    const unsigned char *text = (const unsigned char *)start;
    static const struct {
        unsigned char first, last, bytes, second_low, second_high;
    } forms[] = {
        {0x00, 0x7f, 1, 0, 0},       {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
        {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
        {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (text[0] < forms[i].first || text[0] > forms[i].last)
            continue;
        size_t bytes = forms[i].bytes;
        if (bytes > left)
            return 0;
        *code = bytes == 1 ? text[0] : text[0] & (0xffu >> (bytes + 1));
        for (size_t k = 1; k < bytes; k++) {
            unsigned char low = k == 1 ? forms[i].second_low : 0x80;
            unsigned char high = k == 1 ? forms[i].second_high : 0xbf;
            if (text[k] < low || text[k] > high)
                return 0;
            *code = *code << 6 | (text[k] & 0x3fu);
        }
        return bytes;
    }
    return 0;
}

static bool is_plain(uint32_t code)
{
    return code >= ' ' && (code < 0x7f || code >= 0xa0) && code != 0x61c && code != 0x200e &&
           code != 0x200f && (code < 0x2028 || code > 0x202e) && (code < 0x2066 || code > 0x2069);
}

size_t plain_character(const char *text, size_t left, uint32_t *code)
{
    size_t bytes = utf8_character(text, left, code);
    if (!bytes || !is_plain(*code))
        *code = '?';
    return bytes ? bytes : 1;
}

/* The bytes to show for a character: its own, or as many question marks. */
static const char *shown(const char *text, uint32_t code)
{
    return code == '?' ? "????" : text;
}

char *plain_text(char *buffer, size_t size, const char *text, size_t length)
{
    size_t at = 0;
    uint32_t code;
    length = strnlen(text, length);
    while (size && at < length) {
        size_t bytes = plain_character(text + at, length - at, &code);
        if (at + bytes >= size)
            break;
        memmove(buffer + at, shown(text + at, code), bytes);
        at += bytes;
    }
    if (size)
        buffer[at] = '\0';
    return buffer;
}

void plain_print(const char *text, FILE *out)
{
    uint32_t code;
    for (size_t left = strlen(text); left;) {
        size_t bytes = plain_character(text, left, &code);
        fwrite(shown(text, code), 1, bytes, out);
        text += bytes;
        left -= bytes;
    }
}
