/* Threads that each wait in a way of its own, under a name of its own, until the program is killed;
 * some wait for what nobody is left to give them.  Says "ready" when all have been started. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static volatile int
    after; /* behind a call, so that it is not the last thing that a function does */
static int ends[2];
static sem_t semaphore;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_mutex_t global_one = PTHREAD_MUTEX_INITIALIZER,
                       global_two = PTHREAD_MUTEX_INITIALIZER;

static void name(const char *text)
{
    prctl(PR_SET_NAME, text);
}

static pthread_t start(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, argument))
        abort();
    return thread;
}

/* ---- one in each kind of wait ---- */

static NOINLINE void read_deeper(void)
{
    char byte;
    after += (int)read(ends[0], &byte, 1);
}

static void *reader(void *unused)
{
    (void)unused;
    name("reader");
    read_deeper();
    return NULL;
}

static void *poller(void *unused)
{
    struct pollfd two[2] = {{.fd = ends[0]}, {.fd = ends[0]}};
    (void)unused;
    name("poller");
    after += poll(two, 2, -1);
    return NULL;
}

static void *epoller(void *unused)
{
    struct epoll_event event = {.events = EPOLLET};
    int fd = epoll_create1(0);
    (void)unused;
    name("epoller");
    after += epoll_wait(fd, &event, 1, -1);
    return NULL;
}

static void *accepter(void *unused)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)unused;
    name("accepter");
    bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)); /* any abstract name */
    listen(fd, 1);
    after += accept(fd, NULL, NULL);
    return NULL;
}

static void *sleeper(void *unused)
{
    (void)unused;
    name("sleeper");
    after += nanosleep(&(struct timespec){100000, 0}, NULL);
    return NULL;
}

static void *signals(void *unused)
{
    sigset_t set;
    (void)unused;
    name("signals");
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    after += sigwaitinfo(&set, NULL);
    return NULL;
}

static void *child(void *unused)
{
    pid_t pid = fork();
    (void)unused;
    name("child");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    after += waitpid(pid, NULL, 0);
    return NULL;
}

static void *joiner(void *thread)
{
    pthread_t other = (pthread_t)thread;
    name("joiner");
    after += pthread_join(other, NULL);
    return NULL;
}

static void *semaphores(void *unused)
{
    (void)unused;
    name("semaphore");
    after += sem_wait(&semaphore);
    return NULL;
}

static void *rwlocks(void *unused)
{
    (void)unused;
    name("rwlock");
    after += pthread_rwlock_wrlock(&rwlock);
    return NULL;
}

static void *barriers(void *unused)
{
    (void)unused;
    name("barrier");
    after += pthread_barrier_wait(&barrier);
    return NULL;
}

/* Allocates, so that requests are read in a program without a thread of memdebug's. */
static void *worker(void *unused)
{
    (void)unused;
    name("worker");
    for (;;) {
        free(memset(malloc(4096), 1, 4096));
        usleep(500);
    }
    return NULL;
}

/* ---- conditions ---- */

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t more;
    const char *name;
    int jobs;
};

static struct pool global_pool = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
                                  "pool-global", 0};
static struct pool *pointed_pool;

static struct pool *new_pool(const char *text)
{
    struct pool *pool = malloc(sizeof *pool);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->more, NULL);
    pool->name = text;
    pool->jobs = 0;
    return pool;
}

static NOINLINE void take_job(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (!pool->jobs)
        after += pthread_cond_wait(&pool->more, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

static void *pool_member(void *pool)
{
    name(((struct pool *)pool)->name);
    take_job(pool);
    after++;
    return NULL;
}

static void *timed(void *argument)
{
    struct pool *pool = argument;
    struct timespec end;
    name("timed");
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 100000;
    pthread_mutex_lock(&pool->lock);
    while (!pool->jobs)
        after += pthread_cond_timedwait(&pool->more, &pool->lock, &end);
    return NULL;
}

/* ---- locks in a ring ---- */

struct locks {
    pthread_mutex_t *first, *second;
    pthread_barrier_t *both;
    const char *name;
};

static NOINLINE void lock_second(pthread_mutex_t *second)
{
    after += pthread_mutex_lock(second);
}

static void *lock_both(void *argument)
{
    struct locks locks = *(struct locks *)argument;
    free(argument);
    name(locks.name);
    pthread_mutex_lock(locks.first);
    pthread_barrier_wait(locks.both);
    lock_second(locks.second);
    after++;
    return NULL;
}

static pthread_mutex_t *new_mutex(void)
{
    pthread_mutex_t *mutex = malloc(sizeof *mutex);
    pthread_mutex_init(mutex, NULL);
    return mutex;
}

static pthread_t lock_in_thread(pthread_mutex_t *first, pthread_mutex_t *second,
                                pthread_barrier_t *both, const char *text)
{
    struct locks *locks = malloc(sizeof *locks);
    *locks = (struct locks){first, second, both, text};
    return start(lock_both, locks);
}

static void *end_waiter(void *thread)
{
    pthread_t other = (pthread_t)thread;
    name("lost-join");
    after += pthread_join(other, NULL);
    return NULL;
}

/* Makes what only the threads that wait for it shall have. */
static void *make_lost(void *unused)
{
    static pthread_barrier_t heap_both;
    (void)unused;
    pthread_barrier_init(&heap_both, NULL, 2);
    pthread_mutex_t *one = new_mutex(), *two = new_mutex();
    pthread_t first = lock_in_thread(one, two, &heap_both, "heap-a");
    lock_in_thread(two, one, &heap_both, "heap-b");
    start(end_waiter, (void *)first);
    struct pool *lost = new_pool("lost");
    start(pool_member, lost);
    start(pool_member, lost);
    start(timed, new_pool("timed"));
    return NULL;
}

/* On a stack that is gone then: no other thread finds there what it has left. */
static void make_lost_apart(void)
{
    size_t size = (size_t)1 << 20;
    void *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    if (stack == MAP_FAILED || pthread_attr_setstack(&attributes, stack, size) ||
        pthread_create(&thread, &attributes, make_lost, NULL) || pthread_join(thread, NULL) ||
        munmap(stack, size))
        abort();
}

int main(void)
{
    static pthread_barrier_t global_both;
    struct pool *volatile held = new_pool("pool-main");
    sigset_t set;
    alarm(600);
    /* No buffer in the heap, where it would have what others have left there. */
    setvbuf(stdout, NULL, _IONBF, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (pipe(ends))
        return 1;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_barrier_init(&global_both, NULL, 2);
    pthread_rwlock_wrlock(&rwlock);
    make_lost_apart();
    static void *(*const bodies[])(void *) = {reader, poller, epoller,    accepter, signals,
                                              child,  worker, semaphores, rwlocks,  barriers};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        start(bodies[i], NULL);
    start(joiner, (void *)start(sleeper, NULL));
    pointed_pool = new_pool("pool-pointed");
    for (int i = 0; i < 3; i++) {
        start(pool_member, &global_pool);
        start(pool_member, held);
        start(pool_member, pointed_pool);
    }
    lock_in_thread(&global_one, &global_two, &global_both, "global-a");
    lock_in_thread(&global_two, &global_one, &global_both, "global-b");
    puts("ready");
    for (;;)
        pause();
    return held->jobs;
}
