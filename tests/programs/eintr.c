/* Makes calls that wait, of each kind on threads of its own, and counts those that come back with
 * EINTR, which a program without signal handlers never sees.
 *
 *   eintr THREADS CALLS MS     of each kind, THREADS make CALLS each, of some MS
 *
 * Prints `NAME calls=N eintr=N wrong=N`; wrong is any other answer than the call should give. */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 512 /* threads */

static long wait_ms, calls;
static volatile bool over;

/* A thread's own: what it waits for, or what somebody puts there each `wait_ms`. */
struct own {
    pthread_t thread;
    size_t kind;
    sem_t sem;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int pair[2], polled, door, semaphore, queue;
    mqd_t mail;
    struct sockaddr_un address;
    long done, interrupted, wrong;
};

struct message {
    long type;
    char text[8];
};

static struct timespec span(void)
{
    return (struct timespec){wait_ms / 1000, wait_ms % 1000 * 1000000};
}

static struct timespec from_now(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    ts.tv_nsec += wait_ms % 1000 * 1000000;
    ts.tv_sec += wait_ms / 1000 + ts.tv_nsec / 1000000000;
    ts.tv_nsec %= 1000000000;
    return ts;
}

/* ---- the calls: 0, or an errno; -1 for any other wrong answer ---- */

static int expect(long result, long wanted)
{
    return result == wanted ? 0 : result < 0 ? errno : -1;
}

static int expect_error(long result, int wanted)
{
    return result >= 0 ? -1 : errno == wanted ? 0 : errno;
}

static int do_nanosleep(struct own *own)
{
    struct timespec ts = span();
    (void)own;
    return expect(nanosleep(&ts, NULL), 0);
}

static int do_clock_nanosleep(struct own *own)
{
    struct timespec ts = from_now(CLOCK_MONOTONIC);
    (void)own;
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static int do_usleep(struct own *own)
{
    (void)own;
    return expect(usleep((useconds_t)wait_ms * 1000), 0);
}

static int do_poll(struct own *own)
{
    (void)own;
    return expect(poll(NULL, 0, (int)wait_ms), 0);
}

static int do_ppoll(struct own *own)
{
    struct timespec ts = span();
    (void)own;
    return expect(ppoll(NULL, 0, &ts, NULL), 0);
}

static int do_select(struct own *own)
{
    struct timeval tv = {wait_ms / 1000, wait_ms % 1000 * 1000};
    (void)own;
    return expect(select(0, NULL, NULL, NULL, &tv), 0);
}

static int do_pselect(struct own *own)
{
    struct timespec ts = span();
    (void)own;
    return expect(pselect(0, NULL, NULL, NULL, &ts, NULL), 0);
}

static int do_sem_timedwait(struct own *own)
{
    struct timespec ts = from_now(CLOCK_REALTIME);
    int result = sem_timedwait(&own->sem, &ts);
    return expect_error(result, ETIMEDOUT);
}

static int do_sem_wait(struct own *own)
{
    return expect(sem_wait(&own->sem), 0);
}

static int do_cond_timedwait(struct own *own)
{
    struct timespec ts = from_now(CLOCK_REALTIME);
    pthread_mutex_lock(&own->mutex);
    int error = pthread_cond_timedwait(&own->cond, &own->mutex, &ts);
    pthread_mutex_unlock(&own->mutex);
    return error == ETIMEDOUT ? 0 : error ? error : -1;
}

static int do_mq_timedreceive(struct own *own)
{
    char text[64];
    struct timespec ts = from_now(CLOCK_REALTIME);
    return expect_error(mq_timedreceive(own->mail, text, sizeof text, NULL, &ts), ETIMEDOUT);
}

static int do_epoll_wait(struct own *own)
{
    struct epoll_event event;
    char byte;
    int error = expect(epoll_wait(own->polled, &event, 1, -1), 1);
    return error ? error : expect(read(own->pair[0], &byte, 1), 1);
}

static int do_recv(struct own *own)
{
    char byte;
    return expect(recv(own->pair[0], &byte, 1, 0), 1);
}

static int do_accept(struct own *own)
{
    int fd = accept(own->door, NULL, NULL);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static int do_semop(struct own *own)
{
    struct sembuf take = {0, -1, 0};
    return expect(semop(own->semaphore, &take, 1), 0);
}

static int do_msgrcv(struct own *own)
{
    struct message message;
    return expect(msgrcv(own->queue, &message, sizeof message.text, 0, 0), sizeof message.text);
}

static int do_sigwaitinfo(struct own *own)
{
    sigset_t set;
    (void)own;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return expect(sigwaitinfo(&set, NULL), SIGUSR1);
}

/* ---- what ends those without a time ---- */

static void put_post(struct own *own)
{
    sem_post(&own->sem);
}

static void put_byte(struct own *own)
{
    if (send(own->pair[1], "x", 1, MSG_DONTWAIT) < 0 && errno != EAGAIN)
        abort();
}

static void put_caller(struct own *own)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(fd, (struct sockaddr *)&own->address, sizeof own->address);
    close(fd);
}

static void put_unit(struct own *own)
{
    struct sembuf give = {0, 1, 0};
    semop(own->semaphore, &give, 1);
}

static void put_message(struct own *own)
{
    struct message message = {1, "1234567"};
    msgsnd(own->queue, &message, sizeof message.text, IPC_NOWAIT);
}

static void put_signal(struct own *own)
{
    pthread_kill(own->thread, SIGUSR1); /* blocked: waited for */
}

/* ---- what they need ---- */

static void make_pair(struct own *own)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, own->pair) != 0)
        abort();
    own->polled = epoll_create1(0);
    epoll_ctl(own->polled, EPOLL_CTL_ADD, own->pair[0], &event);
}

static void make_door(struct own *own)
{
    own->address.sun_family = AF_UNIX;
    snprintf(own->address.sun_path + 1, sizeof own->address.sun_path - 1, "eintr-%d-%p", getpid(),
             (void *)own);
    own->door = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(own->door, (struct sockaddr *)&own->address, sizeof own->address) != 0 ||
        listen(own->door, 5) != 0)
        abort();
}

static void make_mail(struct own *own)
{
    char name[64];
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 64};
    snprintf(name, sizeof name, "/eintr-%d-%p", getpid(), (void *)own);
    own->mail = mq_open(name, O_RDWR | O_CREAT, 0600, &attr);
    mq_unlink(name);
}

static void make_semaphore(struct own *own)
{
    own->semaphore = semget(IPC_PRIVATE, 1, 0600);
}

static void make_queue(struct own *own)
{
    own->queue = msgget(IPC_PRIVATE, 0600);
}

static void drop_semaphore(struct own *own)
{
    semctl(own->semaphore, 0, IPC_RMID);
}

static void drop_queue(struct own *own)
{
    msgctl(own->queue, IPC_RMID, NULL);
}

static const struct kind {
    const char *name;
    int (*call)(struct own *own);
    void (*put)(struct own *own);
    void (*make)(struct own *own), (*drop)(struct own *own);
} kinds[] = {
    {"nanosleep", do_nanosleep, NULL, NULL, NULL},
    {"clock_nanosleep", do_clock_nanosleep, NULL, NULL, NULL},
    {"usleep", do_usleep, NULL, NULL, NULL},
    {"poll", do_poll, NULL, NULL, NULL},
    {"ppoll", do_ppoll, NULL, NULL, NULL},
    {"select", do_select, NULL, NULL, NULL},
    {"pselect", do_pselect, NULL, NULL, NULL},
    {"sem_timedwait", do_sem_timedwait, NULL, NULL, NULL},
    {"sem_wait", do_sem_wait, put_post, NULL, NULL},
    {"pthread_cond_timedwait", do_cond_timedwait, NULL, NULL, NULL},
    {"mq_timedreceive", do_mq_timedreceive, NULL, make_mail, NULL},
    {"epoll_wait", do_epoll_wait, put_byte, make_pair, NULL},
    {"recv", do_recv, put_byte, make_pair, NULL},
    {"accept", do_accept, put_caller, make_door, NULL},
    {"semop", do_semop, put_unit, make_semaphore, drop_semaphore},
    {"msgrcv", do_msgrcv, put_message, make_queue, drop_queue},
    {"sigwaitinfo", do_sigwaitinfo, put_signal, NULL, NULL},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static struct own owns[THREADS_MAX];
static size_t own_count;

static void *make_calls(void *argument)
{
    struct own *own = argument;
    while (own->done < calls) {
        int error = kinds[own->kind].call(own);
        own->interrupted += error == EINTR;
        own->wrong += error != 0 && error != EINTR;
        __atomic_fetch_add(&own->done, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void *feed(void *unused)
{
    while (!over) {
        struct timespec ts = span();
        nanosleep(&ts, NULL);
        for (size_t i = 0; i < own_count; i++)
            if (kinds[owns[i].kind].put)
                kinds[owns[i].kind].put(&owns[i]);
    }
    return unused;
}

int main(int argc, char **argv)
{
    size_t threads = argc == 4 ? (size_t)atoi(argv[1]) : 0;
    pthread_t feeder;
    sigset_t set;
    if (threads < 1 || threads * KINDS > THREADS_MAX)
        return 2;
    calls = atol(argv[2]);
    wait_ms = atol(argv[3]);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    own_count = threads * KINDS;
    for (size_t i = 0; i < own_count; i++) {
        owns[i].kind = i / threads;
        sem_init(&owns[i].sem, 0, 0);
        pthread_mutex_init(&owns[i].mutex, NULL);
        pthread_cond_init(&owns[i].cond, NULL);
        if (kinds[owns[i].kind].make)
            kinds[owns[i].kind].make(&owns[i]);
    }
    for (size_t i = 0; i < own_count; i++)
        if (pthread_create(&owns[i].thread, NULL, make_calls, &owns[i]) != 0)
            return 3;
    pthread_create(&feeder, NULL, feed, NULL);
    for (size_t i = 0; i < own_count; i++)
        while (__atomic_load_n(&owns[i].done, __ATOMIC_ACQUIRE) < calls)
            usleep(1000);
    over = true; /* whom it signals has not been joined yet */
    pthread_join(feeder, NULL);
    for (size_t i = 0; i < own_count; i++)
        pthread_join(owns[i].thread, NULL);
    for (size_t kind = 0; kind < KINDS; kind++) {
        long done = 0, interrupted = 0, wrong = 0;
        for (size_t i = kind * threads; i < (kind + 1) * threads; i++) {
            done += owns[i].done;
            interrupted += owns[i].interrupted;
            wrong += owns[i].wrong;
            if (kinds[kind].drop)
                kinds[kind].drop(&owns[i]);
        }
        printf("%s calls=%ld eintr=%ld wrong=%ld\n", kinds[kind].name, done, interrupted, wrong);
    }
    return 0;
}
