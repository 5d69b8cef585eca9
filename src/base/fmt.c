#include "base/fmt.h"

#include "base/compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void fmt_bytes(struct fmt *f, const char *bytes, size_t length)
{
    size_t room = f->size - 1 - f->length;
    size_t n = MIN(length, room);
    memcpy(f->buf + f->length, bytes, n);
    f->length += n;
    f->buf[f->length] = 0;
}

void fmt_text(struct fmt *f, const char *text)
{
    fmt_bytes(f, text, strlen(text));
}

void fmt_char(struct fmt *f, char c)
{
    fmt_bytes(f, &c, 1);
}

void fmt_padded(struct fmt *f, uint64_t value, unsigned digits)
{
    char text[24];
    unsigned n = 0;
    do {
        text[sizeof text - ++n] = (char)('0' + value % 10);
        value /= 10;
    } while ((value || n < digits) && n < sizeof text);
    fmt_bytes(f, text + sizeof text - n, n);
}

void fmt_u64(struct fmt *f, uint64_t value)
{
    fmt_padded(f, value, 1);
}

void fmt_i64(struct fmt *f, int64_t value)
{
    if (value < 0)
        fmt_char(f, '-');
    fmt_u64(f, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void fmt_hex(struct fmt *f, uint64_t value)
{
    char text[16];
    unsigned n = 0;
    do {
        text[sizeof text - ++n] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value);
    fmt_bytes(f, text + sizeof text - n, n);
}

void fmt_path(struct fmt *f, const char *pattern, uint32_t pid, const char *name)
{
    for (const char *c = pattern; *c;) {
        bool is_pid = strncmp(c, "{pid}", 5) == 0, is_name = strncmp(c, "{exe}", 5) == 0;
        if (is_pid || strncmp(c, "%p", 2) == 0) {
            fmt_u64(f, pid);
            c += is_pid ? 5 : 2;
        } else if (is_name || strncmp(c, "%e", 2) == 0) {
            fmt_text(f, name);
            c += is_name ? 5 : 2;
        } else {
            fmt_char(f, *c++);
        }
    }
}

void fmt_absolute(char *buf, size_t size, const char *path)
{
    char cwd[4096];
    int saved = errno;
    struct fmt f = fmt_on(buf, size);
    if (*path && *path != '/' && getcwd(cwd, sizeof cwd)) {
        fmt_text(&f, cwd);
        if (cwd[1])
            fmt_char(&f, '/');
    }
    fmt_text(&f, path);
    errno = saved;
}

/* Descriptor 2 as it was at load.  A daemon that closes it and opens a file of its own gets
 * nothing of ours into that file. */
static bool stderr_known;
static dev_t stderr_dev;
static ino_t stderr_ino;
static unsigned message_count;
static int kept = -1;
static bool ending;

void message_init(void)
{
    struct stat st;
    int saved = errno;
    if (fstat(2, &st) == 0) {
        stderr_dev = st.st_dev;
        stderr_ino = st.st_ino;
        stderr_known = true;
    }
    errno = saved;
}

int write_unblocked(int fd, const char *bytes, size_t length)
{
    struct stat st;
    int saved = errno, result = 0;
    if (fstat(fd, &st) != 0) {
        result = errno;
        goto out;
    }
    if (S_ISSOCK(st.st_mode)) {
        ssize_t n = send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        result = n < 0 ? errno : 0;
        goto out;
    }
    if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
        /* A pipe polls writable when a page is free, and a write of at most PIPE_BUF is whole.
         * Another writer may take that page first: a race of microseconds that no flag closes
         * without changing the open file's O_NONBLOCK for everyone who shares it.  So a pipe also
         * has to have twice the room by FIONREAD. */
        struct pollfd p = {fd, POLLOUT, 0};
        if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT) || (p.revents & (POLLERR | POLLHUP))) {
            result = p.revents & (POLLERR | POLLHUP) ? EPIPE : EAGAIN;
            goto out;
        }
        if (S_ISFIFO(st.st_mode)) {
            int used = 0, size = fcntl(fd, F_GETPIPE_SZ);
            if (ioctl(fd, FIONREAD, &used) == 0 && size > 0 && size - used < 2 * (int)length) {
                result = EAGAIN;
                goto out;
            }
        }
    }
    if (S_ISREG(st.st_mode)) {
        /* Beyond the limit a write is a signal that ends the program. */
        struct rlimit limit;
        off_t at = lseek(fd, 0, SEEK_CUR);
        if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
            (rlim_t)MAX(at, st.st_size) + length > limit.rlim_cur) {
            result = EFBIG;
            goto out;
        }
    }
    ssize_t n = write(fd, bytes, length);
    result = n < 0 ? errno : 0;
out:
    errno = saved;
    return result;
}

static bool is_stderr(int fd)
{
    struct stat st;
    int saved = errno;
    bool same =
        stderr_known && fstat(fd, &st) == 0 && st.st_dev == stderr_dev && st.st_ino == stderr_ino;
    errno = saved;
    return same;
}

void message_keep(void)
{
    int saved = errno;
    if (kept < 0 && is_stderr(2))
        kept = fcntl(2, F_DUPFD_CLOEXEC, 500);
    errno = saved;
}

bool message_kept(void)
{
    return kept >= 0;
}

void message_release(void)
{
    int saved = errno, fd = kept;
    kept = -1;
    if (fd >= 0 && is_stderr(fd)) /* the program may have closed it and have another there now */
        close(fd);
    errno = saved;
}

void message_check(void)
{
    if (kept >= 0 && !ending && !is_stderr(2))
        message_release();
}

void message_ending(void)
{
    ending = true;
}

int message_write(const char *bytes, size_t length)
{
    if (is_stderr(2))
        return write_unblocked(2, bytes, length);
    if (ending && kept >= 0 && is_stderr(kept))
        return write_unblocked(kept, bytes, length);
    return EBADF;
}

void message(const char *text)
{
    if (__atomic_fetch_add(&message_count, 1, __ATOMIC_RELAXED) >= MESSAGE_LIMIT)
        return;
    char line[1024];
    struct fmt f = fmt_on(line, sizeof line - 1);
    fmt_text(&f, "memdebug: ");
    fmt_text(&f, text);
    line[f.length] = '\n';
    message_write(line, f.length + 1);
}
