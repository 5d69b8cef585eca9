#include "losses.h"

void losses_of(const struct md_counters *counters, uint64_t torn, struct loss losses[LOSSES])
{
    const struct loss all[LOSSES] = {
#define MD_COUNTER(name, kind, help)
#define MD_LOSS(name, what, remedy, help) {what, remedy, counters->name},
#include <memdebug/counters.def>
        {"torn records", "written while they were read, or the file is cut: look again", torn},
    };
    for (int i = 0; i < LOSSES; i++)
        losses[i] = all[i];
}

uint64_t losses_of_kind(const struct md_counters *counters, enum md_bucket_kind kind)
{
    return kind == MD_BUCKET_MMAP ? counters->lost_mappings : counters->lost_samples;
}
