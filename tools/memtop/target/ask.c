#include "ask.h"

#include "base/options.h"

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

/* How long a process without a thread of ours is waited for. */
#define UNTHREADED_SECONDS 1
/* Of the first segments whose writers know MD_REQUEST_PURGE, and MD_REQUEST_ALLOCATOR. */
#define PURGE_VERSION 5
#define ALLOCATOR_VERSION 6

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

int ask_possible(const struct target *target, char error[VIEW_ERROR_SIZE])
{
    if (target->header.flags & MD_FLAG_GC)
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

int ask_purge(struct source *source, double seconds, char error[VIEW_ERROR_SIZE])
{
    char text[160];
    const struct md_header *header = &source->snapshot.header;
    if (header->version < PURGE_VERSION)
        return fail(error, EPROTO, source, "runs on an older memdebug, which cannot be asked that");
    if (!(header->flags & MD_FLAG_THREAD))
        return fail(error, ENOTSUP, source,
                    "has no thread of memdebug's to do it: there is one with MEMDEBUG=gc=ready or "
                    "heapprofile=PREFIX");
    if (source->target.stopped)
        return fail(
            error, EAGAIN, source,
            "is stopped, by a signal or a debugger: nothing is given back before it goes on");
    uint32_t served = header->control.served;
    int result = post(source, MD_REQUEST_PURGE, error);
    int64_t end_ns = monotonic_ns() + (int64_t)(seconds * 1e9);
    while (!result && (result = source_poll(source, 0, error)) == 0) {
        if (source->snapshot.header.control.served != served)
            return 0;
        if (source->state != SOURCE_LIVE)
            return fail(error, ESRCH, source, "has ended meanwhile");
        if (monotonic_ns() >= end_ns) {
            snprintf(text, sizeof text, "has not answered within %gs: the request stands", seconds);
            return fail(error, ETIMEDOUT, source, text);
        }
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

int ask_cycle(struct source *source, double seconds, struct md_cycle *cycle,
              char error[VIEW_ERROR_SIZE])
{
    char text[160];
    if (source->target.stopped)
        return fail(error, EAGAIN, source,
                    "is stopped, by a signal or a debugger: no cycle before it goes on");
    uint64_t before = source->snapshot.header.section[MD_SECTION_CYCLES].count;
    uint32_t served = source->snapshot.header.control.served;
    int result = post(source, MD_REQUEST_GC, error);
    if (result)
        return result;
    /* A forked copy has no thread of ours until it takes a sample, which may be never. */
    bool threaded = source->snapshot.header.flags & MD_FLAG_THREAD;
    if (!threaded && seconds > UNTHREADED_SECONDS)
        seconds = UNTHREADED_SECONDS;
    int64_t end_ns = monotonic_ns() + (int64_t)(seconds * 1e9);
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
        if (word->served != served && word->result != 0) {
            snprintf(text, sizeof text, "could not do it: %.100s", strerror(word->result));
            return fail(error, word->result, source, text);
        }
        if (source->state != SOURCE_LIVE)
            return fail(error, ESRCH, source,
                        source->state == SOURCE_ENDED ? "ended before it had done the cycle"
                                                      : "called exec before it had done the cycle");
        if (monotonic_ns() >= end_ns)
            break;
        sleep_ms(2);
    }
    if (threaded)
        snprintf(text, sizeof text,
                 "has not answered within %gs: the request stands, its next cycle serves it",
                 seconds);
    else
        snprintf(text, sizeof text,
                 "has no thread to do it yet (a forked copy, little allocated since): the request "
                 "stands");
    return fail(error, ETIMEDOUT, source, text);
}

/* One memtop at a time writes a setting; one that has died in the middle of it is no hindrance. */
static bool take_set_lock(struct md_control *control)
{
    uint32_t self = (uint32_t)getpid();
    for (int i = 0; i < 500; i++, sleep_ms(2)) {
        uint32_t holder = 0;
        if (__atomic_compare_exchange_n(&control->set_lock, &holder, self, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return true;
        if (kill((pid_t)holder, 0) != 0 && errno == ESRCH &&
            __atomic_compare_exchange_n(&control->set_lock, &holder, self, false, __ATOMIC_ACQ_REL,
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
    if (!take_set_lock(control)) {
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
