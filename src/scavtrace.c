#include "scavtrace.h"

#include "base/compiler.h"
#include "base/fmt.h"
#include "base/options.h"
#include "malloc/stats.h"
#include "segment/segment.h"
#include "trace_file.h"

#define LOOK_NS INT64_C(1000000000)

static int64_t next_ns; /* 0: not looked yet */
/* As told so far, bytes. */
static uint64_t told_returned, told_eager;

static void fmt_kib(struct fmt *f, uint64_t bytes, const char *what)
{
    fmt_u64(f, bytes >> 10);
    fmt_text(f, what);
}

static void tell(uint64_t background, uint64_t eager)
{
    char line[200];
    struct fmt f = fmt_on(line, sizeof line);
    const struct md_header *who = segment_identity();
    uint64_t active = stats_value("stats.active"), kept = stats_dirty();
    fmt_text(&f, "scav ");
    fmt_kib(&f, background, " KiB work (bg), ");
    fmt_kib(&f, eager, " KiB work (eager), ");
    fmt_kib(&f, stats_value("stats.retained") + stats_muzzy(), " KiB now, ");
    fmt_u64(&f, active * 100 / MAX(active + kept, 1));
    fmt_text(&f, "% util, pid ");
    fmt_u64(&f, who->pid);
    fmt_char(&f, ' ');
    fmt_text(&f, who->name);
    fmt_text(&f, eager ? " (forced)\n" : "\n");
    trace_file_line(line, f.length);
}

int64_t scavtrace_due(int64_t now_ns)
{
    if (!option_number(OPTION_SCAVTRACE)) {
        next_ns = 0;
        return INT64_MAX;
    }
    if (now_ns < next_ns)
        return next_ns;
    bool first = next_ns == 0;
    stats_refresh();
    uint64_t eager_ever = stats_given_back(), returned_ever = stats_returned();
    uint64_t returned = returned_ever > told_returned ? returned_ever - told_returned : 0;
    /* What is given back just now may be eager already, and not in the reading yet. */
    uint64_t eager = MIN(eager_ever - told_eager, returned);
    if (!first && returned)
        tell(returned - eager, eager);
    told_returned = returned_ever;
    told_eager = first ? eager_ever : told_eager + eager;
    next_ns = now_ns + LOOK_NS;
    return next_ns;
}

void scavtrace_postfork_child(void)
{
    next_ns = 0;
}
