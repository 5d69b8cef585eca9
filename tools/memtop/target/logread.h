/* A growing text as lines: a file that is followed as `tail -F` does (grown, cut, replaced), or a
 * pipe.  A line of any length costs no more than LOG_LINE bytes: what is longer cannot be a trace
 * line and is passed over. */
#ifndef MEMTOP_LOGREAD_H
#define MEMTOP_LOGREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define LOG_LINE 4096

struct logread {
    const char *path; /* NULL: standard input */
    int fd;
    bool is_pipe, ended; /* a pipe's writer has gone */
    dev_t dev;
    ino_t ino;
    off_t offset;
    bool too_long; /* within a line that is passed over */
    size_t length;
    char line[LOG_LINE];
};

typedef void logread_line(void *context, const char *line, size_t length);

/* `path` "-": standard input.  0 or an errno value. */
int logread_open(struct logread *log, const char *path);
void logread_close(struct logread *log);
/* Hands over the lines that there are now, at most about `limit` bytes; never waits for more of a
 * pipe that has none.  False: there may be more at once. */
bool logread_poll(struct logread *log, size_t limit, logread_line *on_line, void *context);
/* The last line, if it did not end in a newline. */
void logread_finish(struct logread *log, logread_line *on_line, void *context);

#endif
