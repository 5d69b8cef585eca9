#include "prof/prof.h"

#include "base/compiler.h"
#include "base/lock.h"
#include "base/machine.h"
#include "base/options.h"
#include "base/os.h"
#include "memdebug/segment.h"
#include "prof/live.h"
#include "prof/pending.h"
#include "prof/table.h"
#include "segment/segment.h"
#include "segment/tables.h"
#include "stack/modules.h"
#include "stack/unwind.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

_Thread_local struct prof_thread prof_thread __attribute__((tls_model("initial-exec")));

void (*prof_on_sample)(void);

/* Guards the stacks, buckets and live samples of the segment, and their indexes. */
static struct lock tables_lock = LOCK_INIT(LOCK_TABLES);
/* Samples are found by address (the tracked variant).  Set before the lock is taken for the first
 * of them: who holds the lock and reads false comes before it, and meets none. */
static bool by_address; /* atomic */

/* Records a free: of a handle, or of an address. */
static void remove_locked(uint64_t what);

/* Releases the lock.  Frees that could not wait for it (pending.h) are recorded first, by whoever
 * releases it.
 *
 * None is left over: who leaves one tries the lock afterwards, and who releases the lock looks for
 * them once more after that.  So if the try fails, the holder comes to that look later, or whoever
 * has taken the lock from it does.  Where the freed address is sampled again before its free is
 * recorded, the free finds its own record first, as the older one of that address. */
static void tables_unlock(void)
{
    do {
        if (UNLIKELY(pending_any()))
            pending_take(remove_locked);
        lock_release(&tables_lock);
    } while (UNLIKELY(pending_any()) && lock_try(&tables_lock));
}

/* segment_move_lock: takes the locks of the module table and of these tables, or neither.  They are
 * held for moments only, but by this very thread if it is in a signal handler: then nothing is
 * waited for. */
static bool move_lock(bool take)
{
    if (!take) {
        tables_unlock();
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
}

void prof_init(void)
{
    segment_move_lock = move_lock;
}

uint64_t prof_draw_gap(void)
{
    struct prof_thread *t = &prof_thread;
    if (UNLIKELY(!t->seeded)) {
        /* The address differs by thread, the time by run. */
        rng_seed(&t->rng, (uint64_t)os_now_ns() ^ (uintptr_t)t << 16);
        t->seeded = true;
    }
    uint64_t rate = option_number(OPTION_MEMPROFILERATE);
    t->gap_rate = rate;
    return rate ? rng_exponential(&t->rng, rate) : PROF_IDLE_GAP;
}

uint64_t prof_weight(size_t size, uint64_t rate)
{
    if (rate <= 1)
        return MD_WEIGHT_ONE;
    double x = (double)size / (double)rate;
    double weight = MD_WEIGHT_ONE / rng_one_minus_exp(x) + 0.5;
    return weight < 0x1p62 ? (uint64_t)weight : (uint64_t)1 << 62;
}

/* Bytes that `weight` objects of `size` stand for. */
static uint64_t weighted_bytes(uint64_t weight, uint64_t size)
{
    return (uint64_t)(((unsigned __int128)weight * size + MD_WEIGHT_ONE / 2) >> MD_WEIGHT_SHIFT);
}

/* Readers run beside us, so each sum is one atomic store; writers hold the lock. */
static void charge_locked(uint32_t index, unsigned objects_at, uint64_t weight)
{
    struct md_bucket *b = (struct md_bucket *)segment_table(MD_SECTION_BUCKETS) + index;
    uint64_t bytes = weighted_bytes(weight, b->size);
    __atomic_store_n(&b->value[objects_at], b->value[objects_at] + weight, __ATOMIC_RELAXED);
    __atomic_store_n(&b->value[objects_at + 1], b->value[objects_at + 1] + bytes, __ATOMIC_RELAXED);
}

static uint32_t now_ds(void)
{
    int64_t ns = os_coarse_ns() - (int64_t)segment_header()->start_ns;
    return ns > 0 ? (uint32_t)(ns / 100000000) : 0;
}

static uint64_t record(const void *ptr, size_t size)
{
    if (!segment_check())
        return 0;
    bool truncated = false, inside = gather_begin();
    uint64_t *pcs = inside ? room_take() : NULL;
    unsigned most = (unsigned)option_number(OPTION_PROFSTACKDEPTH);
    unsigned depth = pcs ? unwind_stack(pcs, most, !prof_thread.trusting, &truncated) : 0;
    uint32_t hash = stack_hash(pcs, depth);
    uint64_t weight = prof_weight(size, prof_thread.gap_rate);
    uint32_t bucket;
    uint64_t handle = 0;

    lock_take(&tables_lock);
    uint32_t stack = depth ? stack_find_locked(pcs, depth, hash) : 0;
    if (UNLIKELY(!stack && depth)) {
        tables_unlock();
        uint32_t epoch = modules_epoch(pcs, depth);
        lock_take(&tables_lock);
        stack = stack_find_locked(pcs, depth, hash);
        if (!stack)
            stack = stack_add_locked(pcs, depth, hash, epoch, truncated);
    }
    if (!stack)
        COUNT_ADD(lost_stacks, 1);
    if (bucket_intern_locked(stack, size, &bucket)) {
        handle = live_add_locked((uintptr_t)ptr, bucket, weight, now_ds(),
                                 __atomic_load_n(&by_address, __ATOMIC_RELAXED));
        if (handle) {
            charge_locked(bucket, MD_HEAP_ALLOC_OBJECTS, weight);
            ((struct md_bucket *)segment_table(MD_SECTION_BUCKETS) + bucket)->samples++;
        }
    }
    tables_unlock();
    room_give(pcs);
    if (inside)
        gather_end();
    if (handle)
        COUNT_ADD(samples, 1);
    else
        COUNT_ADD(lost_samples, 1);
    return handle;
}

uint64_t prof_alloc(const void *ptr, size_t size)
{
    if (own_thread || prof_thread.busy)
        return 0;
    int saved = errno;
    prof_thread.busy = true;
    uint64_t handle = record(ptr, size);
    prof_thread.busy = false;
    if (prof_on_sample)
        prof_on_sample();
    errno = saved;
    cpu_clear_vectors();
    return handle;
}

bool prof_alloc_at(const void *ptr, size_t size)
{
    __atomic_store_n(&by_address, true, __ATOMIC_RELAXED);
    return prof_alloc(ptr, size) != 0;
}

static void remove_locked(uint64_t what)
{
    struct md_sample gone;
    if ((__atomic_load_n(&by_address, __ATOMIC_RELAXED) ? live_remove_at_locked(what, &gone)
                                                        : live_remove_locked(what, &gone)) &&
        gone.bucket < segment_count(MD_SECTION_BUCKETS))
        charge_locked(gone.bucket, MD_HEAP_FREE_OBJECTS, gone.weight);
}

static void forget(uint64_t what)
{
    struct prof_thread *t = &prof_thread;
    if (!segment_check())
        return;
    if (LIKELY(!t->busy)) {
        t->busy = true;
        lock_take(&tables_lock);
        remove_locked(what);
        tables_unlock();
        t->busy = false;
    } else if (pending_add(what)) {
        /* A signal handler frees while its thread is in here, perhaps with the lock. */
        if (lock_try(&tables_lock))
            tables_unlock();
    } else {
        COUNT_ADD(lost_samples, 1);
    }
    cpu_clear_vectors();
}

void prof_free(uint64_t handle)
{
    if (handle)
        forget(handle);
}

void prof_free_at(const void *ptr)
{
    forget((uintptr_t)ptr);
}

uint64_t prof_moment(void)
{
    return live_moment(now_ds());
}

/* Records for which the lock is held at a time, a page of the table: whoever takes a sample
 * meanwhile waits for a microsecond. */
#define FLAG_BATCH 128u

uint64_t prof_flag(const uint8_t *flags, uint64_t count, uint64_t moment)
{
    struct prof_thread *t = &prof_thread;
    uint64_t leaks = 0;
    if (t->busy || !segment_check())
        return 0;
    for (uint64_t from = 0; from < count; from += FLAG_BATCH) {
        t->busy = true; /* a handler that frees here does not wait for us */
        lock_take(&tables_lock);
        uint64_t end = MIN(MIN(from + FLAG_BATCH, count), segment_count(MD_SECTION_SAMPLES));
        for (uint64_t slot = from; slot < end; slot++)
            leaks += live_flag_locked((uint32_t)slot, flags[slot], moment);
        tables_unlock();
        t->busy = false;
    }
    return leaks;
}

/* The stack of a bucket of the parent's, into our table; 0: unknown. */
static uint32_t inherit_stack(const struct tables *parent, uint32_t id)
{
    uint64_t count = parent->count[MD_SECTION_STACKS], end = (uint64_t)id + MD_STACK_HEADER_WORDS;
    if (!id || end >= count)
        return 0;
    const struct md_stack *stack =
        (const void *)((const uint64_t *)parent->table[MD_SECTION_STACKS] + id);
    uint32_t depth = __atomic_load_n(&stack->depth, __ATOMIC_RELAXED);
    if (depth > MD_STACK_MAX_DEPTH || end + depth > count)
        return 0;
    uint32_t hash = stack_hash(stack->pc, depth), own = stack_find_locked(stack->pc, depth, hash);
    return own ? own : stack_add_locked(stack->pc, depth, hash, stack->epoch, stack->truncated);
}

/* A forked copy has the parent's blocks, so it takes over the parent's live samples: from the
 * parent's tables, which go on changing.  Samples that the parent took since are told by their
 * generation; those that it freed since are lost to us.  The copy's alloc sums begin with what it
 * inherited, so inuse = alloc - free holds. */
static void inherit_samples(const struct tables *parent)
{
    const struct md_sample *samples = parent->table[MD_SECTION_SAMPLES];
    const struct md_bucket *buckets = parent->table[MD_SECTION_BUCKETS];
    for (uint32_t slot = 0; slot < parent->count[MD_SECTION_SAMPLES]; slot++) {
        struct md_sample s;
        s.addr = __atomic_load_n(&samples[slot].addr, __ATOMIC_ACQUIRE);
        s.generation = __atomic_load_n(&samples[slot].generation, __ATOMIC_RELAXED);
        s.weight = __atomic_load_n(&samples[slot].weight, __ATOMIC_RELAXED);
        s.born_ds = __atomic_load_n(&samples[slot].born_ds, __ATOMIC_RELAXED);
        uint32_t bucket = __atomic_load_n(&samples[slot].bucket, __ATOMIC_RELAXED);
        s.bucket = 0;
        s.flags = MD_SAMPLE_INHERITED; /* its own cycles will say what it reaches */
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        /* The parent may be giving the slot to another one: the address goes first and comes last,
         * just behind the generation. */
        if (__atomic_load_n(&samples[slot].addr, __ATOMIC_ACQUIRE) != s.addr ||
            __atomic_load_n(&samples[slot].generation, __ATOMIC_RELAXED) != s.generation ||
            !live_at_fork(&s) || bucket >= parent->count[MD_SECTION_BUCKETS])
            s.addr = 0;
        if (!s.addr) {
            live_inherit_locked(slot, &s, by_address);
            continue;
        }
        uint32_t stack = __atomic_load_n(&buckets[bucket].stack, __ATOMIC_RELAXED);
        uint64_t size = __atomic_load_n(&buckets[bucket].size, __ATOMIC_RELAXED);
        if (bucket_intern_locked(inherit_stack(parent, stack), size, &s.bucket) &&
            live_inherit_locked(slot, &s, by_address)) {
            charge_locked(s.bucket, MD_HEAP_ALLOC_OBJECTS, s.weight);
            COUNT_ADD(inherited_samples, 1);
        } else {
            COUNT_ADD(lost_samples, 1);
        }
    }
    live_inherited_locked();
}

void prof_inherit(const struct tables *parent)
{
    lock_postfork_child(&tables_lock);
    memset(room_taken, 0, sizeof room_taken);
    table_postfork_child();
    live_postfork_child();
    modules_inherit(parent->table[MD_SECTION_MODULES], parent->count[MD_SECTION_MODULES]);
    if (parent->header)
        inherit_samples(parent);
    pending_take(remove_locked); /* what the parent had left */
}
