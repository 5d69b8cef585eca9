#include "ask.h"

#include "base/options.h"
#include "process.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Of the first segments whose writers know them. */
#define PURGE_VERSION 5
#define ALLOCATOR_VERSION 6
#define ASKABLE_VERSION 6
#define QUESTION_VERSION 7
#define PINS_VERSION 7

/* A process without a thread of ours that has not answered for so long is idle. */
#define PENDING_NS INT64_C(2000000000)

static const char stopped_text[] =
    "is stopped, by a signal or a debugger: no cycle before it goes on";

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static int fail(char *error, int code, const struct source *source, const char *what)
{
    snprintf(error, VIEW_ERROR_SIZE, "%d %s %s", (int)source->target.pid, source->target.name,
             what);
    return code;
}

/* The first record from index `before` on that was asked for or skipped; NULL: there is none. */
static const struct md_cycle *answer(const struct snapshot *snapshot, uint64_t before)
{
    for (size_t i = 0; i < snapshot->cycle_count; i++) {
        const struct md_cycle *cycle = &snapshot->cycles[i];
        if (cycle->index >= before && (cycle->flags & (MD_CYCLE_FORCED | MD_CYCLE_SKIPPED)))
            return cycle;
    }
    return NULL;
}

/* Why there is no thread of ours in a process, nor will one be started; 0: one can be. */
static int why_unthreaded(const struct target *target, char error[VIEW_ERROR_SIZE])
{
    int pid = (int)target->pid;
    uint32_t flags = target->header.flags;
    pid_t confined;
    if (flags & MD_FLAG_THREAD)
        return 0;
    if (!(flags & MD_FLAG_ASKABLE)) {
        snprintf(
            error, VIEW_ERROR_SIZE,
            "%d %s was started with MEMDEBUG=gc=off%s: no thread of memdebug's is started in it",
            pid, target->name,
            flags & MD_FLAG_FORKED ? ", or forked from a program with threads" : "");
        return ENOTSUP;
    }
    if ((confined = proc_confined(target->pid)) > 0) {
        snprintf(error, VIEW_ERROR_SIZE,
                 "%d %s is under seccomp (thread %d): no thread of memdebug's is started in it",
                 pid, target->name, (int)confined);
        return EACCES;
    }
    return 0;
}

int ask_possible(const struct target *target, char error[VIEW_ERROR_SIZE])
{
    const struct md_header *header = &target->header;
    if (header->version >= ASKABLE_VERSION) {
        if (header->flags & (MD_FLAG_GC | MD_FLAG_ASKABLE))
            return header->flags & MD_FLAG_ASKABLE ? why_unthreaded(target, error) : 0;
        snprintf(error, VIEW_ERROR_SIZE,
                 "%d %s was started with MEMDEBUG=gc=off%s; "
                 "memtop heap %d shows what it has in use",
                 (int)target->pid, target->name,
                 header->flags & MD_FLAG_FORKED ? ", or forked from a program with threads" : "",
                 (int)target->pid);
        return ENOTSUP;
    }
    if (header->flags & MD_FLAG_GC)
        return 0;
    snprintf(error, VIEW_ERROR_SIZE,
             "%d %s was started without MEMDEBUG=gc=ready or observe; "
             "memtop heap %d shows what it has in use",
             (int)target->pid, target->name, (int)target->pid);
    return ENOTSUP;
}

/* Refuses to write into a file that is not the source's any more, or of a newer layout. */
static int check_control(const struct segment_file *control, const struct source *source,
                         char *error)
{
    struct snapshot header;
    if (control->ino != source->file.ino || control->dev != source->file.dev)
        return fail(error, ESTALE, source, "has another segment by now: look again");
    int result = snapshot_read(&header, control, 0, error);
    if (result)
        return result;
    uint32_t version = header.header.version;
    snapshot_fini(&header);
    return version > MD_SEGMENT_VERSION
               ? fail(
                     error, EPROTO, source,
                     "runs on a newer memdebug: this memtop reads what it writes, and asks nothing")
               : 0;
}

static void ask(struct md_control *control, uint32_t what)
{
    __atomic_fetch_or(&control->request, what, __ATOMIC_ACQ_REL);
    syscall(SYS_futex, &control->request, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* The control word of a process, to be written to. */
static int open_control(struct segment_file *file, const struct source *source,
                        struct md_control **control, char *error)
{
    int result = segment_file_open(file, source->target.path, true, error);
    if (result)
        return result;
    if ((result = check_control(file, source, error))) {
        segment_file_close(file);
        return result;
    }
    *control = (void *)((char *)file->base + offsetof(struct md_header, control));
    return 0;
}

/* Sets a bit of the control word and wakes whoever sleeps on it; 0, or an errno value with `error`.
 */
static int post(const struct source *source, uint32_t bit, char *error)
{
    struct segment_file file;
    struct md_control *control;
    int result = open_control(&file, source, &control, error);
    if (result)
        return result;
    ask(control, bit);
    segment_file_close(&file);
    return 0;
}

/* What a process says of a request that it could not meet. */
static int refused(const struct source *source, int result, char *error)
{
    char text[160];
    if (result == EACCES)
        return fail(
            error, result, source,
            "is under seccomp, or cannot read its /proc: no thread of memdebug's is started in "
            "it");
    snprintf(text, sizeof text, "could not do it: %.100s", strerror(result));
    return fail(error, result, source, text);
}

/* Whether the wait that began at `begin_ns` is over.  A process without a thread of ours is waited
 * for until it has one, and then for its answer. */
static bool is_over(const struct source *source, struct ask_wait wait, int64_t begin_ns)
{
    bool threaded = source->snapshot.header.flags & MD_FLAG_THREAD;
    double seconds = threaded ? wait.seconds : wait.idle_seconds;
    return monotonic_ns() >= begin_ns + (int64_t)(seconds * 1e9);
}

/* Nothing has come in time: pending where that is as it must be, else an error. */
static int not_answered(const struct source *source, struct ask_wait wait, bool *pending,
                        char *error)
{
    char text[160];
    uint32_t flags = source->snapshot.header.flags;
    if (flags & MD_FLAG_ASKABLE && !(flags & MD_FLAG_THREAD)) {
        *pending = true;
        return 0;
    }
    if (flags & MD_FLAG_THREAD)
        snprintf(text, sizeof text, "has not answered within %gs: the request stands",
                 wait.seconds);
    else
        snprintf(text, sizeof text,
                 "has no thread to do it yet (a forked copy, little allocated since): the request "
                 "stands");
    return fail(error, ETIMEDOUT, source, text);
}

int ask_purge(struct source *source, struct ask_wait wait, bool *pending,
              char error[VIEW_ERROR_SIZE])
{
    const struct md_header *header = &source->snapshot.header;
    int result;
    *pending = false;
    if (header->version < PURGE_VERSION)
        return fail(error, EPROTO, source, "runs on an older memdebug, which cannot be asked that");
    if (header->version < ASKABLE_VERSION && !(header->flags & MD_FLAG_THREAD))
        return fail(error, ENOTSUP, source,
                    "has no thread of memdebug's to do it: there is one with MEMDEBUG=gc=ready or "
                    "heapprofile=PREFIX");
    if ((result = why_unthreaded(&source->target, error)))
        return result;
    if (source->target.stopped)
        return fail(
            error, EAGAIN, source,
            "is stopped, by a signal or a debugger: nothing is given back before it goes on");
    uint32_t served = header->control.served;
    result = post(source, MD_REQUEST_PURGE, error);
    int64_t begin_ns = monotonic_ns();
    while (!result && (result = source_poll(source, 0, error)) == 0) {
        const struct md_control *word = &source->snapshot.header.control;
        if (word->served != served)
            return word->result ? refused(source, word->result, error) : 0;
        if (source->state != SOURCE_LIVE)
            return fail(error, ESRCH, source, "has ended meanwhile");
        if (is_over(source, wait, begin_ns))
            return not_answered(source, wait, pending, error);
        sleep_ms(2);
    }
    return result;
}

int ask_allocator(const struct source *source)
{
    char error[VIEW_ERROR_SIZE];
    return source->snapshot.header.version < ALLOCATOR_VERSION
               ? EPROTO
               : post(source, MD_REQUEST_ALLOCATOR, error);
}

int ask_pins(const struct source *source, char error[VIEW_ERROR_SIZE])
{
    return source->snapshot.header.version < PINS_VERSION
               ? fail(error, EPROTO, source,
                      "runs on an older memdebug, which cannot be asked that")
               : post(source, MD_REQUEST_PINS, error);
}

int ask_cycle(struct source *source, struct ask_wait wait, struct md_cycle *cycle, bool *pending,
              char error[VIEW_ERROR_SIZE])
{
    *pending = false;
    if (source->target.stopped)
        return fail(error, EAGAIN, source, stopped_text);
    uint64_t before = source->snapshot.header.section[MD_SECTION_CYCLES].count;
    uint32_t served = source->snapshot.header.control.served;
    int result = post(source, MD_REQUEST_GC, error);
    if (result)
        return result;
    int64_t begin_ns = monotonic_ns();
    for (;;) {
        result = source_poll(source, SNAPSHOT_CYCLES, error);
        if (result)
            return result;
        const struct md_cycle *found = answer(&source->snapshot, before);
        const struct md_control *word = &source->snapshot.header.control;
        /* The record is written before the rest of what the cycle found, `served` after it. */
        if (found && word->served != served) {
            *cycle = *found;
            return 0;
        }
        if (word->served != served && word->result != 0)
            return refused(source, word->result, error);
        if (source->state != SOURCE_LIVE)
            return fail(error, ESRCH, source,
                        source->state == SOURCE_ENDED ? "ended before it had done the cycle"
                                                      : "called exec before it had done the cycle");
        if (is_over(source, wait, begin_ns))
            return not_answered(source, wait, pending, error);
        sleep_ms(2);
    }
}

int ask_cycles_begin(struct ask_cycles *asked, const struct source *source, unsigned count,
                     char error[VIEW_ERROR_SIZE])
{
    *asked = (struct ask_cycles){
        .left = count,
        .before = source->snapshot.header.section[MD_SECTION_CYCLES].count,
        .served = source->snapshot.header.control.served,
        .begin_ns = monotonic_ns(),
    };
    int result = ask_possible(&source->target, error);
    if (!result && source->target.stopped)
        result = fail(error, EAGAIN, source, stopped_text);
    if (!result)
        result = post(source, MD_REQUEST_GC, error);
    asked->left = result ? 0 : count;
    return result;
}

enum ask_progress ask_cycles_look(struct ask_cycles *asked, const struct source *source,
                                  struct md_cycle *last, char error[VIEW_ERROR_SIZE])
{
    const struct md_header *header = &source->snapshot.header;
    const struct md_cycle *found = answer(&source->snapshot, asked->before);
    bool idle = header->flags & MD_FLAG_ASKABLE && !(header->flags & MD_FLAG_THREAD);
    unsigned left = asked->left;
    if (header->control.served == asked->served)
        return idle && monotonic_ns() - asked->begin_ns > PENDING_NS ? ASK_PENDING : ASK_RUNS;
    asked->left = 0;
    if (!found) {
        refused(source, header->control.result, error);
        return ASK_FAILED;
    }
    *last = *found;
    if (left == 1 || found->flags & MD_CYCLE_SKIPPED)
        return ASK_DONE;
    return ask_cycles_begin(asked, source, left - 1, error) ? ASK_FAILED : ASK_RUNS;
}

/* One memtop at a time writes a setting, or asks; one that has died within that is no hindrance. */
static bool take_lock(uint32_t *lock)
{
    uint32_t self = (uint32_t)getpid();
    for (int i = 0; i < 500; i++, sleep_ms(2)) {
        uint32_t holder = 0;
        if (__atomic_compare_exchange_n(lock, &holder, self, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return true;
        if (kill((pid_t)holder, 0) != 0 && errno == ESRCH &&
            __atomic_compare_exchange_n(lock, &holder, self, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return true;
    }
    return false;
}

static const char *why_not_set(int result)
{
    switch (result) {
    case EINVAL:
        return "no such key, or not one of its values";
    case EPERM:
        return "that is read once, when the program starts";
    case ENOSYS:
        return "that is not in its version";
    case ERANGE:
        return "64KiB is the least here, as each live sample takes up a page of memory; less only "
               "in "
               "a program started with it";
    default:
        return strerror(result);
    }
}

int ask_set(struct source *source, const char *setting, double seconds, bool *pending,
            char error[VIEW_ERROR_SIZE])
{
    struct segment_file file;
    struct md_control *control;
    char text[200];
    *pending = false;
    if (!(source->snapshot.header.flags & MD_FLAG_SETS))
        return fail(error, ENOTSUP, source, "runs on a memdebug that is older than memtop set");
    if (strlen(setting) >= sizeof control->set)
        return fail(error, EINVAL, source, "can be told no setting as long as that");
    int result = open_control(&file, source, &control, error);
    if (result)
        return result;
    if (!take_lock(&control->set_lock)) {
        segment_file_close(&file);
        return fail(error, EBUSY, source, "is being told something by another memtop");
    }
    __atomic_fetch_and(&control->request, ~MD_REQUEST_SET, __ATOMIC_ACQ_REL);
    uint32_t served = __atomic_load_n(&control->set_served, __ATOMIC_ACQUIRE), now;
    strcpy(control->set, setting);
    ask(control, MD_REQUEST_SET);
    int64_t end_ns = monotonic_ns() + (int64_t)(seconds * 1e9);
    while ((now = __atomic_load_n(&control->set_served, __ATOMIC_ACQUIRE)) == served &&
           monotonic_ns() < end_ns)
        sleep_ms(2);
    *pending = now == served;
    if (!*pending && control->set_result) {
        char complaint[200];
        bool known =
            control->set_result == EINVAL && !options_check(setting, complaint, sizeof complaint);
        snprintf(text, sizeof text, "does not take %.40s: %.120s", setting,
                 known ? complaint : why_not_set(control->set_result));
        result = fail(error, control->set_result, source, text);
    }
    __atomic_store_n(&control->set_lock, 0, __ATOMIC_RELEASE);
    segment_file_close(&file);
    return result;
}

/* From the moment that the question stands until its answer is in the source's snapshot. */
static int wait_for_answer(struct source *source, const struct md_control *control, uint32_t served,
                           struct ask_wait wait, unsigned what, bool *pending, char *error)
{
    int64_t begin_ns = monotonic_ns();
    int result;
    while ((result = source_poll(source, 0, error)) == 0) {
        if (__atomic_load_n(&control->question_served, __ATOMIC_ACQUIRE) != served)
            break;
        if (source->state != SOURCE_LIVE)
            return fail(error, ESRCH, source, "has ended meanwhile");
        if (is_over(source, wait, begin_ns))
            return not_answered(source, wait, pending, error);
        sleep_ms(2);
    }
    if (result || (result = source_poll(source, what | SNAPSHOT_ANSWER, error)))
        return result;
    const struct md_answer *answer = &source->snapshot.header.answer;
    char text[sizeof answer->reason + 40];
    if (!control->question_result)
        return 0;
    if (control->question_result != EAGAIN || !answer->reason[0])
        return refused(source, control->question_result, error);
    snprintf(text, sizeof text, "could not answer: %s", answer->reason);
    return fail(error, EAGAIN, source, text);
}

int ask_question(struct source *source, const char *question, struct ask_wait wait, unsigned what,
                 bool *pending, char error[VIEW_ERROR_SIZE])
{
    struct segment_file file;
    struct md_control *control;
    *pending = false;
    if (source->snapshot.header.version < QUESTION_VERSION)
        return fail(error, EPROTO, source, "runs on an older memdebug, which cannot be asked that");
    if (source->target.stopped)
        return fail(error, EAGAIN, source, stopped_text);
    if (strlen(question) >= sizeof control->question)
        return fail(error, EINVAL, source, "can be asked nothing as long as that");
    int result = open_control(&file, source, &control, error);
    if (result)
        return result;
    if (!take_lock(&control->question_lock)) {
        segment_file_close(&file);
        return fail(error, EBUSY, source, "is being asked something by another memtop");
    }
    __atomic_fetch_and(&control->request, ~MD_REQUEST_QUESTION, __ATOMIC_ACQ_REL);
    uint32_t served = __atomic_load_n(&control->question_served, __ATOMIC_ACQUIRE);
    strcpy(control->question, question);
    ask(control, MD_REQUEST_QUESTION);
    result = wait_for_answer(source, control, served, wait, what, pending, error);
    __atomic_store_n(&control->question_lock, 0, __ATOMIC_RELEASE);
    segment_file_close(&file);
    return result;
}
