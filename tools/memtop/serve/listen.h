/* Where serve listens, and with which certificate. */
#ifndef MEMTOP_LISTEN_H
#define MEMTOP_LISTEN_H

#include "view/snapshot.h"

#define LISTEN_TEXT_SIZE 96

/* Opens a socket at "HOST:PORT", and says in `address` what it has become, as "127.0.0.1:6061".  An
 * address that others than this machine can reach is refused unless `open` is set.  0, or an errno
 * value with one line in `error`. */
int listen_open(const char *text, bool open, int *fd, char address[LISTEN_TEXT_SIZE],
                char error[VIEW_ERROR_SIZE]);
/* Reads a file of at most 1 MiB whole, as malloc'ed text.  0, or an errno value with one line in
 * `error`. */
int listen_read_pem(const char *path, char **text, char error[VIEW_ERROR_SIZE]);

#endif
