#include "losses.h"

void losses_of(const struct md_counters *counters, uint64_t torn, struct loss losses[LOSSES])
{
    const struct loss all[LOSSES] = {
        {"samples", "a table or the tmpfs was full: a larger memprofilerate, or room in dir=PATH",
         counters->lost_samples},
        {"stacks", "no room for them, or they did not unwind: a smaller profstackdepth, unwind=fp",
         counters->lost_stacks},
        {"lines", "stderr is blocked, full or replaced: gctracefile=PATH", counters->lost_lines},
        {"dumps", "heapprofile=PREFIX could not be written there; stderr has the reason",
         counters->lost_dumps},
        {"torn records", "written while they were read, or the file is cut: look again", torn},
    };
    for (int i = 0; i < LOSSES; i++)
        losses[i] = all[i];
}
