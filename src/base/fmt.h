/* Text without stdio, locale or heap: a bounded buffer that only ever drops what does not fit.
 * Async-signal-safe. */
#ifndef BASE_FMT_H
#define BASE_FMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fmt {
    char *buf;
    size_t size; /* room, with the terminating NUL */
    size_t length;
};

static inline struct fmt fmt_on(char *buf, size_t size)
{
    buf[0] = 0;
    return (struct fmt){buf, size, 0};
}

void fmt_bytes(struct fmt *f, const char *bytes, size_t length);
void fmt_text(struct fmt *f, const char *text);
void fmt_char(struct fmt *f, char c);
void fmt_u64(struct fmt *f, uint64_t value);
void fmt_i64(struct fmt *f, int64_t value);
void fmt_hex(struct fmt *f, uint64_t value);
/* `value` with leading zeros to at least `digits`. */
void fmt_padded(struct fmt *f, uint64_t value, unsigned digits);

/* A path as options give it: {pid} and %p become the pid, {exe} and %e the name. */
void fmt_path(struct fmt *f, const char *pattern, uint32_t pid, const char *name);

/* `path`, made absolute by the current directory; "" stays "". */
void fmt_absolute(char *buf, size_t size, const char *path);

#endif
