/* Where the segment file lives, its name, and which dead ones go.  Everything happens in a folder
 * of this test's own on /dev/shm. */
#include "base/fmt.h"
#include "base/options.h"
#include "base/os.h"
#include "core_test.h"
#include "segment/place.h"
#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>

#define BUDGET ((uint64_t)1 << 20)

static char folder[] = "/dev/shm/test_place-XXXXXX";
static struct md_header who;

static void set_dir(const char *dir)
{
    static char text[1024];
    snprintf(text, sizeof text, "dir=%s", dir);
    options_parse(text);
}

static bool there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void test_open(void)
{
    struct place place;
    struct stat st;
    char expected[400];
    set_dir(folder);
    int fd = place_open(&place, &who, BUDGET);
    if (!ok(fd >= 0 && strcmp(place.dir, folder) == 0, "a file in the folder that is given"))
        return;
    snprintf(expected, sizeof expected, "%s/%d-%llu.mdseg", folder, getpid(),
             (unsigned long long)who.start_ticks);
    ok(strcmp(place.path, expected) == 0, "named by pid and start time");
    fstat(fd, &st);
    ok(st.st_size == 0 && (st.st_mode & 07777) == 0600 && st.st_uid == geteuid(),
       "empty, for this user alone");
    ok(fcntl(fd, F_GETFD) & FD_CLOEXEC, "not for children by exec");
    ok(!there(place.path) && there(place.temporary), "it does not have its name yet");
    is(place.budget, (long long)BUDGET, "as large as wanted");
    is(place.exec_generation, 0, "the first image");
    memcpy(who.magic, MD_SEGMENT_MAGIC, 8);
    who.exec_generation = 4;
    ok(write(fd, &who, sizeof who) == sizeof who, "a header is written");
    is(place_publish(&place), 0, "published");
    ok(there(place.path) && !there(place.temporary), "it has its name");
    is(place_publish(&place), ENOENT, "a second time there is nothing to publish");
    close(fd);

    /* As after exec: the same process meets its own file. */
    fd = place_open(&place, &who, BUDGET);
    is(place.exec_generation, 5, "the next image counts on");
    ok(strcmp(place.path, expected) == 0, "under the same name");
    close(fd); /* a temporary file is left behind */
    strcpy(expected, place.temporary);
    fd = place_open(&place, &who, BUDGET);
    ok(fd >= 0 && strcmp(place.temporary, expected) != 0,
       "what is left of an attempt is no obstacle");
    close(fd);
    unlink(expected);
    unlink(place.temporary);
    who.pid++; /* a file of another process under our name */
    fd = open(place.path, O_WRONLY);
    ok(write(fd, &who, sizeof who) == sizeof who, "a header of another process");
    who.pid--;
    close(fd);
    fd = place_open(&place, &who, BUDGET);
    is(place.exec_generation, 0, "a file of another process tells nothing");
    close(fd);
    unlink(place.temporary);
    unlink(place.path);
}

/* What others may plant under the name that will be wanted. */
enum plant { FIFO, SOCKET, DIRECTORY, DANGLING, TO_DEVICE, SOMEBODY, IN_USE, PLANTS };
static const char *const plant_names[PLANTS] = {
    "a FIFO",
    "a socket",
    "a directory",
    "a dangling link",
    "a link to a device",
    "a file of another user",
    "a file that a process in another PID namespace uses",
};

static bool plant(enum plant kind, const char *path)
{
    int fd;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    switch (kind) {
    case FIFO:
        return mkfifo(path, 0666) == 0;
    case SOCKET:
        return mknod(path, S_IFSOCK | 0666, 0) == 0;
    case DIRECTORY:
        return mkdir(path, 0777) == 0;
    case DANGLING:
        return symlink("nowhere", path) == 0;
    case TO_DEVICE:
        return symlink("/dev/zero", path) == 0;
    case SOMEBODY:
        fd = open(path, O_RDWR | O_CREAT, 0666);
        return fd >= 0 && fchown(fd, 65534, 65534) == 0 && close(fd) == 0;
    default:
        fd = open(path, O_RDWR | O_CREAT, 0600); /* kept: the lock lasts */
        return fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0;
    }
}

static void test_planted(void)
{
    struct place place;
    struct stat before, after;
    char wanted[400], prefix[400];
    snprintf(wanted, sizeof wanted, "%s/%d-%llu.mdseg", folder, getpid(),
             (unsigned long long)who.start_ticks);
    snprintf(prefix, sizeof prefix, "%s/%d-%llu.", folder, getpid(),
             (unsigned long long)who.start_ticks);
    set_dir(folder);
    for (enum plant kind = 0; kind < PLANTS; kind++) {
        if (!plant(kind, wanted)) {
            tap_skip(plant_names[kind], "it cannot be made here");
            continue;
        }
        lstat(wanted, &before);
        int fd = place_open(&place, &who, BUDGET);
        bool published = fd >= 0 && place_publish(&place) == 0;
        ok(published && strcmp(place.dir, folder) == 0 && strcmp(place.path, wanted) != 0 &&
               strncmp(place.path, prefix, strlen(prefix)) == 0 && there(place.path),
           "%s under the name that is wanted: another name", plant_names[kind]);
        place_clean(&place, 0);
        ok(lstat(wanted, &after) == 0 && after.st_ino == before.st_ino && there(place.path),
           "and it is left alone, as is the new one");
        close(fd);
        unlink(place.path);
        remove(wanted);
    }
}

static void test_patterns(void)
{
    struct place place;
    char dir[300], pattern[300];
    snprintf(dir, sizeof dir, "%s/x-%u-some_name", folder, who.pid);
    mkdir(dir, 0700);
    snprintf(pattern, sizeof pattern, "%s/x-{pid}-%%e", folder);
    set_dir(pattern);
    int fd = place_open(&place, &who, BUDGET);
    ok(fd >= 0 && strcmp(place.dir, dir) == 0, "{pid} and %%e in the folder's name");
    close(fd);
    unlink(place.temporary);
    rmdir(dir);
}

/* One that cannot be used: a line is said, and another place or a memfd is found. */
static void test_unusable(void)
{
    struct statfs fs;
    struct place place;
    const char *dirs[] = {"/nowhere/at/all", "/proc", "/etc/passwd", "/"};
    for (unsigned i = 0; i < 4; i++) {
        if (statfs(dirs[i], &fs) == 0 && fs.f_type == 0x01021994) {
            tap_skip(dirs[i], "it is on a tmpfs");
            continue;
        }
        set_dir(dirs[i]);
        int fd = place_open(&place, &who, BUDGET);
        ok(fd >= 0 && strcmp(place.dir, dirs[i]) != 0 && place.budget > 0, "dir=%s: another place",
           dirs[i]);
        close(fd);
        if (place.temporary[0])
            unlink(place.temporary);
    }
}

static int no_place(void *argument)
{
    struct place place;
    (void)argument;
    if (!private_tmpfs("/run", "size=64k") || !private_tmpfs("/dev/shm", "size=64k"))
        return CANNOT_MOUNT;
    set_dir("");
    int fd = place_open(&place, &who, BUDGET);
    bool good = fd >= 0 && !place.path[0] && !place.dir[0] && place.budget == BUDGET &&
                place_publish(&place) == 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC);
    place_clean(&place, 0); /* nowhere */
    return good ? 0 : 1;
}

static int usual_places(void *argument)
{
    struct place place;
    char dir[64];
    struct stat st;
    (void)argument;
    if (!private_tmpfs("/run", "size=64m") || !private_tmpfs("/dev/shm", "size=64m"))
        return CANNOT_MOUNT;
    set_dir("");
    snprintf(dir, sizeof dir, "/dev/shm/memdebug-%u", geteuid());
    if (place_open(&place, &who, BUDGET) < 0 || strcmp(place.dir, dir) != 0)
        return 1;
    if (stat(dir, &st) != 0 || (st.st_mode & 07777) != 0700)
        return 2;
    unlink(place.temporary);
    /* A sixteenth of what is free, in pages. */
    if (place_open(&place, &who, 1 << 30) < 0 || place.budget % OS_PAGE || place.budget > 4 << 20 ||
        place.budget < 3 << 20)
        return 3;
    unlink(place.temporary);
    mkdir("/run/memdebug", 0700);
    if (place_open(&place, &who, BUDGET) < 0 || strcmp(place.dir, "/run/memdebug") != 0)
        return 4;
    unlink(place.temporary);
    rmdir("/run/memdebug");
    /* Others may write there: not ours. */
    chmod(dir, 0777);
    if (place_open(&place, &who, BUDGET) < 0 || strcmp(place.dir, "/dev/shm") != 0)
        return 5;
    chmod(dir, 0700);
    if (chown(dir, geteuid() + 1, (gid_t)-1) == 0 &&
        (place_open(&place, &who, BUDGET) < 0 || strcmp(place.dir, "/dev/shm") != 0))
        return 6;
    rmdir(dir);
    mkdir("/dev/shm/trap", 0700);
    if (symlink("/dev/shm/trap", dir) != 0 || place_open(&place, &who, BUDGET) < 0 ||
        strcmp(place.dir, "/dev/shm") != 0)
        return 7;
    return 0;
}

/* A dead process's file of so many bytes, last changed `age` seconds ago. */
static void leave(const char *name, int age, size_t bytes)
{
    char path[400], block[65536] = "x";
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (size_t n; bytes && fd >= 0; bytes -= n) {
        n = bytes < sizeof block ? bytes : sizeof block;
        if (write(fd, block, n) != (ssize_t)n)
            break;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec -= age;
    futimens(fd, (struct timespec[]){now, now});
    close(fd);
}

static bool left(const char *name)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return there(path);
}

/* Files in the folder; removes them if asked to. */
static unsigned files(bool clear)
{
    unsigned n = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.') {
            n++;
            if (clear)
                unlinkat(dirfd(dir), e->d_name, 0);
        }
    if (dir)
        closedir(dir);
    return n;
}

/* Pids that cannot be: above the kernel's limit of 4194304. */
static const char *dead_name(unsigned i)
{
    static char name[64];
    snprintf(name, sizeof name, "%u-%u.mdseg", 5000000 + i, i + 1);
    return name;
}

/* The whole directory; how many looks that took. */
static unsigned clean_all(const struct place *place, uint64_t keep)
{
    struct place_walk walk = {0};
    unsigned looks = 1;
    while (place_clean_on(place, keep, &walk))
        looks++;
    return looks;
}

static void test_clean(void)
{
    struct place place = {.budget = 0};
    unsigned wrong = 0;
    char path[400];
    const char *alive = "4999999-1.mdseg", *unfinished = "4999998-1.abcdef.mdseg.new";
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    strcpy(place.dir, folder);
    files(true);
    for (unsigned i = 0; i < 20; i++) /* in no order of age */
        leave(dead_name(i * 7 % 20), (int)(i * 7 % 20) * 10, 5000);
    leave("notes.txt", 9999, 10);
    leave("5000001-1.mdsegx", 9999, 10);
    leave("notes.mdseg", 9999, 10);
    leave(unfinished, 9999, 10);
    leave(alive, 9999, OS_PAGE);
    /* As a segment is held: by a mapping alone. */
    snprintf(path, sizeof path, "%s/%s", folder, alive);
    int fd = open(path, O_RDWR);
    fcntl(fd, F_OFD_SETLK, &lock);
    void *mapped = mmap(NULL, OS_PAGE, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    uint64_t own = own_bytes();
    place_clean(&place, 5);
    for (unsigned i = 0; i < 20; i++)
        wrong += left(dead_name(i)) != (i < 5);
    is(wrong, 0, "of twenty dead ones the newest five stay");
    ok(left(alive), "so does a file that a process has mapped, whatever its number");
    ok(!left(unfinished), "what was never finished goes as the others do");
    ok(left("notes.txt") && left("5000001-1.mdsegx") && left("notes.mdseg"),
       "what has no segment's name stays");
    is(own_bytes(), own, "nothing is left mapped");
    unsigned before = files(false);
    place_clean(&place, 5);
    is(files(false), before, "once more changes nothing");
    place_clean(&place, 0);
    ok(!left(dead_name(0)) && left(alive), "0 keeps none of the dead");
    munmap(mapped, OS_PAGE);
    place_clean(&place, 0);
    ok(!left(alive), "when its last mapping has ended it is one of them");
    files(true);

    for (unsigned i = 0; i < 5; i++)
        leave(dead_name(i), (int)i * 10, 20 << 20);
    place_clean(&place, 16);
    ok(left(dead_name(2)) && !left(dead_name(3)) && !left(dead_name(4)),
       "no more than 64 MiB of dead ones");
    files(true);

    /* More than one look sees: it is bounded, and the whole comes to the same in the end. */
    for (unsigned k = 0; k < 2; k++) {
        unsigned keep = k ? 100000 : 16, count = 1500;
        for (unsigned i = 0; i < count; i++)
            leave(dead_name(i * 7 % count), (int)(i * 7 % count), 0);
        ok(place_clean(&place, keep) && files(false) >= count - 256,
           "keepdead=%u of %u dead ones: not all are looked at", keep, count);
        unsigned looks = clean_all(&place, keep), stayed = 0;
        while (stayed < count && left(dead_name(stayed)))
            stayed++;
        if (k)
            ok(files(false) >= count - 256, "and all of those stay");
        else
            ok(stayed == keep && files(false) == keep,
               "in %u looks it comes to the newest %u (%u stay)", looks, keep, files(false));
        files(true);
    }

    /* Those who want us to look long: files of other users, in front of a dead one of ours. */
    leave(dead_name(0), 10, 0);
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(path, sizeof path, "%s/%u-1.mdseg", folder, 6000000 + i);
        if (!plant(i % 2 ? FIFO : SOMEBODY, path))
            break;
    }
    unsigned all = files(false);
    is(clean_all(&place, 0) > 10, true, "two thousand files of others are walked past");
    is(files(false), all - 1, "and the one dead file of ours goes");
    files(true);
}

int main(void)
{
    char shm[] = "/dev/shm";
    struct statfs fs;
    options_parse(NULL);
    who.pid = (uint32_t)getpid();
    who.start_ticks = os_start_ticks();
    strcpy(who.name, "some_name");
    if (statfs(shm, &fs) != 0 || fs.f_type != 0x01021994 || !mkdtemp(folder)) {
        tap_skip("all", "/dev/shm is no tmpfs that we can write to");
        return tap_done();
    }
    test_open();
    test_planted();
    test_patterns();
    test_unusable();
    test_clean();
    rmdir(folder);
    int result = in_copy(no_place, NULL);
    if (result == CANNOT_MOUNT) {
        tap_skip("the usual places", "not allowed to mount a tmpfs");
        return tap_done();
    }
    is(result, 0, "with no room anywhere a file without a name");
    is(in_copy(usual_places, NULL), 0, "the usual places, if they are ours, in their order");
    return tap_done();
}
