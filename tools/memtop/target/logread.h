/* A growing text as lines: a file that is followed as by `tail -F` (grown, cut, replaced), or a
 * pipe; a file of gzip's, as rotation leaves them, is read to its end.  Lines longer than LOG_LINE
 * bytes cannot be trace lines, and are passed over. */
#ifndef MEMTOP_LOGREAD_H
#define MEMTOP_LOGREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define LOG_LINE 4096

struct logread {
    const char *path; /* NULL: standard input */
    int fd;
    bool is_pipe; /* not a regular file */
    bool ended;   /* a pipe has no writer any more, a gzip file is read, or a read has failed */
    struct gzFile_s *gzip; /* NULL: no gzip file */
    bool damaged;          /* it is one that ended too early, or is no gzip file further on */
    dev_t dev;
    ino_t ino;
    off_t offset;
    bool too_long; /* the line that is being read is passed over */
    size_t length; /* of that line so far */
    char line[LOG_LINE];
};

/* Gets a line without its newline, valid during the call. */
typedef void logread_line(void *context, const char *line, size_t length);

/* `path` is borrowed; "-": standard input.  0 or an errno value. */
int logread_open(struct logread *log, const char *path);
void logread_close(struct logread *log);
/* Hands over the lines that are there now, about `limit` bytes at most; never waits.  False: there
 * may be more already. */
bool logread_poll(struct logread *log, size_t limit, logread_line *on_line, void *context);
/* Hands over the last line, if it did not end in a newline. */
void logread_finish(struct logread *log, logread_line *on_line, void *context);

#endif
