#include "gc/room.h"

#include "gc/proc.h"
#include "gc/raw.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#define PATH_SIZE 4096

/* Reads DIRECTORY/NAME into buf, terminated.  False: there is none. */
static bool read_file(const char *directory, const char *name, char *buf, size_t size)
{
    char path[PATH_SIZE + 32];
    if (strlen(directory) + strlen(name) + 2 > sizeof path)
        return false;
    char *end = stpcpy(path, directory);
    *end++ = '/';
    stpcpy(end, name);
    long fd = RAW4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    long n = RAW3(SYS_read, fd, buf, size - 1);
    RAW3(SYS_close, fd, 0, 0);
    buf[n > 0 ? n : 0] = 0;
    return n > 0;
}

/* Bytes until the limit of this cgroup, of what cannot be given up; UINT64_MAX: no limit. */
static uint64_t room_of(const char *directory)
{
    static char stat[8192];
    char limit[32], current[32];
    if (!read_file(directory, "memory.max", limit, sizeof limit) || limit[0] == 'm' ||
        !read_file(directory, "memory.current", current, sizeof current))
        return UINT64_MAX;
    uint64_t most = proc_number(limit, 10, NULL), used = proc_number(current, 10, NULL), cache = 0;
    static const char *const names[] = {"inactive_file ", "active_file ", "slab_reclaimable "};
    if (read_file(directory, "memory.stat", stat, sizeof stat))
        for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
            uint64_t bytes = 0;
            proc_field(stat, names[i], 10, &bytes);
            cache += bytes;
        }
    used = used > cache ? used - cache : 0;
    return most > used ? most - used : 0;
}

const char *room_in(const char *root, const char *membership, uint64_t bytes)
{
    static char path[PATH_SIZE];
    /* "0::/PATH" is the line of version 2. */
    while (*membership && strncmp(membership, "0::/", 4) != 0) {
        const char *end = strchr(membership, '\n');
        membership = end ? end + 1 : "";
    }
    const char *end = strchr(membership, '\n');
    size_t prefix = strlen(root), length = end ? (size_t)(end - membership) : strlen(membership);
    if (length < 4 || prefix + length > sizeof path)
        return NULL;
    memcpy(path, root, prefix);
    memcpy(path + prefix, membership + 3, length - 3);
    path[prefix + length - 3] = 0;
    bool together = false;
    for (;;) {
        char group[8];
        if (strlen(path) > prefix && path[strlen(path) - 1] == '/')
            path[strlen(path) - 1] = 0;
        /* Set here or below, it holds for a limit here. */
        together |= read_file(path, "memory.oom.group", group, sizeof group) && group[0] == '1';
        if (together && room_of(path) < bytes)
            return "the memory cgroup has no room for a copy, and memory.oom.group is set";
        if (strlen(path) <= prefix)
            return NULL;
        *strrchr(path, '/') = 0;
    }
}

const char *room_for_copy(uint64_t bytes)
{
    static char membership[PATH_SIZE];
    if (proc_self_read("cgroup", membership, sizeof membership) <= 0)
        return NULL;
    return room_in("/sys/fs/cgroup", membership, bytes);
}
