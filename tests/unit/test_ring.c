/* The rings: what each thread and its handlers put is drained once, whole and in its order. */
#include "base/os.h"
#include "prof/ring.h"
#include "tap.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 8, PUTS = 30000 };
enum { WHO, NUMBER, SUM };

static uint64_t next[2 * THREADS]; /* the number to come, of who drains */
static uint64_t drained, out_of_order, damaged;

/* Stacks of all lengths; a record's contents follow from its number. */
static bool put(uint64_t who, uint64_t number)
{
    static const unsigned deepest = 120;
    uint64_t pcs[120];
    struct ring_record record = {.kind = 1, .depth = (uint32_t)(number * 7 % deepest)};
    uint64_t sum = number;
    for (unsigned i = 0; i < record.depth; i++)
        sum = sum * 31 + (pcs[i] = number ^ i);
    record.value[WHO] = who;
    record.value[NUMBER] = number;
    record.value[SUM] = sum;
    return ring_put(&record, pcs);
}

static void take(const struct ring_record *record)
{
    uint64_t sum = record->value[NUMBER], who = record->value[WHO];
    for (unsigned i = 0; i < record->depth; i++)
        sum = sum * 31 + record->pcs[i];
    damaged += sum != record->value[SUM] || record->kind != 1 || who >= 2 * THREADS;
    if (who < 2 * THREADS) {
        out_of_order += record->value[NUMBER] < next[who];
        next[who] = record->value[NUMBER] + 1;
    }
    drained++;
}

static void begin(void)
{
    memset(next, 0, sizeof next);
    drained = out_of_order = damaged = 0;
}

static void test_one(void)
{
    uint64_t number = 0, lost = 0;
    begin();
    ok(!ring_any(), "there is nothing at first");
    errno = 5;
    ok(put(0, number++) && ring_any() && errno == 5, "a record is put");
    ring_drain(take);
    ok(drained == 1 && !ring_any(), "and drained");
    ring_drain(take);
    is(drained, 1, "once");
    while (put(0, number))
        number++;
    lost++;
    uint64_t filled = number;
    ring_drain(take);
    ok(drained == filled && !damaged && !out_of_order, "%lu fill it", filled);
    for (unsigned round = 0; round < 1000; round++, ring_drain(take))
        for (unsigned i = 0; i < 1 + round % 50; i++)
            lost += !put(0, number++);
    ok(!damaged && !out_of_order && drained + lost - 1 == number,
       "it goes round: %lu drained, %lu found no room", drained, lost);
}

/* A stack as deep as they come. */
static void test_deepest(void)
{
    static uint64_t pcs[1024];
    struct ring_record record = {.kind = 1, .depth = 1024};
    uint64_t before = drained;
    bool all = true;
    for (unsigned i = 0; i < 100; i++, ring_drain(take))
        all &= ring_put(&record, pcs);
    ok(all && drained == before + 100, "the deepest stack has room each time");
}

static struct {
    uint64_t put, lost, number;
} in_thread[THREADS], in_handler[THREADS];
static _Thread_local unsigned self; /* from 1; 0: not yet */
static unsigned running;            /* atomic, both */
static bool leaving;

static void handler(int signal)
{
    (void)signal;
    unsigned i = self - 1;
    if (!self)
        return;
    if (put(THREADS + i, in_handler[i].number++))
        in_handler[i].put++;
    else
        in_handler[i].lost++;
}

static void *putter(void *argument)
{
    unsigned i = (unsigned)(uintptr_t)argument;
    self = i + 1;
    for (unsigned n = 0; n < PUTS; n++) {
        if (put(i, in_thread[i].number++)) {
            in_thread[i].put++;
        } else {
            in_thread[i].lost++;
            sched_yield();
        }
    }
    __atomic_fetch_sub(&running, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&leaving, __ATOMIC_ACQUIRE)) /* signals go on coming to it */
        usleep(1000);
    return NULL;
}

/* Threads that put, their handlers that put in the middle of it, and two that drain. */
static void *drainer(void *unused)
{
    while (__atomic_load_n(&running, __ATOMIC_ACQUIRE))
        ring_drain(take);
    return unused;
}

static void test_threads(void)
{
    pthread_t thread[THREADS], other;
    uint64_t put_all = 0, lost = 0, handled = 0;
    begin();
    signal(SIGUSR1, handler);
    running = THREADS;
    pthread_create(&other, NULL, drainer, NULL);
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, putter, (void *)i);
    while (__atomic_load_n(&running, __ATOMIC_ACQUIRE)) {
        for (unsigned i = 0; i < THREADS; i++)
            pthread_kill(thread[i], SIGUSR1);
        ring_drain(take);
    }
    pthread_join(other, NULL);
    __atomic_store_n(&leaving, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        put_all += in_thread[i].put + in_handler[i].put;
        lost += in_thread[i].lost + in_handler[i].lost;
        handled += in_handler[i].put;
    }
    ring_drain(take);
    ok(!damaged && drained == put_all,
       "of %u threads each of %lu records is drained once (%lu lost)", THREADS, put_all, lost);
    ok(!out_of_order && handled > 0, "in order, %lu of handlers among them", handled);
}

static void *put_one(void *number)
{
    put(0, (uint64_t)(uintptr_t)number);
    return NULL;
}

/* A thread after the other, each with a ring: as many as there are at a time. */
static void test_adopted(void)
{
    uint64_t before = own_bytes();
    begin();
    for (uintptr_t i = 0; i < 200; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, put_one, (void *)i);
        pthread_join(thread, NULL);
        ring_drain(take);
    }
    ok(drained == 200 && !damaged, "of 200 threads, one after the other, each record is drained");
    ok(own_bytes() - before < 20 * 40000, "their rings are used again: %lu bytes more",
       own_bytes() - before);
}

static void test_fork(void)
{
    begin();
    put(1, 1);
    put(1, 2);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        ring_postfork_child();
        ring_drain(take);
        bool had = drained == 2 && !damaged;
        bool goes_on = put(1, 3);
        ring_drain(take);
        _exit(had && goes_on && drained == 3 ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    is(status, 0, "a forked copy has what was not drained, and goes on");
    ring_drain(take);
    is(drained, 2, "as its parent does");
}

/* A record that comes when its ring has been looked at, of a thread that finds another at it. */
static void *put_and_drain(void *unused)
{
    put(2, 1);
    ring_drain(take);
    return unused;
}

static void take_slowly(const struct ring_record *record)
{
    pthread_t thread;
    if (record->value[WHO] == 1) {
        pthread_create(&thread, NULL, put_and_drain, NULL);
        pthread_join(thread, NULL);
    }
    take(record);
}

static void test_left(void)
{
    begin();
    put(1, 1);
    ring_drain(take_slowly);
    ok(drained == 2 && !ring_any(), "who drains does what another leaves to it meanwhile: %lu",
       drained);
}

static void take_and_put(const struct ring_record *record)
{
    take(record);
    if (drained < 100000)
        put(0, record->value[NUMBER] + 1);
}

static void test_without_end(void)
{
    begin();
    put(0, 0);
    ring_drain(take_and_put);
    ok(drained < 100 && ring_any(), "who drains is not held by one that puts without end: %lu",
       drained);
    ring_drain(take);
}

/* A signal handler in the middle of a drain that forks, and puts and drains in the copy. */
static pid_t child = -1;

static void take_and_fork(const struct ring_record *record)
{
    if (child < 0 && (child = fork()) == 0) {
        ring_postfork_child();
        put(1, 3);
        ring_drain(take);
    }
    take(record);
}

static void test_fork_in_drain(void)
{
    int status;
    begin();
    put(1, 1);
    put(1, 2);
    fflush(stdout);
    ring_drain(take_and_fork);
    ring_drain(take);
    if (child == 0)
        _exit(drained == 3 && !damaged && !out_of_order ? 0 : 1);
    waitpid(child, &status, 0);
    is(status, 0, "a copy that is forked in the middle of a drain goes on with it");
    is(drained, 2, "as its parent does");
}

int main(void)
{
    test_one();
    test_deepest();
    test_threads();
    test_adopted();
    test_fork();
    test_left();
    test_without_end();
    test_fork_in_drain();
    return tap_done();
}
