/* Memory of the library's own and what the system tells of the process, against other ways to
 * know. */
#include "base/compiler.h"
#include "base/os.h"
#include "core_test.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

static int64_t read_clock(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void test_clocks(void)
{
    static int64_t (*const ours[])(void) = {os_now_ns, os_realtime_ns, os_thread_cpu_ns};
    static const clockid_t theirs[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_THREAD_CPUTIME_ID};
    for (unsigned i = 0; i < 3; i++) {
        int64_t a = read_clock(theirs[i]), b = ours[i](), c = read_clock(theirs[i]);
        ok(a <= b && b <= c, "clock %u lies between two readings of it", i);
    }
    int64_t coarse = os_coarse_ns(), now = os_now_ns();
    ok(coarse <= now && now - coarse < 1000000000, "the coarse clock is behind by a tick at most");
    is(os_gettid(), syscall(SYS_gettid), "the thread's id");
}

static void test_process(void)
{
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    is(os_cpu_count(), CPU_COUNT(&all), "CPUs that this process may use");
    struct utsname system;
    unsigned major = 0, minor = 0;
    uname(&system);
    sscanf(system.release, "%u.%u", &major, &minor);
    is(os_linux_version() >> 8, major << 8 | minor, "the kernel's version, without a call");
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &all) && CPU_COUNT(&one) == 0)
            CPU_SET(i, &one);
    sched_setaffinity(0, sizeof one, &one);
    is(os_cpu_count(), 1, "one when it may use but one");
    sched_setaffinity(0, sizeof all, &all);

    /* Field 22, read with a name that would upset a parser that counts blanks. */
    char text[1024] = "";
    uint64_t before = os_start_ticks();
    prctl(PR_SET_NAME, ") 1 (a b)");
    is(os_start_ticks(), before, "the start time whatever the name");
    prctl(PR_SET_NAME, "test_os");
    FILE *f = fopen("/proc/self/stat", "r");
    if (f && fgets(text, sizeof text, f)) {
        unsigned long long ticks = 0;
        sscanf(text,
               "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
               "%*d %*d %*d %llu",
               &ticks);
        is(before, (long long)ticks, "it is field 22");
    }
    if (f)
        fclose(f);
}

static void test_read_file(void)
{
    char path[] = "/tmp/test_os-XXXXXX", buf[64];
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, "0123456789", 10) != 10)
        ok(false, "a file in /tmp");
    close(fd);
    errno = 77;
    is(os_read_file(path, buf, sizeof buf), 10, "a file is read whole");
    ok(strcmp(buf, "0123456789") == 0, "and terminated");
    memset(buf, 'x', sizeof buf);
    is(os_read_file(path, buf, 5), 4, "a larger one as far as there is room");
    ok(strcmp(buf, "0123") == 0 && buf[5] == 'x', "terminated, nothing behind");
    is(os_read_file("/nowhere/at/all", buf, sizeof buf), -ENOENT, "a missing one is -ENOENT");
    is(os_read_file("/tmp", buf, sizeof buf), -EISDIR, "a directory is -EISDIR");
    is(errno, 77, "errno is preserved");
    unlink(path);
}

static void test_names(const char *self)
{
    char exe[512], real[512], name[64], link[64];
    ssize_t n = readlink("/proc/self/exe", real, sizeof real - 1);
    real[MAX(n, 0)] = 0;
    ok(os_executable(exe, sizeof exe) && strcmp(exe, real) == 0, "the executable's path");
    ok(os_executable(exe, 6) && strlen(exe) == 5 && strncmp(exe, real, 5) == 0, "cut, terminated");
    os_program_name(name, sizeof name);
    ok(strcmp(name, "test_os") == 0, "the program's name is \"%s\"", name);
    os_program_name(name, 5);
    ok(strcmp(name, "test") == 0, "cut to the room there is");

    /* Started by a symbolic link, a program goes by the link's name. */
    (void)self;
    snprintf(link, sizeof link, "/tmp/other-name-%d", getpid());
    if (symlink(real, link) != 0) {
        tap_skip("started by a symbolic link", "no symbolic links in /tmp");
        return;
    }
    if (tap_emulated("started by a symbolic link", "exec of its own")) {
        unlink(link);
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        execl(link, "argv0-is-no-matter", "name", strrchr(link, '/') + 1, NULL);
        _exit(127);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    is(status, 0, "started by a symbolic link it has the link's name");
    unlink(link);
}

static bool on_record(const void *addr, size_t size)
{
    struct own_range record[4 * OWN_BLOCK]; /* threads look at once */
    unsigned count = own_ranges(record, ARRAY_LENGTH(record));
    for (unsigned i = 0; i < MIN(count, ARRAY_LENGTH(record)); i++)
        if (record[i].start == (uintptr_t)addr && record[i].size == size)
            return true;
    return false;
}

static unsigned records(void)
{
    return own_ranges(NULL, 0);
}

static void test_own(void)
{
    uint64_t before = own_bytes();
    unsigned at_start = records(), nonzero = 0;
    errno = 77;
    unsigned char *a = own_map(OS_PAGE + 1000);
    ok(a && (uintptr_t)a % OS_PAGE == 0, "memory of our own begins at a page");
    for (unsigned i = 0; i < 2 * OS_PAGE; i++)
        nonzero += a[i] != 0, a[i] = 1;
    is(nonzero, 0, "it is zero and writable to the end of its last page");
    ok(on_record(a, 2 * OS_PAGE), "on record");
    is(own_bytes() - before, 2 * OS_PAGE, "and counted, in pages");
    own_unmap(a, OS_PAGE + 1000);
    ok(msync(a, OS_PAGE, MS_ASYNC) != 0 && errno == ENOMEM, "unmapped it is gone");
    errno = 77;
    is(records(), at_start, "off the record");
    is(own_bytes(), before, "and no longer counted");

    static char range[OS_PAGE_MIN];
    ok(own_note(range, sizeof range, 100) && on_record(range, sizeof range),
       "a range by other means goes on record");
    is(own_bytes() - before, 100, "it counts for what is said");
    own_forget(range, sizeof range);
    own_forget(range, sizeof range); /* not there: no harm */
    is(records(), at_start, "own_forget takes it off");
    is(own_bytes() - before, 100, "own_forget counts nothing");
    own_count(-100);
    is(own_bytes(), before, "own_count does");

    /* Three blocks of the record: it lies in memory of ours too. */
    static void *maps[2 * OWN_BLOCK + 8];
    unsigned got = 0, known = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(maps); i++)
        got += (maps[i] = own_map(1)) != NULL;
    for (unsigned i = 0; i < ARRAY_LENGTH(maps); i++)
        known += on_record(maps[i], OS_PAGE);
    is(got, ARRAY_LENGTH(maps), "the record grows");
    is(known, ARRAY_LENGTH(maps), "and every range is on it");
    is(records(), at_start + ARRAY_LENGTH(maps) + 2, "its own new pages too");
    is(own_bytes() - before, (ARRAY_LENGTH(maps) + 2) * OS_PAGE, "all of it is counted");
    for (unsigned i = 0; i < ARRAY_LENGTH(maps); i++)
        own_unmap(maps[i], 1);
    is(own_bytes() - before, 2 * OS_PAGE, "and nothing is left over but those");
    is(records(), at_start + 2, "of the record either");
    is(errno, 77, "errno is preserved");
}

static void test_refused(void)
{
#if SANITIZED
    tap_skip("memory refused by the system", "sanitizers need all address space");
#else
    if (tap_emulated("memory refused by the system", "RLIMIT_AS"))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_AS, &(struct rlimit){1 << 20, 1 << 20});
        uint64_t before = own_bytes();
        errno = 77;
        bool refused = own_map(64 << 20) == NULL && errno == 77 && own_bytes() == before;
        /* No room on the record, and none to be had: ranges are refused, and nothing counted. */
        static char range;
        unsigned noted = 0;
        while (own_note(&range, 1, 1))
            noted++;
        _exit(refused && noted < 4 * OWN_BLOCK && own_bytes() == before + noted ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    is(status, 0, "refused by the system: NULL, errno preserved, nothing counted");
#endif
}

static volatile unsigned faults, looks;
static bool looking;

/* Two ranges that share an entry by turns, at page 2 and page 3 of nowhere. */
static const size_t shared_pages[2] = {1, 5};

static void look(int signal)
{
    (void)signal;
    looks++;
    struct own_range record[4 * OWN_BLOCK];
    unsigned count = own_ranges(record, ARRAY_LENGTH(record));
    for (unsigned i = 0; i < MIN(count, ARRAY_LENGTH(record)); i++)
        if (record[i].start <= 3 * OS_PAGE)
            faults += record[i].start < 2 * OS_PAGE || record[i].start % OS_PAGE ||
                      record[i].size != shared_pages[record[i].start / OS_PAGE & 1] * OS_PAGE;
}

static void *keep_looking(void *argument)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    while (__atomic_load_n(&looking, __ATOMIC_RELAXED))
        look(0);
    return argument;
}

static void change_for(int64_t ns)
{
    for (int64_t end = os_now_ns() + ns; os_now_ns() < end;)
        for (uintptr_t i = 0; i < 1000; i++) {
            void *at = (void *)((2 + (i & 1)) * OS_PAGE);
            if (!own_note(at, shared_pages[i & 1] * OS_PAGE, 0))
                __atomic_fetch_add(&faults, 1, __ATOMIC_RELAXED);
            own_forget(at, shared_pages[i & 1] * OS_PAGE);
        }
}

/* A stopped world finds a thread anywhere, also in the middle of a change, and one that is not
 * stopped changes on: what is seen of the record is a range or none, and no mixture of two. */
static void test_interrupted(void)
{
    faults = looks = 0;
    signal(SIGALRM, look);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 50}, {0, 50}}, NULL);
    change_for(400000000);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    signal(SIGALRM, SIG_DFL);
    ok(looks > 100 && faults == 0, "%u looks in the middle of a change: %u saw half a range", looks,
       faults);
    faults = looks = 0;
    looking = true;
    pthread_t looker;
    pthread_create(&looker, NULL, keep_looking, NULL);
    change_for(400000000);
    __atomic_store_n(&looking, false, __ATOMIC_RELAXED);
    pthread_join(looker, NULL);
    ok(looks > 0 && faults == 0, "%u looks from beside: %u saw half a range", looks, faults);
    faults = 0;
}

#if !WITH_TSAN
static void *churn(void *argument)
{
    unsigned state = (unsigned)(uintptr_t)argument;
    unsigned char *held[16] = {NULL};
    size_t sizes[16] = {0};
    for (int i = 0; i < 4000; i++) {
        state = state * 1103515245 + 12345;
        unsigned at = state >> 16 & 15;
        if (held[at]) {
            if (!on_record(held[at], sizes[at]))
                __atomic_fetch_add(&faults, 1, __ATOMIC_RELAXED);
            own_unmap(held[at], sizes[at]);
            held[at] = NULL;
        } else {
            sizes[at] = OS_PAGE * (1 + (state >> 20 & 7));
            held[at] = own_map(sizes[at]);
            *held[at] = 1;
        }
    }
    for (unsigned i = 0; i < 16; i++)
        if (held[i])
            own_unmap(held[i], sizes[i]);
    return NULL;
}
#endif

/* Threads map and unmap at once: each finds its own on record.  (Entries are looked at while others
 * change, as a tracer never does: not for ThreadSanitizer.) */
static void test_threads(void)
{
#if WITH_TSAN
    tap_skip("threads map and unmap at once", "this test races on purpose");
#else
    pthread_t threads[4];
    uint64_t before = own_bytes();
    unsigned at_start = records();
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    is(faults, 0, "threads that map at once find what they mapped on record");
    is(own_bytes(), before, "the count comes out even");
    is(records(), at_start, "so does the record");
#endif
}

static bool appends(const char *path)
{
    int fd = os_open_append(path);
    bool good = fd >= 0 && write(fd, "x", 1) == 1;
    if (fd >= 0)
        close(fd);
    return good;
}

/* What somebody may have put under the name of a file of ours. */
static void test_append(void)
{
    char dir[] = "/tmp/md-append-XXXXXX", file[64], link[64];
    struct stat st;
    if (!mkdtemp(dir))
        abort();
    snprintf(file, sizeof file, "%s/file", dir);
    snprintf(link, sizeof link, "%s/link", dir);
    ok(appends(file) && appends(file) && stat(file, &st) == 0 && st.st_size == 2 &&
           (st.st_mode & 07777) == 0600,
       "a file is made for its user alone, and appended to");
    ok(symlink(file, link) == 0 && appends(link), "a link is followed");
    ok(chmod(dir, 01777) == 0 && appends(link), "one's own, in a directory for everybody, too");
    if (geteuid() == 0) {
        ok(lchown(link, 65534, 65534) == 0 && !appends(link) && errno == EACCES,
           "another's is not, there");
        ok(chown(dir, 65534, 65534) == 0 && appends(link), "but that of the directory's owner is");
        ok(chown(dir, 65533, 65533) == 0 && !appends(link), "nobody else's");
        ok(chmod(dir, 0755) == 0 && appends(link), "unless not everybody may put one");
        ok(unlink(file) == 0 && appends(link) && stat(file, &st) == 0,
           "whether it is there or not");
        ok(chdir(dir) == 0 && chmod(dir, 01777) == 0 && !appends("link") && appends("file"),
           "below the current directory too");
        ok(chdir("/") == 0 && stat(file, &st) == 0 && st.st_size == 2, "nothing went elsewhere");
    } else {
        tap_skip("another's link", "not root");
    }
    unlink(link);
    unlink(file);
    rmdir(dir);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "name") == 0) {
        char name[128];
        os_program_name(name, sizeof name);
        return strcmp(name, argv[2]) != 0;
    }
    test_clocks();
    test_process();
    test_read_file();
    test_append();
    test_names(argv[0]);
    test_own();
    test_refused();
    if (!tap_emulated("changes that are interrupted", "handlers shorter than 50 us"))
        test_interrupted();
    test_threads();
    return tap_done();
}
