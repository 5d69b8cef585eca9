/* Allocates in places where a thread of memdebug's must not be started, for a request that stands
 * meanwhile:
 *
 *   uneasy PLACE [LIBRARY]
 *
 * handler      in a signal handler, a thousand times a second, in the middle of nothing
 * constructor  in LIBRARY's constructor, within dlopen; also in its destructor, within dlclose
 * thread       only what pthread_create and a thread's end themselves allocate and free
 * destructor   in a thread's own destructor, and as libc gives back what a thread had
 * vfork        in a child of vfork, which then calls exec
 * exit         in a handler of exit
 * blocked      with all signals blocked
 * made         called by code made at run time, of which nobody knows how to unwind it, in a signal
 *              handler that blocks no signal but its own
 * own          called by such code, no harm: with a signal blocked by the thread itself, whose
 *              handler would block all
 * callback     in a function that libc's qsort calls: no harm, and not known to be none
 *
 * SIGUSR1: allocates in an ordinary place, once for each signal.  SIGTERM: ends, with status 0.
 * All of it goes on for ever; a line `PLACE COUNT` comes each 20 rounds. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 8000
#define BLOCKS 20 /* together more than 64 KiB are allocated, and freed */
#define KEYS 64

static volatile sig_atomic_t wanted, ending;
static const char *library;

static __attribute__((noinline)) void allocate(void)
{
    char *block[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        block[i] = malloc(BLOCK);
        memset(block[i], i, 16);
    }
    for (int i = 0; i < BLOCKS; i++)
        free(block[i]);
}

static void on_usr1(int signal)
{
    (void)signal;
    wanted++;
}

static void on_term(int signal)
{
    (void)signal;
    ending = 1;
}

static void nap(void)
{
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static void *nothing(void *argument)
{
    return argument;
}

/* ---- places ---- */

static volatile sig_atomic_t handled;

static void on_alarm(int signal)
{
    (void)signal;
    allocate();
    handled++;
}

static void in_handler(void)
{
    static bool set;
    if (!set) {
        struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
        struct itimerval each_ms = {{0, 1000}, {0, 1000}};
        sigaction(SIGALRM, &action, NULL);
        setitimer(ITIMER_REAL, &each_ms, NULL);
        set = true;
    }
    /* Allocates nothing, so that the handler comes in the middle of no allocation. */
    for (int before = handled; handled == before;)
        nap();
}

static void in_constructor(void)
{
    void *handle = dlopen(library, RTLD_NOW);
    if (!handle)
        abort();
    dlclose(handle);
}

/* Such stacks libc does not keep: their tables are allocated anew each time, and freed with its
 * list of stacks locked. */
static void in_pthread_create(void)
{
    pthread_t thread[8];
    pthread_attr_t large;
    pthread_attr_init(&large);
    pthread_attr_setstacksize(&large, (size_t)48 << 20);
    for (int i = 0; i < 8; i++)
        if (pthread_create(&thread[i], &large, nothing, NULL) != 0)
            abort();
    pthread_attr_destroy(&large);
    for (int i = 0; i < 8; i++)
        pthread_join(thread[i], NULL);
}

static pthread_key_t keys[KEYS];

static void destroy(void *value)
{
    allocate();
    free(value);
}

/* Keys above 31 have a table that libc frees at the thread's end. */
static void *set_keys(void *argument)
{
    for (int i = 0; i < KEYS; i++)
        pthread_setspecific(keys[i], malloc(40));
    return argument;
}

static void in_destructor(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, set_keys, NULL) != 0)
        abort();
    pthread_join(thread, NULL);
}

static void in_vfork(void)
{
    pid_t child = vfork();
    if (child == 0) {
        allocate();
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    int status = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0 || status != 0)
        abort();
}

static void with_signals_blocked(void)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    allocate();
    sigprocmask(SIG_SETMASK, &before, NULL);
    nap();
}

/* push %rbp; mov %rsp,%rbp; call *%rdi; pop %rbp; ret */
static void by_made_code(void)
{
    static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
    static void (*made)(void (*)(void));
    if (!made) {
        void *at = mmap(NULL, sizeof code, PROT_READ | PROT_WRITE | PROT_EXEC,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED)
            abort();
        memcpy(at, code, sizeof code);
        memcpy(&made, &at, sizeof made);
    }
    made(allocate);
}

static void on_usr2(int signal)
{
    (void)signal;
    by_made_code();
}

static void in_handler_by_made_code(void)
{
    struct sigaction action = {.sa_handler = on_usr2};
    sigaction(SIGUSR2, &action, NULL);
    raise(SIGUSR2);
    nap();
}

static void by_made_code_alone(void)
{
    struct sigaction action = {.sa_handler = on_usr2};
    sigset_t quit;
    sigfillset(&action.sa_mask);
    sigaction(SIGQUIT, &action, NULL);
    sigemptyset(&quit);
    sigaddset(&quit, SIGQUIT);
    sigprocmask(SIG_BLOCK, &quit, NULL);
    by_made_code();
    nap();
}

static int compare(const void *a, const void *b)
{
    allocate();
    return *(const int *)a - *(const int *)b;
}

static void in_callback(void)
{
    int numbers[3] = {3, 1, 2};
    qsort(numbers, 3, sizeof numbers[0], compare);
    nap();
}

static void at_exit(void)
{
    for (int i = 0; i < 50; i++)
        allocate();
}

static void before_exit(void)
{
    nap();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*round)(void);
    } places[] = {
        {"handler", in_handler},
        {"constructor", in_constructor},
        {"thread", in_pthread_create},
        {"destructor", in_destructor},
        {"vfork", in_vfork},
        {"exit", before_exit},
        {"blocked", with_signals_blocked},
        {"made", in_handler_by_made_code},
        {"own", by_made_code_alone},
        {"callback", in_callback},
    };
    static char out[1024]; /* stdio would allocate it */
    void (*round)(void) = NULL;
    setvbuf(stdout, out, _IOLBF, sizeof out);
    for (size_t i = 0; argc > 1 && i < sizeof places / sizeof places[0]; i++)
        if (strcmp(argv[1], places[i].name) == 0)
            round = places[i].round;
    if (!round)
        return 2;
    library = argc > 2 ? argv[2] : NULL;
    /* Both wait while an ordinary allocation goes on: on_alarm must not come in its middle. */
    struct sigaction action = {.sa_handler = on_usr1, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    action.sa_handler = on_term;
    sigaction(SIGTERM, &action, NULL);
    if (round == in_destructor)
        for (int i = 0; i < KEYS; i++)
            pthread_key_create(&keys[i], i % 8 ? free : destroy);
    if (round == before_exit)
        atexit(at_exit);
    for (int i = 0; i < 10; i++) /* so that there is a segment's file */
        allocate();
    puts("ready");
    sigset_t alarm, before;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    for (unsigned long rounds = 0; !ending; rounds++) {
        round();
        if (rounds % 20 == 0)
            printf("%s %lu\n", argv[1], rounds);
        if (wanted) {
            sigprocmask(SIG_BLOCK, &alarm, &before);
            allocate();
            sigprocmask(SIG_SETMASK, &before, NULL);
            wanted = 0;
            puts("allocated");
        }
    }
    return 0;
}
