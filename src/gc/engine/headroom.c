#include "gc/engine/headroom.h"

#include "base/compiler.h"
#include "gc/sys/proc.h"
#include "gc/sys/raw.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#define PATH_SIZE HEADROOM_PATH_SIZE

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

/* What a memory cgroup says of itself. */
struct version {
    const char *subtree; /* below the root */
    const char *limits[2];
    const char *current;
    const char *caches[3]; /* in memory.stat: what gives way */
    const char *together;  /* file that has this line where the limit is the end of all in it */
    const char *line;
};

static const struct version version2 = {
    "",
    {"memory.max", "memory.high"}, /* above `high` the program is held back */
    "memory.current",
    {"inactive_file ", "active_file ", "slab_reclaimable "},
    "memory.oom.group",
    "1",
};
static const struct version version1 = {
    "/memory",
    {"memory.limit_in_bytes", "memory.limit_in_bytes"},
    "memory.usage_in_bytes",
    {"total_inactive_file ", "total_active_file ", "total_slab_reclaimable "},
    "memory.oom_control",
    "oom_kill_disable 1",
};

/* UINT64_MAX: none. */
static uint64_t limit_of(const char *directory, const char *name)
{
    char text[32];
    uint64_t limit = UINT64_MAX;
    if (read_file(directory, name, text, sizeof text) && text[0] != 'm')
        limit = proc_number(text, 10, NULL);
    return limit < UINT64_MAX / 4 ? limit : UINT64_MAX;
}

/* What this cgroup has of memory that cannot be given up.  False: it does not say. */
static bool used_of(const struct version *version, const char *directory, uint64_t *used_bytes)
{
    static char stat[8192];
    char text[32];
    uint64_t caches = 0;
    if (!read_file(directory, version->current, text, sizeof text))
        return false;
    uint64_t used = proc_number(text, 10, NULL);
    if (read_file(directory, "memory.stat", stat, sizeof stat))
        for (unsigned i = 0; i < ARRAY_LENGTH(version->caches); i++) {
            uint64_t bytes = 0;
            proc_field(stat, version->caches[i], 10, &bytes);
            caches += bytes;
        }
    *used_bytes = used > caches ? used - caches : 0;
    return true;
}

/* Bytes until the limit of this cgroup; UINT64_MAX: no limit. */
static uint64_t headroom_of(const struct version *version, const char *directory,
                            uint64_t *limit_bytes)
{
    uint64_t limit = UINT64_MAX, used;
    for (unsigned i = 0; i < ARRAY_LENGTH(version->limits); i++)
        limit = MIN(limit, limit_of(directory, version->limits[i]));
    *limit_bytes = limit;
    if (limit == UINT64_MAX || !used_of(version, directory, &used))
        return UINT64_MAX;
    return limit > used ? limit - used : 0;
}

/* Whether a line of /proc/self/cgroup ("NUMBER:CONTROLLERS:/PATH") is about the memory of this
 * version; its path, or NULL. */
static const char *path_in(const struct version *version, const char *line)
{
    if (version == &version2)
        return strncmp(line, "0::/", 4) == 0 ? line + 3 : NULL;
    line = strchr(line, ':');
    for (bool first = true; line && *line && *line != '\n' && (first || *line == ',');
         first = false) {
        const char *name = line + 1;
        line += 1 + strcspn(line + 1, ",:\n");
        if (line - name == 6 && memcmp(name, "memory", 6) == 0) {
            line += strcspn(line, ":\n");
            return line[0] == ':' && line[1] == '/' ? line + 1 : NULL;
        }
    }
    return NULL;
}

/* The cgroup with the least room when it was asked last. */
static struct {
    const struct version *version; /* NULL: none has a limit */
    uint64_t room;
    bool together;
    char path[PATH_SIZE];
} tightest;

static const char *no_room(const struct version *version, bool together)
{
    return !together              ? "no room for a copy in the memory cgroup"
           : version == &version2 ? "no room for a copy in the memory cgroup (memory.oom.group)"
                                  : "no room for a copy in the memory cgroup (oom_kill_disable)";
}

/* A way from the process's own cgroup up to the root of the hierarchy. */
struct climb {
    char path[PATH_SIZE];
    size_t root_length; /* of path */
};

static void drop_slash(struct climb *climb)
{
    size_t end = strlen(climb->path);
    if (end > climb->root_length && climb->path[end - 1] == '/')
        climb->path[end - 1] = 0;
}

/* False: of this version the process is in none. */
static bool climb_begin(struct climb *climb, const struct version *version, const char *root,
                        const char *membership)
{
    const char *inner;
    while (!(inner = path_in(version, membership))) {
        membership = strchr(membership, '\n');
        if (!membership++)
            return false;
    }
    size_t subtree = strlen(version->subtree), prefix = strlen(root) + subtree;
    size_t length = strcspn(inner, "\n");
    if (prefix + length >= sizeof climb->path)
        return false;
    memcpy(climb->path, root, prefix - subtree);
    memcpy(climb->path + prefix - subtree, version->subtree, subtree);
    memcpy(climb->path + prefix, inner, length);
    climb->path[prefix + length] = 0;
    climb->root_length = prefix;
    drop_slash(climb);
    return true;
}

/* To the one that this one is in; false: this is the root. */
static bool climb_up(struct climb *climb)
{
    if (strlen(climb->path) <= climb->root_length)
        return false;
    *strrchr(climb->path, '/') = 0;
    drop_slash(climb);
    return true;
}

static const char *headroom_of_version(const struct version *version, const char *root,
                                       const char *membership, struct headroom_need need)
{
    static struct climb climb;
    const char *path = climb.path;
    if (!climb_begin(&climb, version, root, membership))
        return NULL;
    bool together = false;
    do {
        char text[64];
        /* Set here or below, it holds for a limit here. */
        if (read_file(path, version->together, text, sizeof text))
            together |= strncmp(text, version->line, strlen(version->line)) == 0;
        uint64_t limit, room = headroom_of(version, path, &limit);
        if (room < (together ? need.most : need.likely))
            return no_room(version, together);
        if (room < UINT64_MAX && (!tightest.version || room < tightest.room)) {
            tightest.version = version;
            tightest.room = room;
            tightest.together = together;
            strcpy(tightest.path, path);
        }
    } while (climb_up(&climb));
    return NULL;
}

const char *headroom_in(const char *root, const char *membership, struct headroom_need need)
{
    tightest.version = NULL;
    const char *reason = headroom_of_version(&version2, root, membership, need);
    return reason ? reason : headroom_of_version(&version1, root, membership, need);
}

const char *headroom_for_copy(struct headroom_need need)
{
    static char membership[PATH_SIZE];
    if (proc_self_read("cgroup", membership, sizeof membership) <= 0)
        return NULL;
    return headroom_in("/sys/fs/cgroup", membership, need);
}

bool headroom_least(const char *root, const char *membership, unsigned percent,
                    struct headroom_limit *least)
{
    static const struct version *const versions[] = {&version2, &version1};
    static struct climb climb;
    bool found = false;
    for (unsigned i = 0; i < ARRAY_LENGTH(versions); i++) {
        if (!climb_begin(&climb, versions[i], root, membership))
            continue;
        do {
            struct headroom_limit here = {.file = versions[i]->limits[0]};
            here.limit_bytes = limit_of(climb.path, here.file);
            if (here.limit_bytes == UINT64_MAX ||
                !used_of(versions[i], climb.path, &here.used_bytes) ||
                (found && headroom_until(&here, percent) >= headroom_until(least, percent)))
                continue;
            strcpy(here.directory, climb.path);
            *least = here;
            found = true;
        } while (climb_up(&climb));
    }
    return found;
}

int64_t headroom_until(const struct headroom_limit *limit, unsigned percent)
{
    return (int64_t)(limit->limit_bytes / 100 * percent + limit->limit_bytes % 100 * percent / 100 -
                     limit->used_bytes);
}

/* Less room than this, of the limit or in all, is the end of a copy: more than a program can write
 * to until it is looked at again. */
#define LEFT_SHARE 8
#define LEFT_MAX (UINT64_C(64) << 20)
#define LOOK_MIN_NS 1000000
#define LOOK_MAX_NS 20000000

const char *headroom_runs_out(int64_t *look_again_ns)
{
    uint64_t limit;
    *look_again_ns = LOOK_MAX_NS;
    if (!tightest.version)
        return NULL;
    uint64_t room = headroom_of(tightest.version, tightest.path, &limit);
    if (room < MIN(limit / LEFT_SHARE, LEFT_MAX))
        return no_room(tightest.version, tightest.together);
    *look_again_ns = (int64_t)MIN(MAX(room / HEADROOM_WRITTEN_MAX, LOOK_MIN_NS), LOOK_MAX_NS);
    return NULL;
}

bool headroom_is_limited(void)
{
    return tightest.version != NULL;
}

/* ---- what a copy comes to ---- */

#define ALL 1024u
/* Of the process's own memory, what has been written to during a copy at most, of ALL.  A larger
 * one is believed at once, smaller ones bit by bit: a program may do in a minute what it did once.
 */
static uint64_t written_share = ALL;
static bool seen;

struct headroom_need headroom_need(uint64_t private_bytes, uint64_t heap_bytes)
{
    uint64_t tables = heap_bytes / 4; /* to mark in */
    uint64_t likely = MIN(2 * written_share, ALL) * (private_bytes / ALL);
    return (struct headroom_need){private_bytes + tables, (seen ? likely : private_bytes) + tables};
}

void headroom_note_copy(uint64_t private_bytes, uint64_t written_bytes)
{
    uint64_t share = MIN(written_bytes / MAX(private_bytes / ALL, 1) + 1, ALL);
    written_share = seen ? MAX(share, written_share - written_share / 8) : share;
    seen = true;
}

void headroom_postfork_child(void)
{
    seen = false;
}
