#include "gc/stop/world.h"

#include "base/options.h"
#include "base/os.h"
#include "gc/stop/blocked.h"
#include "gc/stop/restart.h"
#include "gc/stop/restart_probe.h"
#include "gc/sys/frame.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"
#include "gc/sys/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <ucontext.h>

/* The stop signal is 33, glibc's SIGSETXID.  glibc keeps it open: sigfillset with pthread_sigmask,
 * sigwait and sigaction of the program cannot reach it, where a real-time signal is blocked by
 * every thread of GLib's, PulseAudio's or jemalloc's kind and taken by sigwait(full set); gdb
 * passes it silently by default.  Its other user is setxid in glibc, whose signals carry SI_TKILL
 * and never ours, and whose handler returns at once from ours (si_code is not SI_TKILL): either may
 * stand in front, ours passes on what is not ours.  glibc 2.36 installs its own at the first
 * pthread_create, which has happened when we run, but a static or older libc may do so later: hence
 * the look before each stop. */
#define STOP_SIGNAL 33

/* Our signals say that they come from a timer (si_code SI_TIMER).  A thread may be in execve when
 * it is signalled: what is pending then is kept for the new program, whose handlers are the default
 * ones, and 33 would end it.  Pending signals of timers are dropped (fs/exec.c,
 * flush_itimer_signals).
 *
 * si_value of our signals: magic, generation of the stop, slot. */
#define TOKEN_MAGIC UINT64_C(0x6d64)
#define TOKEN(generation, slot)                                                                    \
    (TOKEN_MAGIC << 48 | (uint64_t)((generation)&0xffffff) << 24 | (slot))

#define STATE(generation, state) ((uint64_t)(generation) << 3 | (uint64_t)(state))

struct world world;

static unsigned capacity; /* of world.threads */
/* Hash of tid -> slot + 1, 2 * capacity, emptied at each attempt.  Not one of prof/index.h: it must
 * not grow in a stop, and has room for all threads before it begins. */
static uint32_t *slot_of;
static int task_fd = -1;             /* /proc/self/task */
static uint32_t process;             /* pid */
static struct raw_sigaction chained; /* what stood there before ours */

/* Shared by the tracer, which sets all of these before it signals anybody, and the handlers:
 * atomic.  Handlers add themselves to `answered`, and whoever wakes last writes woken_ns.  A
 * handler acts only on the generation that its signal names, so one that arrives late does nothing.
 */
static int64_t stands_until_ns; /* CLOCK_MONOTONIC; from then on a parked thread calls it off */
static uint32_t answered;       /* handlers parked in this generation; futex */
static uint32_t wanted;         /* answers that the tracer waits for */
/* What has become of the waking of those parked.  -generation: of that stop some may be left to be
 * woken.  Above 0: the time at which nobody was.  0: the tracer does not ask any more. */
static int64_t woken_ns;

/* The last generation that has ended; the futex that all are parked on.  How stop G ends:
 *
 * While it stands the word is G - 1, and it becomes G once, by a compare-exchange (end_stop): the
 * tracer's, when its snapshot has been taken, or a parked thread's, when the time is over.  Nobody
 * leaves before it has read G there.  So if the tracer's succeeds, all that have parked were parked
 * until then, and the snapshot counts; if a thread's does, the tracer's fails, it throws away what
 * it has seen, and whatever it does until it finds that out is done beside a running program.
 *
 * Each parked thread sleeps until that same moment at the longest, by a timer of its own: it waits
 * neither for the tracer, nor for the one that called the stop off, nor for the wakers, all of
 * which may be without a CPU.  If the word is G by then it goes on, else it makes it G.
 *
 * A handler that comes after the end finds G, or a later generation, and does not park.  One that
 * still has G - 1 on hand when the word is changed finds it changed in the kernel (futex), and goes
 * on. */
static uint32_t ended;

/* Tasks that have the signal blocked, or cannot answer, seen in earlier stops: looked at before
 * they are signalled, so that signals do not pile up in their queue and the stop does not wait. */
static int silent_tids[32];
static unsigned silent_next;

/* How many others a thread of the program wakes before it goes on itself: that takes it 0.1 to 0.2
 * ms. */
#define WAKES 64

/* Wakes those parked, at most `most` of them.  The tracer does so, and each thread that has been
 * woken: one just woken often runs in the place of its waker, for a whole slice, and if there were
 * no other waker all who are left would stand still meanwhile.  Each call of the kernel wakes one,
 * so that a waker that loses its CPU holds nobody who is on the way out. */
static void wake_others(uint32_t of, unsigned most)
{
    int64_t open = -(int64_t)of;
    long woken = 1;
    for (; woken > 0 && most > 0; most--) {
        if (__atomic_load_n(&woken_ns, __ATOMIC_ACQUIRE) != open)
            return;
        woken = raw_futex_wake(&ended, 1, FUTEX_PRIVATE_FLAG);
    }
    if (woken == 0)
        __atomic_compare_exchange_n(&woken_ns, &open, raw_clock_ns(CLOCK_MONOTONIC), false,
                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static bool end_stop(uint32_t of)
{
    uint32_t standing = of - 1;
    return __atomic_compare_exchange_n(&ended, &standing, of, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

/* ---- the handler: runs on the program's threads ---- */

/* Sleeps while no stop later than `seen` has ended, until that time.  The signal may have
 * interrupted a sleep of the program's, of which the kernel keeps what is left (restart.h).  That
 * must outlive a SIGSTOP, a debugger, or what io_uring has to do on the thread: hence futex_waitv.
 */
static long sleep_parked(uint32_t seen, int64_t until_ns)
{
    if (__atomic_load_n(&seccomp_allows_waitv, __ATOMIC_RELAXED)) {
        long result = raw_futex_waitv_until(&ended, seen, until_ns, FUTEX_PRIVATE_FLAG);
        if (result >= 0 || result == -EAGAIN || result == -EINTR || result == -ETIMEDOUT)
            return result;
    }
    return raw_futex_wait_until(&ended, seen, until_ns, FUTEX_PRIVATE_FLAG);
}

/* Stays until stop `now` has ended, and ends it when the time is over.  The loop ends: whatever
 * `ended` was, it is `now` or later after the time-out, by this thread or by another. */
static void stay_parked(uint32_t now)
{
    int64_t until_ns = __atomic_load_n(&stands_until_ns, __ATOMIC_RELAXED);
    uint32_t seen;
    while ((seen = __atomic_load_n(&ended, __ATOMIC_ACQUIRE)) < now)
        if (sleep_parked(seen, until_ns) == -ETIMEDOUT)
            end_stop(now);
}

/* Whoever changes the state from SIGNALLED has the slot: the handler, until it says PARKED; the
 * tracer, where it has found the thread blocked or gone; or the next stop, which gives the slot to
 * another thread.  A handler that comes late finds the state changed, and leaves.  While a handler
 * answers, the state says so (ANSWERING), and the slot is given to nobody (take_slot). */
static void park(uint64_t token, const ucontext_t *context)
{
    uint32_t now = __atomic_load_n(&world.generation, __ATOMIC_ACQUIRE);
    unsigned slot = token & 0xffffff;
    if ((token >> 24 & 0xffffff) != (now & 0xffffff) || slot >= capacity ||
        __atomic_load_n(&ended, __ATOMIC_ACQUIRE) >= now)
        return;
    struct world_thread *thread = &world.threads[slot];
    uintptr_t pointer = frame_thread_pointer();
    uint64_t before = STATE(now, WORLD_SIGNALLED);
    if (!__atomic_compare_exchange_n(&thread->state, &before, STATE(now, WORLD_ANSWERING), false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return; /* the tracer has decided otherwise in the meantime */
    thread->sp = frame_sp(restart_context(context));
    thread->context = context;
    thread->pointer = pointer;
    __atomic_store_n(&thread->state, STATE(now, WORLD_PARKED), __ATOMIC_SEQ_CST);
    if (__atomic_add_fetch(&answered, 1, __ATOMIC_SEQ_CST) ==
        __atomic_load_n(&wanted, __ATOMIC_SEQ_CST))
        raw_futex_wake(&answered, 1, FUTEX_PRIVATE_FLAG);
    stay_parked(now);
    wake_others(now, WAKES);
}

static void on_stop_signal(int number, void *info_pointer, void *context)
{
    const siginfo_t *info = info_pointer;
    uint64_t token = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
    if (info->si_code == SI_TIMER && token >> 48 == TOKEN_MAGIC) {
        park(token, context);
        restart_call(context); /* last: it may not return */
        return;
    }
    if ((uintptr_t)chained.handler > (uintptr_t)SIG_IGN)
        chained.handler(number, info_pointer, context);
}

/* Makes the handler ours again if it is not.  Between this look and the last answer another thread
 * may still put its own there: libc's is harmless (above), and nobody else's can be. */
static const char *take_signal(void)
{
    struct raw_sigaction found = {0};
    if (raw_sigaction(STOP_SIGNAL, NULL, &found) < 0)
        return "rt_sigaction is refused";
    if (found.handler == on_stop_signal)
        return NULL;
    chained = found;
    return raw_handle(STOP_SIGNAL, on_stop_signal, SA_RESTART | SA_ONSTACK) < 0
               ? "rt_sigaction is refused"
               : NULL;
}

/* ---- tables ---- */

static bool make_tables(unsigned threads)
{
    unsigned size = 256;
    while (size < threads)
        size *= 2;
    if (size <= capacity)
        return true;
    /* The old tables stay: a handler that comes late may still look at them.  They are small, and
     * doubling bounds them. */
    struct world_thread *new_threads = own_map(size * sizeof *new_threads);
    uint32_t *new_slots = own_map(2 * size * sizeof *new_slots);
    if (!new_threads || !new_slots)
        return false;
    memset(new_threads, 0, size * sizeof *new_threads); /* faulted in now, not in the pause */
    memset(new_slots, 0, 2 * size * sizeof *new_slots);
    world.threads = new_threads;
    slot_of = new_slots;
    __atomic_store_n(&capacity, size, __ATOMIC_RELEASE);
    return true;
}

/* False: the handler of an earlier stop has been held up while it answered there. */
static bool take_slot(struct world_thread *thread)
{
    uint64_t before = __atomic_load_n(&thread->state, __ATOMIC_ACQUIRE);
    return (before & 7) != WORLD_ANSWERING &&
           __atomic_compare_exchange_n(&thread->state, &before, STATE(world.generation, WORLD_FREE),
                                       false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* The slot of `tid`, made if there is none; NULL: full. */
static struct world_thread *slot_for(int tid, bool *is_new)
{
    unsigned mask = 2 * capacity - 1;
    unsigned at = (unsigned)tid * 2654435761u & mask;
    for (; slot_of[at]; at = (at + 1) & mask)
        if (world.threads[slot_of[at] - 1].tid == tid) {
            *is_new = false;
            return &world.threads[slot_of[at] - 1];
        }
    *is_new = true;
    struct world_thread *thread;
    do {
        if (world.count == capacity)
            return NULL;
        thread = &world.threads[world.count++];
    } while (!take_slot(thread));
    slot_of[at] = world.count;
    thread->tid = tid;
    thread->sp = thread->pointer = 0;
    thread->fingerprint = 0;
    return thread;
}

const char *world_open(void)
{
    process = (uint32_t)RAW3(SYS_getpid, 0, 0, 0);
    task_fd = (int)proc_self_open("task", O_RDONLY | O_DIRECTORY);
    if (task_fd < 0)
        return "/proc/self/task cannot be read";
    blocked_open();
    return make_tables(256) ? NULL : "no memory for the thread table";
}

void world_close(void)
{
    task_fd = -1;
    blocked_close();
}

void world_postfork_child(void)
{
    task_fd = -1; /* the table it was in belongs to the parent's tracer thread */
    blocked_close();
    world.generation++; /* none of the parent's signals can be pending here; all the same */
    ended = world.generation;
    memset(silent_tids, 0, sizeof silent_tids);
}

/* ---- one task ---- */

/* Not just full for the moment, with what others of this user wait for. */
static bool queue_is_closed(void)
{
    struct rlimit limit = {1, 1};
    return RAW4(SYS_prlimit64, 0, RLIMIT_SIGPENDING, NULL, &limit) == 0 && limit.rlim_cur == 0;
}

static bool signal_task(struct world_thread *thread, const char **reason)
{
    uint32_t slot = (uint32_t)(thread - world.threads);
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = STOP_SIGNAL;
    info.si_code = SI_TIMER;
    info.si_pid = (pid_t)process;
    info.si_value.sival_ptr = (void *)(uintptr_t)TOKEN(world.generation, slot);
    __atomic_store_n(&thread->state, STATE(world.generation, WORLD_SIGNALLED), __ATOMIC_SEQ_CST);
    long error = RAW4(SYS_rt_tgsigqueueinfo, process, thread->tid, STOP_SIGNAL, &info);
    if (error == 0)
        return true;
    thread->state = STATE(world.generation, WORLD_GONE);
    if (error == -ESRCH)
        return true;
    world.in_vain = error != -EAGAIN || queue_is_closed();
    *reason = error == -EAGAIN ? "the signal queue is full (RLIMIT_SIGPENDING)"
                               : "signals to threads are refused";
    return false;
}

static void note_call(struct world_thread *thread, const struct blocked_call *call)
{
    thread->sp = call->sp;
    thread->fingerprint = call->fingerprint;
}

/* What a task is that has not answered, or did not last time: parked for our purpose, gone, or one
 * to wait for. */
static enum world_state examine(const struct world_thread *thread, struct blocked_call *call)
{
    char text[2048];
    if (proc_task_read(thread->tid, "status", text, sizeof text) <= 0)
        return WORLD_GONE;
    const char *state = strstr(text, "\nState:");
    char letter = state ? state[8] : 0;
    /* The leader of a process whose main thread has called pthread_exit stays as a zombie. */
    if (letter == 'Z' || letter == 'X')
        return WORLD_GONE;
    uint64_t blocked = 0;
    proc_field(text, "SigBlk:", 16, &blocked);
    bool deaf = blocked >> (STOP_SIGNAL - 1) & 1;
    if (letter != 'D' && letter != 'T' && letter != 't' && !(deaf && letter == 'S'))
        return WORLD_SIGNALLED;
    if (!blocked_call_of(thread->tid, call))
        return WORLD_SIGNALLED;
    if (call->sp == 0)
        return WORLD_GONE; /* a kernel worker of io_uring's or vhost's: never in user space */
    world.stuck += letter == 'D';
    return WORLD_BLOCKED;
}

/* A task in a call that would not go on, though it could, is not signalled at all; with `quiet`
 * neither is one in a call that cannot. */
static bool leave_alone(struct world_thread *thread, bool quiet)
{
    struct blocked_call call;
    if (!blocked_call_of(thread->tid, &call) || call.number < 0 || call.sp == 0)
        return false;
    enum restart_fate fate = restart_fate(call.number, call.args, call.pc, call.sp, blocked_read);
    if (fate == RESTART_GOES_ON || (fate == RESTART_ENDS && !quiet))
        return false;
    note_call(thread, &call);
    thread->state = STATE(world.generation, WORLD_BLOCKED);
    return true;
}

static bool is_silent(int tid)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(silent_tids); i++)
        if (silent_tids[i] == tid)
            return true;
    return false;
}

/* Notes what examine() says of a task.  Its handler may answer at the same time: whoever changes
 * the state first has the entry.  True: it is noted. */
static bool settle(struct world_thread *thread, uint64_t before)
{
    struct blocked_call call;
    enum world_state state = examine(thread, &call);
    if (state == WORLD_SIGNALLED)
        return false;
    if (!__atomic_compare_exchange_n(&thread->state, &before, STATE(world.generation, state), false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return false;
    if (state == WORLD_BLOCKED)
        note_call(thread, &call);
    if (!is_silent(thread->tid))
        silent_tids[silent_next++ % ARRAY_LENGTH(silent_tids)] = thread->tid;
    return true;
}

/* ---- the stop ---- */

/* How many tasks there are: their directory has a link for each, beside the two of every directory.
 * 0: not known. */
static unsigned count_tasks(void)
{
    struct stat task = {0};
    return RAW3(SYS_fstat, task_fd, &task, 0) == 0 && task.st_nlink > 2
               ? (unsigned)task.st_nlink - 2
               : 0;
}

/* Signals the tasks that are not in the table yet.  Their number, and that of those which the
 * listing has missed: the kernel ends it at a task that goes while it is listed, and who was born
 * after that one is not in it (6 of 60,000 listings, with four threads that do nothing but make
 * threads).  What it has seen is then less than there were before.  -1: failed. */
static int signal_new_tasks(const char **reason)
{
    static char buf[32768] DIRENTS_ALIGNED;
    int self = (int)RAW3(SYS_gettid, 0, 0, 0);
    int signalled = 0;
    bool seen_self = false, quiet = option_number(OPTION_GCSTOP) == GCSTOP_QUIET;
    bool look = quiet || !restart_proved;
    unsigned expected = count_tasks(), listed = 0;
    long tid;
    struct proc_numbers tasks = {.fd = task_fd, .buf = buf, .size = sizeof buf};
    if (RAW3(SYS_lseek, task_fd, 0, 0 /* SEEK_SET */) < 0) {
        *reason = "/proc/self/task cannot be read";
        return -1;
    }
    while ((tid = proc_next_number(&tasks)) >= 0) {
        listed++;
        seen_self |= tid == self;
        if (tid == self || own_thread_is((int)tid))
            continue;
        bool is_new;
        struct world_thread *thread = slot_for((int)tid, &is_new);
        if (!thread) {
            *reason = "threads are born faster than they can be stopped";
            return -1;
        }
        if (!is_new)
            continue;
        if (!world.begin_ns)
            world.begin_ns = os_now_ns();
        signalled++;
        if ((look && leave_alone(thread, quiet)) ||
            (is_silent((int)tid) && settle(thread, STATE(world.generation, WORLD_FREE))))
            continue;
        if (!signal_task(thread, reason))
            return -1;
    }
    if (tid < -1 || !seen_self) {
        *reason = tid < -1 ? "/proc/self/task cannot be read" : "/proc is of another PID namespace";
        return -1;
    }
    return signalled + (int)(expected - MIN(expected, listed));
}

/* How many have not answered; with `look`, those are examined. */
static unsigned outstanding(bool look)
{
    unsigned waiting = 0;
    for (unsigned i = 0; i < world.count; i++) {
        struct world_thread *thread = &world.threads[i];
        uint64_t state = __atomic_load_n(&thread->state, __ATOMIC_SEQ_CST);
        waiting +=
            state == STATE(world.generation, WORLD_ANSWERING) ||
            (state == STATE(world.generation, WORLD_SIGNALLED) && !(look && settle(thread, state)));
    }
    return waiting;
}

static bool wait_for_answers(int64_t deadline)
{
    /* An answer takes about 10 us on another core, and as long again to wake us from a futex:
     * look for a moment before sleeping. */
    int64_t begin = os_now_ns(), now = begin, spin_end = now + 30000, examine_at = now + 1000000;
    for (;;) {
        uint32_t have = __atomic_load_n(&answered, __ATOMIC_SEQ_CST);
        unsigned waiting = outstanding(now >= examine_at);
        if (waiting == 0)
            return true;
        if (now >= examine_at) /* the later, the more rarely: it takes CPU from whom we wait for */
            examine_at = now + MAX(1000000, (now - begin) / 10);
        __atomic_store_n(&wanted, have + waiting, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&answered, __ATOMIC_SEQ_CST) == have) {
            if (now < spin_end)
                for (int i = 0; i < 50 && __atomic_load_n(&answered, __ATOMIC_RELAXED) == have; i++)
                    cpu_relax();
            else
                raw_futex_wait(&answered, have, MIN(examine_at, deadline) - now + 1000,
                               FUTEX_PRIVATE_FLAG);
        }
        now = os_now_ns();
        if (now >= deadline)
            return outstanding(true) == 0;
    }
}

static const char *stop_all(int64_t deadline)
{
    const char *reason = NULL;
    for (;;) {
        __atomic_store_n(&wanted, UINT32_MAX, __ATOMIC_SEQ_CST);
        int missing = signal_new_tasks(&reason);
        if (missing < 0)
            return reason;
        /* A whole pass that finds nobody new after all have parked: nobody is left who could be
         * making threads. */
        if (missing == 0)
            return NULL;
        if (!wait_for_answers(deadline) || os_now_ns() >= deadline)
            return "a thread did not stop";
    }
}

const char *world_stop(int64_t patience_ns, int64_t work_ns)
{
    unsigned expected = count_tasks();
    world.begin_ns = world.end_ns = 0;
    world.in_vain = false;
    /* Twice as many, as each of them may be held up in a slot. */
    if (!make_tables(2 * expected + expected / 2 + 64))
        return "no memory for the thread table";
    const char *reason = take_signal();
    if (reason)
        return reason;
    memset(slot_of, 0, 2 * capacity * sizeof *slot_of);
    world.count = world.parked = world.blocked = world.stuck = 0;
    answered = 0;
    int64_t begin = os_now_ns(), more_ns = WORLD_THREAD_NS * expected + patience_ns;
    __atomic_store_n(&stands_until_ns, begin + WORLD_HOLD_NS + more_ns + work_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&world.generation, world.generation + 1, __ATOMIC_SEQ_CST);
    reason = stop_all(begin + WORLD_STOP_NS + more_ns);
    if (reason)
        return world_resume() ? reason : WORLD_CALLED_OFF;
    for (unsigned i = 0; i < world.count; i++) {
        world.parked += world_state_of(&world.threads[i]) == WORLD_PARKED;
        world.blocked += world_state_of(&world.threads[i]) == WORLD_BLOCKED;
    }
    return NULL;
}

int64_t world_left_ns(void)
{
    return stands_until_ns - os_now_ns();
}

bool world_unchanged(void)
{
    for (unsigned i = 0; i < world.count; i++) {
        struct world_thread *thread = &world.threads[i];
        struct blocked_call call;
        if (world_state_of(thread) == WORLD_BLOCKED &&
            (!blocked_call_of(thread->tid, &call) || call.fingerprint != thread->fingerprint))
            return false;
    }
    return true;
}

bool world_resume(void)
{
    __atomic_store_n(&woken_ns, -(int64_t)world.generation, __ATOMIC_RELEASE);
    bool stood = end_stop(world.generation);
    if (stood)
        wake_others(world.generation, UINT32_MAX);
    /* In any case: a wake above may have been refused. */
    raw_futex_wake(&ended, INT32_MAX, FUTEX_PRIVATE_FLAG);
    int64_t woken = __atomic_exchange_n(&woken_ns, 0, __ATOMIC_RELAXED);
    world.end_ns = !stood ? stands_until_ns : woken > 0 ? woken : os_now_ns();
    if (!world.begin_ns || world.end_ns < world.begin_ns)
        world.begin_ns = world.end_ns;
    return stood;
}
