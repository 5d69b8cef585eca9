/* The first page: the list of processes on memdebug, living and dead; enter watches one. */
#ifndef MEMTOP_FLEET_H
#define MEMTOP_FLEET_H

#include "live_view.h"

/* Shows it on the open terminal until the user leaves, errors too.  Returns LIVE_QUIT. */
enum live_end fleet_watch(const struct view_options *options, char error[VIEW_ERROR_SIZE]);

#endif
