#include "prof/rate.h"

#include "base/compiler.h"
#include "base/options.h"
#include "base/os.h"
#include "memdebug/segment.h"
#include "prof/governor.h"
#include "prof/live.h"
#include "segment/segment.h"

#include <string.h>

#define LOOK_NS INT64_C(100000000)
/* leakrate=auto: samples so close that of what the last cycle has found to be lost two would have
 * been taken.  Without memprofilecpu, those that are taken for it cost no more than 1/64 of the CPU
 * time that the program uses, and than half a percent of a CPU; but so much they may. */
#define LEAK_SAMPLES 2u
#define LEAK_DIVISOR 64
#define LEAK_PPM_MAX 5000u
#define LEAK_PPM_MIN 100u
/* Where it begins. */
#define LEAK_FIRST_RATE 8192.0
/* memprofilecpu makes no gap longer than this. */
#define COARSEST_RATE ((double)PROF_IDLE_GAP)
#define TOLL_FACTOR_MAX (UINT64_C(1) << 20)

/* Live samples that are there for leakrate may take so much, and this part of the heap: a record
 * and its place in the index, and in the plain variant the page that the block lies on. */
#define ROOM_BYTES (UINT64_C(4) << 20)
#define ROOM_DIVISOR 64
#define RECORD_BYTES (sizeof(struct md_sample) + 16)

/* What the page of a sample costs beside its record: taken, touched and given back.  Measured. */
#define PAGE_NS 1500u

#define UNIT 65536u /* fixed point */

/* What CPU time is spent on: all samples; of them, those that are taken because of leakrate. */
enum purpose { FOR_ALL, FOR_LEAKS, PURPOSES };

uint64_t rate_toll[RATE_CLASSES];
uint64_t rate_window;

/* Atomic, all of it. */
static uint64_t fineness_all = UNIT; /* of the gaps: in UNIT, and no more */
static uint64_t spent_ns[PURPOSES];  /* so far */
static uint64_t mean[RATE_WORKS];    /* 1/16 ns */
static bool want[RATE_CLASSES];
static uint64_t want_rate = 1;           /* by leakrate=auto */
static uint64_t want_ppm = LEAK_PPM_MIN; /* likewise */
static int64_t looked_ns;
/* Of spent_ns: where it is looked before LOOK_NS have gone. */
static uint64_t alarm_ns[PURPOSES] = {UINT64_MAX, UINT64_MAX};
static bool looking;

/* Of who has claimed `looking`. */
static double fineness = 1;
static double finest_before = 1;
static uint64_t looked_spent_ns[PURPOSES];
static bool own_page; /* written once */

static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static void store(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

uint64_t rate_now(void)
{
    uint64_t rate = option_number(OPTION_MEMPROFILERATE), unit = load(&fineness_all);
    return unit == UNIT ? rate : (uint64_t)((unsigned __int128)rate * UNIT / unit);
}

/* ---- what samples cost ---- */

static uint64_t page_ns(void)
{
    return own_page ? PAGE_NS : 0;
}

static void spend(enum purpose purpose, uint64_t ns)
{
    __atomic_fetch_add(&spent_ns[purpose], ns, __ATOMIC_RELAXED);
}

int64_t rate_begin(enum rate_work work)
{
    static THREAD_LOCAL uint8_t turn[RATE_WORKS];
    return turn[work]++ % 8 ? 0 : os_now_ns();
}

void rate_end(enum rate_work work, int64_t begun)
{
    uint64_t cost = load(&mean[work]);
    if (begun) {
        cost = governor_mean(cost, (uint64_t)(os_now_ns() - begun));
        store(&mean[work], cost); /* of two at once one is lost */
    }
    cost = cost / 16 + (work == RATE_SAMPLE ? page_ns() : 0);
    spend(FOR_ALL, cost);
    COUNT_ADD(sample_cost_ns, cost);
}

void rate_paid_more(void)
{
    spend(FOR_LEAKS, (load(&mean[RATE_SAMPLE]) + load(&mean[RATE_END])) / 16 + page_ns());
}

void rate_passed(uint64_t ns)
{
    static THREAD_LOCAL uint8_t turn;
    spend(FOR_ALL, ns);
    spend(FOR_LEAKS, ns);
    COUNT_ADD(sample_cost_ns, ns);
    if (turn++ % 16 == 0)
        rate_look();
}

/* ---- how fine ---- */

static bool any_wanted(void)
{
    for (unsigned class = 0; class < RATE_CLASSES; class ++)
        if (__atomic_load_n(&want[class], __ATOMIC_RELAXED))
            return true;
    return false;
}

static bool has_room(void)
{
    uint64_t each = RECORD_BYTES + (own_page ? OS_PAGE : 0);
    return live_count() * each <= ROOM_BYTES + segment_in_use() / ROOM_DIVISOR;
}

/* The bounds of the fineness, and what samples may cost. */
static void bounds_now(struct governor_step *step)
{
    double rate = (double)MAX(option_number(OPTION_MEMPROFILERATE), 1);
    uint64_t cpu_ppm = option_number(OPTION_MEMPROFILECPU), near = option_number(OPTION_LEAKRATE);
    bool wanted = near != OPTION_OFF && near != 0 && any_wanted() && has_room();
    double nearest = (double)(near == OPTION_AUTO ? load(&want_rate) : near);
    step->finest = wanted && nearest < rate ? rate / nearest : 1;
    step->coarsest = cpu_ppm != OPTION_OFF && rate < COARSEST_RATE ? rate / COARSEST_RATE : 1;
    step->budget_ppm = cpu_ppm != OPTION_OFF                     ? cpu_ppm
                       : step->finest > 1 && near == OPTION_AUTO ? load(&want_ppm)
                                                                 : GOVERNOR_FREE;
}

static void put_in_force(bool wanted)
{
    uint64_t rate = option_number(OPTION_MEMPROFILERATE);
    uint64_t factor = fineness > 1 ? (uint64_t)MIN(fineness, (double)TOLL_FACTOR_MAX) : 1;
    uint64_t window = 0;
    store(&fineness_all, MAX((uint64_t)(MIN(fineness, 1) * UNIT), 1));
    for (unsigned class = 1; class < OBJECT_CLASS_HUGE; class ++) {
        bool more = __atomic_load_n(&want[class], __ATOMIC_RELAXED);
        uint64_t size = object_class_size[class], toll = size * (more ? factor : 1);
        store(&rate_toll[class], toll);
        window = MAX(window, toll - size);
    }
    store(&rate_window, window);
    struct md_counters *counters = segment_counters();
    store(&counters->sample_rate_bytes, rate_now());
    store(&counters->leak_rate_bytes, wanted && rate ? MAX(rate / factor, 1) : 0);
}

/* `measured`: enough time has gone, or enough been spent, that a step can go by it; else the bounds
 * alone have their effect. */
static void step_now(int64_t now, bool measured)
{
    struct governor_step step;
    enum purpose purpose = option_number(OPTION_MEMPROFILECPU) != OPTION_OFF ? FOR_ALL : FOR_LEAKS;
    uint64_t spent[PURPOSES] = {load(&spent_ns[FOR_ALL]), load(&spent_ns[FOR_LEAKS])};
    bounds_now(&step);
    step.used_ns = spent[purpose] - looked_spent_ns[purpose];
    step.elapsed_ns = (uint64_t)(now - looked_ns);
    if (measured)
        fineness = governor_next(fineness, &step);
    /* Who begins to want samples begins where they may lead somewhere. */
    if (step.finest > 1 && finest_before <= 1 && fineness >= 1)
        fineness = (double)option_number(OPTION_MEMPROFILERATE) / LEAK_FIRST_RATE;
    if (step.budget_ppm == GOVERNOR_FREE)
        fineness = step.finest;
    fineness = MIN(MAX(fineness, step.coarsest), step.finest);
    finest_before = step.finest;
    if (measured) {
        memcpy(looked_spent_ns, spent, sizeof spent);
        __atomic_store_n(&looked_ns, now, __ATOMIC_RELAXED);
    }
    /* Twice what a whole LOOK_NS may cost: a burst. */
    bool bounded = step.budget_ppm != GOVERNOR_FREE;
    uint64_t burst_ns = bounded ? step.budget_ppm * (uint64_t)LOOK_NS / 500000 : 0;
    for (unsigned i = 0; i < PURPOSES; i++)
        store(&alarm_ns[i], bounded && i == purpose ? looked_spent_ns[i] + burst_ns : UINT64_MAX);
    put_in_force(step.finest > 1);
}

static bool is_due(int64_t now)
{
    return now - __atomic_load_n(&looked_ns, __ATOMIC_RELAXED) >= LOOK_NS ||
           load(&spent_ns[FOR_ALL]) >= load(&alarm_ns[FOR_ALL]) ||
           load(&spent_ns[FOR_LEAKS]) >= load(&alarm_ns[FOR_LEAKS]);
}

static void look(bool at_once)
{
    if (__atomic_exchange_n(&looking, true, __ATOMIC_ACQUIRE))
        return;
    int64_t now = os_now_ns();
    bool measured = is_due(now);
    if ((at_once || measured) && segment_check())
        step_now(now, measured);
    __atomic_store_n(&looking, false, __ATOMIC_RELEASE);
}

void rate_look(void)
{
    if (UNLIKELY(is_due(os_coarse_ns())))
        look(false);
}

void rate_renew(void)
{
    look(true);
}

/* What of a CPU the program has used since this was asked last, in millionths; 0: too short to
 * tell.  On the thread that runs cycles. */
static uint64_t program_ppm(void)
{
    static int64_t asked_ns, used_ns;
    int64_t now = os_now_ns(), cpu = os_process_cpu_ns(), elapsed = now - asked_ns;
    if (elapsed < LOOK_NS)
        return 0;
    double ppm = (double)(cpu - used_ns) * 1e6 / (double)elapsed;
    bool first = !asked_ns;
    asked_ns = now;
    used_ns = cpu;
    return first ? 0 : (uint64_t)MAX(ppm, 1);
}

void rate_want(const bool wanted[RATE_CLASSES], uint64_t lost_bytes)
{
    uint64_t ppm = program_ppm();
    if (lost_bytes)
        store(&want_rate, MAX(lost_bytes / LEAK_SAMPLES, 1));
    if (ppm)
        store(&want_ppm, MIN(MAX(ppm / LEAK_DIVISOR, LEAK_PPM_MIN), LEAK_PPM_MAX));
    for (unsigned class = 0; class < RATE_CLASSES; class ++)
        __atomic_store_n(&want[class], wanted[class], __ATOMIC_RELAXED);
    look(true);
}

void rate_init(bool paged)
{
    own_page = paged;
    looked_ns = os_now_ns();
    put_in_force(false);
}

void rate_postfork_child(void)
{
    for (unsigned class = 0; class < RATE_CLASSES; class ++)
        __atomic_store_n(&want[class], false, __ATOMIC_RELAXED);
    looking = false;
    alarm_ns[FOR_ALL] = alarm_ns[FOR_LEAKS] = UINT64_MAX;
}
