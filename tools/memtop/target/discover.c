#include "discover.h"

#include "view/containers.h"
#include "view/plain_text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Directories of one user in a /dev/shm that are looked into; the library makes one. */
#define DIRECTORIES_OF_USER_MAX 16

/* A growing list of targets, and the directories looked into already. */
struct scan {
    struct targets targets;
    size_t capacity;
    struct pair_map files;      /* (device, inode) of those in the list */
    struct pair_map inherited;  /* the same of those that forked copies have of their parents */
    struct pair_map dir_owners; /* (user, 0) -> its entries in the directory that is looked at */
    char (*dirs)[PATH_MAX];
    size_t dir_count, dir_capacity;
    bool out_of_memory;
};

static struct target *scan_add(struct scan *scan)
{
    struct targets *targets = &scan->targets;
    if (targets->count == scan->capacity) {
        size_t capacity = scan->capacity ? 2 * scan->capacity : 32;
        struct target *grown = realloc(targets->target, capacity * sizeof grown[0]);
        if (!grown) {
            scan->out_of_memory = true;
            return NULL;
        }
        targets->target = grown;
        scan->capacity = capacity;
    }
    struct target *target = &targets->target[targets->count++];
    *target = (struct target){0};
    return target;
}

/* Puts the file into one of the maps.  False: it was there already. */
static bool note_file(struct scan *scan, struct pair_map *files, dev_t dev, ino_t ino)
{
    if (pair_map_get(files, dev, ino) != PAIR_MAP_NONE)
        return false;
    uint32_t *value = pair_map_put(files, dev, ino);
    if (value)
        *value = 1;
    else
        scan->out_of_memory = true;
    return true;
}

/* Counts one more of a user's in the directory that is looked at.  False: that is over `most`. */
static bool note_owner(struct scan *scan, uid_t uid, uint32_t most)
{
    uint32_t *count = pair_map_put(&scan->dir_owners, uid, 0);
    if (!count) {
        scan->out_of_memory = true;
        return false;
    }
    *count = *count == PAIR_MAP_NONE ? 1 : *count + 1;
    return *count <= most;
}

static void scan_note_dir(struct scan *scan, const char *path)
{
    for (size_t i = 0; i < scan->dir_count; i++)
        if (strcmp(scan->dirs[i], path) == 0)
            return;
    if (strlen(path) >= PATH_MAX)
        return;
    if (scan->dir_count == scan->dir_capacity) {
        size_t capacity = scan->dir_capacity ? 2 * scan->dir_capacity : 16;
        void *grown = realloc(scan->dirs, capacity * sizeof scan->dirs[0]);
        if (!grown) {
            scan->out_of_memory = true;
            return;
        }
        scan->dirs = grown;
        scan->dir_capacity = capacity;
    }
    snprintf(scan->dirs[scan->dir_count++], PATH_MAX, "%s", path);
}

enum target_hold target_hold(const struct target *target)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat st;
    int fd = open(target->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    bool known = fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == target->ino &&
                 st.st_dev == target->dev && fcntl(fd, F_OFD_GETLK, &lock) == 0;
    if (fd >= 0)
        close(fd);
    return !known ? HOLD_UNKNOWN : lock.l_type == F_UNLCK ? HOLD_NOBODY : HOLD_SOMEBODY;
}

bool target_lives_on(struct target *target, uint64_t start_ticks)
{
    struct proc_stat stat;
    target->successor[0] = '\0';
    /* A process that ends unmaps the segment while /proc still shows it.  That was seen before, so
     * now its state shows whether it ends. */
    if (proc_stat(target->pid, &stat) != 0 || stat.start_ticks != start_ticks ||
        proc_ended(&stat) || proc_exiting(&stat))
        return false;
    plain_text(target->successor, sizeof target->successor, stat.comm, SIZE_MAX);
    return true;
}

/* Notes the directories in which a process with this root keeps segments. */
static void scan_note_root(struct scan *scan, const char *root)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/run/memdebug", root);
    scan_note_dir(scan, path);
    snprintf(path, sizeof path, "%s/dev/shm", root);
    scan_note_dir(scan, path); /* used where a directory below it cannot be made */
    DIR *dir = opendir(path);
    if (!dir)
        return;
    pair_map_clear(&scan->dir_owners);
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat st;
        if (strncmp(entry->d_name, "memdebug-", 9) != 0 ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISDIR(st.st_mode) || !note_owner(scan, st.st_uid, DIRECTORIES_OF_USER_MAX))
            continue;
        snprintf(path, sizeof path, "%s/dev/shm/%s", root, entry->d_name);
        scan_note_dir(scan, path);
    }
    closedir(dir);
}

/* The value of `dir` in MEMDEBUG's text, whose keys ignore case.  False: there is none, or it is no
 * whole path. */
static bool option_dir(const char *text, char *dir, size_t size)
{
    while (*text != '\0') {
        text += strspn(text, " \t,");
        size_t length = strcspn(text, ",");
        size_t key = strcspn(text, "=,");
        while (key > 0 && text[key - 1] == ' ')
            key--;
        if (key == 3 && strncasecmp(text, "dir", 3) == 0 && strcspn(text, "=") < length) {
            const char *value = text + strcspn(text, "=") + 1;
            value += strspn(value, " ");
            size_t n = strcspn(value, ",");
            while (n > 0 && value[n - 1] == ' ')
                n--;
            snprintf(dir, size, "%.*s", (int)n, value);
            return dir[0] == '/';
        }
        text += length;
    }
    return false;
}

/* Reads the segment's header.  On failure the state says why. */
static void read_header(struct target *target)
{
    struct segment_file file;
    int error = segment_file_open(&file, target->path, false, target->error);
    if (error) {
        target->state = error == EACCES || error == EPERM ? TARGET_CLOSED : TARGET_BAD;
        return;
    }
    struct snapshot snapshot;
    error = snapshot_read(&snapshot, &file, 0, target->error);
    if (error) {
        target->state = TARGET_BAD;
    } else {
        target->header = snapshot.header;
        target->error[0] = '\0';
        plain_text(target->name, sizeof target->name, snapshot.header.name, SIZE_MAX);
        plain_text(target->cmdline, sizeof target->cmdline, snapshot.header.cmdline, SIZE_MAX);
        if (target->pid == 0)
            target->pid = (pid_t)snapshot.header.pid;
        target->start_ticks = snapshot.header.start_ticks;
        snapshot_fini(&snapshot);
    }
    target->dev = file.dev;
    target->ino = file.ino;
    segment_file_close(&file);
}

/* When a dead process last wrote, as time of day. */
static int64_t last_write(const struct md_header *header)
{
    struct timespec real, mono;
    clock_gettime(CLOCK_REALTIME, &real);
    clock_gettime(CLOCK_MONOTONIC, &mono);
    int64_t now = (int64_t)mono.tv_sec * 1000000000 + mono.tv_nsec;
    int64_t wrote = (int64_t)header->counters.publish_ns;
    if (wrote <= 0 || wrote > now)
        return 0;
    return (int64_t)real.tv_sec * 1000000000 + real.tv_nsec - (now - wrote);
}

/* A path by which the segment that a process has mapped can be opened: its name, if that leads to
 * the same file here or below the process's root; else a descriptor of the process's; else the
 * mapping itself, which needs privileges. */
static void path_of_mapping(pid_t pid, const struct proc_maps *maps, char *path, size_t size)
{
    struct stat st;
    if (!maps->deleted) {
        snprintf(path, size, "%s", maps->path);
        if (stat(path, &st) == 0 && st.st_ino == maps->ino && st.st_dev == maps->dev)
            return;
        /* In a chroot within another mount namespace, maps has the root's path before the name. */
        char root[64], above[PATH_MAX];
        snprintf(root, sizeof root, "/proc/%d/root", (int)pid);
        ssize_t n = readlink(root, above, sizeof above);
        bool below = n > 1 && strncmp(maps->path, above, (size_t)n) == 0 && maps->path[n] == '/';
        snprintf(path, size, "%s%s", root, maps->path + (below ? n : 0));
        if (stat(path, &st) == 0 && st.st_ino == maps->ino)
            return;
    }
    char fds[64];
    snprintf(fds, sizeof fds, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(fds);
    bool found = false;
    for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
        snprintf(path, size, "/proc/%d/fd/%s", (int)pid, entry->d_name);
        found = entry->d_name[0] != '.' && stat(path, &st) == 0 && st.st_ino == maps->ino &&
                st.st_dev == maps->dev;
    }
    if (dir)
        closedir(dir);
    if (!found)
        snprintf(path, size, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid, maps->start,
                 maps->end);
}

/* Whether the segment is the process's own.  A forked copy has its parent's until it makes its own;
 * as both may have started within one tick, the pid is looked at too. */
static bool is_its_own(const struct target *target, pid_t pid, const struct proc_stat *stat)
{
    pid_t own = proc_own_pid(pid);
    return (own == 0 || own == (pid_t)target->header.pid) &&
           proc_started_at(pid, stat, target->start_ticks);
}

static void scan_process(struct scan *scan, pid_t pid)
{
    char text[4096], dir[PATH_MAX];
    struct proc_maps maps;
    proc_maps(pid, &maps);
    if (!maps.readable)
        return;
    if (proc_other_root(pid)) {
        char root[64];
        snprintf(root, sizeof root, "/proc/%d/root", (int)pid);
        scan_note_root(scan, root);
    } else if (proc_environ(pid, "MEMDEBUG", text, sizeof text) &&
               option_dir(text, dir, sizeof dir)) {
        scan_note_dir(scan, dir);
    }
    if (!maps.segment)
        return;
    struct target *target = scan_add(scan);
    if (!target)
        return;
    target->pid = pid;
    target->state = TARGET_LIVE;
    path_of_mapping(pid, &maps, target->path, sizeof target->path);
    read_header(target);
    target->uid = proc_uid(pid); /* it may have changed since the header was written */
    target->claims_other = false;
    target->dev = maps.dev;
    target->ino = maps.ino;
    struct proc_stat stat = {0};
    bool runs = proc_stat(pid, &stat) == 0;
    if (runs && target->state == TARGET_LIVE && !is_its_own(target, pid, &stat)) {
        note_file(scan, &scan->inherited, maps.dev, maps.ino);
        scan->targets.count--; /* target_why_not reports the copy; the file may be a dead one's */
        return;
    }
    note_file(scan, &scan->files, maps.dev, maps.ino);
    if (!runs)
        return;
    target->stopped = proc_stopped(&stat);
    if (target->state != TARGET_LIVE)
        snprintf(target->name, sizeof target->name, "%s", stat.comm);
    proc_cmdline(pid, target->cmdline, sizeof target->cmdline);
}

/* PID-STARTTIME[.TAG].mdseg */
static bool parse_file_name(const char *name, pid_t *pid, uint64_t *start_ticks)
{
    int at = 0, number;
    if (sscanf(name, "%d-%" SCNu64 "%n", &number, start_ticks, &at) != 2 || number <= 0)
        return false;
    size_t tag = name[at] == '.' ? strspn(name + at + 1, "0123456789abcdef") : 0;
    if (tag && name[at + 1 + (int)tag] == '.')
        at += 1 + (int)tag;
    if (strcmp(name + at, MD_SEGMENT_SUFFIX) != 0)
        return false;
    *pid = number;
    return true;
}

/* Decides whether the process is alive, for a file that no process whose maps we may read has
 * mapped.  False: a living process has left it, and has another one now. */
static bool judge_file(const struct scan *scan, struct target *target, pid_t pid,
                       uint64_t start_ticks)
{
    struct proc_stat stat;
    bool runs = proc_stat(pid, &stat) == 0 && stat.start_ticks == start_ticks && !proc_ended(&stat);
    struct proc_maps maps = {0};
    if (runs)
        proc_maps(pid, &maps);
    bool mapped = maps.segment && maps.ino == target->ino && maps.dev == target->dev;
    if (maps.segment && !mapped)
        return false;
    /* Another user's file is not believed to be the process's unless that has it mapped.  Root's
     * is, as the process may have given up root since. */
    if (runs && !mapped && target->uid != 0 && target->uid != proc_uid(pid))
        runs = false;
    enum target_hold hold = target_hold(target);
    if (pair_map_get(&scan->inherited, target->dev, target->ino) != PAIR_MAP_NONE)
        hold = HOLD_NOBODY; /* only forked copies have it mapped, which do not write to it */
    if (runs && (mapped || (!maps.readable && hold != HOLD_NOBODY)))
        target->state = TARGET_LIVE;
    else
        target->state = hold == HOLD_SOMEBODY ? TARGET_UNSEEN : TARGET_DEAD;
    target->pid = pid;
    target->start_ticks = start_ticks;
    target->stopped = target->state == TARGET_LIVE && proc_stopped(&stat);
    bool was_live = target->state == TARGET_LIVE;
    read_header(target);
    if (was_live && target->state != TARGET_LIVE) {
        snprintf(target->name, sizeof target->name, "%s", stat.comm);
        target->uid = proc_uid(pid);
    }
    if (was_live)
        proc_cmdline(pid, target->cmdline, sizeof target->cmdline);
    if (target->state == TARGET_DEAD) {
        target->ended_realtime_ns = last_write(&target->header);
        target->claims_other = target->header.uid != target->uid;
        if (runs)
            target_lives_on(target, start_ticks);
    }
    return true;
}

static void scan_dir(struct scan *scan, const char *path)
{
    struct stat whose;
    DIR *dir = opendir(path);
    if (!dir && errno == EACCES && stat(path, &whose) == 0) {
        scan->targets.closed++;
        scan->targets.closed_uid = whose.st_uid;
    }
    if (!dir)
        return;
    pair_map_clear(&scan->dir_owners);
    for (struct dirent *entry; (entry = readdir(dir));) {
        pid_t pid;
        uint64_t start_ticks;
        struct stat st;
        if (!parse_file_name(entry->d_name, &pid, &start_ticks) ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !note_file(scan, &scan->files, st.st_dev, st.st_ino))
            continue;
        if (!note_owner(scan, st.st_uid, TARGETS_OF_USER_MAX)) {
            scan->targets.passed_over++;
            scan->targets.passed_over_uid = st.st_uid;
            continue;
        }
        struct target *target = scan_add(scan);
        if (!target)
            break;
        snprintf(target->path, sizeof target->path, "%s/%s", path, entry->d_name);
        target->uid = st.st_uid;
        target->dev = st.st_dev;
        target->ino = st.st_ino;
        if (S_ISREG(st.st_mode)) {
            scan->targets.count -= !judge_file(scan, target, pid, start_ticks);
        } else {
            target->state = TARGET_BAD;
            target->pid = pid;
            snprintf(target->error, sizeof target->error, "%s is not a regular file", path);
        }
    }
    closedir(dir);
}

bool target_of_file(const char *directory, const char *name, struct target *target)
{
    struct scan nothing = {0};
    struct stat st;
    pid_t pid;
    uint64_t start_ticks;
    *target = (struct target){0};
    snprintf(target->path, sizeof target->path, "%s/%s", directory, name);
    if (!parse_file_name(name, &pid, &start_ticks) || lstat(target->path, &st) != 0 ||
        !S_ISREG(st.st_mode))
        return false;
    target->uid = st.st_uid;
    target->dev = st.st_dev;
    target->ino = st.st_ino;
    return judge_file(&nothing, target, pid, start_ticks);
}

static int living_first(const void *a, const void *b)
{
    const struct target *x = a, *y = b;
    int dead_x = x->state == TARGET_DEAD || x->state == TARGET_BAD;
    int dead_y = y->state == TARGET_DEAD || y->state == TARGET_BAD;
    if (dead_x != dead_y)
        return dead_x - dead_y;
    if (dead_x && x->ended_realtime_ns != y->ended_realtime_ns)
        return x->ended_realtime_ns < y->ended_realtime_ns ? 1 : -1;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

const char *target_state_name(const struct target *target)
{
    static const char *const names[] = {"live", "dead", "closed", "bad", "unseen"};
    return target->state == TARGET_LIVE && target->stopped ? "stopped" : names[target->state];
}

bool target_readable(const struct target *target)
{
    return target->state == TARGET_LIVE || target->state == TARGET_DEAD ||
           target->state == TARGET_UNSEEN;
}

static void hand_over_directories(struct scan *scan)
{
    struct targets *targets = &scan->targets;
    targets->directories = calloc(scan->dir_count + 1, sizeof targets->directories[0]);
    for (size_t i = 0; targets->directories && i < scan->dir_count; i++) {
        char *copy = strdup(scan->dirs[i]);
        if (copy)
            targets->directories[targets->directory_count++] = copy;
        else
            scan->out_of_memory = true;
    }
    scan->out_of_memory |= !targets->directories;
}

int targets_scan(struct targets *targets)
{
    struct scan scan = {0};
    pid_t *pids;
    size_t count = proc_pids(&pids);
    scan_note_root(&scan, "");
    char dir[PATH_MAX];
    const char *ours = getenv("MEMDEBUG");
    if (ours && option_dir(ours, dir, sizeof dir))
        scan_note_dir(&scan, dir);
    for (size_t i = 0; i < count; i++)
        if (pids[i] != getpid())
            scan_process(&scan, pids[i]);
    for (size_t i = 0; i < scan.dir_count; i++)
        scan_dir(&scan, scan.dirs[i]);
    hand_over_directories(&scan);
    free(pids);
    free(scan.dirs);
    pair_map_fini(&scan.inherited);
    pair_map_fini(&scan.files);
    pair_map_fini(&scan.dir_owners);
    if (scan.targets.count > 0)
        qsort(scan.targets.target, scan.targets.count, sizeof scan.targets.target[0], living_first);
    *targets = scan.targets;
    return scan.out_of_memory ? ENOMEM : 0;
}

size_t targets_lacks(const struct targets *targets, char lacks[TARGETS_LACKS][TARGETS_LACK_SIZE])
{
    char user[64], advice[100];
    size_t n = 0;
    if (targets->count > 0 && targets->closed > 0) {
        bool others = targets->closed > 1;
        proc_user(targets->closed_uid, user, sizeof user);
        target_run_as(targets->closed_uid, advice, sizeof advice);
        snprintf(lacks[n++], TARGETS_LACK_SIZE,
                 "what %s%s may have on memdebug is not to be seen: %s", user,
                 others ? " and others" : "",
                 others && geteuid() != 0 ? "run memtop as root" : advice);
    }
    if (proc_is_hidden(1))
        snprintf(lacks[n++], TARGETS_LACK_SIZE,
                 "/proc hides other users' processes (hidepid): run memtop as root to see all");
    if (targets->passed_over) {
        proc_user(targets->passed_over_uid, user, sizeof user);
        snprintf(lacks[n++], TARGETS_LACK_SIZE,
                 "%zu files were not looked at: over %d of one user in a directory (%s)",
                 targets->passed_over, TARGETS_OF_USER_MAX, user);
    }
    return n;
}

void targets_fini(struct targets *targets)
{
    for (size_t i = 0; i < targets->directory_count; i++)
        free(targets->directories[i]);
    free(targets->directories);
    free(targets->target);
    *targets = (struct targets){0};
}
