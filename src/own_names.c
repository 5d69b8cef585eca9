#include "own_names.h"

#include "base/message.h"

#include <unistd.h>

static void say_missing(void)
{
    static bool said;
    const char *missing = symbolizer_missing();
    if (missing && !__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
        message(missing);
}

struct symbolizer *own_names_create(bool full)
{
    struct symbolizer_options options = {
        .pid = getpid(), .own_pid = getpid(), .uid = geteuid(), .full_names = full};
    say_missing();
    return symbolizer_create(&options);
}
