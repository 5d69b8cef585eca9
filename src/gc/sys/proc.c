#include "gc/sys/proc.h"

#include "base/os.h"
#include "gc/sys/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <string.h>

static int proc_fd = -1;
const char *proc_refusal;

static bool leave_table(void)
{
    /* One call gives this thread an empty table without copying the program's.  Before Linux 5.9
     * the copy is made and emptied; the program's descriptors are held for that moment only. */
    if (RAW3(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE) == 0)
        return true;
    if (RAW3(SYS_unshare, CLONE_FILES, 0, 0) < 0)
        return false;
    for (int fd = 0; fd < 65536; fd++)
        RAW3(SYS_close, fd, 0, 0);
    return true;
}

bool proc_open(bool own_table)
{
    proc_refusal = "no descriptor table for the tracer thread";
    if (own_table && !leave_table())
        return false;
    proc_fd = (int)RAW4(SYS_openat, AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    long self = proc_fd >= 0 ? proc_self_open("status", O_RDONLY) : -1;
    proc_refusal = proc_fd == -EMFILE || self == -EMFILE ? "no descriptor is left (RLIMIT_NOFILE)"
                                                         : "/proc cannot be read";
    if (self >= 0)
        RAW3(SYS_close, self, 0, 0);
    return self >= 0;
}

static char *append(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    *to = 0;
    return to;
}

static char *append_number(char *to, unsigned value)
{
    char digits[12];
    int n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    while (n)
        *to++ = digits[--n];
    *to = 0;
    return to;
}

long proc_self_open(const char *name, int flags)
{
    char path[64];
    append(append(path, "self/"), name);
    return RAW4(SYS_openat, proc_fd, path, flags | O_CLOEXEC, 0);
}

static long read_whole(long fd, char *buf, size_t size)
{
    if (fd < 0)
        return fd;
    size_t have = 0;
    long n;
    while (have < size - 1 && (n = RAW3(SYS_read, fd, buf + have, size - 1 - have)) != 0) {
        if (n == -EINTR)
            continue;
        if (n < 0) {
            RAW3(SYS_close, fd, 0, 0);
            return n;
        }
        have += (size_t)n;
    }
    buf[have] = 0;
    RAW3(SYS_close, fd, 0, 0);
    return (long)have;
}

long proc_self_read(const char *name, char *buf, size_t size)
{
    return read_whole(proc_self_open(name, O_RDONLY), buf, size);
}

long proc_task_read(int tid, const char *name, char *buf, size_t size)
{
    char path[64];
    append(append(append_number(append(path, "self/task/"), (unsigned)tid), "/"), name);
    return read_whole(RAW4(SYS_openat, proc_fd, path, O_RDONLY | O_CLOEXEC, 0), buf, size);
}

long proc_descriptor_link(unsigned fd, char *to, size_t size)
{
    char path[64];
    append_number(append(path, "self/fd/"), fd);
    long n = RAW4(SYS_readlinkat, proc_fd, path, to, size - 1);
    to[n > 0 ? n : 0] = 0;
    return n;
}

long proc_descriptor_read(unsigned fd, char *buf, size_t size)
{
    char name[32];
    append_number(append(name, "fdinfo/"), fd);
    return proc_self_read(name, buf, size);
}

long proc_next_number(struct proc_numbers *numbers)
{
    for (;;) {
        const struct dirent_record *entry;
        while ((entry = dirents_next(&numbers->left)))
            if (entry->name[0] >= '0' && entry->name[0] <= '9')
                return (long)proc_number(entry->name, 10, NULL);
        long n = RAW3(SYS_getdents64, numbers->fd, numbers->buf, numbers->size);
        if (n <= 0)
            return n < 0 ? n - 1 : -1;
        numbers->left = (struct dirents){numbers->buf, numbers->buf + n};
    }
}

uint64_t proc_number(const char *text, int base, const char **end)
{
    uint64_t value = 0;
    for (;; text++) {
        unsigned digit = (unsigned)(*text - '0');
        if (digit > 9) {
            digit = (unsigned)((*text | 32) - 'a') + 10;
            if (digit < 10 || digit >= (unsigned)base)
                break;
        }
        value = value * (unsigned)base + digit;
    }
    if (end)
        *end = text;
    return value;
}

bool proc_field(const char *text, const char *key, int base, uint64_t *value)
{
    size_t length = strlen(key);
    while (*text) {
        if (strncmp(text, key, length) == 0) {
            text += length;
            while (*text == ' ' || *text == '\t')
                text++;
            *value = proc_number(text, base, NULL);
            return true;
        }
        while (*text && *text++ != '\n')
            ;
    }
    return false;
}

uint64_t proc_private_bytes(void)
{
    char text[128];
    const char *at = text;
    if (proc_self_read("statm", text, sizeof text) <= 0)
        return 0;
    uint64_t pages[3] = {0}; /* addresses, resident, of these shared */
    for (unsigned i = 0; i < ARRAY_LENGTH(pages); i++)
        pages[i] = proc_number(i ? at + 1 : at, 10, &at);
    return pages[1] > pages[2] ? (pages[1] - pages[2]) * OS_PAGE : 0;
}

uint64_t proc_faults(void)
{
    char text[512];
    uint64_t value = 0;
    if (proc_self_read("stat", text, sizeof text) <= 0)
        return 0;
    const char *at = strrchr(text, ')'); /* the name before it may hold anything */
    /* Fields 3 (a letter) to 10, one of which may be negative. */
    for (unsigned field = 3; at && field <= 10; field++)
        at = strchr(at + 1, ' ');
    if (at)
        value = proc_number(at + 1, 10, NULL);
    return value;
}

static void parse_mapping(char *line, struct proc_mapping *m)
{
    const char *at;
    m->start = proc_number(line, 16, &at);
    m->end = proc_number(at + 1, 16, &at);
    m->readable = at[1] == 'r' || at[2] == 'w'; /* the processor has no write-only pages */
    m->writable = at[2] == 'w';
    m->executable = at[3] == 'x';
    m->shared = at[4] == 's';
    m->offset = proc_number(at + 6, 16, &at);
    while (*at == ' ')
        at++;
    while (*at && *at != ' ') /* device */
        at++;
    m->inode = proc_number(*at ? at + 1 : at, 10, &at);
    while (*at == ' ')
        at++;
    size_t length = strnlen(at, sizeof m->path - 1);
    memcpy(m->path, at, length);
    m->path[length] = 0;
}

bool proc_each_mapping(void (*fn)(void *ctx, const struct proc_mapping *mapping), void *ctx)
{
    /* Static: one caller at a time, in the tracer thread, in its task or in the child.  It holds
     * the longest line: a path of PATH_MAX in which each newline is written as four characters. */
    static char buf[65536];
    long fd = proc_self_open("maps", O_RDONLY);
    if (fd < 0)
        return false;
    size_t have = 0;
    long n;
    while ((n = RAW3(SYS_read, fd, buf + have, sizeof buf - 1 - have)) != 0) {
        if (n == -EINTR)
            continue;
        if (n < 0)
            break;
        have += (size_t)n;
        char *line = buf, *newline;
        while ((newline = memchr(line, '\n', have - (size_t)(line - buf)))) {
            *newline = 0;
            struct proc_mapping m;
            parse_mapping(line, &m);
            fn(ctx, &m);
            line = newline + 1;
        }
        have -= (size_t)(line - buf);
        memmove(buf, line, have);
    }
    RAW3(SYS_close, fd, 0, 0);
    return n == 0;
}
