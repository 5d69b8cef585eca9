/* Units as systemd reads them: where they lie, their drop-ins, lines and lists; and what a service
 * then sees of the file system. */
#include "support/tap.h"
#include "preload/unit_file.h"
#include "preload/unit_paths.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char top[] = "/tmp/test_unit_file-XXXXXX";

static void make(const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", top, path);
    for (char *slash = whole + strlen(top); (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        exit(99);
}

static void link_to(const char *to, const char *path)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", top, path);
    if (symlink(to, whole) != 0)
        exit(99);
}

static const char *list_of(const struct unit *unit, const char *key)
{
    static char kept[4096];
    char *list = unit_list(unit, key);
    snprintf(kept, sizeof kept, "%s", list ? list : "?");
    free(list);
    return kept;
}

static struct unit of_text(const char *text)
{
    char copy[4096];
    struct unit unit = {0};
    snprintf(copy, sizeof copy, "%s", text);
    if (unit_read_text(&unit, copy) != 0)
        exit(99);
    return unit;
}

static void test_lines(void)
{
    struct unit unit = of_text("Key=before\n"
                               "[Unit]\nKey=unit\n"
                               "[Service]\n"
                               "  Key = one \t\n"
                               "# Key=comment\n ;Key=comment\\\n"
                               "Long=a\\\n# in between\\\n  b\\\n;c\nc\n"
                               "List=1 2\nList=\nList=3\nList=4 5\n"
                               "no assignment\n=empty\n"
                               "ReadWriteDirectories=-/old\n"
                               "On=Yes\nOff=no\n"
                               "[Install]\nKey=install\n[Service]\nLast=here\\");
    ok(strcmp(unit_value(&unit, "Key"), "one") == 0, "of [Service], trimmed, no comment: %s",
       unit_value(&unit, "Key"));
    ok(strcmp(unit_value(&unit, "Long"), "a   b c") == 0, "joined over comments: %s",
       unit_value(&unit, "Long"));
    ok(strcmp(list_of(&unit, "List"), "3 4 5 ") == 0, "an empty value resets: %s",
       list_of(&unit, "List"));
    ok(strcmp(unit_value(&unit, "ReadWritePaths"), "-/old") == 0, "an older name is the new one");
    ok(unit_is_on(&unit, "On") && !unit_is_on(&unit, "Off") && !unit_is_on(&unit, "None"),
       "yes and no");
    ok(strcmp(unit_value(&unit, "Last"), "here") == 0,
       "a section again, and a last line that would go on");
    unit_fini(&unit);
    static const char *const odd[] = {
        "", "\n", "[Service]", "[Service]\n=", "\\", "[Service]\n\\\n\\\n", "["};
    for (unsigned i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        unit = of_text(odd[i]);
        ok(strcmp(unit_value(&unit, "Key"), "") == 0, "an odd text, %u", i);
        unit_fini(&unit);
    }
}

static void test_words(void)
{
    const char *at = "  plain \"two words\" 'a \"b\"' A=\"x y\"z back\\\\slash\\x q\\\"q "
                     "\\x41\\102\\9 \"open",
               *none = " \t";
    static const char *const expected[] = {"plain",        "two words", "a \"b\"", "A=x yz",
                                           "back\\slashx", "q\"q",      "AB9",     "open"};
    char word[64];
    for (unsigned i = 0; i < sizeof expected / sizeof expected[0]; i++)
        ok(unit_word(&at, word, sizeof word) && strcmp(word, expected[i]) == 0, "word %s: %s",
           expected[i], word);
    ok(!unit_word(&at, word, sizeof word) && !unit_word(&none, word, sizeof word), "and no more");
    at = "abcdefghij next";
    ok(unit_word(&at, word, 4) && strcmp(word, "abc") == 0 && unit_word(&at, word, 10) &&
           strcmp(word, "next") == 0,
       "what is too long is cut");
}

static void test_files(void)
{
    struct unit unit;
    char error[VIEW_ERROR_SIZE], path[256];
    snprintf(path, sizeof path, "%s/etc:%s/none:%s/lib", top, top, top);
    setenv("SYSTEMD_UNIT_PATH", path, 1);
    make("lib/app.service", "[Service]\nFrom=lib\n");
    make("etc/app.service", "[Service]\nFrom=etc\n");
    make("lib/app.service.d/20-b.conf", "[Service]\nList=lib-b\n");
    make("lib/app.service.d/10-a.conf", "[Service]\nList=lib-a\n");
    make("etc/app.service.d/20-b.conf", "[Service]\nList=etc-b\n");
    make("etc/app.service.d/zz-own.conf", "[Service]\nList=own\n");
    make("etc/app.service.d/notes.txt", "[Service]\nList=txt\n");
    make("lib/service.d/15-all.conf", "[Service]\nList=all\n");
    is(unit_read(&unit, "app", "zz-own.conf", error), 0, "a name without .service");
    ok(strcmp(unit_value(&unit, "From"), "etc") == 0, "the first of the search path");
    ok(strcmp(list_of(&unit, "List"), "lib-a all etc-b ") == 0,
       "drop-ins by name, one that is there twice once, not the one left out: %s",
       list_of(&unit, "List"));
    unit_fini(&unit);
    make("lib/my-long-app@.service", "[Service]\nFrom=template\n");
    make("lib/my-long-app@.service.d/1.conf", "[Service]\nList=template\n");
    make("lib/my-long-app@x.service.d/2.conf", "[Service]\nList=instance\n");
    make("lib/my-long-.service.d/3.conf", "[Service]\nList=prefix\n");
    make("lib/my-.service.d/3.conf", "[Service]\nList=shorter\n");
    is(unit_read(&unit, "my-long-app@x.service", "", error), 0, "an instance");
    ok(strcmp(unit.name, "my-long-app@x.service") == 0 &&
           strcmp(unit_value(&unit, "From"), "template") == 0,
       "is made from its template");
    ok(strcmp(list_of(&unit, "List"), "template all instance prefix ") == 0,
       "with all that is for it: %s", list_of(&unit, "List"));
    unit_fini(&unit);
    link_to("app.service", "etc/alias.service");
    make("etc/alias.service.d/5.conf", "[Service]\nList=alias\n");
    is(unit_read(&unit, "alias", "", error), 0, "an alias");
    ok(strcmp(unit.name, "app.service") == 0 && strstr(list_of(&unit, "List"), "alias") &&
           strstr(list_of(&unit, "List"), "etc-b"),
       "is what it leads to: %s, %s", unit.name, list_of(&unit, "List"));
    unit_fini(&unit);
    link_to("/dev/null", "etc/masked.service");
    make("lib/masked.service", "[Service]\n");
    make("etc/empty.service", "");
    static const struct {
        const char *name, *says;
        int error;
    } refused[] = {{"masked", "masked.service is masked", EPERM},
                   {"empty", "empty.service is masked", EPERM},
                   {"nosuch", "nosuch.service: no such service", ENOENT},
                   {"../app", "../app: the name of a service is wanted", EINVAL},
                   {"", ": the name of a service is wanted", EINVAL},
                   {"a b", "a b: the name of a service is wanted", EINVAL},
                   {"app.socket", "app.socket.service: no such service", ENOENT}};
    for (unsigned i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        int result = unit_read(&unit, refused[i].name, "", error);
        ok(result == refused[i].error &&
               strncmp(error, refused[i].says, strlen(refused[i].says)) == 0,
           "%s: %s", refused[i].name, error);
    }
}

static void test_paths(void)
{
    static const struct {
        const char *text, *path;
        enum path_view view;
        bool writable, executable;
    } cases[] = {
        {"", "/opt/x", PATH_SEEN, true, true},
        {"ProtectSystem=strict", "/run/memdebug", PATH_SEEN, false, true},
        {"ProtectSystem=strict", "/dev/shm", PATH_SEEN, true, true},
        {"ProtectSystem=strict\nReadWritePaths=-/run/memdebug", "/run/memdebug/x", PATH_SEEN, true,
         true},
        {"ProtectSystem=strict\nReadWritePaths=/run/memdebugger", "/run/memdebug", PATH_SEEN, false,
         true},
        {"ProtectSystem=strict\nRuntimeDirectory=a memdebug", "/run/memdebug", PATH_SEEN, true,
         true},
        {"ProtectSystem=full", "/etc/x", PATH_SEEN, false, true},
        {"ProtectSystem=full", "/run/x", PATH_SEEN, true, true},
        {"ProtectSystem=yes", "/etc/x", PATH_SEEN, true, true},
        {"ProtectSystem=strict\nReadWritePaths=/srv\nReadOnlyPaths=/srv/x", "/srv/x/y", PATH_SEEN,
         false, true},
        {"DynamicUser=yes", "/srv/x", PATH_SEEN, false, true},
        {"DynamicUser=yes", "/tmp/x", PATH_OTHER, true, true},
        {"PrivateTmp=yes", "/var/tmp/x", PATH_OTHER, true, true},
        {"PrivateTmp=disconnected", "/tmp", PATH_OTHER, true, true},
        {"NoExecPaths=/", "/opt/x", PATH_SEEN, true, false},
        {"NoExecPaths=/\nExecPaths=/opt", "/opt/x", PATH_SEEN, true, true},
        {"NoExecPaths=/ /opt/x\nExecPaths=/opt", "/opt/x", PATH_SEEN, true, false},
        {"NoExecPaths=/\nNoExecPaths=", "/opt/x", PATH_SEEN, true, true},
        {"ProtectHome=yes", "/home/me/x", PATH_CLOSED, true, true},
        {"ProtectHome=read-only", "/home/me/x", PATH_SEEN, true, true},
        {"ProtectHome=tmpfs", "/root/x", PATH_COVERED, true, true},
        {"ProtectHome=tmpfs\nBindReadOnlyPaths=/root/x", "/root/x", PATH_SEEN, false, true},
        {"TemporaryFileSystem=/:ro", "/opt/x", PATH_COVERED, true, true},
        {"TemporaryFileSystem=/:ro\nBindPaths=/srv:/opt:rbind", "/opt/x", PATH_SEEN, true, true},
        {"InaccessiblePaths=-/opt", "/opt/x", PATH_CLOSED, true, true},
        {"RootDirectory=/srv/root", "/opt/x", PATH_COVERED, true, true},
        {"RootDirectory=/srv/root\nBindReadOnlyPaths=/opt", "/opt/x", PATH_SEEN, false, true},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        const char *by_view, *by_write;
        snprintf(text, sizeof text, "[Service]\n%s\n", cases[i].text);
        struct unit unit = of_text(text);
        enum path_view view = unit_path_view(&unit, cases[i].path, &by_view);
        bool writable = unit_path_writable(&unit, cases[i].path, &by_write);
        ok(view == cases[i].view && (view == PATH_SEEN || strstr(text, by_view)) &&
               writable == cases[i].writable && (writable || strstr(text, by_write)) &&
               unit_path_executable(&unit, cases[i].path) == cases[i].executable,
           "%s: %s, by %s %s", cases[i].text, cases[i].path, by_view, by_write);
        unit_fini(&unit);
    }
}

int main(void)
{
    char command[64];
    if (!mkdtemp(top))
        return 99;
    test_lines();
    test_words();
    test_files();
    test_paths();
    snprintf(command, sizeof command, "rm -r %s", top);
    if (system(command) != 0)
        return 99;
    return tap_done();
}
