/* What a seccomp filter leaves a cycle: filters that stand at load, which are tried in a copy of
 * the process, and filters that come later. */
#include "core_test.h"
#include "tap.h"

#include "base/options.h"
#include "gc/sys/proc.h"
#include "gc/sys/seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define NO_CALL (-2) /* a filter that lets everything through */

/* For this thread alone: one call is refused, or kills. */
static bool filter(long call, uint32_t action)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

#define REFUSED (SECCOMP_RET_ERRNO | 1 /* EPERM */)
#define KILLS SECCOMP_RET_KILL_PROCESS

struct at_load {
    long call;
    uint32_t action;
    const char *reason;    /* of the trial; NULL: none */
    bool resources, waitv; /* are allowed */
    const char *name;
};

static const struct at_load at_load[] = {
    {NO_CALL, REFUSED, NULL, true, true, "a filter that lets everything through"},
    {SYS_getppid, KILLS, "seccomp would kill the program for getppid", true, false, "getppid"},
    {SYS_wait4, KILLS, "seccomp would kill the program for wait4", true, false, "wait4"},
    {SYS_tgkill, KILLS, "seccomp would kill the program for tgkill", true, false,
     "the last that is tried"},
    {SYS_wait4, REFUSED, "wait4 is refused (seccomp)", true, false, "wait4"},
    {SYS_waitid, REFUSED, "waitid is refused (seccomp)", true, false, "waitid"},
    {SYS_clone, REFUSED, "clone is refused (seccomp)", true, false, "clone"},
    {SYS_getppid, REFUSED, NULL, true, true, "getppid, without which a cycle does"},
    {SYS_sched_setscheduler, KILLS, NULL, false, true, "sched_setscheduler"},
    {SYS_futex_waitv, KILLS, NULL, true, false, "futex_waitv"},
    {SYS_futex_waitv, REFUSED, NULL, true, true, "futex_waitv"},
};

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Exit status: 0, or the number of what is wrong. */
static int look_at_load(void *ctx)
{
    const struct at_load *what = ctx;
    if (what->call == SYS_futex_waitv && syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) < 0 &&
        errno == ENOSYS)
        return CANNOT_MOUNT;
    if (!filter(what->call, what->action))
        return 1;
    seccomp_init();
    const char *reason = seccomp_trial();
    if (!same(reason, what->reason)) {
        tap_print("# %s", reason ? reason : "no reason");
        return 2;
    }
    if (seccomp_trial() != reason)
        return 3;
    if (reason)
        return 0;
    if (seccomp_allows_resources != what->resources)
        return 4;
    return !proc_open(false)                     ? 5
           : seccomp_cycle()                     ? 6
           : seccomp_allows_waitv != what->waitv ? 7
                                                 : 0;
}

static void *sandbox_thread(void *ready)
{
    int *pipes = ready;
    char byte = (char)filter(NO_CALL, REFUSED);
    if (write(pipes[1], &byte, 1) == 1)
        pause();
    return NULL;
}

enum later { NOBODY, OURS, ANOTHER_THREAD, NAMED_ENGINE };

static int look_later(void *ctx)
{
    static const char sandboxed[] = "the program has sandboxed itself (seccomp)";
    const enum later *who = ctx;
    char text[] = "gcengine=clone";
    options_parse(*who == NAMED_ENGINE ? text : NULL);
    seccomp_init();
    if (!proc_open(false) || seccomp_cycle())
        return 1;
    int pipes[2];
    char byte = 1;
    pthread_t thread;
    if (*who == ANOTHER_THREAD &&
        (pipe(pipes) || pthread_create(&thread, NULL, sandbox_thread, pipes) ||
         read(pipes[0], &byte, 1) != 1 || !byte))
        return 2;
    if (*who != NOBODY && *who != ANOTHER_THREAD && !filter(NO_CALL, REFUSED))
        return 3;
    const char *reason = seccomp_cycle();
    if (!same(reason, *who == OURS || *who == ANOTHER_THREAD ? sandboxed : NULL))
        return 4;
    /* Whatever is done then, a parked thread makes no call that the filter may not know. */
    return seccomp_allows_waitv && *who != NOBODY ? 5 : 0;
}

int main(void)
{
    options_parse(NULL);
    for (size_t i = 0; i < sizeof at_load / sizeof at_load[0]; i++) {
        /* The trial takes a copy that has got no CPU for a second for one that was killed. */
        int status = -1;
        for (int tries = 0; status && status != CANNOT_MOUNT && tries < 5; tries++)
            status = in_copy(look_at_load, (void *)&at_load[i]);
        const char *how = at_load[i].call == NO_CALL     ? ""
                          : at_load[i].action == REFUSED ? ", refused"
                                                         : ", kills";
        if (status == CANNOT_MOUNT)
            tap_skip("at load: futex_waitv", "the kernel has none");
        else
            is(status, 0, "at load: %s%s", at_load[i].name, how);
    }
    static const char *const names[] = {"nobody", "the program", "another thread of it",
                                        "the program, with an engine named"};
    for (enum later who = NOBODY; who <= NAMED_ENGINE; who++)
        is(in_copy(look_later, &who), 0, "later: %s", names[who]);
    return tap_done();
}
