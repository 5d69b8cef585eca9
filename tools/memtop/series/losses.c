#include "losses.h"

#include "view/counters.h"

void losses_of(const struct md_header *header, uint64_t torn, struct loss losses[LOSSES])
{
    size_t n = 0;
    for (size_t i = 0; i < COUNTERS; i++) {
        const struct counter *counter = &counter_list[i];
        if (!counter->lost)
            continue;
        struct loss *loss = &losses[n++];
        *loss = (struct loss){.what = counter->lost};
        loss->known = counter_value(counter, header, &loss->count);
        loss->why = loss->known ? counter->remedy : "an older memdebug, which does not count them";
    }
    losses[n] = (struct loss){
        "torn records", "written while they were read, or the file is cut: look again", true, torn};
}

uint64_t losses_of_kind(const struct md_counters *counters, enum md_bucket_kind kind)
{
    return kind == MD_BUCKET_MMAP ? counters->lost_mappings : counters->lost_samples;
}
