/* Writing files and profiles whole or not at all. */
#ifndef MEMTOP_SAVE_H
#define MEMTOP_SAVE_H

#include "source.h"
#include "view/pprof.h"

/* A symbolizer for the source's process, alive or dead, with full names or short ones.  NULL: no
 * memory.  The caller destroys it (symbolizer_destroy). */
struct symbolizer *save_symbolizer(const struct source *source, bool full);

/* Builds the profile of this kind from the source's last snapshot, which must hold
 * SNAPSHOT_PROFILE, with names.  `type` is the default sample type or NULL.  0, or an errno value
 * with one line in `error`.  The caller frees it by profile_fini. */
int save_build(const struct source *source, enum md_bucket_kind kind, const char *type,
               struct profile *profile, char error[VIEW_ERROR_SIZE]);
/* The same, written to `path` (see save_file) or, if that is NULL, to `fd`. */
int save_profile(const struct source *source, enum md_bucket_kind kind, const char *path, int fd,
                 const char *type, char error[VIEW_ERROR_SIZE]);
/* Writes under a temporary name in the same directory, mode 0600, and renames, so that `path` is
 * never half a file.  What is there and no regular file (/dev/stdout, a FIFO) is written to
 * instead. 0, or an errno value with one line in `error`. */
int save_file(const char *path, const void *bytes, size_t size, char error[VIEW_ERROR_SIZE]);
/* Writes all of it.  0 or an errno value. */
int save_write(int fd, const void *bytes, size_t size);

#endif
