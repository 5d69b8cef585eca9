#include "prof/prof.h"

#include "base/compiler.h"
#include "base/lock.h"
#include "base/machine.h"
#include "base/os.h"
#include "memdebug/segment.h"
#include "prof/live.h"
#include "prof/mapping.h"
#include "prof/pending.h"
#include "prof/pins.h"
#include "prof/record.h"
#include "prof/table.h"
#include "prof/unnamed.h"
#include "segment/segment.h"
#include "segment/tables.h"
#include "stack/modules.h"

#include <errno.h>
#include <string.h>

_Thread_local struct prof_thread prof_thread __attribute__((tls_model("initial-exec")));

void (*prof_on_sample)(void);

/* Samples are found by address (the tracked variant).  Set before the lock is taken for the first
 * of them: who holds the lock and reads false comes before it, and meets none. */
static bool by_address; /* atomic */

/* Records a free: of a handle, or of an address. */
static void remove_locked(uint64_t what);

void prof_init(void)
{
    segment_move_lock = tables_move_lock;
    tables_take_pending_locked = remove_locked;
}

uint64_t prof_draw_gap(void)
{
    struct prof_thread *t = &prof_thread;
    if (UNLIKELY(!t->seeded)) {
        /* The address differs by thread, the time by run. */
        rng_seed(&t->rng, (uint64_t)os_now_ns() ^ (uintptr_t)t << 16);
        t->seeded = true;
    }
    uint64_t rate = rate_now();
    t->gap_rate = rate;
    return rate ? rng_exponential(&t->rng, rate) : PROF_IDLE_GAP;
}

uint64_t prof_wait(uint64_t allocated_bytes)
{
    struct prof_thread *t = &prof_thread;
    if (allocated_bytes >= t->points.next) {
        uint64_t back = t->gap_rate ? rng_exponential(&t->rng, t->gap_rate) - 1 : 0;
        bool sampled = t->gap_rate != 0;
        points_pass(&t->points, allocated_bytes, back, prof_draw_gap());
        t->points.any = sampled; /* where a thread begins, and where sampling was off, none */
    }
    return points_wait(&t->points, allocated_bytes,
                       __atomic_load_n(&rate_window, __ATOMIC_RELAXED));
}

uint64_t prof_choose(uint64_t allocated_bytes, size_t size)
{
    struct prof_thread *t = &prof_thread;
    uint64_t toll = 0;
    if (!prof_wanted())
        return 0;
    if (__atomic_load_n(&rate_window, __ATOMIC_RELAXED))
        toll = __atomic_load_n(&rate_toll[object_class_of(size)], __ATOMIC_RELAXED);
    toll = MAX(toll, size);
    return points_hit(&t->points, allocated_bytes, size, toll) ? toll : 0;
}

uint64_t prof_weight(uint64_t toll, uint64_t rate)
{
    if (rate <= 1)
        return MD_WEIGHT_ONE;
    double x = (double)toll / (double)rate;
    double weight = MD_WEIGHT_ONE / rng_one_minus_exp(x) + 0.5;
    return weight < 0x1p62 ? (uint64_t)weight : (uint64_t)1 << 62;
}

/* Bytes that `weight` objects of `size` stand for. */
static uint64_t weighted_bytes(uint64_t weight, uint64_t size)
{
    return (uint64_t)(((unsigned __int128)weight * size + MD_WEIGHT_ONE / 2) >> MD_WEIGHT_SHIFT);
}

static void charge_locked(uint32_t index, unsigned objects_at, uint64_t weight)
{
    const struct md_bucket *b = (const struct md_bucket *)segment_table(MD_SECTION_BUCKETS) + index;
    bucket_charge_locked(index, objects_at, weight, weighted_bytes(weight, b->key));
}

static uint32_t now_ds(void)
{
    int64_t ns = os_coarse_ns() - (int64_t)segment_header()->start_ns;
    return ns > 0 ? (uint32_t)(ns / 100000000) : 0;
}

static uint64_t record_sample(const void *ptr, size_t size, uint64_t toll, uintptr_t sibling)
{
    if (!segment_check())
        return 0;
    int64_t begun = rate_begin(RATE_SAMPLE);
    struct record record;
    uint32_t stack = record_begin(&record), bucket;
    uint64_t weight = prof_weight(toll, prof_thread.gap_rate), handle = 0;
    if (bucket_intern_locked((struct bucket_id){MD_BUCKET_HEAP, stack, size, MD_LABEL_NONE},
                             &bucket)) {
        bool indexed = __atomic_load_n(&by_address, __ATOMIC_RELAXED);
        handle = live_add_locked((uintptr_t)ptr, bucket, weight, now_ds(), indexed);
        if (handle) {
            if (!indexed)
                pins_apart_locked((uint32_t)handle - 1, sibling);
            charge_locked(bucket, MD_HEAP_ALLOC_OBJECTS, weight);
            ((struct md_bucket *)segment_table(MD_SECTION_BUCKETS) + bucket)->samples++;
        }
    }
    record_end(&record);
    if (handle)
        COUNT_ADD(samples, 1);
    else
        COUNT_ADD(lost_samples, 1);
    rate_end(RATE_SAMPLE, begun);
    if (toll > size)
        rate_paid_more();
    return handle;
}

static uint64_t sample(const void *ptr, size_t size, uint64_t toll, uintptr_t sibling)
{
    if (own_thread || prof_thread.busy)
        return 0;
    if (UNLIKELY(lock_held_here())) { /* a signal handler, in the middle of our own work */
        COUNT_ADD(lost_samples, 1);
        return 0;
    }
    int saved = errno;
    prof_thread.busy = true;
    uint64_t handle = record_sample(ptr, size, toll, sibling);
    prof_thread.busy = false;
    record_deferred();
    rate_look();
    if (prof_on_sample)
        prof_on_sample();
    errno = saved;
    cpu_clear_vectors();
    return handle;
}

uint64_t prof_alloc(const void *ptr, size_t size, uint64_t toll, uintptr_t sibling)
{
    return sample(ptr, size, toll, sibling);
}

bool prof_alloc_at(const void *ptr, size_t size, uint64_t toll)
{
    __atomic_store_n(&by_address, true, __ATOMIC_RELAXED);
    return sample(ptr, size, toll, 0) != 0;
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
    if (LIKELY(!t->busy && !lock_held_here())) {
        int64_t begun = rate_begin(RATE_END);
        t->busy = true;
        tables_take();
        remove_locked(what);
        tables_give();
        t->busy = false;
        rate_end(RATE_END, begun);
        record_deferred();
    } else if (pending_add(what)) {
        /* A signal handler frees while its thread is in here, perhaps with the lock. */
        if (tables_try())
            tables_give();
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

/* On the thread that runs cycles. */
static uint64_t leaked_samples[RATE_CLASSES]; /* of the last cycle, by size class */
static struct unnamed unnamed[RATE_CLASSES];

static void count_leak_locked(uint32_t slot)
{
    const struct md_sample *s = (const struct md_sample *)segment_table(MD_SECTION_SAMPLES) + slot;
    const struct md_bucket *b = segment_table(MD_SECTION_BUCKETS);
    uint32_t bucket = __atomic_load_n(&s->bucket, __ATOMIC_RELAXED);
    if (bucket < segment_count(MD_SECTION_BUCKETS))
        leaked_samples[object_class_of(b[bucket].key)]++;
}

uint64_t prof_flag(const uint8_t *flags, uint64_t count, uint64_t moment)
{
    struct prof_thread *t = &prof_thread;
    uint64_t leaks = 0;
    if (t->busy || !segment_check())
        return 0;
    memset(leaked_samples, 0, sizeof leaked_samples);
    for (uint64_t from = 0; from < count; from += FLAG_BATCH) {
        t->busy = true; /* a handler that frees here does not wait for us */
        tables_take();
        uint64_t end = MIN(MIN(from + FLAG_BATCH, count), segment_count(MD_SECTION_SAMPLES));
        for (uint64_t slot = from; slot < end; slot++)
            if (live_flag_locked((uint32_t)slot, flags[slot], moment)) {
                count_leak_locked((uint32_t)slot);
                leaks++;
            }
        tables_give();
        t->busy = false;
    }
    return leaks;
}

void prof_unsampled(const uint64_t objects[RATE_CLASSES])
{
    bool wanted[RATE_CLASSES];
    uint64_t lost_bytes = 0;
    for (unsigned class = 0; class < RATE_CLASSES; class ++) {
        uint64_t samples = leaked_samples[class];
        wanted[class] = unnamed_cycle(&unnamed[class], objects[class] + samples, samples);
        if (wanted[class])
            lost_bytes += unnamed[class].fresh * object_class_size[class];
    }
    rate_want(wanted, lost_bytes);
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
        uint64_t size = __atomic_load_n(&buckets[bucket].key, __ATOMIC_RELAXED);
        struct bucket_id id = {MD_BUCKET_HEAP, inherit_stack(parent, stack), size, MD_LABEL_NONE};
        if (bucket_intern_locked(id, &s.bucket) && live_inherit_locked(slot, &s, by_address)) {
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
    record_postfork_child();
    table_postfork_child();
    live_postfork_child();
    pins_postfork_child();
    memset(unnamed, 0, sizeof unnamed);
    rate_postfork_child();
    modules_inherit(parent->table[MD_SECTION_MODULES], parent->count[MD_SECTION_MODULES]);
    if (parent->header)
        inherit_samples(parent);
    mapping_inherit_locked(parent, inherit_stack);
    pending_take(remove_locked); /* what the parent had left */
}
