#include "base/fmt.h"

#include "base/compiler.h"

#include <errno.h>
#include <string.h>
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
