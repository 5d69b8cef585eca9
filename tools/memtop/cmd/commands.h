/* The commands: each reads the options it is given and answers an exit status. */
#ifndef MEMTOP_COMMANDS_H
#define MEMTOP_COMMANDS_H

#include "cli.h"

int command_list(const struct options *options); /* no argument */
int command_watch(const struct options *options);
int command_ps(const struct options *options);
int command_tail(const struct options *options);
int command_heap(const struct options *options);
int command_gc(const struct options *options);
int command_leaks(const struct options *options);
int command_unit(const struct options *options);
int command_container(const struct options *options);
int command_run(const struct options *options);

#endif
