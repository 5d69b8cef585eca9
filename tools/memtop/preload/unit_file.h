/* The [Service] settings of a systemd service, read from the files that systemd reads: the unit in
 * its search path (or SYSTEMD_UNIT_PATH), then its drop-ins.  No manager need run. */
#ifndef MEMTOP_UNIT_FILE_H
#define MEMTOP_UNIT_FILE_H

#include "view/snapshot.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define UNIT_NAME_SIZE 256

struct unit {
    char name[UNIT_NAME_SIZE]; /* ends in .service; of an alias what it leads to */
    char path[PATH_MAX];       /* its file */
    struct unit_setting {
        char *key, *value; /* one assignment; "" resets a list */
    } * setting;           /* in the order in which they take effect */
    size_t count, capacity;
};

/* 0, or an errno value with one line.  The drop-ins named `left_out` are not read. */
int unit_read(struct unit *unit, const char *name, const char *left_out,
              char error[VIEW_ERROR_SIZE]);
/* The same of text that is at hand, behind what is there.  0 or ENOMEM. */
int unit_read_text(struct unit *unit, char *text);
void unit_fini(struct unit *unit);

/* Of a setting that has one value: the last one; "" if there is none. */
const char *unit_value(const struct unit *unit, const char *key);
bool unit_is_on(const struct unit *unit, const char *key);
/* Of one that is a list: all of it, with blanks between; malloc'ed, NULL: no memory. */
char *unit_list(const struct unit *unit, const char *key);
/* The next word of a value, its quotes and escapes taken off (systemd.syntax(7)); false at the end.
 */
bool unit_word(const char **at, char *word, size_t size);

#endif
