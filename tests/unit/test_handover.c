/* The hand-over of a request: each is served or withdrawn, never both and never neither; what goes
 * with it is read whole by who serves it; a late answer is nobody's. */
#include "base/handover.h"
#include "tap.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

enum { REQUESTS = 200000, FIRST = 1, LAST = HANDOVER_WHAT_MAX };

static struct handover h;
/* Goes with a request: both are its ordinal. */
static uint64_t left, right;
static uint64_t result;
static uint8_t served[REQUESTS]; /* how often; of the serving thread until it has ended */
static uint8_t what_served[REQUESTS];
static unsigned torn, refused;
static bool end;

static uint8_t what_of(unsigned i)
{
    return (uint8_t)(FIRST + i % LAST);
}

static void *serve(void *unused)
{
    unsigned turn = 0;
    while (!__atomic_load_n(&end, __ATOMIC_ACQUIRE)) {
        uint32_t word = handover_word(&h);
        if (!handover_wanted(word)) {
            if (++turn % 64 == 0)
                sched_yield();
            continue;
        }
        uint64_t a = __atomic_load_n(&left, __ATOMIC_RELAXED);
        if (turn++ % 7 == 0)
            sched_yield(); /* here it may be withdrawn */
        uint64_t b = __atomic_load_n(&right, __ATOMIC_RELAXED);
        if (!handover_take(&h, word)) {
            refused++;
            continue;
        }
        torn += a != b;
        served[a]++;
        what_served[a] = (uint8_t)handover_wanted(word);
        result = a + 1;
        handover_answer(&h, word);
    }
    return unused;
}

static void test_alone(void)
{
    memset(&h, 0, sizeof h);
    ok(!handover_wanted(handover_word(&h)), "nothing is wanted at first");
    uint32_t first = handover_ask(&h, 5);
    ok(handover_wanted(handover_word(&h)) == 5, "what was asked for is wanted");
    ok(handover_take(&h, first) && !handover_take(&h, first), "it is taken once");
    ok(!handover_wanted(handover_word(&h)), "and not wanted any more");
    ok(!handover_withdraw(&h, first), "nor can it be withdrawn");
    uint32_t second = handover_ask(&h, LAST);
    handover_answer(&h, first);
    ok(handover_answered(&h) == first && first != second, "a late answer is not the next one's");
    ok(handover_wanted(handover_word(&h)) == LAST, "which is still wanted");
    ok(handover_withdraw(&h, second), "and can be withdrawn");
    ok(!handover_take(&h, second) && !handover_wanted(handover_word(&h)), "then not be taken");
    /* Numbers come round. */
    h.asked = UINT32_C(0xffffff) << 8;
    uint32_t wrapped = handover_ask(&h, 1);
    ok(handover_take(&h, wrapped) && wrapped != handover_answered(&h), "the number comes round");
}

static void test_two(void)
{
    pthread_t thread;
    unsigned withdrawn = 0, done = 0, wrong = 0, unanswered = 0;
    static bool back[REQUESTS];
    memset(&h, 0, sizeof h);
    pthread_create(&thread, NULL, serve, NULL);
    for (unsigned i = 0; i < REQUESTS; i++) {
        __atomic_store_n(&left, i, __ATOMIC_RELAXED);
        __atomic_store_n(&right, i, __ATOMIC_RELAXED);
        uint32_t request = handover_ask(&h, what_of(i)), seen;
        unsigned patience = i % 5 == 0 ? i % 64 : 1000000000, turns = 0;
        while ((seen = handover_answered(&h)) != request && turns < patience)
            if (++turns % 64 == 0)
                sched_yield();
        if (seen == request) {
            done++;
            wrong += result != (uint64_t)i + 1;
            continue;
        }
        back[i] = handover_withdraw(&h, request);
        withdrawn += back[i];
        /* One that could not be withdrawn is left to itself every other time, and the next asked.
         */
        if (!back[i] && i % 2)
            while (handover_answered(&h) != request)
                sched_yield();
    }
    uint32_t last = handover_ask(&h, 1);
    while (handover_answered(&h) != last) /* counted for the last ordinal once more */
        sched_yield();
    __atomic_store_n(&end, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    served[REQUESTS - 1]--;
    for (unsigned i = 0; i < REQUESTS; i++)
        unanswered += served[i] != !back[i] ||
                      (served[i] && i + 1 < REQUESTS && what_served[i] != what_of(i));
    ok(!unanswered, "of %u requests each was served once or withdrawn (%u)", REQUESTS, withdrawn);
    ok(!wrong && done > 0, "%u results were those of their requests", done);
    ok(!torn, "what went with them was read whole (%u could not be taken)", refused);
}

int main(void)
{
    test_alone();
    test_two();
    return tap_done();
}
