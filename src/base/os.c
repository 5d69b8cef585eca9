#include "base/os.h"

#include "base/ascii.h"
#include "base/compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

THREAD_LOCAL bool own_thread;

void *os_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, addr, size, prot, flags, fd, offset);
}

int os_munmap(void *addr, size_t size)
{
    return (int)syscall(SYS_munmap, addr, size);
}

void *os_mremap(void *old, size_t old_size, size_t size, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    void *to = va_arg(arguments, void *);
    va_end(arguments);
    return (void *)syscall(SYS_mremap, old, old_size, size, flags, to);
}

static uint64_t own_total;

/* Of our threads; 0: free. */
static int own_tids[8];

static void replace_own(int old, int new)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(own_tids); i++) {
        int expected = old;
        if (__atomic_compare_exchange_n(&own_tids[i], &expected, new, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return;
    }
}

void own_thread_enter(int tid)
{
    replace_own(0, tid);
}

void own_thread_leave(int tid)
{
    replace_own(tid, 0);
}

bool own_thread_is(int tid)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(own_tids); i++)
        if (__atomic_load_n(&own_tids[i], __ATOMIC_RELAXED) == tid)
            return true;
    return false;
}

unsigned own_thread_count(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(own_tids); i++)
        count += __atomic_load_n(&own_tids[i], __ATOMIC_RELAXED) != 0;
    return count;
}

void own_threads_postfork_child(void)
{
    memset(own_tids, 0, sizeof own_tids);
}

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

int64_t os_process_cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

int os_gettid(void)
{
    return (int)syscall(SYS_gettid);
}

unsigned os_linux_version(void)
{
    const ElfW(Ehdr) *file = (const void *)getauxval(AT_SYSINFO_EHDR);
    const ElfW(Phdr) *segment = (const void *)((uintptr_t)file + (file ? file->e_phoff : 0));
    for (unsigned i = 0; file && i < file->e_phnum; i++) {
        const char *note = (const char *)file + segment[i].p_offset;
        const char *end = note + segment[i].p_filesz;
        while (segment[i].p_type == PT_NOTE && end - note >= (long)sizeof(ElfW(Nhdr))) {
            const ElfW(Nhdr) *header = (const void *)note;
            const char *name = note + sizeof *header,
                       *value = name + ((header->n_namesz + 3) & ~3u);
            if (header->n_type == 0 && header->n_namesz == sizeof "Linux" &&
                memcmp(name, "Linux", sizeof "Linux") == 0 && header->n_descsz == sizeof(unsigned))
                return *(const unsigned *)value;
            note = value + ((header->n_descsz + 3) & ~3u);
        }
    }
    return 0;
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
    uint64_t ticks = 0;
    for (const char *c = field; c && ascii_is_digit(c[1]); c++)
        ticks = ticks * 10 + (uint64_t)(c[1] - '0');
    return ticks;
}

/* With a `how` that does not exist, rt_sigprocmask copies the new mask in and then refuses: EFAULT
 * if it cannot be read, else EINVAL, and nothing is changed.  It is a call that every sandbox
 * allows. */
bool os_can_read(uintptr_t address)
{
    int saved = errno;
    bool can =
        syscall(SYS_rt_sigprocmask, ~0, address & ~(uintptr_t)7, NULL, 8) == 0 || errno != EFAULT;
    errno = saved;
    return can;
}

/* The kernel's own rule, which holds only where fs.protected_symlinks is set: in a directory in
 * which everybody may put something and nobody may take away another's (/tmp), a link is its
 * owner's word, and so for that user alone, or the directory's owner's.  Nobody else can exchange
 * it between this look and the opening.  Of directories on the way to it the rule is the kernel's.
 */
static bool may_follow(const char *path)
{
    char dir[PATH_MAX];
    struct stat link, parent;
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) + 1 : 0;
    if (length >= sizeof dir || lstat(path, &link) != 0)
        return false;
    memcpy(dir, slash ? path : ".", slash ? length : 1);
    dir[slash ? length : 1] = 0;
    return stat(dir, &parent) == 0 && (!(parent.st_mode & S_ISVTX && parent.st_mode & S_IWOTH) ||
                                       link.st_uid == geteuid() || link.st_uid == parent.st_uid);
}

int os_open_append(const char *path)
{
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int fd = open(path, flags | O_NOFOLLOW, 0600);
    if (fd >= 0 || errno != ELOOP)
        return fd;
    if (may_follow(path))
        return open(path, flags, 0600);
    errno = EACCES;
    return -1;
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

/* In blocks of a page, the first of them there from the start. */
struct own_block {
    struct own_range range[OWN_BLOCK];
    uint32_t uses[OWN_BLOCK]; /* how often each entry has been taken */
    struct own_block *next;
};
static struct own_block own_first;
_Static_assert(sizeof(struct own_block) <= OS_PAGE_MIN, "a block of the record is a page");

static bool note_in(struct own_block *block, uintptr_t addr, size_t size)
{
    for (unsigned i = 0; i < OWN_BLOCK; i++) {
        struct own_range *range = &block->range[i];
        uintptr_t free_slot = 0;
        if (__atomic_compare_exchange_n(&range->start, &free_slot, 1, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
            /* The size is 0 until the start is known, and from before it is given up. */
            __atomic_fetch_add(&block->uses[i], 1, __ATOMIC_RELEASE);
            __atomic_store_n(&range->start, addr, __ATOMIC_RELEASE);
            __atomic_store_n(&range->size, size, __ATOMIC_RELEASE);
            return true;
        }
    }
    return false;
}

/* The block behind this one, made if need be; its own range is the first on record in it. */
static struct own_block *block_after(struct own_block *block)
{
    struct own_block *next = __atomic_load_n(&block->next, __ATOMIC_ACQUIRE);
    if (next)
        return next;
    int saved = errno;
    struct own_block *fresh =
        os_mmap(NULL, OS_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    errno = saved;
    if (fresh == MAP_FAILED)
        return NULL;
    note_in(fresh, (uintptr_t)fresh, OS_PAGE);
    if (!__atomic_compare_exchange_n(&block->next, &next, fresh, false, __ATOMIC_RELEASE,
                                     __ATOMIC_ACQUIRE)) {
        os_munmap(fresh, OS_PAGE); /* another thread was here first */
        return next;
    }
    own_count(OS_PAGE);
    return fresh;
}

bool own_note(void *addr, size_t size, size_t resident)
{
    struct own_block *block = &own_first;
    while (block && !note_in(block, (uintptr_t)addr, size))
        block = block_after(block);
    if (block)
        own_count((int64_t)resident);
    return block != NULL;
}

void own_forget(void *addr, size_t size)
{
    (void)size;
    for (struct own_block *block = &own_first; block;
         block = __atomic_load_n(&block->next, __ATOMIC_ACQUIRE))
        for (unsigned i = 0; i < OWN_BLOCK; i++) {
            struct own_range *range = &block->range[i];
            /* Of size 0: a forked copy has one that its parent was about to give up. */
            if (__atomic_load_n(&range->start, __ATOMIC_RELAXED) == (uintptr_t)addr &&
                __atomic_load_n(&range->size, __ATOMIC_RELAXED)) {
                __atomic_store_n(&range->size, 0, __ATOMIC_RELEASE);
                __atomic_store_n(&range->start, 0, __ATOMIC_RELEASE);
                return;
            }
        }
}

/* One entry, as it was at some moment of this call; size 0: none.
 *
 * Whoever gives an entry up sets the size to 0 first; whoever takes it counts that, then sets the
 * start, then the size.  So a size that is not 0 belongs to the start that is there while the count
 * stays the same.  Tried again only if another has taken the entry meanwhile: a thread that is
 * stopped in the middle of a change holds nobody up. */
static struct own_range read_range(const struct own_block *block, unsigned i)
{
    const struct own_range *range = &block->range[i];
    for (;;) {
        uint32_t uses = __atomic_load_n(&block->uses[i], __ATOMIC_ACQUIRE);
        uintptr_t start = __atomic_load_n(&range->start, __ATOMIC_ACQUIRE);
        size_t size = __atomic_load_n(&range->size, __ATOMIC_ACQUIRE);
        if (size == 0)
            return (struct own_range){0, 0};
        if (__atomic_load_n(&block->uses[i], __ATOMIC_ACQUIRE) == uses && start > 1)
            return (struct own_range){start, size};
    }
}

unsigned own_ranges(struct own_range *to, unsigned room)
{
    unsigned count = 0;
    for (const struct own_block *block = &own_first; block;
         block = __atomic_load_n(&block->next, __ATOMIC_ACQUIRE))
        for (unsigned i = 0; i < OWN_BLOCK; i++) {
            struct own_range range = read_range(block, i);
            if (range.size && count++ < room)
                to[count - 1] = range;
        }
    return count;
}

void *own_map_as(size_t size, int prot, int flags, size_t resident)
{
    int saved = errno;
    void *addr = os_mmap(NULL, size, prot, flags | MAP_ANONYMOUS, -1, 0);
    if (addr != MAP_FAILED && !own_note(addr, size, resident)) {
        os_munmap(addr, size);
        addr = MAP_FAILED;
    }
    errno = saved;
    return addr != MAP_FAILED ? addr : NULL;
}

void *own_map(size_t size)
{
    size = os_page_up(size);
    return own_map_as(size, PROT_READ | PROT_WRITE, MAP_PRIVATE, size);
}

void own_unmap(void *addr, size_t size)
{
    int saved = errno;
    size = os_page_up(size);
    own_forget(addr, size);
    own_count(-(int64_t)size);
    os_munmap(addr, size);
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
