#include "bus_error.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Set before the handler is installed. */
static uintptr_t page_size;

static void end(int number)
{
    signal(number, SIG_DFL); /* blocked here, so it ends the process when the handler returns */
    raise(number);
}

static void (*_Atomic otherwise)(int number) = end;

/* mmap is a bare system call, which a handler may make. */
static void on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    void *page = (void *)((uintptr_t)info->si_addr & ~(page_size - 1));
    if (info->si_code != BUS_ADRERR || mmap(page, page_size, PROT_READ | PROT_WRITE,
                                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != page)
        otherwise(number);
    errno = saved;
}

void bus_error_otherwise(void (*handler)(int number))
{
    otherwise = handler;
}

void bus_error_survive(void)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_RESTART};
    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}
