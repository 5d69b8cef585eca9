/* A short text file that a person has written, an entry a line: blanks around an entry are not of
 * it; blank lines and those that begin with # are passed over.
 *
 * Whatever is in it, reading ends and takes bounded memory.  What an entry means is for the caller,
 * who gets its length, as it may hold NULs.  Memory: malloc. */
#ifndef VIEW_LIST_FILE_H
#define VIEW_LIST_FILE_H

#include <stddef.h>

struct list_file {
    char *text; /* entries point into it */
    char *at, *end;
    size_t line; /* the number of the line that was read last, from 1 */
};

/* Reads `path`, a regular file of at most `limit` bytes, whose entries are called `entries` in
 * errors.  0, or an errno value with one line in `error` (VIEW_ERROR_SIZE, not NULL), and there are
 * no entries then.  list_file_fini may follow either way. */
int list_file_read(struct list_file *file, const char *path, size_t limit, const char *entries,
                   char *error);
void list_file_fini(struct list_file *file);
/* The next entry, NUL-terminated, with its length; NULL: there is no other. */
char *list_file_next(struct list_file *file, size_t *length);

#endif
