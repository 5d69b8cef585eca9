/* Names of wrappers: functions that allocate on behalf of their callers (wrappers.def), and those
 * that a user adds or takes off in a file of their own.
 *
 * In the file each entry (list_file.h) is a pattern as in wrappers.def; with ! before it what it
 * matches is no wrapper.  The last pattern that matches decides, so the file has the last word.
 *
 * The list is one for the process.  It is set before threads ask, and not while they do. */
#ifndef VIEW_WRAPPERS_H
#define VIEW_WRAPPERS_H

#include <stdbool.h>

/* Whether a function is one, by its name: demangled, with or without arguments. */
bool wrappers_has(const char *function);
/* Whether a pattern matches a whole name.  Its cost is their lengths multiplied, at most. */
bool wrappers_match(const char *pattern, const char *name);

/* Takes the user's patterns from a file, in place of those that an earlier call has taken; NULL: of
 * none.  At most 64 KiB and 1024 patterns of 200 bytes.  False, with one line in `error`
 * (VIEW_ERROR_SIZE): it cannot be read, or some entries are no patterns; the others hold. */
bool wrappers_read(const char *path, char *error);

#endif
