/* Whether a copy has room in the memory cgroup, on made-up cgroup file systems. */
#include "tap.h"

#include "gc/engine/headroom.h"

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

/* The same of version 1. */
static void make1(const char *directory, uint64_t limit, long usage_mb, long file_mb, int disabled)
{
    char path[256];
    snprintf(path, sizeof path, "mkdir -p %s/memory%s", root, directory);
    if (system(path) != 0)
        exit(1);
    struct {
        const char *name, *format;
        uint64_t value;
    } files[] = {
        {"memory.limit_in_bytes", "%ld\n", limit},
        {"memory.usage_in_bytes", "%ld\n", (uint64_t)usage_mb * MB},
        {"memory.stat", "inactive_file 99999999\ntotal_inactive_file %ld\n",
         (uint64_t)file_mb * MB},
        {"memory.oom_control", "oom_kill_disable %ld\nunder_oom 0\n", (uint64_t)disabled},
    };
    for (unsigned i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/memory%s/%s", root, directory, files[i].name);
        FILE *file = fopen(path, "w");
        fprintf(file, files[i].format, files[i].value);
        fclose(file);
    }
}

static bool has_room_for(const char *membership, uint64_t most, uint64_t likely)
{
    return headroom_in(root, membership, (struct headroom_need){most, likely}) == NULL;
}

static bool has_room(const char *membership, uint64_t bytes)
{
    return has_room_for(membership, bytes, bytes / 2);
}

static void is_text(const char *got, const char *expected, const char *name)
{
    ok(strcmp(got, expected) == 0, "%s: %s", name, got);
}

static struct headroom_limit least;

/* "USED of LIMIT in DIRECTORY/FILE", MB; "" if none has a limit. */
static const char *nearest(const char *membership, unsigned percent)
{
    static char text[300];
    if (!headroom_least(root, membership, percent, &least))
        return "";
    ok(strncmp(least.directory, root, strlen(root)) == 0, "below the root");
    snprintf(text, sizeof text, "%lu of %lu in %s/%s", (unsigned long)(least.used_bytes / MB),
             (unsigned long)(least.limit_bytes / MB), least.directory + strlen(root), least.file);
    return text;
}

static void test_version1(void)
{
    make1("", UINT64_C(0x7ffffffffffff000), 100, 0, 0);
    make1("/docker/a", 100 * MB, 60, 0, 0);
    make1("/docker/b", 100 * MB, 95, 50, 0);
    make1("/docker/c", 100 * MB, 60, 0, 1);
    is_text(nearest("5:cpu:/x\n4:cpu,memory:/docker/b\n0::/x\n", 90),
            "45 of 100 in /memory/docker/b/memory.limit_in_bytes", "the nearest of version 1");
    ok(has_room_for("4:memory:/docker/a\n", 80 * MB, 39 * MB) &&
           !has_room_for("4:memory:/docker/a\n", 80 * MB, 41 * MB),
       "version 1: what is likely has 40 MB");
    ok(has_room_for("5:cpu:/x\n4:cpu,memory:/docker/b\n0::/x\n", 80 * MB, 54 * MB) &&
           !has_room_for("5:cpu:/x\n4:cpu,memory:/docker/b\n0::/x\n", 80 * MB, 56 * MB),
       "version 1: caches give way, other controllers do not matter");
    ok(!has_room_for("4:memory:/docker/c\n", 41 * MB, 1) &&
           has_room_for("4:memory:/docker/c\n", 39 * MB, 1),
       "version 1: where nobody is killed, all must have room");
    ok(has_room_for("4:memory:/\n", 1000 * MB, 1000 * MB) &&
           has_room_for("4:memory:/docker/elsewhere\n", 1000 * MB, 1000 * MB) &&
           has_room_for("4:xmemory:/docker/a\n", 80 * MB, 80 * MB) &&
           has_room_for("4:memory,x:docker\n", 1, 1) && has_room_for("4:memory", 1, 1) &&
           has_room_for("4:", 1, 1) && has_room_for("4", 1, 1) && has_room_for("4:memory:", 1, 1),
       "version 1: no limit, and what cannot be read is none");
    /* In a container the root is the container's own cgroup, its name that from outside. */
    make1("", 100 * MB, 60, 0, 0);
    ok(!has_room_for("4:memory:/docker/elsewhere\n", 80 * MB, 41 * MB),
       "version 1: the root of a container");
}

static int64_t look_again_ns;

static const char *runs_out(void)
{
    return headroom_runs_out(&look_again_ns);
}

/* While there is a copy. */
static void test_watch(void)
{
    ok(has_room("0::/free\n", 1000 * MB) && !headroom_is_limited() && !runs_out(),
       "without a limit nothing is watched");
    ok(has_room("0::/group/inner\n", MB) && headroom_is_limited() && !runs_out(),
       "with one there is room");
    make("/group/inner", 35, 32, 0, 0);
    ok(runs_out() && !strstr(runs_out(), "oom.group"), "until it runs out, at the inner limit");
    make("/group/inner", 35, 32, 2, 0);
    ok(!runs_out(), "caches give way");
    ok(has_room("0::/pod\n", MB) && !runs_out(), "another has room");
    int64_t with_40mb = look_again_ns;
    make("/pod", 100, 80, 0, 1);
    ok(!runs_out() && look_again_ns < with_40mb && look_again_ns >= 1000000,
       "with less of it the next look is sooner: after %.1f ms, not %.1f",
       (double)look_again_ns / 1e6, (double)with_40mb / 1e6);
    make("/pod", 100, 90, 0, 1);
    ok(runs_out() && strstr(runs_out(), "oom.group"), "until it has none");
    make("/pod", 100, 60, 0, 1);
}

/* For whoever is to know in time. */
static void test_least(void)
{
    is_text(nearest("0::/alone\n", 90), "60 of 100 in /alone/memory.max", "a limit of its own");
    ok(headroom_until(&least, 90) == (int64_t)(30 * MB) &&
           headroom_until(&least, 50) == -(int64_t)(10 * MB),
       "30 MB to 90 %%, and 10 over 50");
    is_text(nearest("0::/cached\n", 90), "45 of 100 in /cached/memory.max",
            "caches are not counted");
    is_text(nearest("0::/outer/inner\n", 90), "60 of 100 in /outer/memory.max", "an outer one's");
    is_text(nearest("0::/group/inner\n", 90), "30 of 35 in /group/inner/memory.max",
            "of two the nearer one");
    is_text(nearest("0::/group/inner/\n", 40), "60 of 100 in /group/memory.max",
            "which depends on the share");
    is_text(nearest("0::/high\n", 90), "60 of 1000 in /high/memory.max",
            "above memory.high nobody dies");
    ok(!*nearest("0::/free\n", 90) && !*nearest("0::/nowhere\n", 90) && !*nearest("", 90) &&
           !*nearest("0::", 90) && !*nearest("4:", 90),
       "no limit, and what cannot be read is none");
}

static void test_need(void)
{
    struct headroom_need need = headroom_need(2048 * MB, 16 * MB);
    ok(need.most == 2052 * MB && need.likely == need.most,
       "before the first copy all may be written to: the heap and what is beside it");
    headroom_note_copy(2048 * MB, 100 * MB);
    need = headroom_need(2048 * MB, 16 * MB);
    ok(need.most == 2052 * MB && need.likely >= 204 * MB && need.likely < 220 * MB,
       "after one during which 100 MB were written to, twice that is likely: %lu MB",
       (unsigned long)(need.likely / MB));
    need = headroom_need(4096 * MB, 16 * MB);
    ok(need.likely >= 404 * MB && need.likely < 420 * MB, "of a larger process as much more");
    headroom_note_copy(2048 * MB, 0);
    need = headroom_need(2048 * MB, 0);
    ok(need.likely > 170 * MB && need.likely < 190 * MB, "an idle moment changes that little");
    headroom_note_copy(2048 * MB, 1500 * MB);
    need = headroom_need(2048 * MB, 0);
    ok(need.likely == need.most, "a busy one at once, up to all");
    headroom_note_copy(MB, 4096 * MB);
    headroom_note_copy(0, 0);
    need = headroom_need(2048 * MB, 0);
    ok(need.likely <= need.most, "never more than all");
    headroom_postfork_child();
    headroom_note_copy(2048 * MB, 0);
    need = headroom_need(2048 * MB, 16 * MB);
    ok(need.likely < 16 * MB, "a forked copy has seen nothing of that");
}

int main(void)
{
    if (!mkdtemp(root))
        return 1;
    make("/alone", 100, 60, 0, 0);
    make("/pod", 100, 60, 0, 1);
    make("/cached", 100, 95, 50, 1);
    make("/free", -1, 60, 0, 1);
    make("/high", 1000, 60, 0, 1);
    FILE *high = fopen(strcat(strcpy((char[64]){0}, root), "/high/memory.high"), "w");
    fprintf(high, "%ld\n", (long)(100 * MB));
    fclose(high);
    make("/outer", 100, 60, 0, 0);
    make("/outer/inner", -1, 30, 0, 1);
    make("/group", 100, 60, 0, 1);
    make("/group/inner", 35, 30, 0, 0);

    ok(has_room_for("0::/alone\n", 80 * MB, 39 * MB),
       "without memory.oom.group only the copy dies");
    ok(!has_room_for("0::/alone\n", 80 * MB, 41 * MB), "but it is not made if that is likely");
    ok(has_room("0::/pod\n", 39 * MB), "with it, there is room for 39 of 40 MB");
    ok(!has_room("0::/pod\n", 41 * MB), "and none for 41");
    ok(strstr(headroom_in(root, "0::/pod\n", (struct headroom_need){41 * MB, 1}),
              "memory.oom.group"),
       "which is the reason");
    ok(has_room("5:cpu:/x\n1:name=systemd:/y\n0::/pod\n", 39 * MB) &&
           !has_room("5:cpu:/x\n1:name=systemd:/y\n0::/pod\n", 41 * MB),
       "beside cgroups of version 1");
    ok(has_room("0::/cached\n", 54 * MB) && !has_room("0::/cached\n", 56 * MB),
       "the page cache gives way");
    ok(has_room("0::/high\n", 39 * MB) && !has_room("0::/high\n", 41 * MB),
       "above memory.high the program would be held back");
    ok(has_room("0::/free\n", 1000 * MB), "no limit, no danger");
    ok(has_room("0::/outer/inner\n", 39 * MB) && !has_room("0::/outer/inner\n", 41 * MB),
       "the limit of an outer cgroup ends the inner one");
    ok(has_room_for("0::/group/inner\n", 39 * MB, MB) && !has_room("0::/group/inner\n", 41 * MB),
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
    test_least();
    test_watch();
    test_need();
    test_version1();

    char command[300];
    snprintf(command, sizeof command, "rm -rf %s", root);
    if (system(command) != 0)
        return 1;
    return tap_done();
}
