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

/* One line "memdebug: TEXT\n" to the program's stderr in one write, if descriptor 2 is still what
 * it was at load (message_init), at most MESSAGE_LIMIT lines a process; never blocks. */
#define MESSAGE_LIMIT 50
void message_init(void);
void message(const char *text);
/* Programs close descriptor 2 on their way out (coreutils do, from atexit), before what there is to
 * say at exit is known.  message_keep holds on to it by a high descriptor of our own;
 * message_check, called about once a second, lets go as soon as the program has closed or replaced
 * its own, so that whoever waits at the other end of a pipe is not kept; message_ending says that
 * from now on the kept one may be used. */
void message_keep(void);
bool message_kept(void);
void message_check(void);
void message_release(void); /* in a forked copy: lets go in any case */
void message_ending(void);
/* Writes to descriptor 2 under the same guard, all or nothing where the descriptor is a pipe:
 * 0, EBADF when it is another object now, EAGAIN when it would block. */
int message_write(const char *bytes, size_t length);
/* Writes `bytes` to `fd` in one write(2) that does not block, whatever the descriptor's mode. */
int write_unblocked(int fd, const char *bytes, size_t length);

#endif
