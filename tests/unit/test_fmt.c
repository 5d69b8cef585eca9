/* Text in bounded buffers against snprintf. */
#include "base/fmt.h"
#include "core_test.h"
#include "tap.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static void test_numbers(void)
{
    unsigned wrong = 0;
    static const uint64_t edges[] = {
        0, 1, 9, 10, 99, 100, INT64_MAX, (uint64_t)INT64_MIN, UINT64_MAX, UINT32_MAX};
    for (unsigned i = 0; i < 20000; i++) {
        char got[256], expected[256];
        uint64_t n = i < 10 ? edges[i] : draw(UINT64_MAX) >> draw(64);
        unsigned digits = (unsigned)draw(22);
        struct fmt f = fmt_on(got, sizeof got);
        fmt_u64(&f, n);
        fmt_char(&f, ' ');
        fmt_i64(&f, (int64_t)n);
        fmt_char(&f, ' ');
        fmt_hex(&f, n);
        fmt_char(&f, ' ');
        fmt_padded(&f, n, digits);
        snprintf(expected, sizeof expected, "%" PRIu64 " %" PRId64 " %" PRIx64 " %0*" PRIu64, n,
                 (int64_t)n, n, (int)digits, n);
        if (strcmp(got, expected) != 0 || f.length != strlen(got)) {
            if (!wrong++)
                tap_print("# got '%s', expected '%s'", got, expected);
        }
    }
    is(wrong, 0, "numbers are written as snprintf writes them");
}

static void test_bounds(void)
{
    static const char whole[] = "abcdefghij18446744073709551615-5ffx";
    unsigned wrong = 0;
    for (size_t size = 1; size < sizeof whole + 4; size++) {
        char buf[64];
        memset(buf, '#', sizeof buf);
        struct fmt f = fmt_on(buf, size);
        if (buf[0] != 0)
            wrong++;
        fmt_bytes(&f, "abcde", 5);
        fmt_text(&f, "fghij");
        fmt_u64(&f, UINT64_MAX);
        fmt_i64(&f, -5);
        fmt_hex(&f, 255);
        fmt_char(&f, 'x');
        size_t expected = size - 1 < sizeof whole - 1 ? size - 1 : sizeof whole - 1;
        wrong += strlen(buf) != expected || memcmp(buf, whole, expected) != 0 || buf[size] != '#' ||
                 f.length != expected;
    }
    is(wrong, 0, "what does not fit is dropped, nothing is written behind the room");
}

static const char *path_of(const char *pattern)
{
    static char buf[128];
    struct fmt f = fmt_on(buf, sizeof buf);
    fmt_path(&f, pattern, 812, "redis-server");
    return buf;
}

static void test_paths(void)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"/tmp/x", "/tmp/x"},
        {"/tmp/{pid}", "/tmp/812"},
        {"%p", "812"},
        {"{exe}-{pid}.log", "redis-server-812.log"},
        {"%e.%p.%e", "redis-server.812.redis-server"},
        {"%%p", "%812"},
        {"{pid", "{pid"},
        {"pid}", "pid}"},
        {"{PID}%x%", "{PID}%x%"},
        {"{{pid}}", "{812}"},
    };
    unsigned wrong = 0;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (strcmp(path_of(cases[i][0]), cases[i][1]) != 0) {
            tap_print("# '%s' became '%s'", cases[i][0], path_of(cases[i][0]));
            wrong++;
        }
    is(wrong, 0, "{pid}, %%p, {exe} and %%e in paths");

    char buf[8192], cwd[4096], expected[8192];
    if (!getcwd(cwd, sizeof cwd))
        cwd[0] = 0;
    errno = 77;
    fmt_absolute(buf, sizeof buf, "a/b");
    snprintf(expected, sizeof expected, "%s/a/b", cwd);
    ok(strcmp(buf, expected) == 0, "a relative path is made absolute");
    fmt_absolute(buf, sizeof buf, "/a/b");
    ok(strcmp(buf, "/a/b") == 0, "an absolute one stays");
    fmt_absolute(buf, sizeof buf, "");
    ok(buf[0] == 0, "none stays none");
    fmt_absolute(buf, 4, "/a/b");
    ok(strcmp(buf, "/a/") == 0, "cut where there is no room");
    if (chdir("/") == 0) {
        fmt_absolute(buf, sizeof buf, "a");
        ok(strcmp(buf, "/a") == 0, "in the root directory one slash is enough");
        if (chdir(cwd) != 0)
            tap_print("# cannot go back to %s", cwd);
    }
    is(errno, 77, "errno is preserved");
}

int main(void)
{
    test_numbers();
    test_bounds();
    test_paths();
    return tap_done();
}
