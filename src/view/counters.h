/* The counters of a segment (counters.def), for who shows them all. */
#ifndef VIEW_COUNTERS_H
#define VIEW_COUNTERS_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>

struct counter {
    const char *name;
    uint32_t since; /* the version of the format that it came with */
    enum md_counter_kind kind;
    const char *label;  /* in text; NULL: shown there in another form, or a loss */
    const char *lost;   /* what was lost; NULL: it is not a loss */
    const char *remedy; /* of a loss: why, and what to do */
    size_t offset;      /* in struct md_counters */
};

enum {
#define MD_COUNTER(name, since, kind, label, help) COUNTERS_WITH_##name,
#define MD_LOSS(name, since, what, remedy, help) COUNTERS_WITH_##name,
#include <memdebug/counters.def>
    COUNTERS
};
extern const struct counter counter_list[COUNTERS];

/* False: this writer has not counted it: it is older, or keeps it in another variant only. */
bool counter_value(const struct counter *counter, const struct md_header *header, uint64_t *value);

#endif
