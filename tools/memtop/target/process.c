#include "process.h"

#include "view/plain_text.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PF_EXITING 0x00000004u
#define PF_KTHREAD 0x00200000u

void proc_memory_directory(pid_t pid, char *path, size_t size)
{
    struct proc_stat stat;
    snprintf(path, size, "/proc/%d", (int)pid);
    if (proc_stat(pid, &stat) != 0 || stat.state != 'Z' || stat.threads <= 1)
        return;
    char tasks[64];
    snprintf(tasks, sizeof tasks, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(tasks);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (isdigit((unsigned char)entry->d_name[0]) && atoi(entry->d_name) != (int)pid)
            snprintf(path, size, "/proc/%d/task/%.16s", (int)pid, entry->d_name);
    if (dir)
        closedir(dir);
}

/* The path of a file of /proc/PID that describes memory. */
static void memory_path(pid_t pid, const char *name, char *path, size_t size)
{
    char directory[48];
    proc_memory_directory(pid, directory, sizeof directory);
    snprintf(path, size, "%s/%s", directory, name);
}

/* Reads up to `size` - 1 bytes and terminates them.  The length, or -1 with errno. */
static ssize_t read_path(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t n = 0;
    while (n + 1 < size) {
        ssize_t got = read(fd, buffer + n, size - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            if (got < 0 && n == 0) {
                int saved = errno;
                close(fd);
                errno = saved;
                return -1;
            }
            break;
        }
        n += (size_t)got;
    }
    close(fd);
    buffer[n] = '\0';
    return (ssize_t)n;
}

static ssize_t read_file(pid_t pid, const char *name, char *buffer, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return read_path(path, buffer, size);
}

int proc_stat(pid_t pid, struct proc_stat *stat)
{
    char text[1024];
    *stat = (struct proc_stat){0};
    if (read_file(pid, "stat", text, sizeof text) < 0)
        return errno == ESRCH ? ENOENT : errno;
    /* The name may hold blanks and parentheses: it ends at the last parenthesis. */
    char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (!open || !close || close < open)
        return EPROTO;
    plain_text(stat->comm, sizeof stat->comm, open + 1, (size_t)(close - open - 1));
    int parent;
    uint64_t pages;
    if (sscanf(close + 1,
               " %c %d %*d %*d %*d %*d %" SCNu64 " %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d "
               "%" SCNu64 " %*u %" SCNu64,
               &stat->state, &parent, &stat->flags, &stat->threads, &stat->start_ticks,
               &pages) != 6)
        return EPROTO;
    stat->parent = parent;
    stat->rss_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}

bool proc_is_hidden(pid_t pid)
{
    struct proc_stat stat;
    return pid > 0 && proc_stat(pid, &stat) == ENOENT && kill(pid, 0) != 0 && errno == EPERM;
}

bool proc_ended(const struct proc_stat *stat)
{
    return stat->state == 'X' || (stat->state == 'Z' && stat->threads <= 1);
}

bool proc_exiting(const struct proc_stat *stat)
{
    return (stat->flags & PF_EXITING) != 0;
}

bool proc_stopped(const struct proc_stat *stat)
{
    return stat->state == 'T' || stat->state == 't';
}

bool proc_is_kernel(const struct proc_stat *stat)
{
    return (stat->flags & PF_KTHREAD) != 0;
}

uid_t proc_uid(pid_t pid)
{
    char text[4096];
    unsigned uid;
    if (read_file(pid, "status", text, sizeof text) <= 0)
        return (uid_t)-1;
    const char *line = strstr(text, "\nUid:");
    return line && sscanf(line, "\nUid: %u", &uid) == 1 ? (uid_t)uid : (uid_t)-1;
}

bool proc_rss(pid_t pid, uint64_t *bytes)
{
    char text[256];
    uint64_t pages;
    char path[64];
    memory_path(pid, "statm", path, sizeof path);
    if (read_path(path, text, sizeof text) < 0 || sscanf(text, "%*u %" SCNu64, &pages) != 1)
        return false;
    *bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

bool proc_cmdline(pid_t pid, char *buffer, size_t size)
{
    char text[1024];
    ssize_t n = read_file(pid, "cmdline", text, sizeof text);
    /* A title that is shorter than the arguments is padded, with NULs or blanks. */
    while (n > 0 && (text[n - 1] == '\0' || text[n - 1] == ' '))
        n--;
    if (n <= 0)
        return false;
    for (ssize_t i = 0; i < n; i++)
        if (text[i] == '\0')
            text[i] = ' ';
    plain_text(buffer, size, text, (size_t)n);
    return true;
}

size_t proc_arguments(pid_t pid, char *buffer, size_t size)
{
    ssize_t n = read_file(pid, "cmdline", buffer, size);
    return n > 0 ? (size_t)n : 0;
}

bool proc_environ(pid_t pid, const char *name, char *buffer, size_t size)
{
    enum { LIMIT = 256 * 1024 };
    char *text = malloc(LIMIT);
    if (!text)
        return false;
    ssize_t n = read_file(pid, "environ", text, LIMIT);
    size_t length = strlen(name);
    bool found = false;
    for (char *p = text; n > 0 && p < text + n; p += strlen(p) + 1)
        if (strncmp(p, name, length) == 0 && p[length] == '=') {
            snprintf(buffer, size, "%s", p + length + 1);
            found = true;
            break;
        }
    free(text);
    return found;
}

bool proc_environ_is_whole(pid_t pid)
{
    char text[1024];
    ssize_t n = read_file(pid, "environ", text, sizeof text);
    return n == 0 || (n > 0 && text[0] != '=' && strchr(text, '=') != NULL);
}

static bool other_namespace(pid_t pid, const char *kind)
{
    char path[64], mine[64], other[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
    ssize_t a = readlink(path, mine, sizeof mine);
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kind);
    ssize_t b = readlink(path, other, sizeof other);
    return a > 0 && b > 0 && (a != b || memcmp(mine, other, (size_t)a) != 0);
}

bool proc_other_root(pid_t pid)
{
    char path[64];
    struct stat ours, theirs;
    /* The root directory differs in a chroot, as in most mount namespaces. */
    snprintf(path, sizeof path, "/proc/%d/root/", (int)pid);
    if (stat("/", &ours) != 0 || stat(path, &theirs) != 0)
        return false;
    if (ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino)
        return true;
    return other_namespace(pid, "mnt");
}

bool proc_started_at(pid_t pid, const struct proc_stat *stat, uint64_t start_ticks)
{
    return start_ticks == 0 || start_ticks == stat->start_ticks || other_namespace(pid, "time");
}

pid_t proc_own_pid(pid_t pid)
{
    char text[4096];
    if (read_file(pid, "status", text, sizeof text) <= 0)
        return 0;
    const char *line = strstr(text, "\nNSpid:"), *last = NULL;
    for (const char *p = line ? line + 7 : ""; *p && *p != '\n'; p++)
        if (*p >= '0' && *p <= '9' && (p[-1] < '0' || p[-1] > '9'))
            last = p;
    return last ? (pid_t)strtol(last, NULL, 10) : 0;
}

/* One line of maps: looks for the segment and the library. */
static void maps_line(struct proc_maps *maps, char *line)
{
    uint64_t start, end, ino;
    unsigned major, minor;
    char access[5];
    int at = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %x:%x %" SCNu64 " %n", &start, &end, access,
               &major, &minor, &ino, &at) < 6 ||
        at == 0)
        return;
    char *path = line + at;
    if (path[0] != '/')
        return;
    path[strcspn(path, "\n")] = '\0';
    static const char gone[] = " (deleted)";
    size_t length = strlen(path);
    bool deleted = length >= sizeof gone && strcmp(path + length - sizeof gone + 1, gone) == 0;
    if (deleted)
        path[length -= sizeof gone - 1] = '\0';
    const char *base = strrchr(path, '/') + 1;
    /* If its code cannot be mapped (noexec), the loader leaves its other parts mapped. */
    if (strncmp(base, "libmemdebug.so", 14) == 0 && access[2] == 'x')
        maps->library = true;
    bool memfd = strcmp(path, "/memfd:memdebug") == 0;
    bool file = length > 6 && strcmp(path + length - 6, ".mdseg") == 0;
    if ((!memfd && !file) || length >= sizeof maps->path ||
        (maps->segment && (!maps->deleted || memfd || deleted)))
        return;
    maps->segment = true;
    maps->start = start;
    maps->end = end;
    maps->dev = makedev(major, minor);
    maps->ino = (ino_t)ino;
    maps->deleted = memfd || deleted;
    snprintf(maps->path, sizeof maps->path, "%s", path);
}

void proc_maps(pid_t pid, struct proc_maps *maps)
{
    *maps = (struct proc_maps){0};
    char path[64];
    memory_path(pid, "maps", path, sizeof path);
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, file) > 0) {
        maps->readable = true;
        maps_line(maps, line);
    }
    /* If we may not look at the process, or it has ended, the file opens and is empty. */
    free(line);
    fclose(file);
}

bool proc_ranges(pid_t pid, void (*each)(void *closure, uint64_t start, uint64_t limit),
                 void *closure)
{
    char path[64], *line = NULL;
    size_t size = 0;
    bool any = false;
    memory_path(pid, "maps", path, sizeof path);
    FILE *file = fopen(path, "re");
    while (file && getline(&line, &size, file) > 0) {
        uint64_t start, limit;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &limit) != 2)
            continue;
        any = true;
        each(closure, start, limit);
    }
    free(line);
    if (file)
        fclose(file);
    return any;
}

static int ascending(const void *a, const void *b)
{
    pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
    return (x > y) - (x < y);
}

pid_t proc_confined(pid_t pid)
{
    char path[64], text[16384];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    pid_t found = dir ? 0 : -1;
    for (struct dirent *entry; found == 0 && (entry = readdir(dir));) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.16s/status", (int)pid, entry->d_name);
        if (read_path(path, text, sizeof text) <= 0)
            continue; /* it has ended */
        const char *line = strstr(text, "\nSeccomp:");
        if (line && strtol(line + strlen("\nSeccomp:"), NULL, 10) != 0)
            found = (pid_t)strtol(entry->d_name, NULL, 10);
    }
    if (dir)
        closedir(dir);
    return found;
}

size_t proc_pids(pid_t **pids)
{
    size_t count = 0, capacity = 256;
    *pids = malloc(capacity * sizeof **pids);
    DIR *dir = *pids ? opendir("/proc") : NULL;
    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (!isdigit((unsigned char)entry->d_name[0]) || *end != '\0')
            continue;
        if (count == capacity) {
            pid_t *grown = realloc(*pids, 2 * capacity * sizeof **pids);
            if (!grown)
                break;
            *pids = grown;
            capacity *= 2;
        }
        (*pids)[count++] = (pid_t)pid;
    }
    closedir(dir);
    qsort(*pids, count, sizeof **pids, ascending);
    return count;
}

void proc_user(uid_t uid, char *buffer, size_t size)
{
    struct passwd *user = getpwuid(uid);
    if (user)
        snprintf(buffer, size, "%s", user->pw_name);
    else
        snprintf(buffer, size, "%u", (unsigned)uid);
}
