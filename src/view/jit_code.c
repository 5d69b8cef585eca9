#include "view/jit_code.h"

#include "view/containers.h"
#include "view/perf_map.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define AGAIN_NS INT64_C(1000000000)

struct range {
    uint64_t start, limit;
};

struct jit_code {
    const struct object_process *process;
    struct perf_map map;
    struct stat map_stat; /* of the file as it was read */
    struct range *code;   /* executable memory without a file, ascending */
    size_t code_count, code_room;
    int64_t map_read_ns, code_read_ns; /* monotonic; 0: not yet */
};

/* Whether to read a file again, noting that it is read now.  A reading is of the whole file, so
 * there is at most one in AGAIN_NS. */
static bool due(int64_t *read_ns)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    int64_t now = time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
    if (*read_ns && now - *read_ns < AGAIN_NS)
        return false;
    *read_ns = now;
    return true;
}

struct jit_code *jit_code_create(const struct object_process *process)
{
    struct jit_code *jit = calloc(1, sizeof *jit);
    if (jit)
        jit->process = process;
    return jit;
}

void jit_code_destroy(struct jit_code *jit)
{
    if (!jit)
        return;
    perf_map_fini(&jit->map);
    free(jit->code);
    free(jit);
}

static int open_map(const struct object_process *process)
{
    char path[64];
    if (process->pid <= 0 || process->own_pid <= 0)
        return -1;
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)process->own_pid);
    return object_file_open_owned(process, path);
}

bool jit_code_has_map(const struct jit_code *jit)
{
    int fd = open_map(jit->process);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void read_map(struct jit_code *jit)
{
    struct stat st;
    int fd = open_map(jit->process);
    if (fd < 0)
        return;
    const struct stat *old = &jit->map_stat;
    bool changed =
        fstat(fd, &st) == 0 &&
        (st.st_dev != old->st_dev || st.st_ino != old->st_ino || st.st_size != old->st_size ||
         st.st_mtim.tv_sec != old->st_mtim.tv_sec || st.st_mtim.tv_nsec != old->st_mtim.tv_nsec);
    if (changed) {
        perf_map_fini(&jit->map);
        if (perf_map_read(&jit->map, fd) != 0)
            perf_map_fini(&jit->map);
        jit->map_stat = st;
    }
    close(fd);
}

/* Whether a mapping of this name has no file that names could be read from: none on a disk, or one
 * that nobody else can open.  (.NET and others map their code twice by a memfd.) */
static bool is_anonymous(const char *path)
{
    static const char *const prefixes[] = {"[anon", "[heap]", "[stack", "/memfd:", "/dev/zero "};
    if (!*path)
        return true;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strncmp(path, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static void read_code(struct jit_code *jit)
{
    char path[64], *line = NULL;
    size_t size = 0;
    jit->code_count = 0;
    if (jit->process->pid == getpid()) /* /proc/self shows no maps once the main thread has ended */
        snprintf(path, sizeof path, "/proc/thread-self/maps");
    else
        snprintf(path, sizeof path, "/proc/%d/maps", (int)jit->process->pid);
    FILE *maps = jit->process->pid > 0 ? fopen(path, "re") : NULL;
    while (maps && getline(&line, &size, maps) > 0) {
        struct range r;
        char permissions[8];
        int at = 0;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*x %*x:%*x %*u %n", &r.start, &r.limit,
                   permissions, &at) != 3 ||
            !at || permissions[2] != 'x')
            continue;
        line[at + (int)strcspn(line + at, "\n")] = 0;
        if (is_anonymous(line + at) &&
            array_reserve(&jit->code, &jit->code_room, jit->code_count + 1, sizeof *jit->code))
            jit->code[jit->code_count++] = r;
    }
    free(line);
    if (maps)
        fclose(maps);
}

static bool is_code(const struct jit_code *jit, uint64_t address)
{
    size_t low = 0, high = jit->code_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (jit->code[middle].limit <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < jit->code_count && address >= jit->code[low].start;
}

const char *jit_code_find(struct jit_code *jit, uint64_t address, size_t *length)
{
    const char *name = perf_map_find(&jit->map, address, length);
    if (!name && due(&jit->map_read_ns)) {
        read_map(jit);
        name = perf_map_find(&jit->map, address, length);
    }
    if (name)
        return name;
    if (!is_code(jit, address) && due(&jit->code_read_ns))
        read_code(jit);
    name = is_code(jit, address) ? JIT_CODE : JIT_UNKNOWN;
    *length = strlen(name);
    return name;
}
