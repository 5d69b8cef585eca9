/* Perf maps as node and java write them, and as nobody should. */
#include "support/tap.h"

#include "base/machine.h"
#include "view/jit_code.h"
#include "view/perf_map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static struct perf_map map;

static int file_of(const void *text, size_t size)
{
    int fd = memfd_create("map", MFD_CLOEXEC);
    return fd >= 0 && write(fd, text, size) == (ssize_t)size ? fd : -1;
}

static bool parse(const char *text)
{
    perf_map_fini(&map);
    int fd = file_of(text, strlen(text));
    int result = perf_map_read(&map, fd);
    close(fd);
    return result == 0;
}

static bool names(uint64_t address, const char *expected)
{
    size_t length = 0;
    const char *name = perf_map_find(&map, address, &length);
    if (!expected || !name)
        return !expected && !name;
    return length == strlen(expected) && memcmp(name, expected, length) == 0;
}

static void test_formats(void)
{
    ok(parse("7f0a00001000 40 JS:*keep /srv/app.js:3:22\n"
             "0x00007f0a00002000 0x0000000000000100 int java.lang.String.hashCode()\n"
             "7F0A00003000  10  last, without an end of line"),
       "a map is read");
    ok(names(0x7f0a00001000, "JS:*keep /srv/app.js:3:22"), "node's: the first byte");
    ok(names(0x7f0a0000103f, "JS:*keep /srv/app.js:3:22"), "the last byte");
    ok(names(0x7f0a00001040, NULL) && names(0x7f0a00000fff, NULL), "not those beside it");
    ok(names(0x7f0a000020ff, "int java.lang.String.hashCode()"), "java's");
    ok(names(0x7f0a00003005, "last, without an end of line"), "the last line");
    ok(parse("") && names(0, NULL) && names(UINT64_MAX, NULL), "an empty map has no names");
}

static void test_later_lines_win(void)
{
    ok(parse("1000 100 old\n1040 10 inside\n1800 100 other\n17f0 20 over the start\n"
             "2000 10 small\n1ff0 100 large\n3000 10 twice\n3000 10 again\n"),
       "lines that overlap");
    ok(names(0x1000, "old") && names(0x1045, "inside") && names(0x1050, "old"),
       "new code within old");
    ok(names(0x17f8, "over the start") && names(0x180f, "over the start") && names(0x1810, "other"),
       "over its start");
    ok(names(0x2005, "large"), "over all of it");
    ok(names(0x3000, "again"), "in its place");
}

static void test_nonsense(void)
{
    ok(parse("\n \n1000\n1000 10\n1000 10 \nxyz 10 bad\n1000 xyz bad\n1000 0 empty\n"
             "fffffffffffffff0 20 beyond the end\n11112222333344445 10 too long\n"
             "0x 10 no digit\n-1000 10 negative\n 1000 10 a blank before it\n4000 10 good\n"),
       "lines that make no sense");
    ok(map.line_count == 1 && names(0x4001, "good") && names(0x1000, NULL), "are passed over");
    ok(parse("0 ffffffffffffffff all\n") && names(0, "all") && names(UINT64_MAX - 1, "all") &&
           names(UINT64_MAX, NULL),
       "all addresses");
}

/* Against the plain rule: the last line that holds the address. */
static void test_random(void)
{
    enum { LINES = 400, SPACE = 2048 };
    static char text[LINES * 40];
    unsigned seed = 1, wrong = 0;
    for (int round = 0; round < 50; round++) {
        int expected[SPACE], n = 0;
        memset(expected, 0xff, sizeof expected);
        for (int i = 0; i < LINES; i++) {
            unsigned start = (seed = seed * 1103515245 + 12345) >> 16 & (SPACE - 1);
            unsigned size = ((seed = seed * 1103515245 + 12345) >> 16 & 63) + 1;
            n += snprintf(text + n, sizeof text - (size_t)n, "%x %x n%d\n", start, size, i);
            for (unsigned k = start; k < start + size && k < SPACE; k++)
                expected[k] = i;
        }
        parse(text);
        for (unsigned k = 0; k < SPACE; k++) {
            char name[16];
            snprintf(name, sizeof name, "n%d", expected[k]);
            wrong += !names(k, expected[k] < 0 ? NULL : name);
        }
    }
    ok(wrong == 0, "random maps: the last line that holds an address");
}

/* Damaged bytes and cut files: whatever is found lies in the text. */
static void test_damaged(void)
{
    char text[] = "1000 40 one\n1020 40 two\n0x3000 0x10 three\nffffffff0000 ffff four\n";
    unsigned seed = 7, outside = 0;
    for (int round = 0; round < 20000; round++) {
        char damaged[sizeof text];
        memcpy(damaged, text, sizeof text);
        for (int i = 0; i < 4; i++) {
            seed = seed * 1103515245 + 12345;
            damaged[(seed >> 16) % (sizeof text - 1)] = (char)(seed >> 8);
        }
        size_t size = (seed >> 20) % sizeof text;
        perf_map_fini(&map);
        int fd = file_of(damaged, size);
        perf_map_read(&map, fd);
        close(fd);
        for (uint64_t a = 0xff0; a < 0x1100; a += 7) {
            size_t length = 0;
            const char *name = perf_map_find(&map, a, &length);
            outside += name && (name < map.text || name + length > map.text + size);
        }
    }
    ok(outside == 0, "damaged maps");
}

static void test_bounds(void)
{
    int fd = memfd_create("map", MFD_CLOEXEC), ends[2];
    perf_map_fini(&map);
    ok(ftruncate(fd, (off_t)PERF_MAP_BYTES_MAX + 1) == 0 && perf_map_read(&map, fd) == EFBIG,
       "over 64 MiB is not read");
    close(fd);
    perf_map_fini(&map);
    ok(pipe(ends) == 0 && perf_map_read(&map, ends[0]) == EINVAL, "nor what is no file");
    close(ends[0]);
    close(ends[1]);
    /* The shortest lines there can be, more than are taken. */
    size_t size = 6 * (size_t)(PERF_MAP_LINES_MAX + 1000);
    char *text = malloc(size + 1);
    for (size_t i = 0; text && i < size; i += 6)
        memcpy(text + i, "1 9 a\n", 7);
    fd = text ? file_of(text, size) : -1;
    perf_map_fini(&map);
    ok(perf_map_read(&map, fd) == 0 && map.line_count == PERF_MAP_LINES_MAX && names(9, "a"),
       "lines are bounded");
    close(fd);
    free(text);
}

/* ---- whose map is read ---- */

static const char *code_name(const struct object_process *process, uint64_t address)
{
    static char name[64];
    size_t length;
    struct jit_code *jit = jit_code_create(process);
    const char *found = jit_code_find(jit, address, &length);
    snprintf(name, sizeof name, "%.*s", (int)length, found);
    jit_code_destroy(jit);
    return name;
}

static void write_map(const char *path, uint64_t address)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return;
    fprintf(file, "%llx 10 named\n", (unsigned long long)address);
    fclose(file);
}

static void test_owner(void)
{
    char root[] = "/tmp/test_perf_map.XXXXXX", tmp[64], path[96], other[96];
    if (tap_emulated("code made at run time", "pages of code"))
        return;
    uint8_t *code = mmap(NULL, OS_PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t address = (uint64_t)(uintptr_t)code;
    if (!mkdtemp(root) || code == MAP_FAILED)
        return;
    snprintf(tmp, sizeof tmp, "%s/tmp", root);
    mkdir(tmp, 0700);
    snprintf(path, sizeof path, "%s/perf-77.map", tmp);
    snprintf(other, sizeof other, "%s/other", tmp);
    struct object_process process = {root, getpid(), 77, getuid()}, stranger = process,
                          dead = {root, 0, 77, getuid()};
    stranger.uid++;
    ok(strcmp(code_name(&process, address), JIT_CODE) == 0, "code without a map");
    ok(strcmp(code_name(&process, OS_PAGE_MIN), JIT_UNKNOWN) == 0, "where there is no code");
    ok(strcmp(code_name(&dead, address), JIT_UNKNOWN) == 0, "of the dead nothing is known");
    uintptr_t here;
    void (*function)(void) = test_owner;
    memcpy(&here, &function, sizeof here);
    ok(strcmp(code_name(&process, here), JIT_UNKNOWN) == 0,
       "nor is a file's code made at run time");
    write_map(path, address);
    ok(strcmp(code_name(&process, address), "named") == 0,
       "the map below its root, by its own number");
    ok(strcmp(code_name(&stranger, address), JIT_CODE) == 0, "not another user's");
    rename(path, other);
    ok(strcmp(symlink("other", path) == 0 ? code_name(&process, address) : "", JIT_CODE) == 0,
       "not a link");
    unlink(path);
    ok(strcmp(mkfifo(path, 0600) == 0 ? code_name(&process, address) : "", JIT_CODE) == 0,
       "not a FIFO");
    unlink(path);
    unlink(other);
    rmdir(tmp);
    rmdir(root);
    munmap(code, OS_PAGE);
}

int main(void)
{
    test_formats();
    test_later_lines_win();
    test_nonsense();
    test_random();
    test_damaged();
    test_bounds();
    test_owner();
    perf_map_fini(&map);
    return tap_done();
}
