/* A request that one thread or task hands to another, and its answer: who asks and who serves share
 * two words, and whatever else goes with the request.  One asks at a time, one serves; that is for
 * the users to see to (a lock, or there is only one).  How each sleeps is theirs too: both words
 * are futexes, and nothing here wakes anybody.
 *
 * A request is one word: its number, and what is asked for.  So both are taken up or neither, and
 * an answer that comes late has a number that nobody waits for.
 *
 *     who asks                                who serves
 *     writes what goes with it                waits until handover_wanted(handover_word(h))
 *     request = handover_ask(h, what)         reads what goes with it
 *     waits until handover_answered(h) is     if (handover_take(h, request)) does it, then
 *       request, and reads the result           writes the result, handover_answer(h, request)
 *     or else: handover_withdraw(h, request)
 *
 * Each request is either served or withdrawn, never both: both compare-exchange the word of the
 * request itself for another.  Who has withdrawn one may write anew what goes with the next: who
 * still reads it for the last one will fail to take that.  Who could not withdraw it knows that all
 * has been read.  (So what is read before the taking is read by atomic loads, where requests are
 * withdrawn.)  Results are visible to who finds the request answered: `answered` is written by
 * release and read by acquire. */
#ifndef BASE_HANDOVER_H
#define BASE_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

/* What may be asked for is from 1 to this. */
#define HANDOVER_WHAT_MAX 0xfeu
#define HANDOVER_TAKEN 0xffu

/* Zeroed at first, and in a forked copy. */
struct handover {
    uint32_t asked;    /* number << 8 | what; 0 there: withdrawn */
    uint32_t answered; /* the request done last */
};

/* ---- who asks ---- */

static inline uint32_t handover_ask(struct handover *h, uint32_t what)
{
    uint32_t number = __atomic_load_n(&h->asked, __ATOMIC_RELAXED) >> 8;
    uint32_t request = (number + 1) << 8 | what;
    __atomic_store_n(&h->asked, request, __ATOMIC_RELEASE);
    return request;
}

/* The request done last: to sleep on, and to look at. */
static inline uint32_t handover_answered(const struct handover *h)
{
    return __atomic_load_n(&h->answered, __ATOMIC_ACQUIRE);
}

/* False: it has been taken, and is done or will be. */
static inline bool handover_withdraw(struct handover *h, uint32_t request)
{
    return __atomic_compare_exchange_n(&h->asked, &request, request & ~UINT32_C(0xff), false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* ---- who serves ---- */

/* To sleep on, and to look at. */
static inline uint32_t handover_word(const struct handover *h)
{
    return __atomic_load_n(&h->asked, __ATOMIC_ACQUIRE);
}

/* What that word asks for; 0: nothing, or it has been taken. */
static inline uint32_t handover_wanted(uint32_t word)
{
    uint32_t what = word & 0xff;
    return what == HANDOVER_TAKEN ? 0 : what;
}

/* False: it has been withdrawn. */
static inline bool handover_take(struct handover *h, uint32_t request)
{
    return __atomic_compare_exchange_n(&h->asked, &request, request | HANDOVER_TAKEN, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static inline void handover_answer(struct handover *h, uint32_t request)
{
    __atomic_store_n(&h->answered, request, __ATOMIC_RELEASE);
}

#endif
