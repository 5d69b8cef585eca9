/* The first page: who runs on memdebug, the dead ones marked; enter watches the one chosen. */
#ifndef MEMTOP_FLEET_H
#define MEMTOP_FLEET_H

#include "live_view.h"

enum live_end fleet_watch(const struct view_options *options, char error[VIEW_ERROR_SIZE]);

#endif
