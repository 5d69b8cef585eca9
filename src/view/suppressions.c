#include "view/suppressions.h"

#include "view/containers.h"
#include "view/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* False: no memory. */
static bool take_line(struct suppressions *s, char *line, size_t number)
{
    while (is_blank(*line))
        line++;
    for (size_t n = strlen(line); n && is_blank(line[n - 1]);)
        line[--n] = 0;
    if (!*line || *line == '#')
        return true;
    if (strncmp(line, TYPE, sizeof TYPE - 1) != 0 || !line[sizeof TYPE - 1]) {
        if (!s->bad_lines++)
            s->first_bad = number;
        return true;
    }
    if (!array_reserve(&s->rules, &s->room, s->count + 1, sizeof *s->rules))
        return false;
    s->rules[s->count++] = (struct suppression){.pattern = line + sizeof TYPE - 1};
    return true;
}

static int fail(char *error, int code, const char *path, const char *what)
{
    snprintf(error, VIEW_ERROR_SIZE, "%.160s: %s", path, what);
    return code;
}

/* Reads at most one byte more than there may be, which tells a file that is too long. */
static ssize_t read_whole(int fd, char *text)
{
    size_t length = 0;
    while (length <= FILE_MAX) {
        ssize_t n = read(fd, text + length, FILE_MAX + 1 - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        length += (size_t)n;
    }
    return (ssize_t)length;
}

int suppressions_read(struct suppressions *s, const char *path, char *error)
{
    struct stat st;
    *s = (struct suppressions){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fail(error, errno, path, strerrordesc_np(errno));
    int result = fstat(fd, &st) != 0 ? errno : 0;
    ssize_t length = 0;
    if (!result && !S_ISREG(st.st_mode))
        result = fail(error, EINVAL, path, "not a regular file");
    else if (!result && !(s->text = malloc(FILE_MAX + 2)))
        result = fail(error, ENOMEM, path, "no memory");
    else if (!result && (length = read_whole(fd, s->text)) < 0)
        result = fail(error, errno, path, strerrordesc_np(errno));
    else if (!result && length > (ssize_t)FILE_MAX)
        result = fail(error, EFBIG, path, "more than 1 MiB is no list of suppressions");
    close(fd);
    if (result)
        return result;
    s->text[length] = 0;
    size_t number = 0;
    for (char *at = s->text, *end = s->text + length; at < end;) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop)
            *stop = 0;
        if (!take_line(s, at, ++number))
            return fail(error, ENOMEM, path, "no memory");
        at = stop ? stop + 1 : end;
    }
    return 0;
}

void suppressions_fini(struct suppressions *s)
{
    free(s->rules);
    free(s->text);
    *s = (struct suppressions){0};
}
