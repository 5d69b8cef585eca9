#include "base/message.h"

#include "base/compiler.h"
#include "base/fmt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

/* An open object, as fstat names it.  The inode is written last and cleared first, as a signal
 * handler may read it in between: 0 is none. */
struct object {
    uint64_t dev, ino;
};
static struct object loaded; /* on descriptor 2 at load */
static struct object noted;  /* what dup2 or dup3 was last asked to put there */
static unsigned message_count;
static int kept = -1;
static bool ending;

static bool is_object(const struct object *object, const struct stat *st)
{
    uint64_t ino = __atomic_load_n(&object->ino, __ATOMIC_ACQUIRE);
    return ino && ino == st->st_ino &&
           __atomic_load_n(&object->dev, __ATOMIC_RELAXED) == st->st_dev;
}

static void remember(struct object *object, const struct stat *st)
{
    __atomic_store_n(&object->ino, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&object->dev, st->st_dev, __ATOMIC_RELEASE);
    __atomic_store_n(&object->ino, st->st_ino, __ATOMIC_RELEASE);
}

void message_init(void)
{
    struct stat st;
    int saved = errno;
    if (fstat(2, &st) == 0)
        remember(&loaded, &st);
    errno = saved;
}

void message_note(int fd)
{
    struct stat st;
    int saved = errno;
    /* What the call will answer is not known.  It need not be: whether this object has come to be
     * descriptor 2 is looked at when there is something to write. */
    if (fstat(fd, &st) == 0)
        remember(&noted, &st);
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

/* The kernel's own pipes, that pipe(2) makes, are files of one hidden file system. */
static bool has_a_name(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && fs.f_type != PIPEFS_MAGIC;
}

static bool is_stderr(int fd)
{
    struct stat st;
    int saved = errno;
    bool same = fstat(fd, &st) == 0 && is_object(&loaded, &st);
    errno = saved;
    return same;
}

enum message_place message_place(void)
{
    struct stat st;
    int saved = errno;
    bool fit = false;
    if (fstat(2, &st) != 0) {
        errno = saved;
        return MESSAGE_NOWHERE;
    }
    if (is_object(&loaded, &st))
        return MESSAGE_STDERR;
    if (S_ISREG(st.st_mode))
        fit = is_object(&noted, &st);
    else if (S_ISFIFO(st.st_mode))
        fit = is_object(&noted, &st) || has_a_name(2);
    else if (S_ISCHR(st.st_mode))
        fit = isatty(2);
    errno = saved;
    return fit ? MESSAGE_REPLACED : MESSAGE_NOWHERE;
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
    if (message_place() != MESSAGE_NOWHERE)
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

void message_refused(const char *key, const char *path, int error, const char *advice)
{
    char line[900];
    struct fmt f = fmt_on(line, sizeof line);
    const char *reason = strerrordesc_np(error);
    fmt_text(&f, key);
    fmt_text(&f, ": ");
    fmt_bytes(&f, path, strnlen(path, 400));
    fmt_text(&f, ": ");
    fmt_text(&f, reason ? reason : "failed");
    if (error == EACCES || error == EPERM) {
        /* The program may have given up the user that it was started as. */
        fmt_text(&f, " for uid ");
        fmt_u64(&f, geteuid());
    }
    fmt_text(&f, advice);
    message(line);
}
