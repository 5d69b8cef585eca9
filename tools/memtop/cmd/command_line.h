/* Reads memtop's command line, by the table of commands (commands.def). */
#ifndef MEMTOP_COMMAND_LINE_H
#define MEMTOP_COMMAND_LINE_H

#include "cli.h"
#include "command_table.h"

enum line_wants {
    LINE_WRONG, /* it cannot be understood; said on stderr */
    LINE_COMMAND,
    LINE_HELP, /* of the command, or of memtop if that is NULL */
    LINE_VERSION
};

/* `options` come with their defaults, and with an `arguments` of argc + 1 NULLs, of which the last
 * stays.  `argv`, whose order may change, and its strings must outlive them.  *command is set for
 * LINE_COMMAND and LINE_HELP. */
enum line_wants command_line_read(int argc, char **argv, struct options *options,
                                  const struct command **command);

#endif
