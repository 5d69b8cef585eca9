/* Waits in one system call on each of many threads, and says how each came back and when.
 *
 *   waits all MS        every call once, side by side: those with a time wait for MS, the others
 * are ended after MS by what they wait for.  A line each: NAME ok|early|late|ERRNO-NAME MS waits
 * signals CALL N  the program's own signal is sent N times to a thread in CALL; says how many of
 * them ended the call, and how many had to be sent again */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int wait_ms;
static int ends[2];   /* a pipe in which there is something at the end only */
static int polled;    /* an epoll of it */
static int semaphore; /* System V, of two: 0 until the end */
static int queue;     /* System V, empty until the end */
static int full;      /* System V, full until the end */
static sem_t never;
static aio_context_t aio;

static const struct message { /* on either queue */
    long type;
    char text[8];
} sent = {1, "a text"};

static struct timespec span(void)
{
    return (struct timespec){wait_ms / 1000, wait_ms % 1000 * 1000000};
}

static struct timespec from_now(clockid_t clock)
{
    struct timespec ts, more = span();
    clock_gettime(clock, &ts);
    ts.tv_sec += more.tv_sec + (ts.tv_nsec + more.tv_nsec) / 1000000000;
    ts.tv_nsec = (ts.tv_nsec + more.tv_nsec) % 1000000000;
    return ts;
}

static double now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* Each returns 0 if the call said what it should, else its errno (or -1). */
#define EXPECT(call, wanted) ((call) == (wanted) ? 0 : errno ? errno : -1)
#define EXPECT_ERROR(call, wanted) ((call) >= 0 ? -1 : errno == (wanted) ? 0 : errno)

static int do_nanosleep(void)
{
    struct timespec ts = span();
    return EXPECT(nanosleep(&ts, &ts), 0);
}

static int do_clock_nanosleep(void)
{
    struct timespec ts = from_now(CLOCK_MONOTONIC);
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static int do_usleep(void)
{
    return EXPECT(usleep((useconds_t)wait_ms * 1000), 0);
}

static int do_poll(void)
{
    struct pollfd fd = {.fd = ends[0], .events = POLLPRI};
    return EXPECT(poll(&fd, 1, wait_ms), 0);
}

static int do_ppoll(void)
{
    struct timespec ts = span();
    sigset_t none;
    sigemptyset(&none);
    struct pollfd fd = {.fd = ends[0], .events = POLLPRI};
    return EXPECT(ppoll(&fd, 1, &ts, &none), 0);
}

static int do_select(void)
{
    struct timeval tv = {wait_ms / 1000, wait_ms % 1000 * 1000};
    return EXPECT(select(0, NULL, NULL, NULL, &tv), 0);
}

static int do_pselect(void)
{
    struct timespec ts = span();
    return EXPECT(pselect(0, NULL, NULL, NULL, &ts, NULL), 0);
}

static int do_select_endless(void)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    return EXPECT(select(ends[0] + 1, &set, NULL, NULL, NULL), 1);
}

static int do_epoll_endless(void)
{
    struct epoll_event event;
    return EXPECT(epoll_wait(polled, &event, 1, -1), 1);
}

static int do_epoll_pwait_endless(void)
{
    struct epoll_event event;
    sigset_t none;
    sigemptyset(&none);
    return EXPECT(epoll_pwait(polled, &event, 1, -1, &none), 1);
}

static int do_epoll_pwait2_endless(void)
{
    struct epoll_event event;
    return EXPECT(syscall(441, polled, &event, 1, NULL, NULL, 8), 1);
}

static int do_epoll(void)
{
    struct epoll_event event;
    int empty = epoll_create1(0);
    return EXPECT(epoll_wait(empty, &event, 1, wait_ms), 0);
}

static int do_sem_timedwait(void)
{
    struct timespec ts = from_now(CLOCK_REALTIME);
    return EXPECT_ERROR(sem_timedwait(&never, &ts), ETIMEDOUT);
}

static int do_cond_timedwait(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    struct timespec ts = from_now(CLOCK_REALTIME);
    pthread_mutex_lock(&mutex);
    int error = pthread_cond_timedwait(&cond, &mutex, &ts);
    pthread_mutex_unlock(&mutex);
    return error == ETIMEDOUT ? 0 : -1; /* it never says EINTR: an early end is a spurious one */
}

static int do_mq_timedreceive(void)
{
    char name[64], text[64];
    snprintf(name, sizeof name, "/mdwaits-%d", getpid());
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = sizeof text};
    mqd_t mq = mq_open(name, O_RDWR | O_CREAT, 0600, &attr);
    mq_unlink(name);
    struct timespec ts = from_now(CLOCK_REALTIME);
    return EXPECT_ERROR(mq_timedreceive(mq, text, sizeof text, NULL, &ts), ETIMEDOUT);
}

static int do_semop(void)
{
    struct sembuf take = {0, -1, 0};
    return EXPECT(semop(semaphore, &take, 1), 0);
}

static int do_semtimedop(void)
{
    struct sembuf take = {1, -1, 0};
    struct timespec ts = span();
    return EXPECT_ERROR(semtimedop(semaphore, &take, 1, &ts), EAGAIN);
}

static int do_msgrcv(void)
{
    struct message message;
    return EXPECT(msgrcv(queue, &message, sizeof message.text, 0, 0), sizeof message.text);
}

static int do_msgsnd(void)
{
    return EXPECT(msgsnd(full, &sent, sizeof sent.text, 0), 0);
}

static int do_sigwaitinfo(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return EXPECT(sigwaitinfo(&set, NULL), SIGUSR2);
}

static int do_sigtimedwait(void)
{
    sigset_t set;
    struct timespec ts = span();
    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    return EXPECT_ERROR(sigtimedwait(&set, NULL, &ts), EAGAIN);
}

static int do_pause(void)
{
    return EXPECT_ERROR(pause(), EINTR); /* by SIGUSR1, at the end */
}

static int do_sigsuspend(void)
{
    sigset_t none;
    sigemptyset(&none);
    return EXPECT_ERROR(sigsuspend(&none), EINTR);
}

static int do_io_getevents(void)
{
    struct io_event event;
    struct timespec ts = span();
    return EXPECT(syscall(SYS_io_getevents, aio, 1, 1, &event, &ts), 0);
}

/* Ends as the context is destroyed at the end, with an error or none. */
static int do_io_getevents_endless(void)
{
    struct io_event event;
    aio_context_t context = 0;
    int fd = ends[0];
    struct iocb block = {.aio_lio_opcode = IOCB_CMD_POLL,
                         .aio_fildes = (uint32_t)fd,
                         .aio_buf = POLLIN},
                *blocks[] = {&block};
    if (syscall(SYS_io_setup, 4, &context) != 0 || syscall(SYS_io_submit, context, 1, blocks) != 1)
        return errno;
    return EXPECT(syscall(SYS_io_getevents, context, 1, 1, &event, NULL), 1);
}

static int timed_socket(int option)
{
    int pair[2];
    struct timeval tv = {wait_ms / 1000, wait_ms % 1000 * 1000};
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    setsockopt(pair[0], SOL_SOCKET, option, &tv, sizeof tv);
    return pair[0];
}

static int do_recv_timed(void)
{
    char byte;
    return EXPECT_ERROR(recv(timed_socket(SO_RCVTIMEO), &byte, 1, 0), EAGAIN);
}

static int do_read_timed(void)
{
    char byte;
    return EXPECT_ERROR(read(timed_socket(SO_RCVTIMEO), &byte, 1), EAGAIN);
}

static int do_send_timed(void)
{
    static char block[65536];
    int fd = timed_socket(SO_SNDTIMEO);
    while (send(fd, block, sizeof block, MSG_DONTWAIT) > 0)
        ;
    return EXPECT_ERROR(send(fd, block, sizeof block, 0), EAGAIN);
}

/* A listener of which nobody accepts; at the end of the line somebody connects. */
static int listener(struct sockaddr_un *address, const char *name)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "mdwaits-%d-%s", getpid(), name);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)address, sizeof *address) != 0 || listen(fd, 0) != 0)
        abort();
    return fd;
}

static int do_accept_timed(void)
{
    struct sockaddr_un address;
    struct timeval tv = {wait_ms / 1000, wait_ms % 1000 * 1000};
    int fd = listener(&address, "timed");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    return EXPECT_ERROR(accept(fd, NULL, NULL), EAGAIN);
}

static int do_connect_timed(void)
{
    struct sockaddr_un address;
    struct timeval tv = {wait_ms / 1000, wait_ms % 1000 * 1000};
    listener(&address, "connect");
    for (int i = 0; i < 4; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
            break; /* the queue is full */
    }
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
    return EXPECT_ERROR(connect(fd, (struct sockaddr *)&address, sizeof address), EAGAIN);
}

static struct sockaddr_un door;
static int do_accept(void)
{
    static int fd;
    fd = listener(&door, "door");
    return EXPECT(accept(fd, NULL, NULL) >= 0, 1);
}

static int do_read(void)
{
    char byte;
    return EXPECT(read(ends[0], &byte, 1), 1);
}

static int do_flock(void)
{
    int one = open("/proc/self/exe", O_RDONLY), two = open("/proc/self/exe", O_RDONLY);
    if (flock(one, LOCK_EX) != 0)
        return errno;
    pid_t pid = fork();
    if (pid == 0) { /* holds it until the end */
        struct timespec ts = span();
        nanosleep(&ts, NULL);
        flock(one, LOCK_UN);
        _exit(0);
    }
    int error = EXPECT(flock(two, LOCK_EX), 0);
    waitpid(pid, NULL, 0);
    return error;
}

static int do_wait(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct timespec ts = span();
        nanosleep(&ts, NULL);
        _exit(0);
    }
    return EXPECT(waitpid(pid, NULL, 0), pid);
}

#ifdef __x86_64__
/* Calls that the program makes by code of its own, which none of libc's looks like. */

static int error_of(long result)
{
    return result < 0 ? (int)-result : (int)result;
}

static int do_poll_by_register(void)
{
    long result;
    __asm__ volatile("mov %[number], %%r15d\n\tmov %%r15d, %%eax\n\tsyscall"
                     : "=&a"(result)
                     : [number] "i"(SYS_poll), "D"(0), "S"(0), "d"(wait_ms)
                     : "rcx", "r11", "r15", "memory");
    return error_of(result);
}

/* The number is poll's, and another one stands in front of the call. */
static int do_poll_by_choice(void)
{
    long result;
    __asm__ volatile("mov %[number], %%ecx\n\tmov %[other], %%eax\n\ttest %%rdi, %%rdi\n\t"
                     "cmove %%ecx, %%eax\n\tsyscall"
                     : "=&a"(result)
                     : [number] "i"(SYS_poll), [other] "i"(SYS_ppoll), "D"(0), "S"(0), "d"(wait_ms)
                     : "rcx", "r11", "memory");
    return error_of(result);
}

/* At the start of a page; the one in front of it cannot be read. */
static int do_poll_at_page_start(void)
{
    static const unsigned char code[] = {0xb8, SYS_poll, 0, 0, 0, 0x0f, 0x05, 0xc3};
    size_t page = (size_t)getpagesize();
    unsigned char *pages =
        mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long (*call)(void *fds, long count, long ms);
    if (pages == MAP_FAILED)
        return errno;
    memcpy(pages + page, code, sizeof code);
    mprotect(pages, page, PROT_NONE);
    mprotect(pages + page, page, PROT_READ | PROT_EXEC);
    void *start = pages + page;
    memcpy(&call, &start, sizeof call);
    int error = error_of(call(NULL, 0, wait_ms));
    munmap(pages, 2 * page);
    return error;
}
#endif

static const struct {
    const char *name;
    int (*call)(void);
} calls[] = {
#ifdef __x86_64__
    {"poll-by-register", do_poll_by_register},
    {"poll-by-choice", do_poll_by_choice},
    {"poll-at-page-start", do_poll_at_page_start},
#endif
    {"nanosleep", do_nanosleep},
    {"clock_nanosleep", do_clock_nanosleep},
    {"usleep", do_usleep},
    {"poll", do_poll},
    {"ppoll", do_ppoll},
    {"select", do_select},
    {"pselect", do_pselect},
    {"select-endless", do_select_endless},
    {"epoll_wait-endless", do_epoll_endless},
    {"epoll_pwait-endless", do_epoll_pwait_endless},
    {"epoll_pwait2-endless", do_epoll_pwait2_endless},
    {"epoll_wait", do_epoll},
    {"sem_timedwait", do_sem_timedwait},
    {"cond_timedwait", do_cond_timedwait},
    {"mq_timedreceive", do_mq_timedreceive},
    {"semop", do_semop},
    {"semtimedop", do_semtimedop},
    {"msgrcv", do_msgrcv},
    {"msgsnd", do_msgsnd},
    {"sigwaitinfo", do_sigwaitinfo},
    {"sigtimedwait", do_sigtimedwait},
    {"pause", do_pause},
    {"sigsuspend", do_sigsuspend},
    {"io_getevents", do_io_getevents},
    {"io_getevents-endless", do_io_getevents_endless},
    {"recv-timed", do_recv_timed},
    {"read-timed", do_read_timed},
    {"send-timed", do_send_timed},
    {"accept-timed", do_accept_timed},
    {"connect-timed", do_connect_timed},
    {"accept", do_accept},
    {"read", do_read},
    {"flock", do_flock},
    {"wait", do_wait},
};
#define CALLS (sizeof calls / sizeof calls[0])

static struct run {
    pthread_t thread;
    int error;
    double ms;
    volatile int done;
} runs[CALLS];

static void *run_call(void *number)
{
    struct run *run = &runs[(size_t)number];
    double begin = now_ms();
    errno = 0;
    run->error = calls[(size_t)number].call();
    run->ms = now_ms() - begin;
    run->done = 1;
    return NULL;
}

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    (void)number;
    caught++;
}

static void prepare(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t set;
    sigaction(SIGUSR1, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (pipe(ends) != 0)
        abort();
    polled = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(polled, EPOLL_CTL_ADD, ends[0], &event);
    semaphore = semget(IPC_PRIVATE, 2, 0600);
    queue = msgget(IPC_PRIVATE, 0600);
    full = msgget(IPC_PRIVATE, 0600);
    while (msgsnd(full, &sent, sizeof sent.text, IPC_NOWAIT) == 0)
        ;
    sem_init(&never, 0, 0);
    syscall(SYS_io_setup, 4, &aio);
}

static void end_all(void)
{
    struct sembuf give = {0, 1, 0};
    if (write(ends[1], "endend", 6) != 6)
        abort();
    semop(semaphore, &give, 1);
    msgsnd(queue, &sent, sizeof sent.text, 0);
    msgrcv(full, &(struct message){0}, sizeof sent.text, 0, 0);
}

/* What does not wait for those who are not there yet; whether there are any. */
static bool end_again(void)
{
    bool is_left = false;
    for (size_t i = 0; i < CALLS; i++) {
        if (runs[i].done)
            continue;
        is_left = true;
        if (calls[i].call == do_accept) {
            int fd = socket(AF_UNIX, SOCK_STREAM, 0);
            connect(fd, (struct sockaddr *)&door, sizeof door);
        }
        if (calls[i].call == do_pause || calls[i].call == do_sigsuspend)
            pthread_kill(runs[i].thread, SIGUSR1);
        if (calls[i].call == do_sigwaitinfo)
            pthread_kill(runs[i].thread, SIGUSR2);
    }
    return is_left;
}

static int all(void)
{
    prepare();
    for (size_t i = 0; i < CALLS; i++)
        pthread_create(&runs[i].thread, NULL, run_call, (void *)i);
    struct timespec ts = span();
    nanosleep(&ts, NULL);
    end_all();
    while (end_again()) /* on a busy machine a thread may come to its call after that */
        usleep(200000);
    for (size_t i = 0; i < CALLS; i++) {
        pthread_join(runs[i].thread, NULL);
        double ms = runs[i].ms;
        printf("%s %s %d\n", calls[i].name,
               runs[i].error > 0            ? strerrorname_np(runs[i].error)
               : runs[i].error < 0          ? "wrong"
               : ms < (double)wait_ms * 0.9 ? "early"
               : ms > wait_ms + 500.0       ? "late"
                                            : "ok",
               (int)ms);
    }
    semctl(semaphore, 0, IPC_RMID);
    msgctl(queue, IPC_RMID, NULL);
    msgctl(full, IPC_RMID, NULL);
    return 0;
}

/* ---- the program's own signals ---- */

static volatile unsigned entered, left, wrong;
static volatile int last;
static volatile pid_t waiter;

/* The stack pointer of a thread that sits in a system call (proc_pid_syscall(5)), 0 if it runs. */
static unsigned long sits_at(pid_t tid)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, text, sizeof text - 1) < 0)
            text[0] = 0;
        close(fd);
    }
    unsigned long sp = 0;
    sscanf(text, "%*d %*x %*x %*x %*x %*x %*x %lx", &sp);
    return sp;
}

/* The one that it sits at in its call, by the majority of looks in a third of a second: a stop's
 * wait has another, and is over soon.  0: /proc does not say. */
static unsigned long sits_at_in_call(pid_t tid)
{
    enum { LOOKS = 64 };
    unsigned long seen[LOOKS];
    for (int i = 0; i < LOOKS; i++) {
        seen[i] = sits_at(tid);
        usleep(5000);
    }
    for (int i = 0; i < LOOKS / 2; i++) {
        int same = 0;
        for (int j = 0; j < LOOKS; j++)
            same += seen[j] == seen[i];
        if (same > LOOKS / 2)
            return seen[i];
    }
    return 0;
}

static void *be_signalled(void *number)
{
    waiter = gettid();
    while (!last) {
        entered++;
        int error = calls[(size_t)number].call();
        /* do_pause and do_sigsuspend take the EINTR for what it should be */
        wrong += error != EINTR && error != 0;
        left++;
    }
    return NULL;
}

static int signals(const char *name, int times)
{
    size_t number = 0;
    unsigned again = 0;
    unsigned long in_call = 0;
    prepare();
    wait_ms = 1000000;
    while (number < CALLS && strcmp(calls[number].name, name) != 0)
        number++;
    if (number == CALLS)
        return 2;
    pthread_t thread;
    pthread_create(&thread, NULL, be_signalled, (void *)number);
    for (int i = 0; i < times; i++) {
        while (entered == left)
            usleep(10);
        if (i == 0)
            in_call = sits_at_in_call(waiter);
        usleep(100 + (useconds_t)(i * 2654435761u >> 22) % 900);
        while (in_call && sits_at(waiter) != in_call)
            usleep(10); /* a stop has kept it from it, or has just taken it out of it */
        unsigned before = left;
        last = i == times - 1;
        double begin = now_ms();
        pthread_kill(thread, SIGUSR1);
        while (left == before) {
            usleep(10);
            if (now_ms() - begin > 1000) {
                again++;
                begin = now_ms();
                pthread_kill(thread, SIGUSR1);
            }
        }
    }
    pthread_join(thread, NULL);
    semctl(semaphore, 0, IPC_RMID);
    msgctl(queue, IPC_RMID, NULL);
    msgctl(full, IPC_RMID, NULL);
    printf("sent=%d ended=%u again=%u wrong=%u caught=%s\n", times, left, again, wrong,
           caught == times + (int)again ? "all" : "some");
    return 0;
}

/* A thread waits while children come and go: SIGCHLD, which this program ignores, ends no call. */
static int children(const char *name, int times)
{
    size_t number = 0;
    prepare();
    while (number < CALLS && strcmp(calls[number].name, name) != 0)
        number++;
    if (number == CALLS)
        return 2;
    pthread_create(&runs[number].thread, NULL, run_call, (void *)number);
    for (int i = 0; i < times || !runs[number].done; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }
    pthread_join(runs[number].thread, NULL);
    semctl(semaphore, 0, IPC_RMID);
    msgctl(queue, IPC_RMID, NULL);
    msgctl(full, IPC_RMID, NULL);
    printf("%s %s\n", name, runs[number].error ? strerrorname_np(runs[number].error) : "ok");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "all") == 0) {
        wait_ms = atoi(argv[2]);
        return all();
    }
    if (argc == 4 && strcmp(argv[1], "signals") == 0)
        return signals(argv[2], atoi(argv[3]));
    wait_ms = 1000;
    if (argc == 4 && strcmp(argv[1], "children") == 0)
        return children(argv[2], atoi(argv[3]));
    return 2;
}
