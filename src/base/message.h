/* What the library says on the program's stderr: lines that were asked for, and complaints. Nothing
 * here blocks; all of it is async-signal-safe but for message_init and message_keep.
 *
 * Descriptor 2 belongs to the program.  It is written to while it is the object (device and inode)
 * that it was at load.  Where the program has put something else there:
 *  - a file or a pipe is written to if it came by dup2 or dup3 (message_note): that was made stderr
 *    on purpose.  A file that merely took the number after close(2) may be anything, a database's
 *    log; a pipe may be half of a protocol;
 *  - a terminal and a FIFO that has a name are written to in any case;
 *  - all else is not: sockets, devices as /dev/null, nothing at all. */
#ifndef BASE_MESSAGE_H
#define BASE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

enum message_place {
    MESSAGE_NOWHERE,  /* descriptor 2 is closed, or not to be written to */
    MESSAGE_STDERR,   /* to what it was at load */
    MESSAGE_REPLACED, /* to what the program has put there */
};

/* Learns what descriptor 2 is. */
void message_init(void);
/* The program is about to put `fd` on descriptor 2 by dup2 or dup3.  Async-signal-safe. */
void message_note(int fd);
/* Where message_write would write now. */
enum message_place message_place(void);

/* One line "memdebug: TEXT\n" in one write, at most MESSAGE_LIMIT lines a process. */
#define MESSAGE_LIMIT 50
void message(const char *text);
/* Says that a file was refused: "KEY: PATH: REASON", for want of permission with the uid, then
 * `advice`: what follows from it, or what to do. */
void message_refused(const char *key, const char *path, int error, const char *advice);
/* Writes to stderr, all or nothing where it is a pipe: 0, EBADF where there is no place to write
 * to, EAGAIN when it would block. */
int message_write(const char *bytes, size_t length);
/* Writes `bytes` to `fd` in one write(2) that does not block, whatever the descriptor's mode. */
int write_unblocked(int fd, const char *bytes, size_t length);

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

#endif
