/* Suppressions: LeakSanitizer's patterns, and files that are none. */
#include "support/tap.h"
#include "view/snapshot.h"
#include "view/suppressions.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static char path[64];

static void write_file(const char *text, size_t length)
{
    FILE *file = fopen(path, "w");
    if (!file || fwrite(text, 1, length, file) != length || fclose(file) != 0)
        exit(1);
}

static void test_patterns(void)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"foo", "foo", true},
        {"foo", "xfooy", true},
        {"foo", "fo", false},
        {"foo", "", false},
        {"", "foo", true},
        {"^foo", "foobar", true},
        {"^foo", "xfoo", false},
        {"foo$", "xfoo", true},
        {"foo$", "foox", false},
        {"foo$", "foofoo", true}, /* the last one counts */
        {"^foo$", "foo", true},
        {"^foo$", "foofoo", false},
        {"a*c", "xabbbcx", true},
        {"a*c", "xcba", false},
        {"^a*c$", "abcbc", true},
        {"^a*c$", "abcb", false},
        {"^a*b*c$", "aXbYc", true},
        {"^a*b*c$", "aXcYb", false},
        {"^*foo", "barfoo", true},
        {"foo*$", "foobar", true},
        {"*", "x", true},
        {"**", "x", true},
        {"^$", "x", false},
        {"a$b", "xa", true}, /* what follows $ means nothing, as in LeakSanitizer */
        {"std::vector<*>::push_back", "void std::vector<int, A>::push_back(int&&)", true},
        {"libfontconfig.so", "/usr/lib/x86_64-linux-gnu/libfontconfig.so.1", true},
        {"/opt/*.c$", "/opt/src/x.c", true},
        {"ab*ab", "ab", false}, /* the two do not overlap */
        {"^ab*ab$", "abab", true},
        {"^ab*b$", "ab", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ok(suppressions_match(cases[i].pattern, cases[i].text) == cases[i].matches, "%s %s %s",
           cases[i].pattern, cases[i].matches ? "matches" : "does not match", cases[i].text);
}

static void test_file(void)
{
    static const char text[] = "# comment\n"
                               "\n"
                               "leak:one\n"
                               "  leak:two words \r\n"
                               "race:other sanitizer's\n"
                               "leak:\n"
                               "leak:^last$";
    struct suppressions s;
    char error[VIEW_ERROR_SIZE];
    write_file(text, sizeof text - 1);
    is(suppressions_read(&s, path, error), 0, "a file");
    is(s.count, 3, "three rules");
    ok(strcmp(s.rules[1].pattern, "two words") == 0, "blanks around are not of the pattern");
    ok(strcmp(s.rules[2].pattern, "^last$") == 0, "a last line without its end");
    is(s.bad_lines, 2, "two lines are not understood");
    is(s.first_bad, 5, "the first of them");
    is(suppressions_find(&s, "xonex"), 0, "the first rule that matches");
    is(suppressions_find(&s, "last"), 2, "another");
    is(suppressions_find(&s, "lasting"), SUPPRESSIONS_NONE, "none");
    suppressions_fini(&s);
    write_file("", 0);
    is(suppressions_read(&s, path, error), 0, "an empty file");
    is(suppressions_find(&s, "x"), SUPPRESSIONS_NONE, "matches nothing");
    suppressions_fini(&s);
}

static void refuse(const char *what, const char *name, int code)
{
    struct suppressions s;
    char error[VIEW_ERROR_SIZE] = "";
    is(suppressions_read(&s, name, error), code, "%s", what);
    ok(strncmp(error, name, strlen(name)) == 0 && !strchr(error, '\n') && s.count == 0,
       "it says: %s", error);
    suppressions_fini(&s);
}

static void test_hostile(void)
{
    struct suppressions s;
    char error[VIEW_ERROR_SIZE];
    refuse("not there", "/nonexistent/suppressions", ENOENT);
    refuse("a directory", "/dev/shm", EINVAL);
    refuse("a device", "/dev/zero", EINVAL);
    static char fifo[80];
    snprintf(fifo, sizeof fifo, "%s.fifo", path);
    if (mkfifo(fifo, 0600) == 0) {
        refuse("a pipe that nobody writes", fifo, EINVAL);
        unlink(fifo);
    }
    size_t big = 10u << 20;
    char *text = malloc(big);
    memset(text, 'a', big);
    write_file(text, big);
    refuse("a line of 10 MB", path, EFBIG);
    memcpy(text, "leak:", 5);
    write_file(text, 1 << 20);
    is(suppressions_read(&s, path, error), 0, "a rule of 1 MiB");
    is(suppressions_find(&s, "aaaaaaaaaaaaaaaa"), SUPPRESSIONS_NONE, "longer than any name");
    suppressions_fini(&s);
    for (size_t i = 0; i < big; i++)
        text[i] = (char)(i * 2654435761u >> 13);
    write_file(text, 1 << 20);
    is(suppressions_read(&s, path, error), 0, "rubbish, zeros in it");
    ok(s.bad_lines > 0 && s.count == 0, "no line of it is understood");
    suppressions_fini(&s);
    for (size_t i = 0; i + 8 <= 1 << 20; i += 8)
        memcpy(text + i, i % 16 ? "leak:*a\n" : "leak:x$\n", 8);
    write_file(text, 1 << 20);
    is(suppressions_read(&s, path, error), 0, "131072 rules");
    is(s.count, 131072, "all of them");
    suppressions_fini(&s);
    free(text);
}

int main(void)
{
    snprintf(path, sizeof path, "/tmp/test_suppressions.%d", (int)getpid());
    test_patterns();
    test_file();
    test_hostile();
    unlink(path);
    return tap_done();
}
