#include "pins.h"

#include "ask.h"

#include <time.h>

int pins_fetch(struct source *source, unsigned what, double seconds, char error[VIEW_ERROR_SIZE])
{
    int result = source_poll(source, what, error);
    if (result || source->state != SOURCE_LIVE || source->stopped)
        return result;
    uint64_t before = source->snapshot.header.pinned_ns;
    int64_t until_ns = monotonic_ns() + (int64_t)(seconds * 1e9);
    if ((result = ask_pins(source, error)))
        return result;
    while ((result = source_poll(source, 0, error)) == 0 && source->state == SOURCE_LIVE &&
           source->snapshot.header.pinned_ns == before && monotonic_ns() < until_ns)
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    return result ? result : source_poll(source, what, error);
}

const char *pins_why_none(const struct snapshot *snap)
{
    return snap->header.pinned_ns
               ? NULL
               : "nobody has added up yet who pins its slabs: a process without a "
                 "thread of memdebug's does so bit by bit, each time that it has "
                 "allocated or freed 64 KiB; with jemalloc 5.3.1, or on arm64, it "
                 "cannot be found out";
}
