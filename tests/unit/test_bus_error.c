/* A file that is cut under a mapping: the load ends a process without the handler, and reads zeros
 * in one with it. */
#include "target/bus_error.h"
#include "support/tap.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

/* Maps three pages of ones, cuts the file behind the first, and adds up what can be read. */
static unsigned read_cut_file(void)
{
    char page[PAGE];
    int fd = memfd_create("cut", MFD_CLOEXEC);
    memset(page, 1, sizeof page);
    for (int i = 0; i < 3; i++)
        if (write(fd, page, sizeof page) != sizeof page)
            return 0;
    volatile uint8_t *base = mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED || ftruncate(fd, PAGE) != 0)
        return 0;
    unsigned sum = 0;
    for (size_t i = 0; i < 3 * PAGE; i++)
        sum += base[i];
    munmap((void *)(uintptr_t)base, 3 * PAGE);
    close(fd);
    return sum;
}

int main(void)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGBUS, SIG_DFL); /* sanitizers have a handler of their own */
        read_cut_file();
        _exit(0);
    }
    waitpid(pid, &status, 0);
    ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS, "without the handler it is SIGBUS");
    bus_error_survive();
    is(read_cut_file(), PAGE, "with it what is missing reads as zeros");
    is(read_cut_file(), PAGE, "the next time too");
    pid = fork();
    if (pid == 0) {
        raise(SIGBUS);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS,
       "a SIGBUS that was sent ends the process");
    return tap_done();
}
