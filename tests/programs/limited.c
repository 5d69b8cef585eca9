/* Sets itself limits and sandboxes that leave a tracer little to work with; allocates meanwhile,
 * checks itself, and says so in one line.
 *
 *   limits MODE [NUMBER]       see the table at the end */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- limits ---- */

static void limit(int resource, rlim_t value)
{
    struct rlimit r;
    getrlimit(resource, &r);
    r.rlim_cur = value;
    setrlimit(resource, &r);
}

static int no_queue(long unused)
{
    (void)unused;
    limit(RLIMIT_SIGPENDING, 0);
    work_for(RUN_SECONDS);
    return finish("no_queue", 0);
}

static int nofile(long number)
{
    limit(RLIMIT_NOFILE, (rlim_t)number);
    work_for(RUN_SECONDS);
    int fd = open("/dev/null", O_RDONLY);
    return finish("nofile", number > 3 ? fd < 0 : fd >= 0);
}

static void *allocate_first(void *unused)
{
    (void)unused;
    void *block = malloc(100); /* may be refused, no more */
    free(block);
    return NULL;
}

/* The address space is used up, with cached stacks left for new threads. */
static int address_space(long megabytes)
{
    pthread_t thread[16];
    for (int i = 0; i < 16; i++)
        pthread_create(&thread[i], NULL, sleep_until_stop, NULL);
    stop = 1;
    for (int i = 0; i < 16; i++)
        pthread_join(thread[i], NULL);
    limit(RLIMIT_AS, (rlim_t)megabytes << 20);
    long refused = 0, made = 0;
    while (malloc(1000))
        ;
    for (size_t size = 1 << 20; size >= 4096; size /= 2)
        while (mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
            ;
    for (int i = 0; i < 200; i++) {
        refused += malloc(100000) == NULL;
        if (pthread_create(&thread[0], NULL, allocate_first, NULL) == 0) {
            pthread_join(thread[0], NULL);
            made++;
        }
        usleep(1000);
    }
    printf("made=%ld ", made);
    return finish("address_space", refused);
}

static int no_children(long number)
{
    limit(RLIMIT_NPROC, (rlim_t)number);
    work_for(RUN_SECONDS);
    return finish("no_children", 0);
}

static long resident_kb(void)
{
    char text[4096] = {0}, *line;
    int fd = open("/proc/self/status", O_RDONLY);
    long n = read(fd, text, sizeof text - 1);
    close(fd);
    line = n > 0 ? strstr(text, "VmRSS:") : NULL;
    return line ? strtol(line + 6, NULL, 10) : -1;
}

static int locked(long unused)
{
    (void)unused;
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        printf("mlockall: %s\n", strerrorname_np(errno));
        return 0;
    }
    work_for(RUN_SECONDS);
    printf("resident=%ld ", resident_kb());
    return finish("locked", 0);
}

/* NUMBER MB, all of them written to over and over: a copy of the process comes to as much again. */
static int crowded(long megabytes)
{
    size_t count = (size_t)megabytes << 10;
    char **blocks = malloc(count * sizeof *blocks);
    long wrong = 0;
    char written = 1;
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(1000);
        memset(blocks[i], written, 1000);
    }
    for (double end = now() + 2 * RUN_SECONDS; now() < end; written++)
        for (size_t i = 0; i < count; i++) {
            wrong += blocks[i][0] != written || blocks[i][999] != written;
            memset(blocks[i], written + 1, 1000);
        }
    return finish("crowded", wrong);
}

/* Blocks that only memory points to which no copy of the process gets: a mapping, and a block of
 * the heap, as a library for RDMA has them. */
static int hidden(long unused)
{
    enum { COUNT = 2000 };
    size_t size = COUNT * sizeof(void *), pages = (size + 4095) & ~(size_t)4095;
    void **mapped = mmap(NULL, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void **block = aligned_alloc(4096, pages);
    long wrong = 0;
    (void)unused;
    memset(block, 0, pages);
    if (madvise(mapped, pages, MADV_DONTFORK) != 0 || madvise(block, pages, MADV_DONTFORK) != 0)
        return 3;
    for (int i = 0; i < COUNT; i++) {
        mapped[i] = memset(malloc(100), i, 100);
        block[i] = memset(malloc(100), i + 1, 100);
    }
    work_for(RUN_SECONDS);
    for (int i = 0; i < COUNT; i++)
        wrong += *(char *)mapped[i] != (char)i || *(char *)block[i] != (char)(i + 1);
    madvise(block, pages, MADV_DOFORK);
    return finish("hidden", wrong);
}

/* Terabytes asked for, touched here and there, and given back. */
static int sparse(long unused)
{
    (void)unused;
    size_t size = (size_t)1 << 45;
    volatile char *block = malloc(size);
    if (!block)
        return 77;
    block[0] = block[size / 2] = 1;
    free((void *)block);
    work_for(RUN_SECONDS);
    return finish("sparse", 0);
}

/* Before the first cycle, where there is no /proc. */
static int jailed(long unused)
{
    (void)unused;
    if (chroot("/sys") != 0 || chdir("/") != 0)
        return 77;
    work_for(RUN_SECONDS);
    return finish("jailed", access("/proc", F_OK) == 0);
}

/* ---- sandboxes of its own ---- */

static void forbid(void)
{
    static const int calls[] = {SYS_clone, SYS_userfaultfd, SYS_rt_tgsigqueueinfo,
                                436,       SYS_waitid,      SYS_rt_sigpending};
    struct sock_filter code[20] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    unsigned n = 1;
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        code[n++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog filter = {(unsigned short)n, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0)
        abort();
}

static void *in_sandbox(void *unused)
{
    (void)unused;
    forbid();
    while (!stop)
        usleep(1000);
    return NULL;
}

/* NUMBER 0: the whole program at once; 1: one thread only. */
static int sandbox(long one_thread)
{
    pthread_t thread;
    work_for(RUN_SECONDS / 4);
    if (one_thread)
        pthread_create(&thread, NULL, in_sandbox, NULL);
    else
        forbid();
    work_for(RUN_SECONDS);
    stop = 1;
    if (one_thread)
        pthread_join(thread, NULL);
    return finish("sandbox", 0);
}

int main(int argc, char **argv)
{
    static const struct mode modes[] = {
        {"no_queue", no_queue},       {"nofile", nofile}, {"address_space", address_space},
        {"no_children", no_children}, {"locked", locked}, {"sandbox", sandbox},
        {"crowded", crowded},         {"hidden", hidden}, {"jailed", jailed},
        {"sparse", sparse},           {NULL, NULL},
    };
    return run_mode(modes, argc, argv);
}
