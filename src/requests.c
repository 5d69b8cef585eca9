#include "requests.h"

#include "base/options.h"
#include "dump.h"
#include "gc/gc.h"
#include "malloc/account.h"
#include "malloc/stats.h"
#include "pinned.h"
#include "prof/prof.h"
#include "segment/segment.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

bool (*requests_begin_cycles)(void);

static void futex_wake(uint32_t *word)
{
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    errno = saved;
}

/* In the plain variant each live sample takes up a page: whoever looks from outside cannot make
 * that every block of the program. */
static bool is_too_dear(enum option_id id, uint64_t value)
{
    return id == OPTION_MEMPROFILERATE && value > 0 && value < PROF_PLAIN_MIN_RATE &&
           !(segment_identity()->flags & MD_FLAG_TRACKED);
}

static void set_option(struct md_control *control)
{
    char text[sizeof control->set];
    enum option_id id;
    uint64_t number;
    memcpy(text, control->set, sizeof text);
    text[sizeof text - 1] = 0;
    char *value = strchr(text, '=');
    if (value)
        *value++ = 0;
    int result = value ? option_read(text, value, &id, &number) : EINVAL;
    if (!result && is_too_dear(id, number))
        result = ERANGE;
    if (!result)
        option_set(text, value);
    segment_publish_options();
    rate_renew();
    control->set_result = result;
    __atomic_fetch_add(&control->set_served, 1, __ATOMIC_RELEASE);
    futex_wake(&control->set_served);
}

static void tell_served(struct md_control *control)
{
    __atomic_fetch_add(&control->served, 1, __ATOMIC_RELEASE);
    futex_wake(&control->served);
}

static void tell_answered(struct md_control *control, int result)
{
    control->question_result = result;
    __atomic_fetch_add(&control->question_served, 1, __ATOMIC_RELEASE);
    futex_wake(&control->question_served);
}

/* Whether there can be cycles, from now on.  Not by flags that others can write to. */
static bool has_cycles(void)
{
    return segment_identity()->flags & MD_FLAG_GC ||
           (requests_begin_cycles && requests_begin_cycles());
}

/* Who asks may go on writing to the text meanwhile: it is read once. */
static void answer_question(struct md_control *control)
{
    char text[sizeof control->question];
    memcpy(text, control->question, sizeof text);
    text[sizeof text - 1] = '\0';
    tell_answered(control, !has_cycles() ? ENOTSUP : gc_question(text) ? 0 : EAGAIN);
}

void requests_answer(uint32_t bits)
{
    struct md_control *control = &segment_header()->control;
    struct md_cycle cycle;
    if (bits & MD_REQUEST_SET)
        set_option(control);
    if (bits & MD_REQUEST_GC)
        control->result = !has_cycles() ? ENOTSUP : gc_cycle(MD_CYCLE_FORCED, &cycle) ? 0 : EAGAIN;
    if (bits & MD_REQUEST_QUESTION)
        answer_question(control);
    if (bits & MD_REQUEST_DUMP)
        control->result = dump_write("request");
    if (bits & MD_REQUEST_PURGE) {
        stats_give_back();
        control->result = 0;
    }
    if (bits & MD_REQUEST_ALLOCATOR)
        account_write(true);
    if (bits & MD_REQUEST_PINS)
        pinned_write(true);
    if (bits & REQUESTS_THREAD)
        tell_served(control);
}

void requests_answer_here(uint32_t bits)
{
    if (bits & MD_REQUEST_SET)
        set_option(&segment_header()->control);
    if (bits & MD_REQUEST_ALLOCATOR)
        account_write(false);
    if (bits & MD_REQUEST_PINS)
        pinned_write(false);
    else
        pinned_continue();
}

void requests_refuse(int error)
{
    struct md_control *control = &segment_header()->control;
    uint32_t bits = __atomic_fetch_and(&control->request, ~REQUESTS_THREAD, __ATOMIC_ACQUIRE);
    if (bits & MD_REQUEST_QUESTION)
        tell_answered(control, error);
    if (bits & REQUESTS_THREAD) {
        control->result = error;
        tell_served(control);
    }
}
