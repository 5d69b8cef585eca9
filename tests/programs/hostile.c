/* Does with its threads, signals, children, descriptors and libraries what is hard on a tracer that
 * stops its threads and copies it; allocates meanwhile, checks itself, and says so in one line.
 *
 *   hostile MODE [NUMBER]       see the table at the end */
#include "hostile.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- threads ---- */

static volatile long born;

static void *live_briefly(void *unused)
{
    (void)unused;
    free(malloc(1000));
    __atomic_add_fetch(&born, 1, __ATOMIC_RELAXED);
    return NULL;
}

static pthread_attr_t small_stacks(void)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    return attr;
}

static void *breed(void *times)
{
    pthread_attr_t attr = small_stacks();
    for (long i = 0; i < (long)times; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &attr, live_briefly, NULL) == 0)
            pthread_join(thread, NULL);
    }
    return NULL;
}

/* So many sleepers, while others are born and die. */
static int threads(long number)
{
    pthread_attr_t attr = small_stacks();
    pthread_t *sleepers = calloc((size_t)number, sizeof *sleepers), breeders[4];
    long made = 0;
    while (made < number && pthread_create(&sleepers[made], &attr, sleep_until_stop, NULL) == 0)
        made++;
    for (int i = 0; i < 4; i++)
        pthread_create(&breeders[i], NULL, breed, (void *)1500);
    work_for(RUN_SECONDS);
    for (int i = 0; i < 4; i++)
        pthread_join(breeders[i], NULL);
    stop = 1;
    for (long i = 0; i < made; i++)
        pthread_join(sleepers[i], NULL);
    printf("made=%ld born=%ld ", made, born);
    return finish("threads", made);
}

/* All signals blocked, 33 too, which libc would not do. */
static void block_everything(void)
{
    uint64_t all = ~UINT64_C(0);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
}

static int ends[2];
static volatile long spins;

static void *read_deaf(void *unused)
{
    char byte;
    (void)unused;
    block_everything();
    return read(ends[0], &byte, 1) == 1 ? NULL : (void *)1;
}

static void *spin_deaf(void *unused)
{
    (void)unused;
    block_everything();
    while (!stop)
        spins++;
    return NULL;
}

/* NUMBER 1: and one of them never sleeps. */
static int deaf(long running)
{
    pthread_t readers[8], spinner;
    long failed = 0;
    if (pipe(ends) != 0)
        return 3;
    for (int i = 0; i < 8; i++)
        pthread_create(&readers[i], NULL, read_deaf, NULL);
    if (running)
        pthread_create(&spinner, NULL, spin_deaf, NULL);
    work_for(RUN_SECONDS);
    stop = 1;
    if (write(ends[1], "12345678", 8) != 8)
        return 3;
    for (int i = 0; i < 8; i++) {
        void *result;
        pthread_join(readers[i], &result);
        failed += result != NULL;
    }
    if (running)
        pthread_join(spinner, NULL);
    return finish("deaf", failed);
}

/* Threads in vfork cannot answer until the child is gone; their children exec. */
static void *vfork_often(void *times)
{
    for (volatile long i = 0; i < (long)times; i++) { /* volatile: vfork returns twice */
        int status = -1;
        pid_t pid = vfork();
        if (pid == 0) {
            struct timespec ts = {0, 3000000};
            syscall(SYS_nanosleep, &ts, NULL);
            if (i % 2)
                execl("/bin/true", "true", (char *)NULL);
            _exit(0);
        }
        if (waitpid(pid, &status, 0) != pid || status != 0)
            __atomic_add_fetch(&born, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void *fork_often(void *times)
{
    for (long i = 0; i < (long)times; i++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0) {
            free(malloc(10000));
            _exit(i % 7);
        }
        if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != i % 7)
            __atomic_add_fetch(&born, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* Children of all kinds while cycles run; `count` is how many did not end as they should. */
static int children(long number)
{
    pthread_t makers[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&makers[i], NULL, i % 2 ? fork_often : vfork_often, (void *)number);
    work_for(RUN_SECONDS);
    for (int i = 0; i < 4; i++)
        pthread_join(makers[i], NULL);
    /* No child of ours is left to the program, and none of the program's was taken. */
    errno = 0;
    if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
        born++;
    return finish("children", born);
}

static volatile long foreign, told;

static void on_child(int number)
{
    (void)number;
    told++;
}

static void *reap_everything(void *unused)
{
    (void)unused;
    while (!stop) {
        if (waitpid(-1, NULL, __WALL) > 0)
            foreign++; /* this program has no children */
        else
            usleep(500);
    }
    return NULL;
}

/* A program that waits for children of any kind may meet ours, and takes it from us; it is never
 * told of one by a signal. */
static int reaper(long unused)
{
    pthread_t thread;
    (void)unused;
    signal(SIGCHLD, on_child);
    pthread_create(&thread, NULL, reap_everything, NULL);
    work_for(RUN_SECONDS);
    stop = 1;
    pthread_join(thread, NULL);
    return finish("reaper", told);
}

/* A ring that the kernel polls from a thread of its own, one of this process's tasks. */
static int ring(long unused)
{
    uint32_t parameters[30] = {0};
    (void)unused;
    parameters[2] = 2;     /* flags: IORING_SETUP_SQPOLL */
    parameters[4] = 10000; /* sq_thread_idle, ms */
    long fd = syscall(425 /* io_uring_setup */, 4, parameters);
    if (fd < 0) {
        printf("ring: %s\n", strerrorname_np(errno));
        return 0;
    }
    work_for(RUN_SECONDS);
    close((int)fd);
    return finish("ring", 0);
}

/* ---- what a program may do to its own signals ---- */

/* As daemons do when they start: libc keeps 32 and 33 out of it. */
static int handlers(long unused)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    long failed = 0;
    (void)unused;
    for (double end = now() + RUN_SECONDS; now() < end;) {
        for (int number = 1; number < 65; number++)
            failed += sigaction(number, &standard, NULL) != 0 && number != SIGKILL &&
                      number != SIGSTOP && number != 32 && number != 33;
        work(200);
        usleep(2000);
    }
    return finish("handlers", failed);
}

static void *wait_for_any_signal(void *unused)
{
    sigset_t all;
    int number;
    (void)unused;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    do
        if (sigwait(&all, &number) != 0)
            return (void *)1;
    while (number == SIGALRM);
    return number == SIGUSR2 ? NULL : (void *)1;
}

/* A thread that waits for all signals gets the program's, and no other. */
static int sigwaits(long unused)
{
    pthread_t thread;
    void *result;
    sigset_t all;
    (void)unused;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    pthread_create(&thread, NULL, wait_for_any_signal, NULL);
    for (int i = 0; i < 20; i++) {
        work_for(RUN_SECONDS / 20);
        pthread_kill(thread, SIGALRM);
    }
    pthread_kill(thread, SIGUSR2);
    pthread_join(thread, &result);
    return finish("sigwaits", result != NULL);
}

static int setids(long unused)
{
    pthread_t sleepers[8];
    long failed = 0;
    (void)unused;
    for (int i = 0; i < 8; i++)
        pthread_create(&sleepers[i], NULL, sleep_until_stop, NULL);
    for (double end = now() + RUN_SECONDS; now() < end;) {
        failed += setgid(getgid()) != 0 || setuid(getuid()) != 0;
        work(50);
    }
    stop = 1;
    for (int i = 0; i < 8; i++)
        pthread_join(sleepers[i], NULL);
    return finish("setids", failed);
}

/* ---- descriptors, libraries ---- */

static int close_all(long unused)
{
    long failed = 0;
    (void)unused;
    work_for(RUN_SECONDS / 4); /* the segment is made by now, with a descriptor for a moment */
    for (double end = now() + RUN_SECONDS; now() < end;) {
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        int one = open("/dev/null", O_RDONLY), two = open("/dev/null", O_RDONLY);
        failed += one != 3 || two != 4;
        work(100);
    }
    return finish("close_all", failed);
}

static void *load_often(void *path)
{
    while (!stop) {
        void *handle = dlopen(path, RTLD_NOW);
        if (!handle)
            __atomic_add_fetch(&born, 1, __ATOMIC_RELAXED);
        else
            dlclose(handle);
    }
    return NULL;
}

static const char *libraries[] = {"libresolv.so.2", "libutil.so.1", "libnsl.so.1", "libanl.so.1"};

static int load(long unused)
{
    pthread_t loaders[4];
    (void)unused;
    int usable[4] = {0};
    for (int i = 0; i < 4; i++) {
        void *handle = dlopen(libraries[i], RTLD_NOW);
        usable[i] = handle != NULL;
        if (handle)
            dlclose(handle);
        if (usable[i])
            pthread_create(&loaders[i], NULL, load_often, (void *)(uintptr_t)libraries[i]);
    }
    work_for(RUN_SECONDS);
    stop = 1;
    for (int i = 0; i < 4; i++)
        if (usable[i])
            pthread_join(loaders[i], NULL);
    return finish("load", born);
}

/* Execs the program named while a copy of a large heap marks. */
static const char *program;

static int become(long milliseconds)
{
    work(2000000); /* keeps 200,000 blocks */
    work_for((double)milliseconds / 1000);
    execl(program, program, (char *)NULL);
    return 3;
}

/* A program that is stopped and goes on, as under a shell's ^Z. */
static int stopped(long times)
{
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        for (long i = 0; i < times; i++) {
            kill(self, SIGSTOP);
            usleep(20000);
            kill(self, SIGCONT);
            usleep(20000);
        }
        _exit(0);
    }
    int status;
    do
        work_for(0.01);
    while (waitpid(pid, &status, WNOHANG) == 0);
    return finish("stopped", status);
}

static void on_terminate(int number)
{
    stop = 1;
}

/* NUMBER seconds, or until SIGTERM. */
static int plain(long seconds)
{
    pthread_t thread;
    signal(SIGTERM, on_terminate);
    /* Refused where a limit leaves no place beside the threads of who watches. */
    int made = pthread_create(&thread, NULL, sleep_until_stop, NULL) == 0;
    for (double end = now() + (seconds ? (double)seconds : RUN_SECONDS); !stop && now() < end;)
        work_for(0.01);
    stop = 1;
    if (made)
        pthread_join(thread, NULL);
    return finish("plain", 0);
}

int main(int argc, char **argv)
{
    static const struct mode modes[] = {
        {"plain", plain},         {"threads", threads},   {"deaf", deaf},
        {"children", children},   {"reaper", reaper},     {"ring", ring},
        {"handlers", handlers},   {"sigwaits", sigwaits}, {"setids", setids},
        {"close_all", close_all}, {"load", load},         {"stopped", stopped},
        {"become", become},       {NULL, NULL},
    };
    program = argc > 3 ? argv[3] : "/bin/true";
    return run_mode(modes, argc, argv);
}
