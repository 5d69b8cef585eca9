#include "segment/place.h"

#include "base/compiler.h"
#include "base/dirents.h"
#include "base/fmt.h"
#include "base/message.h"
#include "base/options.h"
#include "base/os.h"
#include "base/rng.h"
#include "memdebug/segment.h"
#include "segment/tables.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEAD_BYTES_KEPT (64u << 20)

static bool on_tmpfs(const char *dir, uint64_t *free_bytes)
{
    struct statfs fs;
    if (statfs(dir, &fs) != 0)
        return false;
    *free_bytes = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
    if (fs.f_blocks == 0) /* a tmpfs without a limit */
        *free_bytes = UINT64_MAX;
    return fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
}

/* A directory that only this user can have filled: own uid, no symlink, not writable by others. */
static bool own_directory(const char *dir)
{
    struct stat st;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return false;
    return lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           (st.st_mode & 022) == 0;
}

/* Whether there is room for a segment; fills `place`. */
static bool try_directory(struct place *place, const char *dir, uint64_t most)
{
    uint64_t free_bytes;
    if (strlen(dir) >= sizeof place->dir || !on_tmpfs(dir, &free_bytes))
        return false;
    place->budget = MIN(most, free_bytes / 16) & ~(uint64_t)(OS_PAGE - 1);
    if (place->budget < TABLES_MIN)
        return false;
    strcpy(place->dir, dir);
    return true;
}

/* ---- files that others may have put there ---- */

/* Nothing is opened before it is known to be a plain file of `uid`: to open a FIFO may wait for
 * ever, and a device may act.  Where others may exchange it in between (a shared directory that is
 * not sticky), the flags keep the opening from waiting, and what was opened is looked at again.
 * Returns a descriptor or -errno. */
static int open_own_file(int dir, const char *name, uid_t uid, struct stat *st)
{
    if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) != 0)
        return -errno;
    if (!S_ISREG(st->st_mode) || st->st_uid != uid)
        return -EPERM;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    if (fstat(fd, st) != 0 || !S_ISREG(st->st_mode) || st->st_uid != uid) {
        close(fd);
        return -EPERM;
    }
    return fd;
}

/* The lock that tells that a segment's process lives.  It belongs to the open file, which the
 * mapping keeps open: no descriptor is needed, the kernel lets go of it when the last mapping ends,
 * however the process dies, and it is seen from every PID namespace. */
static struct flock life_lock(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

/* Where it cannot be found out: yes. */
static bool in_use(int fd)
{
    struct flock lock = life_lock();
    return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

/* Whether our name is free, or held by a file that an image before exec has left, which tells how
 * many there were.  Else it is somebody's who wants to be in our way, or a process's of another PID
 * namespace with our number and our start time. */
static bool name_is_ours(struct place *place, uint32_t pid)
{
    struct stat st;
    struct md_header old;
    place->exec_generation = 0;
    int fd = open_own_file(AT_FDCWD, place->path, geteuid(), &st);
    if (fd < 0)
        return fd == -ENOENT;
    /* In use after exec: by a forked copy that has no segment of its own yet. */
    bool ours = !in_use(fd);
    if (pread(fd, &old, sizeof old, 0) == (ssize_t)sizeof old &&
        memcmp(old.magic, MD_SEGMENT_MAGIC, sizeof old.magic) == 0 && old.pid == pid)
        place->exec_generation = old.exec_generation + 1;
    close(fd);
    return ours;
}

/* DIR/PID-START[.TAG]SUFFIX; tag 0: none. */
static void name_file(char *path, size_t size, const char *dir, const struct md_header *who,
                      uint64_t tag, const char *suffix)
{
    struct fmt f = fmt_on(path, size);
    fmt_text(&f, dir);
    fmt_char(&f, '/');
    fmt_u64(&f, who->pid);
    fmt_char(&f, '-');
    fmt_u64(&f, who->start_ticks);
    if (tag) {
        fmt_char(&f, '.');
        fmt_hex(&f, tag);
    }
    fmt_text(&f, suffix);
}

/* A file without its final name, locked as one that is in use.  Its name until then, and the final
 * one where that is taken, cannot be guessed.  A descriptor or -errno. */
static int create(struct place *place, const struct md_header *who)
{
    struct rng rng;
    struct flock lock = life_lock();
    rng_seed(&rng, (uint64_t)os_now_ns() ^ (uintptr_t)&rng);
    uint64_t tag = rng_next(&rng) | 1;
    name_file(place->path, sizeof place->path, place->dir, who, 0, MD_SEGMENT_SUFFIX);
    if (!name_is_ours(place, who->pid))
        name_file(place->path, sizeof place->path, place->dir, who, tag, MD_SEGMENT_SUFFIX);
    name_file(place->temporary, sizeof place->temporary, place->dir, who, tag,
              MD_SEGMENT_SUFFIX MD_SEGMENT_UNFINISHED);
    int fd = open(place->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return fd;
    int error = -errno;
    unlink(place->temporary);
    close(fd);
    return error;
}

static int create_in(struct place *place, const char *dir, const struct md_header *who,
                     uint64_t most)
{
    return try_directory(place, dir, most) ? create(place, who) : -ENOENT;
}

int place_open(struct place *place, const struct md_header *who, uint64_t most)
{
    char dir[sizeof place->dir];
    int fd = -ENOENT;
    memset(place, 0, sizeof *place);
    if (most < TABLES_MIN)
        return -EFBIG;
    struct fmt f = fmt_on(dir, sizeof dir);
    fmt_path(&f, option_text(OPTION_DIR), who->pid, who->name);
    if (*dir) {
        fd = create_in(place, dir, who, most);
        if (fd < 0)
            message("MEMDEBUG: dir: no writable directory on a tmpfs with room there, the usual "
                    "places are used");
    }
    if (fd < 0)
        fd = create_in(place, "/run/memdebug", who, most);
    if (fd < 0) {
        f = fmt_on(dir, sizeof dir);
        fmt_text(&f, "/dev/shm/memdebug-");
        fmt_u64(&f, geteuid());
        if (own_directory(dir))
            fd = create_in(place, dir, who, most);
    }
    /* Another user has taken that name, or it has been opened to others. */
    if (fd < 0)
        fd = create_in(place, "/dev/shm", who, most);
    if (fd >= 0)
        return fd;
    memset(place, 0, sizeof *place);
    place->budget = most;
    fd = (int)syscall(SYS_memfd_create, "memdebug", MFD_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

int place_publish(const struct place *place)
{
    if (!place->path[0])
        return 0;
    return rename(place->temporary, place->path) == 0 ? 0 : errno;
}

/* ---- the dead ---- */

/* PID-START[.TAG].mdseg, and the same of one that was never finished. */
static bool is_segment_name(const char *name)
{
    const char *suffix = strstr(name, MD_SEGMENT_SUFFIX);
    return suffix && suffix > name && *name >= '0' && *name <= '9' &&
           (strcmp(suffix, MD_SEGMENT_SUFFIX) == 0 ||
            strcmp(suffix, MD_SEGMENT_SUFFIX MD_SEGMENT_UNFINISHED) == 0);
}

#define WINDOW_BYTES 4096u /* of a directory */
#define WINDOW_MAX 128     /* names that it can hold: 32 bytes each at least */

struct dead {
    const char *name;
    int64_t changed_ns;
    uint64_t bytes;
};

/* What one look at a directory needs. */
struct window {
    struct dead dead[WINDOW_MAX];
    char entries[WINDOW_BYTES] DIRENTS_ALIGNED;
};

/* The dead of the window, the last changed first. */
static unsigned find_dead(int dir, struct window *window, long bytes)
{
    unsigned count = 0;
    uid_t uid = geteuid();
    struct dirents entries = {window->entries, window->entries + bytes};
    for (const struct dirent_record *entry;
         count < WINDOW_MAX && (entry = dirents_next(&entries));) {
        struct stat st;
        if (!is_segment_name(entry->name))
            continue;
        int fd = open_own_file(dir, entry->name, uid, &st);
        if (fd < 0)
            continue;
        bool dead = !in_use(fd);
        close(fd);
        if (!dead)
            continue;
        struct dead d = {entry->name, st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
                         (uint64_t)st.st_blocks * 512};
        unsigned i = count++;
        for (; i > 0 && window->dead[i - 1].changed_ns < d.changed_ns; i--)
            window->dead[i] = window->dead[i - 1];
        window->dead[i] = d;
    }
    return count;
}

/* One look, from where `dir` is positioned.  Returns where it ended, 0 at the directory's end;
 * `removed` counts. */
static int64_t clean_window(int dir, struct window *window, uint64_t keep, unsigned *removed)
{
    long n = syscall(SYS_getdents64, dir, window->entries, sizeof window->entries);
    if (n <= 0)
        return 0;
    uint64_t bytes = 0;
    unsigned count = find_dead(dir, window, n);
    for (unsigned i = 0; i < count; i++) {
        bytes += window->dead[i].bytes;
        if (i >= keep || bytes > DEAD_BYTES_KEPT)
            *removed += unlinkat(dir, window->dead[i].name, 0) == 0;
    }
    int64_t next = 0;
    struct dirents entries = {window->entries, window->entries + n};
    for (const struct dirent_record *entry; (entry = dirents_next(&entries));)
        next = entry->next;
    /* With room left for the longest name there was nothing more. */
    return n > (long)(WINDOW_BYTES - offsetof(struct dirent_record, name) - NAME_MAX - 8) ? next
                                                                                          : 0;
}

/* One look from `walk` on, which is moved behind it. */
static void look(const struct place *place, uint64_t keep, struct place_walk *walk)
{
    /* Not on the stack: this runs in an allocation of the program's, whose stack may be small. */
    struct window *window = own_map(sizeof *window);
    int dir = open(place->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int64_t next = 0;
    if (window && dir >= 0 && (!walk->at || lseek(dir, walk->at, SEEK_SET) >= 0))
        next = clean_window(dir, window, keep, &walk->removed);
    walk->at = next;
    walk->windows++;
    if (dir >= 0)
        close(dir);
    if (window)
        own_unmap(window, sizeof *window);
}

/* A position somewhere in the directory.  tmpfs counts them up with each file made (Linux 6.6), or
 * numbers what is there, of which its size tells: 20 bytes each. */
static int64_t somewhere(const struct place *place, int64_t known)
{
    struct stat st;
    struct rng rng;
    int64_t span = stat(place->dir, &st) == 0 ? MAX(known, st.st_size / 20) : known;
    rng_seed(&rng, (uint64_t)os_now_ns() ^ (uintptr_t)&rng);
    return (int64_t)(rng_next(&rng) % (uint64_t)span) + 1;
}

bool place_clean(const struct place *place, uint64_t keep)
{
    struct place_walk walk = {0};
    if (!place->dir[0])
        return false;
    look(place, keep, &walk);
    if (!walk.at)
        return false;
    walk.at = somewhere(place, walk.at);
    look(place, keep, &walk);
    return true;
}

bool place_clean_on(const struct place *place, uint64_t keep, struct place_walk *walk)
{
    if (!place->dir[0])
        return false;
    look(place, keep, walk);
    if (walk->at)
        return true;
    /* Each window has kept its newest: what they are together shows in another walk. */
    bool again = walk->removed > 0 && walk->windows > 1;
    *walk = (struct place_walk){0};
    return again;
}
