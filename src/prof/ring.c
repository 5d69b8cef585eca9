#include "prof/ring.h"

#include "base/compiler.h"
#include "base/os.h"
#include "memdebug/segment.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A few of the deepest stacks, some hundreds of usual ones. */
#define RING_BYTES 32768u
#define ROUNDS 4

/* What lies in a ring: `state` is 0 until the entry is whole, then its bytes. */
struct entry {
    uint32_t state;
    bool filler; /* up to the ring's end, as the next entry would not fit there */
    struct ring_record record;
};
#define ENTRY_ALIGNMENT 8u
_Static_assert(sizeof(struct entry) + MD_STACK_MAX_DEPTH * sizeof(uint64_t) <= RING_BYTES / 2,
               "the deepest stack has room");

/* Positions count bytes for ever; the place is what is left of them in RING_BYTES.  `head` is moved
 * by the owner and its handlers, which come one in the other, so a compare-exchange reserves.
 * `tail` is moved by who drains (release), after it has zeroed what it leaves behind; so an entry
 * that is reserved, but not written yet, has the state 0. */
struct ring {
    struct ring *next; /* written before the ring is linked */
    uint32_t owner;    /* thread id, 0: nobody; atomic */
    uint32_t head, tail;
    _Alignas(64) char data[RING_BYTES];
};

static struct ring *rings; /* grows at its front (release) */
static THREAD_LOCAL struct ring *own;
static THREAD_LOCAL unsigned writing; /* ring_put's that this thread is in, one in the other */
static bool any;                      /* atomic */
static unsigned *drainer;             /* `writing` of the thread that drains, or NULL; atomic */

static bool has_ended(uint32_t owner)
{
    return owner && syscall(SYS_tgkill, getpid(), owner, 0) != 0 && errno == ESRCH;
}

/* An empty ring whose owner has ended, or was a thread with the caller's number. */
static struct ring *adopt(uint32_t tid)
{
    for (struct ring *ring = __atomic_load_n(&rings, __ATOMIC_ACQUIRE); ring; ring = ring->next) {
        uint32_t owner = __atomic_load_n(&ring->owner, __ATOMIC_RELAXED);
        if (__atomic_load_n(&ring->head, __ATOMIC_RELAXED) ==
                __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) &&
            (!owner || owner == tid || has_ended(owner)) &&
            __atomic_compare_exchange_n(&ring->owner, &owner, tid, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return ring;
    }
    return NULL;
}

static struct ring *make(uint32_t tid)
{
    struct ring *ring = own_map(sizeof *ring);
    if (!ring)
        return NULL;
    ring->owner = tid;
    ring->next = __atomic_load_n(&rings, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&rings, &ring->next, ring, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        ;
    return ring;
}

static struct ring *ring_of_thread(void)
{
    if (own)
        return own;
    uint32_t tid = (uint32_t)os_gettid();
    struct ring *ring = adopt(tid);
    if (!ring)
        ring = make(tid);
    if (!own) /* else a handler has come in between and found one */
        own = ring;
    else if (ring && ring != own)
        __atomic_store_n(&ring->owner, 0, __ATOMIC_RELEASE);
    return own;
}

static struct entry *entry_at(struct ring *ring, uint32_t position)
{
    return (struct entry *)(ring->data + position % RING_BYTES);
}

static void commit(struct entry *entry, uint32_t bytes)
{
    __atomic_store_n(&entry->state, bytes, __ATOMIC_RELEASE);
}

/* NULL: it is full. */
static struct entry *reserve(struct ring *ring, uint32_t bytes)
{
    uint32_t head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED), filler;
    do {
        uint32_t left = RING_BYTES - head % RING_BYTES;
        filler = left < bytes ? left : 0;
        uint32_t used = head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
        /* More than there is: a handler has put since, and that is drained.  It is tried again. */
        if (used <= RING_BYTES && used + filler + bytes > RING_BYTES)
            return NULL;
    } while (!__atomic_compare_exchange_n(&ring->head, &head, head + filler + bytes, false,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    if (filler) {
        entry_at(ring, head)->filler = true;
        commit(entry_at(ring, head), filler);
    }
    return entry_at(ring, head + filler);
}

bool ring_put(const struct ring_record *record, const uint64_t *pcs)
{
    int saved = errno;
    writing++;
    uint32_t stack = record->depth * (uint32_t)sizeof *pcs;
    uint32_t bytes = (uint32_t)offsetof(struct entry, record.pcs) + stack;
    struct ring *ring = ring_of_thread();
    struct entry *entry = ring ? reserve(ring, bytes) : NULL;
    errno = saved;
    if (!entry) {
        writing--;
        return false;
    }
    entry->record = *record;
    if (stack)
        memcpy(entry->record.pcs, pcs, stack);
    commit(entry, bytes);
    /* Who drains clears it before it looks at the rings.  If that comes after this, in the order in
     * which `any` is exchanged, that look finds the entry; else what is set here stays set. */
    (void)__atomic_exchange_n(&any, true, __ATOMIC_SEQ_CST);
    writing--;
    return true;
}

bool ring_any(void)
{
    return __atomic_load_n(&any, __ATOMIC_RELAXED);
}

bool ring_pending(void)
{
    return __atomic_load_n(&any, __ATOMIC_ACQUIRE) || __atomic_load_n(&drainer, __ATOMIC_ACQUIRE);
}

/* What was there when it began: the thread may go on as fast. */
static void drain(struct ring *ring, void (*fn)(const struct ring_record *record))
{
    uint32_t tail = ring->tail, head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
    while (tail != head) {
        struct entry *entry = entry_at(ring, tail);
        uint32_t bytes = __atomic_load_n(&entry->state, __ATOMIC_ACQUIRE);
        if (!bytes)
            return; /* its thread is in the middle of it */
        if (!entry->filler)
            fn(&entry->record);
        /* The state goes first: a copy that is forked meanwhile finds the entry whole or none. */
        __atomic_store_n(&entry->state, 0, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_RELEASE);
        memset((char *)entry + sizeof entry->state, 0, bytes - sizeof entry->state);
        tail += bytes;
        __atomic_store_n(&ring->tail, tail, __ATOMIC_RELEASE);
    }
}

void ring_drain(void (*fn)(const struct ring_record *record))
{
    /* Who finds another at it leaves what it has put to that one: it has set `any` before it saw
     * `drainer` set, and that one looks at `any` after it has cleared it (all SEQ_CST).  But it
     * does not serve the others for ever. */
    for (int round = 0; round < ROUNDS; round++) {
        unsigned *none = NULL;
        if (!__atomic_compare_exchange_n(&drainer, &none, &writing, false, __ATOMIC_SEQ_CST,
                                         __ATOMIC_SEQ_CST))
            return;
        (void)__atomic_exchange_n(&any, false, __ATOMIC_SEQ_CST); /* after `drainer`: pending */
        for (struct ring *ring = __atomic_load_n(&rings, __ATOMIC_ACQUIRE); ring; ring = ring->next)
            drain(ring, fn);
        __atomic_store_n(&drainer, NULL, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&any, __ATOMIC_SEQ_CST))
            return;
    }
}

/* Ends at the first entry that is not whole.  What lies behind it is lost with it, and what a
 * handler of this thread puts there meanwhile: then the head is another, and it begins anew. */
static bool cut_short(struct ring *ring)
{
    uint32_t at, head;
    do {
        at = ring->tail;
        head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
        while (at != head && entry_at(ring, at)->state)
            at += entry_at(ring, at)->state;
        for (uint32_t lost = at; lost != head; lost += ENTRY_ALIGNMENT)
            memset(entry_at(ring, lost), 0, ENTRY_ALIGNMENT);
    } while (at != head && !__atomic_compare_exchange_n(&ring->head, &head, at, false,
                                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return at != head;
}

unsigned ring_postfork_child(void)
{
    unsigned cut = 0;
    if (own) /* its thread has another number here */
        own->owner = (uint32_t)os_gettid();
    if (drainer == &writing) /* a handler of it has forked: it goes on */
        return 0;
    drainer = NULL;
    any = false;
    for (struct ring *ring = rings; ring; ring = ring->next) {
        if (ring != own || !writing) /* else it is written on where fork returns to */
            cut += cut_short(ring);
        if (ring->head != ring->tail)
            any = true;
    }
    return cut;
}
