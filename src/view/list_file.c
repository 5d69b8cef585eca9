#include "view/list_file.h"

#include "view/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(char *error, int code, const char *path, const char *what)
{
    snprintf(error, VIEW_ERROR_SIZE, "%.160s: %s", path, what);
    return code;
}

/* Reads at most one byte more than there may be, which tells a file that is too long. */
static ssize_t read_whole(int fd, char *text, size_t limit)
{
    size_t length = 0;
    while (length <= limit) {
        ssize_t n = read(fd, text + length, limit + 1 - length);
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

int list_file_read(struct list_file *file, const char *path, size_t limit, const char *entries,
                   char *error)
{
    struct stat st;
    *file = (struct list_file){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fail(error, errno, path, strerrordesc_np(errno));
    int result = fstat(fd, &st) != 0 ? fail(error, errno, path, strerrordesc_np(errno)) : 0;
    ssize_t length = 0;
    if (!result && !S_ISREG(st.st_mode))
        result = fail(error, EINVAL, path, "not a regular file");
    else if (!result && !(file->text = malloc(limit + 2)))
        result = fail(error, ENOMEM, path, "no memory");
    else if (!result && (length = read_whole(fd, file->text, limit)) < 0)
        result = fail(error, errno, path, strerrordesc_np(errno));
    close(fd);
    if (!result && (size_t)length > limit) {
        char what[80];
        snprintf(what, sizeof what, "more than %zu KiB is no list of %.30s", limit >> 10, entries);
        result = fail(error, EFBIG, path, what);
    }
    if (!result) {
        file->text[length] = 0;
        file->at = file->text;
        file->end = file->text + length;
    }
    return result;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

char *list_file_next(struct list_file *file, size_t *length)
{
    while (file->at < file->end) {
        char *entry = file->at;
        char *stop = memchr(entry, '\n', (size_t)(file->end - entry));
        if (!stop)
            stop = file->end;
        file->at = stop + 1;
        file->line++;
        while (entry < stop && is_blank(*entry))
            entry++;
        while (stop > entry && is_blank(stop[-1]))
            stop--;
        if (entry == stop || *entry == '#')
            continue;
        *stop = 0;
        *length = (size_t)(stop - entry);
        return entry;
    }
    return NULL;
}

void list_file_fini(struct list_file *file)
{
    free(file->text);
    *file = (struct list_file){0};
}
