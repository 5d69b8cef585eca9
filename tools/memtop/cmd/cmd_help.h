/* The usage of memtop, from the table of commands. */
#ifndef MEMTOP_CMD_HELP_H
#define MEMTOP_CMD_HELP_H

#include "command_table.h"

/* "usage: memtop heap …", broken into lines. */
void help_usage(FILE *out, const struct command *command);
/* The usage of a command and its options; NULL: of memtop, with all its commands. */
void help_print(FILE *out, const struct command *command);

#endif
