/* What the tests of base, heap, prof, segment and stack share: copies of the process, and what is
 * written to stderr there. */
#ifndef TESTS_CORE_TEST_H
#define TESTS_CORE_TEST_H

#include "sanitizers.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <sched.h>
#include <stdbool.h>
#include <unistd.h>

/* After so many seconds a copy counts as stuck: far more than any needs, even where a busy machine
 * gives it a hundredth of a CPU. */
#define STUCK_SECONDS 300

/* Runs `body` in a forked copy, until it is stuck at most.  Its exit status, 128 + the signal that
 * ended it, or -1. */
__attribute__((unused)) static int in_copy(int (*body)(void *), void *argument)
{
    pid_t pid = fork();
    if (pid == 0) {
        alarm(STUCK_SECONDS);
        _exit(body(argument));
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* A generator that is not the one under test (xorshift64*). */
__attribute__((unused)) static uint64_t draw(uint64_t below)
{
    static uint64_t state = 88172645463325252u;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1du % below;
}

/* In a copy: a tmpfs that nobody else sees over `dir`.  False: not allowed to. */
__attribute__((unused)) static bool private_tmpfs(const char *dir, const char *options)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", dir, "tmpfs", 0, options) == 0;
}
#define CANNOT_MOUNT 77 /* what a copy returns that needed private_tmpfs */

#endif
