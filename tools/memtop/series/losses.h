/* What the process and memtop, its reader, have lost: how much, why, and what to do about it. */
#ifndef MEMTOP_LOSSES_H
#define MEMTOP_LOSSES_H

#include <memdebug/segment.h>
#include <stdbool.h>

/* The kinds of loss: those of counters.def, and the reader's own. */
enum {
#define MD_COUNTER(name, since, kind, label, help)
#define MD_LOSS(name, since, what, remedy, help) LOSSES_WITH_##name,
#include <memdebug/counters.def>
    LOSSES_OF_READER,
    LOSSES
};

struct loss {
    const char *what; /* "lines" */
    const char *why;  /* with what to do, in one phrase; of what is not known why that is so */
    bool known;       /* else the writer is older than this count */
    uint64_t count;
};

/* Fills in all kinds, also those with a count of 0.  `torn`: records that the reader could not read
 * whole. */
void losses_of(const struct md_header *header, uint64_t torn, struct loss losses[LOSSES]);
/* How much of one kind of profile was not recorded. */
uint64_t losses_of_kind(const struct md_counters *counters, enum md_bucket_kind kind);

/* Whether there is something to say of it. */
static inline bool loss_matters(const struct loss *loss)
{
    return !loss->known || loss->count > 0;
}

#endif
