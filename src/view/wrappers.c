#include "view/wrappers.h"

#include "view/containers.h"
#include "view/list_file.h"
#include "view/simple_name.h"
#include "view/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (64u << 10)
#define PATTERNS_MAX 1024u
#define PATTERN_MAX 200u
#define NAME_SIZE 1024u /* a longer one is not shortened, so it matches by its beginning */

static const char *const built_in[] = {
#define WRAPPER(pattern) pattern,
#include "view/wrappers.def"
#undef WRAPPER
};

/* The user's, in the order of the file, each with its ! if it has one. */
static struct list_file user_file;
static const char **user;
static size_t user_count, user_room;

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool wrappers_match(const char *pattern, const char *name)
{
    /* Where the last * stood, and what it has to take in next.  To go back to an earlier one never
     * helps: that had left this one the most text. */
    const char *star = NULL, *retry = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = ++pattern;
            retry = name;
        } else if (lower(*pattern) == lower(*name)) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

bool wrappers_has(const char *function)
{
    char name[NAME_SIZE];
    size_t length = strlen(function);
    if (!length)
        return false;
    if (length < sizeof name && strpbrk(function, "(<")) {
        memcpy(name, function, length + 1);
        simple_name(name);
        simple_name_drop_anonymous(name);
        function = name;
    }
    for (size_t i = user_count; i-- > 0;) {
        bool no = user[i][0] == '!';
        if (wrappers_match(user[i] + no, function))
            return !no;
    }
    for (size_t i = 0; i < sizeof built_in / sizeof built_in[0]; i++)
        if (wrappers_match(built_in[i], function))
            return true;
    return false;
}

static bool is_pattern(const char *entry, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)entry[i] < ' ' || entry[i] == 0x7f)
            return false;
    return length <= PATTERN_MAX && strcmp(entry, "!") != 0;
}

bool wrappers_read(const char *path, char *error)
{
    size_t length, bad = 0, first_bad = 0;
    const char *entry;
    list_file_fini(&user_file);
    free(user);
    user = NULL;
    user_count = user_room = 0;
    if (!path)
        return true;
    if (list_file_read(&user_file, path, FILE_MAX, "wrappers", error))
        return false;
    while ((entry = list_file_next(&user_file, &length)) != NULL) {
        if (is_pattern(entry, length) && user_count < PATTERNS_MAX &&
            array_reserve(&user, &user_room, user_count + 1, sizeof *user))
            user[user_count++] = entry;
        else if (!bad++)
            first_bad = user_file.line;
    }
    if (bad == 1)
        snprintf(error, VIEW_ERROR_SIZE, "%.160s: line %zu is no pattern; the rest holds", path,
                 first_bad);
    else if (bad)
        snprintf(error, VIEW_ERROR_SIZE,
                 "%.160s: %zu lines are no patterns, the first is line %zu; the rest holds", path,
                 bad, first_bad);
    return !bad;
}
