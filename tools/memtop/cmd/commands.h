/* The functions of the commands.  Each does what the options say; it returns the exit status. */
#ifndef MEMTOP_COMMANDS_H
#define MEMTOP_COMMANDS_H

#include "cli.h"

#define COMMAND(ident, name, function, ...) int function(const struct options *options);
#include "commands.def"

#endif
