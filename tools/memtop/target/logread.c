#include "logread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* A second descriptor is zlib's, which closes it.  What cannot be had for it is read as it is. */
static void look_for_gzip(struct logread *log)
{
    unsigned char magic[2];
    if (log->is_pipe || pread(log->fd, magic, sizeof magic, 0) != sizeof magic ||
        magic[0] != 0x1f || magic[1] != 0x8b)
        return;
    int own = fcntl(log->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    log->gzip = own < 0 ? NULL : gzdopen(own, "rb");
    if (own >= 0 && !log->gzip)
        close(own);
}

static int open_path(struct logread *log)
{
    struct stat st;
    int fd = log->path ? open(log->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : STDIN_FILENO;
    if (fd < 0)
        return errno;
    if (fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
        if (log->path)
            close(fd);
        return EISDIR;
    }
    log->fd = fd;
    log->is_pipe = !S_ISREG(st.st_mode);
    log->dev = st.st_dev;
    log->ino = st.st_ino;
    log->offset = 0;
    look_for_gzip(log);
    return 0;
}

int logread_open(struct logread *log, const char *path)
{
    *log = (struct logread){.path = strcmp(path, "-") == 0 ? NULL : path, .fd = -1};
    return open_path(log);
}

void logread_close(struct logread *log)
{
    if (log->gzip)
        gzclose(log->gzip);
    log->gzip = NULL;
    if (log->fd > STDIN_FILENO)
        close(log->fd);
    log->fd = -1;
}

static void take(struct logread *log, const char *bytes, size_t size, logread_line *on_line,
                 void *context)
{
    while (size > 0) {
        const char *newline = memchr(bytes, '\n', size);
        size_t part = newline ? (size_t)(newline - bytes) : size;
        if (!log->too_long && log->length + part <= sizeof log->line) {
            memcpy(log->line + log->length, bytes, part);
            log->length += part;
        } else {
            log->too_long = true;
        }
        if (newline) {
            if (!log->too_long)
                on_line(context, log->line, log->length);
            log->length = 0;
            log->too_long = false;
            part++;
        }
        bytes += part;
        size -= part;
    }
}

void logread_finish(struct logread *log, logread_line *on_line, void *context)
{
    if (log->length > 0 && !log->too_long)
        on_line(context, log->line, log->length);
    log->length = 0;
}

/* At the end of a file: opens it anew if it was cut or replaced.  False: it is as it was. */
static bool reopened(struct logread *log)
{
    struct stat st;
    if (log->is_pipe || !log->path || stat(log->path, &st) != 0)
        return false;
    if (st.st_ino == log->ino && st.st_dev == log->dev && st.st_size >= log->offset)
        return false;
    logread_close(log);
    log->length = 0;
    log->too_long = false;
    return open_path(log) == 0;
}

static ssize_t read_gzip(struct logread *log, void *bytes, unsigned size)
{
    int error, n = gzread(log->gzip, bytes, size);
    if (n == 0) {
        gzerror(log->gzip, &error);
        log->damaged = error != Z_OK && error != Z_STREAM_END;
    }
    log->damaged = log->damaged || n < 0;
    log->ended = n <= 0;
    return n;
}

bool logread_poll(struct logread *log, size_t limit, logread_line *on_line, void *context)
{
    char bytes[65536];
    for (size_t total = 0; total < limit;) {
        if (log->fd < 0 && (!log->path || open_path(log) != 0))
            return true;
        struct pollfd ready = {log->fd, POLLIN, 0};
        if (log->is_pipe && poll(&ready, 1, 0) <= 0)
            return true;
        if (log->ended && log->gzip)
            return true;
        ssize_t n =
            log->gzip ? read_gzip(log, bytes, sizeof bytes) : read(log->fd, bytes, sizeof bytes);
        if (log->gzip && n <= 0)
            return true;
        if (n < 0 && errno == EINTR)
            continue;
        if (n > 0) {
            log->offset += n;
            total += (size_t)n;
            take(log, bytes, (size_t)n, on_line, context);
            continue;
        }
        if (n < 0 && errno == EAGAIN)
            return true;
        if (log->is_pipe || n < 0) {
            log->ended = true;
            return true;
        }
        if (!reopened(log))
            return true;
    }
    return false;
}
