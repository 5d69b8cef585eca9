/* Names of functions for what the process says of itself: profiles and leak reports. */
#ifndef OWN_NAMES_H
#define OWN_NAMES_H

#include "view/symbolize.h"

/* For symbolizer_destroy; NULL: no memory.  `full`: with types, see view/symbolize.h.  Where names
 * cannot be had this says so on stderr, once in a process tree.  Any thread that may use the
 * loader. */
struct symbolizer *own_names_create(bool full);

#endif
