#include "prof/record.h"

#include "base/compiler.h"
#include "base/lock.h"
#include "base/options.h"
#include "base/os.h"
#include "prof/pending.h"
#include "prof/prof.h"
#include "prof/table.h"
#include "segment/segment.h"
#include "stack/modules.h"
#include "stack/unwind.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

static struct lock tables_lock = LOCK_INIT(LOCK_TABLES);
void (*tables_take_pending_locked)(uint64_t what);
void (*record_deferred_locked[MD_BUCKET_KINDS])(const struct ring_record *record, uint32_t stack);

void tables_take(void)
{
    lock_take(&tables_lock);
}

bool tables_try(void)
{
    return lock_try(&tables_lock);
}

/* Releases the lock.  Frees that could not wait for it (pending.h) are recorded first, by whoever
 * releases it.
 *
 * None is left over: who leaves one tries the lock afterwards, and who releases the lock looks for
 * them once more after that.  So if the try fails, the holder comes to that look later, or whoever
 * has taken the lock from it does.  Where the freed address is sampled again before its free is
 * recorded, the free finds its own record first, as the older one of that address. */
void tables_give(void)
{
    do {
        if (UNLIKELY(pending_any()))
            pending_take(tables_take_pending_locked);
        lock_release(&tables_lock);
    } while (UNLIKELY(pending_any()) && lock_try(&tables_lock));
}

/* segment_move_lock: takes the locks of the module table and of these tables, or neither.  They are
 * held for moments only, but by this very thread if it is in a signal handler: then nothing is
 * waited for. */
bool tables_move_lock(bool take)
{
    if (!take) {
        tables_give();
        modules_release();
        return true;
    }
    if (!modules_try())
        return false;
    if (!prof_thread.busy) {
        lock_take(&tables_lock);
        return true;
    }
    if (lock_try(&tables_lock))
        return true;
    modules_release();
    return false;
}

/* Buffers to gather a stack in, each of one thread while its room_taken is set (atomic).  Not on
 * the program's own stack: threads of 16 KiB and coroutines allocate too.  A page of this becomes
 * resident when it is first used. */
#define ROOMS 64u
static uint64_t rooms[ROOMS][UNWIND_ROOM];
static bool room_taken[ROOMS];

/* NULL: no memory. */
static uint64_t *room_take(void)
{
    unsigned first = (unsigned)((uintptr_t)&prof_thread * 0x9e3779b97f4a7c15u >> 58);
    for (unsigned i = 0; i < ROOMS; i++) {
        unsigned room = (first + i) % ROOMS;
        if (!__atomic_load_n(&room_taken[room], __ATOMIC_RELAXED) &&
            !__atomic_exchange_n(&room_taken[room], true, __ATOMIC_ACQUIRE))
            return rooms[room];
    }
    return own_map(sizeof rooms[0]);
}

static void room_give(uint64_t *pcs)
{
    uintptr_t at = (uintptr_t)pcs - (uintptr_t)rooms;
    if (at < sizeof rooms)
        __atomic_store_n(&room_taken[at / sizeof rooms[0]], false, __ATOMIC_RELEASE);
    else if (pcs)
        own_unmap(pcs, sizeof rooms[0]);
}

/* The unwinder has a lock, which a forked copy finds as it is at that moment: held for ever, if
 * another thread was inside.  So fork waits until nobody is inside, and threads that come meanwhile
 * take no stack.  A copy that finds somebody inside nevertheless (one made past the fork handlers)
 * never takes one.
 *
 * A library's tables and names are read where they lie: a return address on the thread's stack
 * keeps the library loaded.  But what libunwind takes for a return address, where code has no
 * unwind information, may be any word, and may lie in a library that another thread is just
 * unmapping.  So dlclose waits until no thread inside goes by such words (trusting), and threads
 * that come meanwhile take only the part of their stack that is certain (unwind.h).
 *
 * Why none slips through: a thread adds itself to `gathering` (`trusting`), then reads `forks`
 * (`closings`); fork (dlclose) adds itself to `forks` (`closings`), then reads `gathering`
 * (`trusting`); all of it in one order for all threads (SEQ_CST).  So at least one of the two sees
 * the other. */
/* Microseconds as a rule; this is time for a thread that lost its CPU inside. */
#define INSIDE_WAIT_NS 500000000
static uint32_t gathering, trusting; /* atomic: threads inside; those that trust their stack */
static uint32_t forks, closings;     /* atomic: calls under way */
static bool no_stacks;               /* written in a forked copy, before it has other threads */

static void trust_end(void)
{
    if (prof_thread.trusting)
        __atomic_fetch_sub(&trusting, 1, __ATOMIC_RELEASE);
    prof_thread.trusting = false;
}

/* Calls of dlclose that this very thread is in do not count: what they close stays until it returns
 * to them. */
static void trust_begin(void)
{
    prof_thread.trusting = true;
    __atomic_fetch_add(&trusting, 1, __ATOMIC_SEQ_CST);
    if (UNLIKELY(__atomic_load_n(&closings, __ATOMIC_SEQ_CST) > prof_thread.closings))
        trust_end();
}

static void gather_end(void)
{
    trust_end();
    __atomic_fetch_sub(&gathering, 1, __ATOMIC_RELEASE);
    prof_thread.gathering = false;
}

static bool gather_begin(void)
{
    if (no_stacks)
        return false;
    prof_thread.gathering = true;
    __atomic_fetch_add(&gathering, 1, __ATOMIC_SEQ_CST);
    if (LIKELY(!__atomic_load_n(&forks, __ATOMIC_SEQ_CST))) {
        trust_begin();
        return true;
    }
    gather_end();
    return false;
}

/* Until none but `own` are inside.  False: somebody still is, after all this time. */
static bool wait_for_others(const uint32_t *inside, uint32_t own)
{
    if (__atomic_load_n(inside, __ATOMIC_SEQ_CST) <= own)
        return true;
    int saved = errno;
    int64_t end = os_now_ns() + INSIDE_WAIT_NS;
    for (int i = 0; __atomic_load_n(inside, __ATOMIC_SEQ_CST) > own && os_now_ns() < end; i++) {
        static const struct timespec nap = {0, 50000};
        if (i < 20)
            sched_yield();
        else
            nanosleep(&nap, NULL); /* whoever is inside may have a lower priority */
    }
    errno = saved;
    return __atomic_load_n(inside, __ATOMIC_SEQ_CST) <= own;
}

/* fork may be called by a signal handler in the middle of this thread's own sample: that is not
 * waited for. */
void prof_before_fork(void)
{
    __atomic_fetch_add(&forks, 1, __ATOMIC_SEQ_CST);
    prof_thread.alone = wait_for_others(&gathering, prof_thread.gathering);
}

void prof_after_fork(void)
{
    __atomic_fetch_sub(&forks, 1, __ATOMIC_SEQ_CST);
    prof_thread.alone = false;
}

void prof_before_close(void)
{
    record_deferred(); /* while what its stacks lead into is there */
    __atomic_fetch_add(&closings, 1, __ATOMIC_SEQ_CST);
    prof_thread.closings++;
    wait_for_others(&trusting, prof_thread.trusting);
}

void prof_after_close(void)
{
    prof_thread.closings--;
    __atomic_fetch_sub(&closings, 1, __ATOMIC_SEQ_CST);
}

void prof_postfork_child(void)
{
    struct prof_thread *t = &prof_thread;
    /* Where fork's wait found nobody, who counts as inside now has come since, seen the fork, and
     * was about to leave. */
    no_stacks |= t->gathering || (!t->alone && gathering);
    gathering = t->gathering;
    forks = 0;
    trusting = t->trusting;
    closings = t->closings;
    t->alone = false;
    COUNT_ADD(lost_mappings, ring_postfork_child());
}

static void gather_most(struct record *record, unsigned most, bool certain)
{
    record->inside = gather_begin();
    record->pcs = record->inside ? room_take() : NULL;
    record->truncated = false;
    record->depth = record->pcs ? unwind_stack(record->pcs, most, certain || !prof_thread.trusting,
                                               &record->truncated)
                                : 0;
}

static void gather(struct record *record)
{
    gather_most(record, (unsigned)option_number(OPTION_PROFSTACKDEPTH), false);
}

static void let_go(struct record *record)
{
    room_give(record->pcs);
    if (record->inside)
        gather_end();
}

/* When the stack was taken, as modules_epoch has it, of one that is not this thread's or is no
 * more: nothing on it keeps a library loaded.  So dlclose waits for this as for a walk.  0: a
 * library is just being closed, perhaps one of the stack's. */
static uint32_t epoch_of_other(const uint64_t *pcs, unsigned depth)
{
    uint32_t epoch = 0;
    if (gather_begin()) {
        if (prof_thread.trusting)
            epoch = modules_epoch(pcs, depth);
        gather_end();
    }
    return epoch;
}

/* Takes the tables; the stack's id.  `other`: it is not what this thread is in. */
static uint32_t intern(const uint64_t *pcs, unsigned depth, bool truncated, bool other)
{
    uint32_t hash = stack_hash(pcs, depth);
    lock_take(&tables_lock);
    uint32_t stack = depth ? stack_find_locked(pcs, depth, hash) : 0;
    if (UNLIKELY(!stack && depth)) {
        tables_give();
        uint32_t epoch = other ? epoch_of_other(pcs, depth) : modules_epoch(pcs, depth);
        lock_take(&tables_lock);
        stack = stack_find_locked(pcs, depth, hash);
        if (!stack && epoch)
            stack = stack_add_locked(pcs, depth, hash, epoch, truncated);
    }
    if (!stack)
        COUNT_ADD(lost_stacks, 1);
    return stack;
}

uint32_t record_begin(struct record *record)
{
    gather(record);
    return intern(record->pcs, record->depth, record->truncated, false);
}

void record_end(struct record *record)
{
    tables_give();
    let_go(record);
}

void record_look(struct record *record)
{
    prof_thread.busy = true;
    gather_most(record, MD_STACK_MAX_DEPTH, true);
}

void record_looked(struct record *record)
{
    let_go(record);
    prof_thread.busy = false;
    record_deferred();
}

bool record_defer(enum md_bucket_kind kind, uint32_t operation, const uint64_t value[RING_VALUES],
                  bool stacked)
{
    struct record record = {0};
    if (stacked && !prof_thread.gathering)
        gather(&record);
    struct ring_record deferred = {
        .kind = kind, .operation = operation, .depth = record.depth, .truncated = record.truncated};
    memcpy(deferred.value, value, sizeof deferred.value);
    bool put = ring_put(&deferred, record.pcs);
    if (put && stacked && !record.depth)
        COUNT_ADD(lost_stacks, 1);
    let_go(&record);
    return put;
}

static void do_deferred(const struct ring_record *record)
{
    uint32_t stack = 0;
    if (record->depth)
        stack = intern(record->pcs, record->depth, record->truncated, true);
    else
        tables_take();
    record_deferred_locked[record->kind](record, stack);
    tables_give();
}

void record_deferred(void)
{
    if (LIKELY(!ring_any()) || prof_thread.busy || lock_held_here())
        return;
    int saved = errno;
    prof_thread.busy = true;
    if (segment_check())
        ring_drain(do_deferred);
    prof_thread.busy = false;
    errno = saved;
}

void record_postfork_child(void)
{
    lock_postfork_child(&tables_lock);
    memset(room_taken, 0, sizeof room_taken);
}
