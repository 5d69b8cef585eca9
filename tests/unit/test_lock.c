/* The lock: exclusion among threads (ThreadSanitizer looks on in its build), no lost wake-ups, the
 * order of ranks, a forked copy. */
#include "base/lock.h"
#include "tap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum { THREADS = 6, ROUNDS = 100000 };

static struct lock lock = LOCK_INIT(LOCK_TABLES), outer = LOCK_INIT(LOCK_JOB),
                   inner = LOCK_INIT(LOCK_EXTENTS);
static uint64_t counter, twin; /* guarded */
static unsigned inside, crowded, failed, errno_lost;

static void nap(long us)
{
    nanosleep(&(struct timespec){0, us * 1000}, NULL);
}

static void *count(void *argument)
{
    unsigned number = (unsigned)(uintptr_t)argument;
    for (unsigned i = 0; i < ROUNDS; i++) {
        errno = (int)(1000 + number);
        if (number == 0 && i % 2) {
            if (!lock_try(&lock)) {
                __atomic_fetch_add(&failed, 1, __ATOMIC_RELAXED);
                lock_take(&lock);
            }
        } else {
            lock_take(&lock);
        }
        if (__atomic_fetch_add(&inside, 1, __ATOMIC_RELAXED) != 0)
            __atomic_fetch_add(&crowded, 1, __ATOMIC_RELAXED);
        counter++;
        if (i % 4096 == number) {
            int saved = errno;
            nap(50); /* so that the others go to sleep */
            errno = saved;
        }
        twin++;
        __atomic_fetch_sub(&inside, 1, __ATOMIC_RELAXED);
        lock_release(&lock);
        if (errno != (int)(1000 + number))
            __atomic_fetch_add(&errno_lost, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, count, (void *)i);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    is(counter, (long long)THREADS * ROUNDS, "%d threads count without losing one", THREADS);
    is(twin, (long long)THREADS * ROUNDS, "two counters stay together");
    is(crowded, 0, "never two at a time");
    is(errno_lost, 0, "errno is as it was");
    ok(lock.word == 0, "free at the end");
    tap_print("# lock_try was refused %u times", failed);
}

static void *try_it(void *result)
{
    *(bool *)result = lock_try(&lock);
    if (*(bool *)result)
        lock_release(&lock);
    return NULL;
}

static bool try_elsewhere(void)
{
    pthread_t thread;
    bool result = false;
    pthread_create(&thread, NULL, try_it, &result);
    pthread_join(thread, NULL);
    return result;
}

static void test_try(void)
{
    ok(lock_try(&lock), "a free lock is had by lock_try");
    ok(!try_elsewhere(), "a held one is not, and nobody waits");
    lock_release(&lock);
    ok(try_elsewhere(), "once released it is");
    lock_take(&outer);
    lock_take(&lock);
    lock_take(&inner);
    lock_release(&lock); /* in any order */
    lock_release(&inner);
    lock_release(&outer);
    lock_take(&lock);
    lock_release(&lock);
    ok(true, "locks in rising rank, released in any order");
}

static void *hold(void *argument)
{
    (void)argument;
    lock_take(&lock);
    __atomic_store_n(&inside, 1, __ATOMIC_RELEASE);
    nap(300000);
    lock_release(&lock);
    return NULL;
}

/* Who waits sleeps: it uses no CPU, and is woken. */
static void test_sleep(void)
{
    pthread_t thread;
    struct timespec before, after, start, end;
    inside = 0;
    pthread_create(&thread, NULL, hold, NULL);
    while (!__atomic_load_n(&inside, __ATOMIC_ACQUIRE))
        nap(100);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    clock_gettime(CLOCK_MONOTONIC, &start);
    lock_take(&lock);
    clock_gettime(CLOCK_MONOTONIC, &end);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    lock_release(&lock);
    pthread_join(thread, NULL);
    double cpu =
        (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
    double wall = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    ok(wall > 0.1 && cpu < wall / 4, "waiting %.3f s takes %.3f s of CPU", wall, cpu);
}

/* Runs `body` in a copy that is not left a core or a word on stderr; its wait status. */
static int in_copy(int (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        close(2);
        alarm(300); /* stuck, even on a busy machine */
        _exit(body());
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

#ifdef NDEBUG
static void test_ranks(void)
{
    tap_skip("ranks out of order", "asserts are off");
}
#else
static int falling_ranks(void)
{
    lock_take(&inner);
    lock_take(&lock);
    return 0;
}

static int equal_ranks(void)
{
    static struct lock other = LOCK_INIT(LOCK_TABLES);
    lock_take(&lock);
    lock_take(&other);
    return 0;
}

static void test_ranks(void)
{
    int status = in_copy(falling_ranks);
    ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "a falling rank aborts a debug build");
    status = in_copy(equal_ranks);
    ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "so do two of one rank");
}
#endif

static int renew(void)
{
    /* The parent held it; here nobody does. */
    lock_postfork_child(&lock);
    if (lock.word != 0 || !lock_try(&lock))
        return 1;
    lock_release(&lock);
    lock_take(&outer);
    lock_take(&lock);
    return 0;
}

int main(void)
{
    test_try();
    test_threads();
    test_sleep();
    test_ranks();
    lock_take(&lock);
    is(in_copy(renew), 0, "a copy made while it was held renews it");
    lock_release(&lock);
    return tap_done();
}
