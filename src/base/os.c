#include "base/os.h"

#include "base/compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

THREAD_LOCAL bool own_thread;
int own_tids[OWN_TIDS];
struct own_range own_ranges[OWN_RANGES];
static uint64_t own_total;

static int64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t os_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t os_coarse_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC_COARSE);
}

int64_t os_realtime_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int64_t os_thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

int os_gettid(void)
{
    return (int)syscall(SYS_gettid);
}

unsigned os_cpu_count(void)
{
    /* A fixed mask covers 8192 CPUs without the heap; sched_getaffinity fails on larger ones. */
    unsigned long mask[128];
    int saved = errno;
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
    errno = saved;
    unsigned count = 0;
    for (long i = 0; i < bytes / (long)sizeof mask[0]; i++)
        count += (unsigned)__builtin_popcountl(mask[i]);
    return count ? count : 1;
}

long os_read_file(const char *path, char *buf, size_t size)
{
    int saved = errno;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        long error = -errno;
        errno = saved;
        return error;
    }
    size_t have = 0;
    while (have < size - 1) {
        ssize_t n = read(fd, buf + have, size - 1 - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && have == 0) {
            long error = -errno;
            close(fd);
            errno = saved;
            return error;
        }
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    buf[have] = 0;
    close(fd);
    errno = saved;
    return (long)have;
}

uint64_t os_start_ticks(void)
{
    char stat[1024];
    if (os_read_file("/proc/self/stat", stat, sizeof stat) <= 0)
        return 0;
    /* The name, field 2, may hold anything, brackets and blanks too: count from its last bracket.
     */
    char *field = strrchr(stat, ')');
    for (int i = 2; field && i < 22; i++)
        field = strchr(field + 1, ' ');
    return field ? strtoull(field + 1, NULL, 10) : 0;
}

bool os_executable(char *buf, size_t size)
{
    int saved = errno;
    ssize_t n = readlink("/proc/self/exe", buf, size - 1);
    errno = saved;
    buf[n > 0 ? n : 0] = 0;
    return n > 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void os_program_name(char *buf, size_t size)
{
    const char *given = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    char exe[512];
    struct stat a, b;
    int saved = errno;
    const char *name = os_executable(exe, sizeof exe) ? base_name(exe) : "";
    if (given && (!*name || (stat(given, &a) == 0 && stat("/proc/self/exe", &b) == 0 &&
                             a.st_dev == b.st_dev && a.st_ino == b.st_ino)))
        name = base_name(given);
    errno = saved;
    size_t length = strlen(name);
    length = MIN(length, size - 1);
    memcpy(buf, name, length);
    buf[length] = 0;
}

bool own_note(void *addr, size_t size, size_t resident)
{
    for (int i = 0; i < OWN_RANGES; i++) {
        uintptr_t free_slot = 0;
        if (__atomic_compare_exchange_n(&own_ranges[i].start, &free_slot, 1, false,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            /* The size is 0 until the start is known, and from before it is given up. */
            __atomic_store_n(&own_ranges[i].start, (uintptr_t)addr, __ATOMIC_RELEASE);
            __atomic_store_n(&own_ranges[i].size, size, __ATOMIC_RELEASE);
            own_count((int64_t)resident);
            return true;
        }
    }
    return false;
}

void own_forget(void *addr, size_t size)
{
    (void)size;
    for (int i = 0; i < OWN_RANGES; i++)
        if (__atomic_load_n(&own_ranges[i].start, __ATOMIC_RELAXED) == (uintptr_t)addr) {
            __atomic_store_n(&own_ranges[i].size, 0, __ATOMIC_RELEASE);
            __atomic_store_n(&own_ranges[i].start, 0, __ATOMIC_RELEASE);
        }
}

void *own_map(size_t size)
{
    int saved = errno;
    size = (size + OS_PAGE - 1) & ~(size_t)(OS_PAGE - 1);
    void *addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    errno = saved;
    if (addr == MAP_FAILED)
        return NULL;
    /* Counted even where the record is full: own_unmap takes it off in any case. */
    own_note(addr, size, 0);
    own_count((int64_t)size);
    return addr;
}

void own_unmap(void *addr, size_t size)
{
    int saved = errno;
    size = (size + OS_PAGE - 1) & ~(size_t)(OS_PAGE - 1);
    own_forget(addr, size);
    own_count(-(int64_t)size);
    munmap(addr, size);
    errno = saved;
}

void own_count(int64_t bytes)
{
    __atomic_fetch_add(&own_total, (uint64_t)bytes, __ATOMIC_RELAXED);
}

uint64_t own_bytes(void)
{
    return __atomic_load_n(&own_total, __ATOMIC_RELAXED);
}
