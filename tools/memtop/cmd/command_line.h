/* Reads memtop's command line by the table of commands (commands.def). */
#ifndef MEMTOP_COMMAND_LINE_H
#define MEMTOP_COMMAND_LINE_H

#include "cli.h"
#include "command_table.h"

enum line_wants {
    LINE_WRONG, /* which has been said on stderr */
    LINE_COMMAND,
    LINE_HELP, /* of the command; NULL: of memtop */
    LINE_VERSION
};

/* `options` come with the values they are to have where the line says nothing, and with `arguments`
 * of argc + 1 times NULL, of which the last stays.  `argv` and its strings must outlive them.
 * `command` is set for LINE_COMMAND and LINE_HELP. */
enum line_wants command_line_read(int argc, char **argv, struct options *options,
                                  const struct command **command);

#endif
