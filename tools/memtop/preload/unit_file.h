/* The [Service] settings of a systemd service, from the files that systemd reads: the unit in its
 * search path (or SYSTEMD_UNIT_PATH), then its drop-ins.  No manager need run.  Memory: malloc. */
#ifndef MEMTOP_UNIT_FILE_H
#define MEMTOP_UNIT_FILE_H

#include "view/snapshot.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define UNIT_NAME_SIZE 256

struct unit {
    char name[UNIT_NAME_SIZE]; /* ends in .service; of an alias that of the unit behind it */
    char path[PATH_MAX];       /* of its file */
    struct unit_setting {
        char *key, *value; /* one assignment; "" resets a list */
    } * setting;           /* in the order in which they take effect */
    size_t count, capacity;
};

/* Reads a service, its name with or without .service.  Drop-ins named `left_out` are not read.  0,
 * or an errno value with one line; the unit is then empty. */
int unit_read(struct unit *unit, const char *name, const char *left_out,
              char error[VIEW_ERROR_SIZE]);
/* Appends the settings of a text, which is changed.  0 or ENOMEM. */
int unit_read_text(struct unit *unit, char *text);
void unit_fini(struct unit *unit);

/* The value of a setting that has one: the last that was assigned; "": there is none.  Borrowed. */
const char *unit_value(const struct unit *unit, const char *key);
/* Whether that value is a yes. */
bool unit_is_on(const struct unit *unit, const char *key);
/* All values of a setting that is a list, with blanks between; malloc'ed.  NULL: no memory. */
char *unit_list(const struct unit *unit, const char *key);
/* Takes the next word off a value, without quotes and escapes (systemd.syntax(7)), cut to `size`.
 * False: there is none. */
bool unit_word(const char **at, char *word, size_t size);

#endif
