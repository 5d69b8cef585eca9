#include "view/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Bounds on a copy, far above any segment: a hostile file must not take the reader's memory. */
#define COPY_SIZE_MAX (UINT64_C(64) << 30) /* address space: segments are mostly holes */
#define COPY_DATA_MAX (UINT64_C(1) << 30)  /* bytes that are read */

__attribute__((format(printf, 3, 4))) static int fail(char *error, int code, const char *format,
                                                      ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error, VIEW_ERROR_SIZE, format, arguments);
        va_end(arguments);
    }
    return code;
}

/* The last component must be no symbolic link, as others may write to these directories.  A memfd
 * is an exception: it can be opened only by /proc/PID/fd/N, which is one. */
static int open_file(const char *path, int flags)
{
    flags |= O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int fd = open(path, flags | O_NOFOLLOW);
    if (fd < 0 && errno == ELOOP && strncmp(path, "/proc/", 6) == 0)
        fd = open(path, flags);
    return fd;
}

/* Reads what is not a hole; the rest of `memory` is zero already. */
static int read_data(uint8_t *memory, size_t size, int fd)
{
    uint64_t total = 0;
    off_t at = 0;
    while (at < (off_t)size) {
        off_t data = lseek(fd, at, SEEK_DATA), hole;
        if (data < 0 && errno == ENXIO)
            break; /* holes up to the end */
        if (data < 0 || (hole = lseek(fd, data, SEEK_HOLE)) < 0) {
            data = at;
            hole = (off_t)size;
        }
        if (hole > (off_t)size)
            hole = (off_t)size;
        for (at = data; at < hole;) {
            ssize_t n = pread(fd, memory + at, (size_t)(hole - at), at);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return errno;
            if (n == 0)
                return 0; /* the file became shorter: the rest reads as zero */
            at += n;
            total += (uint64_t)n;
            if (total > COPY_DATA_MAX)
                return EFBIG;
        }
    }
    return 0;
}

static int map_copy(struct segment_file *file, int fd, const char *path, char *error)
{
    if (file->size > COPY_SIZE_MAX)
        return fail(error, EFBIG, "%s: larger than any segment", path);
    void *memory = mmap(NULL, file->size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return fail(error, errno, "%s: %s", path, strerror(errno));
    int result = read_data(memory, file->size, fd);
    if (result != 0) {
        munmap(memory, file->size);
        return fail(error, result, "%s: %s", path, strerror(result));
    }
    file->base = memory;
    return 0;
}

static int map_fd(struct segment_file *file, int fd, const char *path, bool writable, char *error)
{
    struct stat st;
    struct statfs fs;
    if (fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0)
        return fail(error, errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return fail(error, EINVAL, "%s: not a segment: not a regular file", path);
    if (st.st_size < (off_t)sizeof(struct md_header))
        return fail(error, EINVAL, "%s: not a segment: too short", path);
    char magic[sizeof MD_SEGMENT_MAGIC - 1];
    if (pread(fd, magic, sizeof magic, 0) != (ssize_t)sizeof magic ||
        memcmp(magic, MD_SEGMENT_MAGIC, sizeof magic) != 0)
        return fail(error, EINVAL, "%s: not a segment: its first bytes are something else", path);
    file->size = (size_t)st.st_size;
    file->dev = st.st_dev;
    file->ino = st.st_ino;
    file->writable = writable;

    /* Segments of running processes lie on a tmpfs.  Of any other file a copy is enough, and nobody
     * can cut it short. */
    if (fs.f_type != TMPFS_MAGIC) {
        if (writable)
            return fail(error, EROFS, "%s: a copy, not a running process's segment", path);
        return map_copy(file, fd, path, error);
    }
    void *memory =
        mmap(NULL, file->size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return fail(error, errno, "%s: %s", path, strerror(errno));
    file->base = memory;
    file->fd = fd;
    return 0;
}

int segment_file_open(struct segment_file *file, const char *path, bool writable, char *error)
{
    *file = (struct segment_file){.fd = -1};
    if (error)
        error[0] = 0;
    int fd = open_file(path, writable ? O_RDWR : O_RDONLY);
    if (fd < 0)
        return fail(error, errno, "%s: %s", path, strerror(errno));
    int result = map_fd(file, fd, path, writable, error);
    if (result != 0)
        *file = (struct segment_file){.fd = -1};
    if (file->fd < 0)
        close(fd);
    return result;
}

void segment_file_close(struct segment_file *file)
{
    if (file->base)
        munmap((void *)(uintptr_t)file->base, file->size);
    if (file->base && file->fd >= 0)
        close(file->fd);
    *file = (struct segment_file){.fd = -1};
}
