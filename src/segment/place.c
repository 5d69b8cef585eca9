#include "segment/place.h"

#include "base/compiler.h"
#include "base/fmt.h"
#include "base/message.h"
#include "base/options.h"
#include "base/os.h"
#include "memdebug/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEAD_BYTES_KEPT (64u << 20)
#define BUDGET_LEAST (256u << 10)

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

static bool try_directory(struct place *place, const char *dir, uint64_t most)
{
    uint64_t free_bytes;
    if (strlen(dir) >= sizeof place->dir || access(dir, W_OK | X_OK) != 0 ||
        !on_tmpfs(dir, &free_bytes))
        return false;
    place->budget = MIN(most, free_bytes / 16) & ~(uint64_t)(OS_PAGE - 1);
    if (place->budget < BUDGET_LEAST)
        return false;
    strcpy(place->dir, dir);
    return true;
}

static void name_files(struct place *place, uint64_t start_ticks)
{
    struct fmt f = fmt_on(place->path, sizeof place->path);
    fmt_text(&f, place->dir);
    fmt_char(&f, '/');
    fmt_u64(&f, (uint64_t)getpid());
    fmt_char(&f, '-');
    fmt_u64(&f, start_ticks);
    fmt_text(&f, MD_SEGMENT_SUFFIX);
    f = fmt_on(place->temporary, sizeof place->temporary);
    fmt_text(&f, place->path);
    fmt_text(&f, ".new");
}

/* The file that an image before exec left under our name tells how many there were. */
static uint32_t next_generation(const char *path)
{
    char old[offsetof(struct md_header, section)];
    uint32_t pid, generation;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, old, sizeof old);
    close(fd);
    memcpy(&pid, old + offsetof(struct md_header, pid), sizeof pid);
    memcpy(&generation, old + offsetof(struct md_header, exec_generation), sizeof generation);
    bool ours = n == (ssize_t)sizeof old && memcmp(old, MD_SEGMENT_MAGIC, 8) == 0 &&
                pid == (uint32_t)getpid();
    return ours ? generation + 1 : 0;
}

int place_open(struct place *place, const struct md_header *who, uint64_t most)
{
    char given[sizeof place->dir];
    struct fmt f = fmt_on(given, sizeof given);
    fmt_path(&f, option_text(OPTION_DIR), who->pid, who->name);
    bool found = false;
    memset(place, 0, sizeof *place);
    if (most < BUDGET_LEAST)
        return -EFBIG;
    if (*given) {
        found = try_directory(place, given, most);
        if (!found)
            message("MEMDEBUG: dir: no writable directory on a tmpfs with room there, the usual "
                    "places are used");
    }
    if (!found)
        found = try_directory(place, "/run/memdebug", most);
    if (!found) {
        char dir[64];
        f = fmt_on(dir, sizeof dir);
        fmt_text(&f, "/dev/shm/memdebug-");
        fmt_u64(&f, geteuid());
        found = own_directory(dir) && try_directory(place, dir, most);
    }
    if (found) {
        name_files(place, who->start_ticks);
        place->exec_generation = next_generation(place->path);
        unlink(place->temporary);
        int fd = open(place->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0)
            return fd;
    }
    place->dir[0] = place->path[0] = place->temporary[0] = 0;
    place->budget = most;
    int fd = (int)syscall(SYS_memfd_create, "memdebug", MFD_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

int place_publish(const struct place *place)
{
    if (!place->path[0])
        return 0;
    return rename(place->temporary, place->path) == 0 ? 0 : errno;
}

struct dead {
    char name[64];
    int64_t changed_ns;
    uint64_t bytes;
};

/* Whether PID-START names a process that lives. */
static bool alive(const char *name)
{
    char *end, path[64], stat[1024];
    unsigned long pid = strtoul(name, &end, 10);
    uint64_t start = *end == '-' ? strtoull(end + 1, NULL, 10) : 0;
    struct fmt f = fmt_on(path, sizeof path);
    fmt_text(&f, "/proc/");
    fmt_u64(&f, pid);
    fmt_text(&f, "/stat");
    if (os_read_file(path, stat, sizeof stat) <= 0)
        /* Gone, or of another user behind hidepid: then kill answers EPERM. */
        return kill((pid_t)pid, 0) == 0 || errno == EPERM;
    char *field = strrchr(stat, ')');
    for (int i = 2; field && i < 22; i++)
        field = strchr(field + 1, ' ');
    return !field || strtoull(field + 1, NULL, 10) == start;
}

#define DEAD_MOST 1024 /* files looked at together, and so the most that are kept */
#define ENTRIES_BYTES 4096u

void place_clean(const struct place *place, uint64_t keep)
{
    if (!place->dir[0])
        return;
    /* Not on the stack: this runs in an allocation of the program's, whose stack may be small. */
    size_t size = sizeof(struct dead) * DEAD_MOST + ENTRIES_BYTES;
    struct dead *dead = own_map(size);
    int dir = open(place->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unsigned count = 0;
    char *entries = (char *)(dead + DEAD_MOST);
    long n;
    while (dead && dir >= 0 && (n = syscall(SYS_getdents64, dir, entries, ENTRIES_BYTES)) > 0) {
        for (long at = 0; at < n;) {
            struct {
                uint64_t ino;
                int64_t off;
                uint16_t length;
                uint8_t type;
                char name[];
            } *entry = (void *)(entries + at);
            at += entry->length;
            size_t length = strlen(entry->name);
            struct stat st;
            if (length < sizeof MD_SEGMENT_SUFFIX || length >= sizeof dead->name ||
                strcmp(entry->name + length - strlen(MD_SEGMENT_SUFFIX), MD_SEGMENT_SUFFIX) != 0 ||
                fstatat(dir, entry->name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
                st.st_uid != geteuid() || alive(entry->name))
                continue;
            struct dead d = {.changed_ns = st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
                             .bytes = (uint64_t)st.st_blocks * 512};
            strcpy(d.name, entry->name);
            /* Newest first; what falls off the end of the table is the oldest, and goes. */
            if (count == DEAD_MOST) {
                bool older = d.changed_ns <= dead[count - 1].changed_ns;
                unlinkat(dir, older ? d.name : dead[count - 1].name, 0);
                if (older)
                    continue;
                count--;
            }
            unsigned i = count++;
            for (; i > 0 && dead[i - 1].changed_ns < d.changed_ns; i--)
                dead[i] = dead[i - 1];
            dead[i] = d;
        }
    }
    uint64_t bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        bytes += dead[i].bytes;
        if (i >= keep || bytes > DEAD_BYTES_KEPT)
            unlinkat(dir, dead[i].name, 0);
    }
    if (dir >= 0)
        close(dir);
    if (dead)
        own_unmap(dead, size);
}
