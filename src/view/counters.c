#include "view/counters.h"

#include <string.h>

const struct counter counter_list[COUNTERS] = {
#define MD_COUNTER(name, since, kind, label, help)                                                 \
    {#name, since, MD_COUNTER_##kind, label, NULL, NULL, offsetof(struct md_counters, name)},
#define MD_LOSS(name, since, what, remedy, help)                                                   \
    {#name, since, MD_COUNTER_TOTAL, NULL, what, remedy, offsetof(struct md_counters, name)},
#include <memdebug/counters.def>
};

#define MD_COUNTER(name, since, kind, label, help)                                                 \
    _Static_assert(since <= MD_SEGMENT_VERSION, #name " comes with a version of the format");
#define MD_LOSS(name, since, what, remedy, help)                                                   \
    _Static_assert(since <= MD_SEGMENT_VERSION, #name " comes with a version of the format");
#include <memdebug/counters.def>

bool counter_value(const struct counter *counter, const struct md_header *header, uint64_t *value)
{
    memcpy(value, (const char *)&header->counters + counter->offset, sizeof *value);
    return header->version >= counter->since &&
           (counter->kind != MD_COUNTER_EXACT || header->flags & MD_FLAG_TRACKED);
}
