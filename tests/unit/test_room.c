/* Whether a copy has room in the memory cgroup, on made-up cgroup file systems. */
#include "tap.h"

#include "gc/room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MB UINT64_C(1048576)

static char root[] = "/tmp/mdroom-XXXXXX";

/* A cgroup with these files; a negative number: without the file. */
static void make(const char *directory, long max_mb, long current_mb, long file_mb, int group)
{
    char path[256];
    FILE *file;
    snprintf(path, sizeof path, "%s%s", root, directory);
    mkdir(path, 0700);
    struct {
        const char *name;
        long value;
        const char *format;
    } files[] = {
        {"memory.max", max_mb * (long)MB, "%ld\n"},
        {"memory.current", current_mb * (long)MB, "%ld\n"},
        {"memory.stat", file_mb * (long)MB, "anon 77\nfile 1\ninactive_file %ld\nactive_file 0\n"},
        {"memory.oom.group", group, "%ld\n"}};
    for (unsigned i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s%s/%s", root, directory, files[i].name);
        if (files[i].value < 0 && i != 0)
            continue;
        file = fopen(path, "w");
        if (files[i].value < 0)
            fputs("max\n", file);
        else
            fprintf(file, files[i].format, files[i].value);
        fclose(file);
    }
}

static bool has_room(const char *membership, uint64_t bytes)
{
    return room_in(root, membership, bytes) == NULL;
}

int main(void)
{
    if (!mkdtemp(root))
        return 1;
    make("/alone", 100, 60, 0, 0);
    make("/pod", 100, 60, 0, 1);
    make("/cached", 100, 95, 50, 1);
    make("/free", -1, 60, 0, 1);
    make("/outer", 100, 60, 0, 0);
    make("/outer/inner", -1, 30, 0, 1);
    make("/group", 100, 60, 0, 1);
    make("/group/inner", 35, 30, 0, 0);

    ok(has_room("0::/alone\n", 80 * MB), "without memory.oom.group only the copy dies");
    ok(has_room("0::/pod\n", 39 * MB), "with it, there is room for 39 of 40 MB");
    ok(!has_room("0::/pod\n", 41 * MB), "and none for 41");
    ok(strstr(room_in(root, "0::/pod\n", 41 * MB), "memory.oom.group"), "which is the reason");
    ok(has_room("5:cpu:/x\n1:name=systemd:/y\n0::/pod\n", 39 * MB) &&
           !has_room("5:cpu:/x\n1:name=systemd:/y\n0::/pod\n", 41 * MB),
       "beside cgroups of version 1");
    ok(has_room("0::/cached\n", 54 * MB) && !has_room("0::/cached\n", 56 * MB),
       "the page cache gives way");
    ok(has_room("0::/free\n", 1000 * MB), "no limit, no danger");
    ok(has_room("0::/outer/inner\n", 39 * MB) && !has_room("0::/outer/inner\n", 41 * MB),
       "the limit of an outer cgroup ends the inner one");
    ok(has_room("0::/group/inner\n", 39 * MB) && !has_room("0::/group/inner\n", 41 * MB),
       "an outer one's own group at its own limit");
    ok(has_room("0::/group/inner\n", 10 * MB), "the inner limit kills the copy alone");
    ok(has_room("0::/nowhere\n", 1000 * MB) && has_room("", 1000 * MB) &&
           has_room("4:memory:/z\n", 1000 * MB) && has_room("0::", 1) && has_room("0::/", 1),
       "what cannot be read is no limit");
    char line[6000];
    memset(line, 'a', sizeof line);
    memcpy(line, "0::/", 4);
    line[sizeof line - 1] = 0;
    ok(has_room(line, 1000 * MB), "a path that is too long");

    char command[300];
    snprintf(command, sizeof command, "rm -rf %s", root);
    if (system(command) != 0)
        return 1;
    return tap_done();
}
