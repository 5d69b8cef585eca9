/* A counter as text, in its unit. */
#ifndef MEMTOP_COUNTER_TEXT_H
#define MEMTOP_COUNTER_TEXT_H

#include "units.h"
#include "view/counters.h"

/* Returns `text`; "-" where it is not known. */
const char *counter_text(const struct counter *counter, const struct md_header *header,
                         char text[UNITS_SIZE]);

#endif
