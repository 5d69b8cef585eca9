#include "limit.h"

#include "base/compiler.h"
#include "base/fmt.h"
#include "base/message.h"
#include "base/options.h"
#include "base/os.h"
#include "dump.h"
#include "gc/engine/headroom.h"
#include "gc/sys/proc.h"
#include "segment/segment.h"

#include <string.h>
#include <sys/resource.h>

#define LOOK_MIN_NS INT64_C(1000000)
#define LOOK_MAX_NS INT64_C(1000000000)
#define LOOK_COST_DIVISOR 100 /* a hundredth of the time */
#define STEP_MIN_BYTES (UINT64_C(1) << 20)
#define FALLEN_DIVISOR 8 /* below the threshold by so much of it: the next time is told again */

/* Of our thread, but for ask_bytes. */
static uint64_t setting = OPTION_OFF; /* the option that the rest is about */
static bool reached;
static bool untold; /* whether nobody has been told yet that there is no limit */
static int64_t next_ns;
static uint64_t ask_bytes = UINT64_MAX; /* in use at which to look before that; atomic */

void limit_begin(bool first)
{
    untold = first;
}

bool limit_asks(uint64_t in_use_bytes)
{
    return in_use_bytes >= __atomic_load_n(&ask_bytes, __ATOMIC_RELAXED);
}

/* Address space and resident memory, bytes.  False: /proc cannot be read. */
static bool own_size(uint64_t *address_space, uint64_t *resident)
{
    char text[128];
    const char *end;
    if (os_read_file("/proc/self/statm", text, sizeof text) <= 0)
        return false;
    *address_space = proc_number(text, 10, &end) * OS_PAGE;
    *resident = *end == ' ' ? proc_number(end + 1, 10, NULL) * OS_PAGE : 0;
    return true;
}

/* The limit that is nearest.  False: there is none, or nothing can be read. */
static bool nearest(uint64_t option, unsigned *percent, struct headroom_limit *limit)
{
    static char membership[HEADROOM_PATH_SIZE];
    uint64_t address_space = 0, resident = 0;
    struct rlimit r;
    bool known = own_size(&address_space, &resident);
    if (!(option & OPTION_SHARE)) {
        *percent = 100;
        *limit = (struct headroom_limit){resident, option, "this process", ""};
        return known;
    }
    *percent = (unsigned)(option & ~OPTION_SHARE);
    bool found = os_read_file("/proc/self/cgroup", membership, sizeof membership) > 0 &&
                 headroom_least("/sys/fs/cgroup", membership, *percent, limit);
    if (!known || getrlimit(RLIMIT_AS, &r) != 0 || r.rlim_cur == RLIM_INFINITY)
        return found;
    static struct headroom_limit space;
    space = (struct headroom_limit){address_space, r.rlim_cur, "RLIMIT_AS", ""};
    if (!found || headroom_until(&space, *percent) < headroom_until(limit, *percent))
        *limit = space;
    return true;
}

static void fmt_mb(struct fmt *f, uint64_t bytes)
{
    fmt_u64(f, bytes >> 20);
    fmt_text(f, " MB");
}

static void say(const struct headroom_limit *limit)
{
    char line[HEADROOM_PATH_SIZE + 300];
    struct fmt f = fmt_on(line, sizeof line);
    const struct md_header *who = segment_identity();
    fmt_text(&f, "heapprofilelimit: ");
    fmt_mb(&f, limit->used_bytes);
    fmt_text(&f, " of ");
    fmt_mb(&f, limit->limit_bytes);
    fmt_text(&f, " (");
    fmt_text(&f, limit->file);
    if (limit->directory[0]) {
        fmt_text(&f, " of ");
        fmt_text(&f, limit->directory);
    }
    fmt_text(&f, "), heap ");
    fmt_mb(&f, segment_in_use());
    fmt_text(&f, ", pid ");
    fmt_u64(&f, who->pid);
    fmt_char(&f, ' ');
    fmt_text(&f, who->name);
    message(line);
}

/* Of the processes that a command becomes the first alone says so: the others have the same limits,
 * but for those that they set themselves. */
static void say_none(unsigned percent)
{
    char line[300];
    struct fmt f = fmt_on(line, sizeof line);
    const struct md_header *who = segment_identity();
    fmt_text(&f, "heapprofilelimit: there is no limit to have ");
    fmt_u64(&f, percent);
    fmt_text(&f, "% of (memory.max of a cgroup, RLIMIT_AS): until one is set, give a size; pid ");
    fmt_u64(&f, who->pid);
    fmt_char(&f, ' ');
    fmt_text(&f, who->name);
    message(line);
}

int64_t limit_due(int64_t now_ns, uint64_t in_use_bytes)
{
    static struct headroom_limit limit;
    uint64_t option = option_number(OPTION_HEAPPROFILELIMIT);
    unsigned percent;
    if (option != setting) {
        setting = option;
        reached = false;
        next_ns = now_ns;
    }
    if (option == OPTION_OFF) {
        __atomic_store_n(&ask_bytes, UINT64_MAX, __ATOMIC_RELAXED);
        return INT64_MAX;
    }
    if (now_ns < next_ns && !limit_asks(in_use_bytes))
        return next_ns;
    int64_t until = INT64_MAX;
    bool limited = nearest(option, &percent, &limit);
    int64_t took_ns = os_now_ns() - now_ns;
    if (!limited && untold && option & OPTION_SHARE)
        say_none(percent);
    untold = false;
    if (limited) {
        until = headroom_until(&limit, percent);
        int64_t fallen = (int64_t)(limit.limit_bytes / 100 * percent / FALLEN_DIVISOR);
        if (until <= 0 && !reached) {
            reached = true;
            say(&limit);
            dump_write("limit");
        } else if (until > fallen) {
            reached = false;
        }
    }
    uint64_t room = !reached && until > 0 && until != INT64_MAX ? (uint64_t)until : UINT64_MAX;
    uint64_t step = MAX(room / 2, STEP_MIN_BYTES), ask;
    if (room == UINT64_MAX || __builtin_add_overflow(in_use_bytes, step, &ask))
        ask = UINT64_MAX;
    __atomic_store_n(&ask_bytes, ask, __ATOMIC_RELAXED);
    int64_t soon = (int64_t)MIN(room / HEADROOM_WRITTEN_MAX, (uint64_t)LOOK_MAX_NS);
    next_ns = os_now_ns() + MAX(MAX(soon, LOOK_MIN_NS), took_ns * LOOK_COST_DIVISOR);
    return next_ns;
}

void limit_postfork_child(void)
{
    setting = OPTION_OFF;
    untold = false;
    __atomic_store_n(&ask_bytes, UINT64_MAX, __ATOMIC_RELAXED);
}
