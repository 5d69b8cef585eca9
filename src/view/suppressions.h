/* Leaks that are known and not to be reported: a file in LeakSanitizer's format, so that a
 * project's own can be used as it is.  Entries (list_file.h) are `leak:PATTERN`.  A pattern matches
 * any part of a function's name, a source file's path or a module's path, of any frame of a stack.
 * In it * is any text; ^ at the start and $ at the end anchor it.
 *
 * The file is the user's, but the library reads it in processes of all kinds.  Whatever is in it,
 * reading ends and takes bounded memory; lines that are not understood are counted.
 * Memory: malloc. */
#ifndef VIEW_SUPPRESSIONS_H
#define VIEW_SUPPRESSIONS_H

#include "view/list_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct suppression {
    const char *pattern;   /* in the file's text */
    double objects, bytes; /* suppressed by it so far */
    uint64_t uses;         /* how many struct leak it has suppressed */
};

struct suppressions {
    struct suppression *rules;
    size_t count, room;
    size_t bad_lines; /* not understood and passed over */
    size_t first_bad; /* the number of the first such line, from 1 */
    struct list_file file;
};
#define SUPPRESSIONS_NONE UINT32_MAX

/* Reads `path`, a regular file of at most 1 MiB.  0, or an errno value with one line in `error`
 * (VIEW_ERROR_SIZE, not NULL).  suppressions_fini may follow either way. */
int suppressions_read(struct suppressions *s, const char *path, char *error);
void suppressions_fini(struct suppressions *s);

/* The index of the first rule that matches `text`, or SUPPRESSIONS_NONE; none matches "". */
uint32_t suppressions_find(const struct suppressions *s, const char *text);
/* Whether one pattern matches. */
bool suppressions_match(const char *pattern, const char *text);

#endif
