#include "view/object_file.h"

#include "view/libdw.h"
#include "view/snapshot.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>

#define DEBUG_ROOT "/usr/lib/debug"
#define DELETED " (deleted)"

/* A descriptor of a path below `root`, "" for ours.  Paths come from segments, and to open a device
 * may have an effect (/dev/watchdog), which O_PATH has not.  RESOLVE_IN_ROOT keeps absolute links
 * below another process's root; kernels before 5.6 cannot do that, so nothing is found on them. */
static int find_file(const char *root, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned)flags | O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT};
    if (!*root)
        return open(path, flags | O_PATH | O_CLOEXEC);
    int at = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return -1;
    int fd = (int)syscall(SYS_openat2, at, path, &how, sizeof how);
    close(at);
    return fd;
}

/* Opens what find_file has found for reading, if it is a regular file, and of this user; closes
 * `found`.  By thread-self, as /proc/self has no descriptors once the main thread has ended. */
static int open_found(int found, const uid_t *owner)
{
    struct stat st;
    char link[48];
    int fd = -1;
    if (found < 0)
        return -1;
    if (fstat(found, &st) == 0 && S_ISREG(st.st_mode) && (!owner || st.st_uid == *owner)) {
        snprintf(link, sizeof link, "/proc/thread-self/fd/%d", found);
        fd = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    }
    close(found);
    return fd;
}

static int open_regular(const char *root, const char *path)
{
    return open_found(find_file(root, path, 0), NULL);
}

int object_file_open_owned(const struct object_process *process, const char *path)
{
    return open_found(find_file(process->root, path, O_NOFOLLOW), &process->uid);
}

bool object_file_is_special(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

/* Whether the file's build ID is the module's.  A module without one matches only a file without
 * one. */
static bool same_build(int fd, const struct md_module *module)
{
    const struct libdw *dw = libdw_get();
    Elf *elf = dw->elf_begin(fd, ELF_C_READ_MMAP_PRIVATE, NULL);
    if (!elf)
        return false;
    const void *id = NULL;
    ssize_t size = dw->dwelf_elf_gnu_build_id(elf, &id);
    bool same = size <= 0 ? module->build_id_size == 0
                          : (size_t)size == module->build_id_size &&
                                memcmp(id, module->build_id, (size_t)size) == 0;
    dw->elf_end(elf);
    return same;
}

static int open_same_build(const char *root, const char *path, const struct md_module *module)
{
    int fd = open_regular(root, path);
    if (fd >= 0 && !same_build(fd, module)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* The module's path without the kernel's " (deleted)".  False: it has no file, as [vdso]. */
static bool real_path(const struct md_module *module, char path[sizeof module->path])
{
    size_t n = module->path_size;
    memcpy(path, module->path, n);
    path[n] = 0;
    if (n > sizeof DELETED - 1 && strcmp(path + n - (sizeof DELETED - 1), DELETED) == 0)
        path[n - (sizeof DELETED - 1)] = 0;
    return path[0] == '/';
}

/* The file that is mapped at the module's start, by /proc/PID/map_files: the file itself, even
 * where it has been deleted or replaced.  Needs privileges (CAP_CHECKPOINT_RESTORE or
 * CAP_SYS_ADMIN). */
static int open_map_file(pid_t pid, const struct md_module *module)
{
    char path[64], line[PATH_MAX + 128];
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    int fd = -1;
    while (maps && fgets(line, sizeof line, maps)) {
        uint64_t start, limit;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &limit) != 2 || module->start < start ||
            module->start >= limit)
            continue;
        snprintf(path, sizeof path, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid, start,
                 limit);
        fd = open_same_build("", path, module);
        break;
    }
    if (maps)
        fclose(maps);
    return fd;
}

static int open_exe(pid_t pid, const struct md_module *module, const char *name)
{
    char path[64], target[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n <= 0)
        return -1;
    target[n] = 0;
    /* Without a build ID only the name tells whether the module is the executable. */
    if (!module->build_id_size && strncmp(target, name, strlen(name)) != 0)
        return -1;
    return open_same_build("", path, module);
}

/* /usr/lib/debug/.build-id/ab/cdef.debug, below the process's root first, then below ours. */
static int open_by_build_id(const struct object_process *process, const struct md_module *module,
                            char *path, size_t size)
{
    char id[BUILD_ID_TEXT_SIZE];
    if (module->build_id_size < 2)
        return -1;
    snapshot_build_id(module, id);
    const char *roots[] = {process->root, ""};
    for (unsigned i = process->root[0] ? 0 : 1; i < 2; i++) {
        snprintf(path, size, DEBUG_ROOT "/.build-id/%.2s/%s.debug", id, id + 2);
        int fd = open_same_build(roots[i], path, module);
        if (fd >= 0)
            return fd;
    }
    return -1;
}

int object_file_open(const struct object_process *process, const struct md_module *module)
{
    char name[sizeof module->path], path[PATH_MAX];
    int fd = -1;
    bool named = real_path(module, name);
    if (named)
        fd = open_same_build(process->root, name, module);
    if (fd < 0 && named && process->pid > 0)
        fd = open_exe(process->pid, module, name);
    if (fd < 0 && named && process->pid > 0 && module->build_id_size)
        fd = open_map_file(process->pid, module);
    if (fd < 0)
        fd = open_by_build_id(process, module, path, sizeof path);
    return fd;
}

static bool same_crc(int fd, uint32_t crc)
{
    uint8_t room[16384];
    uLong sum = crc32(0, NULL, 0);
    off_t at = 0;
    for (ssize_t n; (n = pread(fd, room, sizeof room, at)) > 0; at += n)
        sum = crc32(sum, room, (unsigned)n);
    return (uint32_t)sum == crc;
}

int object_file_open_debug(const struct object_process *process, const struct md_module *module,
                           const char *link, uint32_t crc, char **name)
{
    char own[sizeof module->path], path[PATH_MAX];
    int fd = open_by_build_id(process, module, path, sizeof path);
    if (fd < 0 && link && *link && !strchr(link, '/') && real_path(module, own)) {
        static const char *const before[] = {"", "", DEBUG_ROOT};
        static const char *const between[] = {"", "/.debug", ""};
        *strrchr(own, '/') = 0;
        for (unsigned i = 0; i < 3 && fd < 0; i++) {
            snprintf(path, sizeof path, "%s%s%s/%s", before[i], own, between[i], link);
            fd = open_regular(process->root, path);
            /* The link's checksum costs reading the whole file, so it is for modules without a
             * build ID. */
            bool same =
                fd >= 0 && same_build(fd, module) && (module->build_id_size || same_crc(fd, crc));
            if (fd >= 0 && !same) {
                close(fd);
                fd = -1;
            }
        }
    }
    if (fd >= 0 && name && !(*name = strdup(path))) {
        close(fd);
        fd = -1;
    }
    return fd;
}
