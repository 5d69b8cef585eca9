#include "gc/mark/mark_pace.h"

#include "base/options.h"
#include "base/os.h"
#include "gc/sys/raw.h"

#define OWN_NICE 5 /* of the first marker, at least: it yields to the program */
/* What the first marker takes of its CPU at most where the program uses all CPUs. */
#define OWN_PERCENT 5
#define PACE_NS 1000000    /* CPU time between looks */
#define PACE_MAX 100000000 /* sleep at most */
/* Then it goes on at full speed: a cycle has to end within its limit, a minute at least. */
#define PACE_LIMIT_NS INT64_C(40000000000)

uint64_t mark_share_percent(unsigned cpus)
{
    uint64_t percent = option_number(OPTION_GCCPU);
    return MIN(percent, 100) * cpus;
}

bool mark_hurries;

int mark_nice(void)
{
    if (mark_hurries)
        return 0;
    /* The kernel's weights of nice 0 to 19: beside a task of nice 0 on the same CPU, one of weight
     * w gets w / (1024 + w). */
    static const uint16_t weight[] = {1024, 820, 655, 526, 423, 335, 272, 215, 172, 137,
                                      110,  87,  70,  56,  45,  36,  29,  23,  18,  15};
    uint64_t share = mark_share_percent(os_cpu_count());
    int nice = OWN_NICE;
    while (nice < 19 && weight[nice] * (uint64_t)100 > share * (1024 + weight[nice]))
        nice++;
    return nice;
}

/* Percent of one CPU that a marker may use beside a program that uses so many percent.  Beside one
 * busy thread or more it is the share that `gccpu` gives, though another CPU be idle: the marker
 * slows the program down from there too, as they share caches and memory, and the program pays for
 * pages that are copied or tracked.  Beside less than one busy thread it is more, up to a whole CPU
 * beside none. */
static int64_t fair_percent(int64_t used)
{
    int64_t share = (int64_t)mark_share_percent(1), cpus = os_cpu_count();
    share = used < 100 ? 100 - (100 - share) * used / 100 : share * used / 100;
    if (used + MIN(share, OWN_PERCENT) > 100 * cpus - 50)
        share = MIN(share, OWN_PERCENT);
    return MAX(MIN(share, 100), 1);
}

/* The program's CPU time; the clock's name is made of its id (the marker is its child). */
static int64_t program_cpu_ns(void)
{
    return raw_clock_ns((int)(~(unsigned)RAW3(SYS_getppid, 0, 0, 0) << 3 | 2));
}

void mark_pace(struct marker *marker)
{
    struct mark *mark = marker->mark;
    if (mark_hurries || (mark->hurry && __atomic_load_n(mark->hurry, __ATOMIC_RELAXED)))
        return;
    struct mark_pace *pace = &marker->pace;
    int64_t cpu = raw_clock_ns(CLOCK_THREAD_CPUTIME_ID), used = cpu - pace->cpu_ns;
    if (pace->wall_ns && used < PACE_NS)
        return;
    int64_t now = raw_clock_ns(CLOCK_MONOTONIC), program = program_cpu_ns();
    int64_t passed = now - pace->wall_ns;
    if (!mark->paced_since_ns)
        mark->paced_since_ns = now;
    if (now - mark->paced_since_ns > PACE_LIMIT_NS)
        return;
    if (pace->wall_ns && passed < used * 100) {
        /* Of the program also while we slept. */
        int64_t percent = (program - pace->program_ns) * 100 / MAX(now - pace->looked_ns, 1);
        int64_t due = used * 100 / fair_percent(percent);
        if (passed < due)
            raw_sleep_ns(MIN(due - passed, PACE_MAX));
    }
    *pace = (struct mark_pace){raw_clock_ns(CLOCK_MONOTONIC), cpu, now, program};
}
