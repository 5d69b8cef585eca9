/* The segment of a process: private tables, the file when it is due, copies by every way to fork,
 * a file that is gone or for which there is no room, the ring of cycles under a reader. */
#include "base/lock.h"
#include "base/options.h"
#include "base/os.h"
#include "core_test.h"
#include "segment/segment.h"
#include "segment/tables.h"
#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#define DUE (UINT64_C(1) << 20)

static char folder[] = "/dev/shm/test_segment-XXXXXX";
static struct lock tables_lock = LOCK_INIT(LOCK_TABLES);
static unsigned moves, forks;

static bool not_now;

static bool move_lock(bool take)
{
    if (take && not_now)
        return false;
    moves += take;
    take ? lock_take(&tables_lock) : lock_release(&tables_lock);
    return true;
}

static uint64_t inherited_size; /* of the parent's first bucket, 0: it had no tables */

static void on_fork(const struct tables *parent)
{
    forks++;
    lock_postfork_child(&tables_lock);
    inherited_size = 0;
    if (parent->header)
        inherited_size = ((const struct md_bucket *)parent->table[MD_SECTION_BUCKETS])->key;
}

static void path_of(char *path, size_t size, unsigned pid, uint64_t start)
{
    snprintf(path, size, "%s/%u-%llu.mdseg", folder, pid, (unsigned long long)start);
}

static bool own_path(char *path, size_t size)
{
    struct stat st;
    path_of(path, size, (unsigned)getpid(), os_start_ticks());
    return stat(path, &st) == 0;
}

static bool read_header(const char *path, struct md_header *header)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, header, sizeof *header);
    close(fd);
    return n == (ssize_t)sizeof *header;
}

static void nap_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static struct md_bucket *bucket(uint32_t i)
{
    return (struct md_bucket *)segment_table(MD_SECTION_BUCKETS) + i;
}

static bool put_bucket(uint32_t i, uint64_t size)
{
    if (!segment_check() || !segment_grow(MD_SECTION_BUCKETS, i + 1))
        return false;
    bucket(i)->key = size;
    segment_set_count(MD_SECTION_BUCKETS, i + 1);
    return true;
}

static void test_private(void)
{
    char path[400];
    struct md_header *h = segment_header();
    ok(h && segment_check() && !segment_forked(), "tables from the start");
    ok(put_bucket(0, 100) && put_bucket(5000, 5100), "entries are written");
    COUNT_ADD(alloc_bytes, 1000);
    segment_publish(1000);
    ok(!own_path(path, sizeof path), "no file before 512 KiB have been allocated");
    is(segment_header()->counters.alloc_bytes, 1000, "counters are published");
    is(segment_header()->counters.peak_bytes, 1000, "the peak with them");
    ok(!segment_grow(MD_SECTION_BUCKETS, segment_capacity(MD_SECTION_BUCKETS) + 1),
       "no more than the capacity");
}

static void test_file(void)
{
    char path[400], name[64];
    struct md_header h;
    segment_set_flags(MD_FLAG_THREAD);
    COUNT_ADD(free_bytes, 400);
    not_now = true;
    segment_publish(DUE);
    ok(!own_path(path, sizeof path), "not while its tables must not be moved");
    not_now = false;
    nap_ms(1100);
    errno = 77;
    segment_publish(DUE);
    is(errno, 77, "errno is preserved");
    if (!ok(own_path(path, sizeof path) && read_header(path, &h), "a file when it is due"))
        return;
    struct stat st;
    stat(path, &st);
    os_program_name(name, sizeof name);
    ok((st.st_mode & 07777) == 0600, "for this user alone");
    ok(memcmp(h.magic, MD_SEGMENT_MAGIC, 8) == 0 && h.version == MD_SEGMENT_VERSION &&
           h.header_size == sizeof h && (off_t)h.file_size == st.st_size &&
           h.section_count == MD_SECTION_COUNT && h.page_size == sysconf(_SC_PAGESIZE),
       "its header tells the format");
    ok(h.pid == (uint32_t)getpid() && h.parent_pid == (uint32_t)getppid() &&
           h.start_ticks == os_start_ticks() && h.uid == geteuid() && h.cpus == os_cpu_count(),
       "whose it is");
    ok(strcmp(h.name, name) == 0 && strstr(h.exe, name) && strstr(h.cmdline, name),
       "by what name: %s", h.name);
    ok(h.start_ns <= (uint64_t)os_now_ns() && (uint64_t)os_now_ns() - h.start_ns < 60000000000 &&
           llabs(h.start_realtime_ns - os_realtime_ns()) < 60000000000,
       "since when");
    ok(h.flags == (MD_FLAG_TRACKED | MD_FLAG_THREAD), "flags, early and late");
    ok(h.memprofilerate == 4096 && h.gcpercent == 100 && strstr(h.options, "memprofilerate=4096"),
       "options");
    ok(h.counters.alloc_bytes == 1000 && h.counters.free_bytes == 400 && h.counters.own_bytes,
       "counters");
    ok(h.section[MD_SECTION_BUCKETS].count == 5001 && bucket(0)->key == 100 &&
           bucket(5000)->key == 5100,
       "the entries have moved, and stay where they were");
    is(moves, 1, "under the lock of those who write them");
    is(h.exec_generation, 0, "the first image");

    int fd = open(path, O_RDONLY);
    struct md_bucket b;
    ok(put_bucket(6000, 6100) &&
           pread(fd, &b, sizeof b,
                 (off_t)(h.section[MD_SECTION_BUCKETS].offset + 6000 * sizeof b)) == sizeof b &&
           b.key == 6100,
       "what is written from now on is in the file");
    close(fd);
    option_set("gcpercent", "off");
    option_set("memprofilerate", "8KiB");
    segment_publish_options();
    ok(read_header(path, &h) && h.gcpercent == UINT64_MAX && h.memprofilerate == 8192 &&
           strstr(h.options, "gcpercent=off"),
       "options that change are there too");
    option_set("gcpercent", "100");
    option_set("memprofilerate", "4KiB");
    ok(memcmp(segment_identity()->name, h.name, sizeof h.name) == 0, "the identity is the same");
}

static void test_unlinked(void)
{
    char path[400], moved[420];
    struct stat before, after;
    own_path(path, sizeof path);
    stat(path, &before);
    snprintf(moved, sizeof moved, "%s.old", path);
    ok(rename(path, moved) == 0, "the file is taken away");
    segment_publish(DUE);
    ok(!own_path(path, sizeof path), "that is looked at once a second");
    nap_ms(1100);
    segment_publish(DUE);
    stat(path, &after);
    ok(own_path(path, sizeof path) && after.st_ino != before.st_ino, "then it is made anew");
    struct md_header h;
    ok(read_header(path, &h) && h.section[MD_SECTION_BUCKETS].count == 6001 &&
           bucket(5000)->key == 5100 && bucket(6000)->key == 6100,
       "with all that there was");
    ok(read_header(moved, &h) && h.control.request == 1u << 31,
       "whoever waits at the old one is told");
    unlink(moved);
    segment_publish(DUE);
    is(moves, 2, "once");
}

/* ---- a fork while another thread makes the file ---- */

static int trap[2] = {-1, -1}; /* pipes: whoever sizes a file says so, and waits for an answer */
static int answer[2];

/* Before libc's, as this program calls it. */
int ftruncate(int fd, off_t length)
{
    char byte = 'x';
    if (trap[1] >= 0 && (write(trap[1], &byte, 1) != 1 || read(answer[0], &byte, 1) != 1))
        return -1;
    return (int)syscall(SYS_ftruncate, fd, length);
}

static void *make_anew(void *unused)
{
    segment_publish(DUE);
    return unused;
}

static unsigned open_segments(void)
{
    char link[300], target[400];
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        count += strstr(target, ".mdseg") != NULL;
    }
    return count;
}

static unsigned mapped_segments(void)
{
    char line[600];
    unsigned count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps))
        count += strstr(line, ".mdseg") != NULL;
    if (maps)
        fclose(maps);
    return count;
}

static int look_in_copy(void *inherited)
{
    if (open_segments() != 1)
        return 99; /* that is what it is about */
    (void)inherited;
    return segment_check() ? (int)(open_segments() * 10 + mapped_segments()) : 98;
}

static void test_fork_beside(void)
{
    char path[400], byte = 'x';
    pthread_t thread;
    nap_ms(1100);
    if (!own_path(path, sizeof path) || unlink(path) != 0 || pipe(trap) != 0 || pipe(answer) != 0 ||
        pthread_create(&thread, NULL, make_anew, NULL) != 0)
        return;
    int told = trap[1];
    ok(read(trap[0], &byte, 1) == 1, "another thread makes the file");
    is(in_copy(look_in_copy, NULL), 0, "a copy forked meanwhile keeps neither it nor its lock");
    trap[1] = -1;
    ok(write(answer[1], &byte, 1) == 1 && pthread_join(thread, NULL) == 0 &&
           own_path(path, sizeof path),
       "it is made all the same");
    for (int i = 0; i < 2; i++)
        close(answer[i]);
    close(trap[0]);
    close(told);
}

/* In the copy, made by whatever means. */
static int in_child(pid_t parent)
{
    char path[400], parents[400];
    struct md_header h;
    if (!segment_forked())
        return 1;
    if (!segment_check() || forks != 1 || segment_forked())
        return 2;
    if (inherited_size != 100)
        return 3; /* the parent's tables were not to be read */
    if (segment_header()->section[MD_SECTION_BUCKETS].count != 0 ||
        !segment_grow(MD_SECTION_BUCKETS, 1) || bucket(0)->key != 0)
        return 4;
    if (!put_bucket(0, 999))
        return 5;
    if (segment_counters()->alloc_bytes != 1000 || segment_counters()->cycles != 0)
        return 6;
    segment_publish(DUE);
    if (!own_path(path, sizeof path) || !read_header(path, &h))
        return 7;
    if (h.pid != (uint32_t)getpid() || h.parent_pid != (uint32_t)parent ||
        !(h.flags & MD_FLAG_FORKED) || (h.flags & MD_FLAG_THREAD) || !(h.flags & MD_FLAG_TRACKED))
        return 8;
    if (h.start_ticks != os_start_ticks() || h.section[MD_SECTION_BUCKETS].count != 1)
        return 9;
    struct md_cycle cycle = {.flags = 0};
    segment_add_cycle(&cycle);
    if (cycle.number != 1 || cycle.index != 0)
        return 10;
    segment_fini();
    if (own_path(path, sizeof path))
        return 11;
    (void)parents;
    return 0;
}

static void test_fork(const char *how)
{
    char path[400];
    struct md_header h;
    pid_t parent = getpid(), pid;
    if (strcmp(how, "fork") == 0)
        pid = fork();
    else if (strcmp(how, "_Fork") == 0)
        pid = _Fork();
    else
        pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        alarm(STUCK_SECONDS);
        _exit(in_child(parent));
    }
    int status = -1;
    waitpid(pid, &status, 0);
    is(status, 0, "%s: a copy has tables and a file of its own", how);
    ok(own_path(path, sizeof path) && read_header(path, &h) && h.pid == (uint32_t)parent &&
           h.section[MD_SECTION_BUCKETS].count == 6001 && bucket(0)->key == 100 && forks == 0,
       "%s: the parent's is as it was", how);
}

/* A copy that says nothing until it ends, and one that was told to be silent. */
static int silent(void *argument)
{
    char path[400];
    (void)argument;
    segment_disable();
    segment_publish(DUE);
    segment_fini();
    return segment_check() || own_path(path, sizeof path) || forks;
}

static int ends_at_once(void *argument)
{
    (void)argument;
    segment_fini(); /* must not remove the parent's */
    return 0;
}

static unsigned torn, seen, going = 1;

/* Reads as a reader of the file does. */
static void *read_cycles(void *argument)
{
    struct md_cycle *ring = argument, copy;
    while (__atomic_load_n(&going, __ATOMIC_ACQUIRE))
        for (unsigned i = 0; i < segment_capacity(MD_SECTION_CYCLES); i++) {
            uint32_t seq = __atomic_load_n(&ring[i].seq, __ATOMIC_ACQUIRE);
            if (seq == 0 || seq & 1)
                continue;
            memcpy(&copy, &ring[i], sizeof copy);
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if (__atomic_load_n(&ring[i].seq, __ATOMIC_RELAXED) != seq)
                continue;
            seen++;
            uint64_t n = copy.index;
            torn += copy.start_ns != n * 3 || copy.unreachable_bytes != n * 5 ||
                    copy.threads != (uint32_t)n || copy.index % 256 != i;
        }
    return NULL;
}

static void test_cycles(void)
{
    uint64_t capacity = segment_capacity(MD_SECTION_CYCLES);
    unsigned wrong = 0;
    pthread_t reader;
    struct md_cycle *ring = segment_table(MD_SECTION_CYCLES);
    for (unsigned i = 0; i < 40000; i++) {
        struct md_cycle cycle = {.start_ns = i * UINT64_C(3),
                                 .unreachable_bytes = i * UINT64_C(5),
                                 .threads = i,
                                 .flags = i % 10 == 9 ? MD_CYCLE_SKIPPED : 0};
        segment_add_cycle(&cycle);
        wrong += cycle.index != i || cycle.number != (i % 10 == 9 ? 0 : i - i / 10 + 1);
        if (i == capacity) {
            ring = segment_table(MD_SECTION_CYCLES);
            if (!WITH_TSAN) /* a reader that races on purpose */
                pthread_create(&reader, NULL, read_cycles, ring);
        }
    }
    __atomic_store_n(&going, 0, __ATOMIC_RELEASE);
    if (!WITH_TSAN) {
        pthread_join(reader, NULL);
        ok(torn == 0, "of %u records read beside the writer %u were torn", seen, torn);
    }
    is(wrong, 0, "cycles are numbered from 1 without gaps, skips have none");
    for (uint64_t i = 40000 - capacity; i < 40000; i++)
        wrong += ring[i % capacity].index != i || ring[i % capacity].seq & 1 ||
                 ring[i % capacity].start_ns != i * 3;
    is(wrong, 0, "the ring holds the last ones");
    is(segment_header()->section[MD_SECTION_CYCLES].count, 40000, "and counts all");
    ok(segment_counters()->cycles == 36000 && segment_counters()->skips == 4000, "by kind");
}

static void *publish(void *argument)
{
    (void)argument;
    for (int i = 0; i < 20000; i++) {
        COUNT_ADD(alloc_objects, 1);
        segment_publish(DUE);
        segment_hold(true);
        segment_hold(false);
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, publish, NULL);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    segment_publish(DUE);
    is(segment_header()->counters.alloc_objects, 80000, "threads count and publish at once");
}

static unsigned files(void)
{
    unsigned n = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));)
        n += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

static int dies(void *argument)
{
    (void)argument;
    segment_check();
    segment_publish(DUE);
    raise(SIGKILL);
    return 1;
}

/* A copy that publishes where there is no room: nothing but a loss. */
static int no_room(void *argument)
{
    char path[400];
    (void)argument;
    if (!private_tmpfs(folder, "size=64k") || !private_tmpfs("/run", "size=64k"))
        return CANNOT_MOUNT;
    /* The third place, and a memfd, may serve; the first must not be written to. */
    if (!segment_check())
        return 1;
    segment_publish(DUE);
    if (own_path(path, sizeof path) || files() != 0)
        return 2;
    return put_bucket(100, 7) && bucket(100)->key == 7 ? 0 : 3;
}

/* It fills up afterwards: growing is refused, and what is there stays good. */
static int fills_up(void *argument)
{
    char path[400], filler[400], page[4096] = "x";
    (void)argument;
    if (!private_tmpfs(folder, "size=16m"))
        return CANNOT_MOUNT;
    if (!segment_check())
        return 1;
    segment_publish(DUE);
    if (!own_path(path, sizeof path) || !put_bucket(0, 42))
        return 2;
    snprintf(filler, sizeof filler, "%s/filler", folder);
    int fd = open(filler, O_WRONLY | O_CREAT, 0600);
    while (write(fd, page, sizeof page) > 0)
        ;
    uint32_t i = 1;
    while (i < 100000 && put_bucket(i, 42))
        i++;
    if (i == 100000 || i < 2 || bucket(i - 1)->key != 42)
        return 3;
    /* Room again: it goes on. */
    close(fd);
    unlink(filler);
    return put_bucket(i, 43) && bucket(i)->key == 43 ? 0 : 4;
}

int main(void)
{
    static char text[256];
    char path[400];
    if (!mkdtemp(folder)) {
        tap_skip("all", "/dev/shm cannot be written to");
        return tap_done();
    }
    snprintf(text, sizeof text, "memprofilerate=4KiB,keepdead=3,dir=%s", folder);
    options_parse(text);
    segment_move_lock = move_lock;
    segment_on_fork = on_fork;
    if (!ok(segment_init(MD_FLAG_TRACKED), "it begins"))
        return tap_done();
    test_private();
    test_file();
    test_unlinked();
    if (tap_emulated("copies", "MADV_WIPEONFORK")) {
        test_cycles();
        test_threads();
        segment_fini();
        rmdir(folder);
        return tap_done();
    }
    test_fork_beside();
    test_fork("fork");
    test_fork("_Fork");
    if (SANITIZED)
        tap_skip("raw clone", "a sanitizer must see it");
    else
        test_fork("clone");
    is(in_copy(silent, NULL), 0, "a copy that is told to records nothing");
    is(in_copy(ends_at_once, NULL), 0, "one that ends at once");
    ok(own_path(path, sizeof path), "leaves the parent's file alone");
    test_cycles();
    test_threads();

    for (int i = 0; i < 8; i++)
        in_copy(dies, NULL);
    unsigned left = files();
    ok(left >= 4 && left <= 5, "of eight that died keepdead=3 stay, the last, and ours: %u", left);

    int result = in_copy(no_room, NULL);
    if (result == CANNOT_MOUNT) {
        tap_skip("a full tmpfs", "not allowed to mount one");
    } else {
        is(result, 0, "no room for a file: it goes on in private memory");
        is(in_copy(fills_up, NULL), 0, "a tmpfs that fills up: refused, no signal");
    }
    segment_fini();
    ok(!own_path(path, sizeof path), "at the end the file goes");
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
    rmdir(folder);
    return tap_done();
}
