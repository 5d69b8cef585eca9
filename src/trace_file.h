/* Where trace lines go: to gctracefile, their own file, or to stderr.
 *
 * The file is opened at load, before the program gives up its privileges, on a high descriptor that
 * exec closes.  The program may close that, and have something else under its number: so it is
 * written to only while it is the file (device and inode) that was opened.  Where the path has come
 * to name another file (rotated) it is opened anew, if that is allowed; else the old one is written
 * on. Only a regular file is held; a FIFO or a device, whose other end may wait for us to let go,
 * is opened for each line. */
#ifndef TRACE_FILE_H
#define TRACE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Learns the path, relative to the directory that the program was started in, and opens it if lines
 * are wanted; says so if that fails.  Before threads. */
void trace_file_init(bool wanted);
/* Writes a whole line there; what is lost is counted, and why is said once.  One thread at a time.
 */
void trace_file_line(const char *line, size_t length);
/* In a forked copy: lets go of a file whose name has the parent's pid. */
void trace_file_postfork_child(void);

#endif
