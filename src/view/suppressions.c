#include "view/suppressions.h"

#include "view/containers.h"
#include "view/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (1u << 20)
#define TYPE "leak:"

/* Whether *at begins with the `length` bytes of `piece` or, if it may move, holds them at all; *at
 * then goes behind them. */
static bool find_piece(const char *piece, size_t length, bool moves, const char **at)
{
    size_t left = strlen(*at);
    for (; left >= length; left--, (*at)++) {
        if (memcmp(*at, piece, length) == 0) {
            *at += length;
            return true;
        }
        if (!moves)
            return false;
    }
    return false;
}

bool suppressions_match(const char *pattern, const char *text)
{
    if (!*text)
        return false;
    bool moves = *pattern != '^';
    pattern += !moves;
    size_t length = strcspn(pattern, "$"); /* the rest is not looked at */
    bool anchored = pattern[length] == '$';
    const char *end = pattern + length;
    for (;;) {
        const char *star = memchr(pattern, '*', (size_t)(end - pattern));
        size_t piece = (size_t)((star ? star : end) - pattern);
        if (!star && anchored) {
            size_t left = strlen(text);
            return left >= piece && (moves || left == piece) &&
                   memcmp(text + left - piece, pattern, piece) == 0;
        }
        /* No need to go back: the first match of a piece leaves the most text for the next ones. */
        if (!find_piece(pattern, piece, moves, &text))
            return false;
        if (!star)
            return true;
        pattern = star + 1;
        moves = true;
    }
}

uint32_t suppressions_find(const struct suppressions *s, const char *text)
{
    for (size_t i = 0; i < s->count; i++)
        if (suppressions_match(s->rules[i].pattern, text))
            return (uint32_t)i;
    return SUPPRESSIONS_NONE;
}

/* False: no memory. */
static bool take_entry(struct suppressions *s, const char *entry, size_t line)
{
    if (strncmp(entry, TYPE, sizeof TYPE - 1) != 0 || !entry[sizeof TYPE - 1]) {
        if (!s->bad_lines++)
            s->first_bad = line;
        return true;
    }
    if (!array_reserve(&s->rules, &s->room, s->count + 1, sizeof *s->rules))
        return false;
    s->rules[s->count++] = (struct suppression){.pattern = entry + sizeof TYPE - 1};
    return true;
}

int suppressions_read(struct suppressions *s, const char *path, char *error)
{
    *s = (struct suppressions){0};
    int result = list_file_read(&s->file, path, FILE_MAX, "suppressions", error);
    size_t length;
    const char *entry;
    while (!result && (entry = list_file_next(&s->file, &length)) != NULL)
        if (!take_entry(s, entry, s->file.line)) {
            snprintf(error, VIEW_ERROR_SIZE, "%.160s: no memory", path);
            result = ENOMEM;
        }
    return result;
}

void suppressions_fini(struct suppressions *s)
{
    free(s->rules);
    list_file_fini(&s->file);
    *s = (struct suppressions){0};
}
