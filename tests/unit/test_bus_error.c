/* A file that is cut under a mapping: the load ends a process without the handler, and reads zeros
 * in one with it, also while the live view has the terminal, and in the thread that reads names. */
#include "target/bus_error.h"
#include "series/names.h"
#include "support/tap.h"
#include "ui/term.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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

enum { SURVIVED, DIED, NO_TERMINAL };

/* The same in a process whose terminal, a pseudo-terminal, is taken over. */
static int read_in_view(void)
{
    char bytes[4096], error[256];
    int status = 0, master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    const char *name =
        master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0 ? ptsname(master) : NULL;
    if (!name || fcntl(master, F_SETFL, O_NONBLOCK) != 0)
        return NO_TERMINAL;
    pid_t pid = fork();
    if (pid == 0) {
        int slave = setsid() < 0 ? -1 : open(name, O_RDWR);
        for (int fd = 0; fd <= 2; fd++)
            if (dup2(slave, fd) < 0)
                _exit(NO_TERMINAL);
        setenv("TERM", "xterm", 1);
        bus_error_survive();
        if (!term_open(false, error))
            _exit(NO_TERMINAL);
        bool survived = read_cut_file() == PAGE;
        term_close();
        _exit(survived ? SURVIVED : DIED);
    }
    while (waitpid(pid, &status, WNOHANG) == 0) /* what the terminal gets must be taken off it */
        if (read(master, bytes, sizeof bytes) <= 0)
            usleep(1000);
    close(master);
    return WIFEXITED(status) ? WEXITSTATUS(status) : DIED;
}

/* Which signals a thread of this process blocks, a bit for each from 1 on; 0: it is gone. */
static uint64_t blocked_in(const char *tid)
{
    char path[64], line[256];
    uint64_t mask = 0;
    snprintf(path, sizeof path, "/proc/self/task/%.16s/status", tid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "SigBlk: %" SCNx64, &mask) == 1)
            break;
    if (file)
        fclose(file);
    return mask;
}

/* Threads that block SIGTERM, and not the signals of their own faults. */
static unsigned threads_with_faults(void)
{
    const uint64_t faults = UINT64_C(1) << (SIGBUS - 1) | UINT64_C(1) << (SIGSEGV - 1);
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/task");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        uint64_t mask = blocked_in(entry->d_name);
        count += (mask >> (SIGTERM - 1) & 1) && !(mask & faults);
    }
    if (dir)
        closedir(dir);
    return count;
}

static void test_names(void)
{
    static const char name[] = "the thread that reads names does not block it";
    struct snapshot nothing = {0};
    unsigned before = threads_with_faults();
    if (tap_emulated(name, "signal masks in /proc"))
        return;
    struct names *names = names_create(&(struct symbolizer_options){0}, true);
    struct pollfd done = {names_fd(names), POLLIN, 0};
    names_want(names, &nothing, 0);
    poll(&done, 1, -1); /* only by now it has the mask it was given */
    is(threads_with_faults(), before + 1, "%s", name);
    names_destroy(names);
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
    static const char view[] = "with it and the terminal of the live view it is none";
    if (!tap_emulated(view, "a handler of SIGBUS in place of another")) {
        int in_view = read_in_view();
        if (in_view == NO_TERMINAL)
            tap_skip(view, "no terminal of the kind xterm");
        else
            is(in_view, SURVIVED, "%s", view);
    }
    test_names();
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
