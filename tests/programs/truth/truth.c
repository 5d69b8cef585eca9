/* Runs one case of the suite, or lists them.
 *
 *   truth PLUGIN --list
 *   truth PLUGIN CASE [kill]
 *
 * "kill": ends by SIGKILL, so that the segment stays to be read.  Without our library,
 * LeakSanitizer is asked if it is linked in. */
#include "truth.h"

#include <errno.h>
#include <linux/futex.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

extern int md_gc(void) __attribute__((weak));
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
extern void __lsan_disable(void) __attribute__((weak));

const char *truth_plugin;

static struct {
    long objects[3], bytes[3];
    int open_bytes, open_live;
} truth;
static bool looked;

NOINLINE static void tell(int error)
{
    char line[300];
    int n = snprintf(line, sizeof line,
                     "truth pid=%d error=%d live=%ld live_bytes=%ld direct=%ld direct_bytes=%ld "
                     "indirect=%ld indirect_bytes=%ld open_bytes=%d open_live=%d\n",
                     (int)getpid(), error, truth.objects[LIVE], truth.bytes[LIVE],
                     truth.objects[DIRECT], truth.bytes[DIRECT], truth.objects[INDIRECT],
                     truth.bytes[INDIRECT], truth.open_bytes, truth.open_live);
    if (write(STDOUT_FILENO, line, (size_t)n) != n)
        _exit(9);
}

uintptr_t truth_litter;

NOINLINE static void litter(void)
{
    uintptr_t frames[2048];
    for (unsigned i = 0; i < sizeof frames / sizeof frames[0]; i++)
        ((volatile uintptr_t *)frames)[i] = truth_litter ^ MASK;
    __asm__ volatile("" : : "r"(frames) : "memory");
}

/* A frame of few words: what lies where it is to be was scrubbed by the caller. */
NOINLINE static void cycle(void)
{
    int error = 0;
    for (int tries = 0; tries < 60; tries++) {
        scrub();
        if (truth_litter)
            litter();
        error = md_gc ? md_gc() : 0;
        if (error != EAGAIN)
            break;
        usleep(50000);
    }
    tell(error);
}

void look_once(void)
{
    scrub();
    cycle();
}

void look(void)
{
    if (looked)
        return;
    looked = true;
    scrub();
    cycle();
    if (md_gc)
        cycle();
    scrub();
    if (__lsan_do_recoverable_leak_check)
        __lsan_do_recoverable_leak_check();
}

void truth_group(void)
{
    truth.open_bytes = 1;
}

void truth_live_open(void)
{
    truth.open_live = 1;
}

void *counted(void *block, enum fate fate)
{
    if (block == NULL)
        abort();
    truth.objects[fate]++;
    truth.bytes[fate] += (long)malloc_usable_size(block);
    return block;
}

void *uncounted(void *block, enum fate fate)
{
    truth.objects[fate]--;
    truth.bytes[fate] -= (long)malloc_usable_size(block);
    return block;
}

void *object(size_t size, enum fate fate)
{
    return counted(calloc(1, size), fate);
}

struct node *chain(int length, enum fate head, enum fate rest)
{
    struct node *first = NULL;
    for (int i = length; i-- > 0;) {
        struct node *node = object(sizeof *node, i ? rest : head);
        node->left = first;
        first = node;
    }
    return first;
}

struct node *tree(int depth, enum fate head, enum fate rest)
{
    struct node *node = object(sizeof *node, head);
    if (depth > 1) {
        node->left = tree(depth - 1, rest, rest);
        node->right = tree(depth - 1, rest, rest);
    }
    return node;
}

/* --------------------------------------------------------------------------------- threads */

static void futex(int *word, int operation, int value)
{
    syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

void actor_holds(struct actor *actor)
{
    __atomic_store_n(&actor->done, 1, __ATOMIC_RELEASE);
}

void actor_wait(struct actor *actor)
{
    while (__atomic_load_n(&actor->step, __ATOMIC_ACQUIRE) == 1)
        futex(&actor->step, FUTEX_WAIT_PRIVATE, 1);
}

static void await(struct actor *actor)
{
    while (!__atomic_load_n(&actor->done, __ATOMIC_ACQUIRE))
        usleep(500);
    __atomic_store_n(&actor->done, 0, __ATOMIC_RELEASE);
}

static void *act(void *argument)
{
    struct actor *actor = argument;
    actor_holds(actor);
    while (__atomic_load_n(&actor->step, __ATOMIC_ACQUIRE) == 0)
        futex(&actor->step, FUTEX_WAIT_PRIVATE, 0);
    actor->hold(actor);
    return NULL;
}

void actor_start(struct actor *actor)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, act, actor) != 0)
        abort();
    pthread_detach(thread);
    await(actor);
}

void actor_go(struct actor *actor)
{
    __atomic_store_n(&actor->step, 1, __ATOMIC_RELEASE);
    futex(&actor->step, FUTEX_WAKE_PRIVATE, 1);
    await(actor);
}

/* ------------------------------------------------------------------------------------ main */

static const struct truth_case *const suites[] = {truth_roots, truth_threads, truth_shapes,
                                                  truth_cxx};

static void list(void)
{
    for (unsigned i = 0; i < sizeof suites / sizeof suites[0]; i++)
        for (const struct truth_case *c = suites[i]; c->name; c++)
            printf("%s\t%d\t%d\t%s\n", c->name, c->lsan_direct, c->lsan_indirect,
                   c->lsan ? c->lsan : "");
}

/* The segment's file is there from the first 512 KiB on. */
NOINLINE static void warm_up(void)
{
    for (int i = 0; i < 20; i++) {
        char *volatile block = malloc(64 << 10);
        free(block);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    truth_plugin = argv[1];
    if (strcmp(argv[2], "--list") == 0) {
        list();
        return 0;
    }
    const struct truth_case *wanted = NULL;
    for (unsigned i = 0; i < sizeof suites / sizeof suites[0]; i++)
        for (const struct truth_case *c = suites[i]; c->name; c++)
            if (strcmp(c->name, argv[2]) == 0)
                wanted = c;
    if (!wanted)
        return 2;
    warm_up();
    if (wanted->before)
        wanted->before();
    cycle();
    wanted->body();
    scrub();
    look();
    if (argc > 3)
        kill(getpid(), SIGKILL);
    _exit(0); /* nothing more: what LeakSanitizer says at exit has been asked for */
}
