/* The one filter for text that others have made (segments, profiles, /proc, symbol tables, logs)
 * before it is shown: it must not control a terminal or change how the text around it reads.  Such
 * text is cleaned once, where it is read or where it is printed.
 *
 * Replaced by '?', byte by byte: the C0 controls and DEL; the C1 controls, in UTF-8 (U+0080 to
 * U+009F); what reorders a line (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069) or
 * breaks it (U+2028, U+2029); and every byte that is not part of well-formed UTF-8, a C1 control as
 * a single byte among them.  So the length in bytes stays. */
#ifndef VIEW_PLAIN_TEXT_H
#define VIEW_PLAIN_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The length in bytes of the well-formed UTF-8 character at `text`, which has `left` > 0 bytes, and
 * its code in *code; 0: there is none.  Table 3-7 of the Unicode standard: no overlong forms, no
 * surrogates, nothing past U+10FFFF.  Pure, as all but plain_print. */
size_t utf8_character(const char *text, size_t left, uint32_t *code);
/* The first character of `text`, which has `left` > 0 bytes: its code in *code, '?' if it is one of
 * those above.  Returns its length in bytes, at least 1. */
size_t plain_character(const char *text, size_t left, uint32_t *code);
/* Copies at most `length` bytes of `text`, up to a NUL, into the `size` bytes of `buffer`, cleaned
 * and terminated; from the first character that does not fit whole on, the rest is left out.
 * Returns `buffer`, which may be `text` itself. */
char *plain_text(char *buffer, size_t size, const char *text, size_t length);
/* Writes all of `text`, cleaned. */
void plain_print(const char *text, FILE *out);

#endif
