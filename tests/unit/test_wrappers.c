/* Wrappers: the built-in list, a user's file on top of it, and files that are none. */
#include "support/tap.h"
#include "view/plumbing.h"
#include "view/snapshot.h"
#include "view/wrappers.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64];

static void write_file(const char *text, size_t length)
{
    FILE *file = fopen(path, "w");
    if (!file || fwrite(text, 1, length, file) != length || fclose(file) != 0)
        exit(1);
}

static void test_match(void)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"ngx_alloc", "ngx_alloc", true},
        {"ngx_alloc", "ngx_alloc_chain_link", false},
        {"ngx_alloc", "my_ngx_alloc", false},
        {"*malloc*", "sqlite3Malloc", true},
        {"*MALLOC*", "xmalloc", true},
        {"std::*", "std::vector::push_back", true},
        {"std::*", "my::std::f", false},
        {"a*c", "abcbc", true},
        {"a*c", "abcb", false},
        {"a*b*c", "aXbYbZc", true},
        {"*ab*ab", "xabyab", true},
        {"ab*ab", "ab", false},
        {"*", "", true},
        {"*", "x", true},
        {"**", "x", true},
        {"", "", true},
        {"", "x", false},
        {"x", "", false},
        {"[x]?", "[x]?", true}, /* only * is special */
        {"?", "x", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ok(wrappers_match(cases[i].pattern, cases[i].name) == cases[i].matches, "'%s' %s '%s'",
           cases[i].pattern, cases[i].matches ? "matches" : "does not match", cases[i].name);
}

static void test_built_in(void)
{
    static const char *const wrappers[] = {
        "xmalloc",
        "ngx_alloc",
        "(anonymous namespace)::ngx_alloc(unsigned long)",
        "ngx_palloc_block",
        "g_malloc0",
        "g_strndup",
        "zmalloc",
        "ztrymalloc_usable",
        "av_malloc",
        "av_mallocz",
        "sqlite3Malloc",
        "sqlite3DbMallocRawNN",
        "OPENSSL_malloc",
        "CRYPTO_malloc",
        "CRYPTO_zalloc",
        "apr_palloc",
        "apr_pcalloc",
        "PyMem_RawMalloc",
        "_PyMem_DebugRawAlloc",
        "_PyObject_GC_New",
        "PyObject_Malloc",
        "mosquitto__malloc",
        "_emalloc",
        "palloc0",
        "xrealloc",
        "operator new(unsigned long)",
        "operator new[](unsigned long)",
        "Chunk::operator new(unsigned long)",
        "void std::vector<int, std::allocator<int> >::_M_realloc_insert<int>(int&&)",
        "std::__1::basic_string<char>::__grow_by(unsigned long)",
        "__gnu_cxx::new_allocator<int>::allocate",
        "boost::container::dtl::allocate(unsigned long)",
        "fmt::v9::detail::buffer<char>::grow",
        "alloc::raw_vec::RawVec<T,A>::grow_one",
        "<alloc::vec::Vec<T> as core::iter::Extend<T>>::extend"};
    static const char *const own[] = {"",
                                      "main",
                                      "renew_session",
                                      "session_alloc",
                                      "ngx_alloc_chain_link",
                                      "ngx_http_alloc_request",
                                      "createStringObject",
                                      "_PyObject_Arena_Mmap",
                                      "_PyObject_ArenaMmap",
                                      "PyMember_GetOne",
                                      "allocate",
                                      "my::vector<std::string>::push_back(std::string const&)",
                                      "parse(std::string, void* (*)(malloc_tag))",
                                      "std_thing",
                                      "booster::run",
                                      "lpInsert",
                                      "reserve(unsigned long)"};
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0]; i++)
        ok(plumbing_is_function("prog", wrappers[i]), "a wrapper: %s", wrappers[i]);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        ok(!plumbing_is_function("prog", own[i]), "none: %s", own[i]);
    ok(plumbing_is_function("libc.so.6", "getline"), "libc's functions are all plumbing");
}

static void test_file(void)
{
    char error[VIEW_ERROR_SIZE] = "";
    static const char text[] = "# our own\n"
                               "\n"
                               "  make_*  \r\n"
                               "!make_token\n"
                               "!CRYPTO_*\n"
                               "crypto_strdup";
    write_file(text, sizeof text - 1);
    ok(wrappers_read(path, error) && !*error, "a file");
    ok(wrappers_has("make_session"), "adds a pattern");
    ok(!wrappers_has("make_token"), "! takes off what an earlier one matches");
    ok(!wrappers_has("CRYPTO_malloc"), "also what is built in");
    ok(wrappers_has("CRYPTO_strdup"), "the last one decides");
    ok(wrappers_has("xmalloc"), "the rest of the list is as it was");
    ok(!wrappers_has("our own") && !wrappers_has("# our own"), "a comment is none");

    static const char bad[] = "one\n!\ntwo\001\nthree\n";
    write_file(bad, sizeof bad - 1);
    ok(!wrappers_read(path, error), "bad lines");
    ok(strncmp(error, path, strlen(path)) == 0 &&
           strcmp(error + strlen(path),
                  ": 2 lines are no patterns, the first is line 2; the rest holds") == 0,
       "are told in one: %s", error);
    ok(wrappers_has("one") && wrappers_has("three"), "the rest holds");
    ok(!wrappers_has("two") && !wrappers_has("make_session"), "the list before is gone");
    write_file("one\n\0hidden\n", 12);
    ok(!wrappers_read(path, error) && strstr(error, "line 2 is no pattern") && wrappers_has("one"),
       "a NUL: %s", error);
    ok(wrappers_read(NULL, error) && !wrappers_has("one"), "no file, no patterns");
}

static void refuse(const char *what, const char *name)
{
    char error[VIEW_ERROR_SIZE] = "";
    ok(!wrappers_read(name, error) && strncmp(error, name, strlen(name)) == 0 &&
           !strchr(error, '\n'),
       "%s: %s", what, error);
    ok(wrappers_has("xmalloc") && !wrappers_has("main"), "the built-in list holds");
}

static void test_hostile(void)
{
    char error[VIEW_ERROR_SIZE];
    refuse("not there", "/nonexistent/wrappers");
    refuse("a directory", "/dev/shm");
    refuse("a device", "/dev/zero");
    char fifo[80];
    snprintf(fifo, sizeof fifo, "%s.fifo", path);
    if (mkfifo(fifo, 0600) == 0) {
        refuse("a pipe that nobody writes", fifo);
        unlink(fifo);
    }
    size_t big = 10u << 20;
    char *text = malloc(big);
    memset(text, 'a', big);
    write_file(text, big);
    refuse("10 MB", path);
    write_file(text, 64 << 10);
    refuse("a pattern of 64 KiB", path);
    for (size_t i = 0; i < 64 << 10; i++)
        text[i] = i % 2 ? '\n' : 'x';
    write_file(text, 64 << 10);
    ok(!wrappers_read(path, error) && strstr(error, "31744 lines") && wrappers_has("x"),
       "too many patterns: %s", error);
    /* The dearest there may be: each pattern tries each place of the name. */
    size_t size = 0;
    while (size + 66 < 64 << 10) {
        for (int i = 0; i < 32; i++) {
            text[size++] = '*';
            text[size++] = 'a';
        }
        text[size++] = 'b';
        text[size++] = '\n';
    }
    write_file(text, size);
    char name[1000];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    ok(wrappers_read(path, error), "patterns of many stars");
    ok(!wrappers_has(name), "end, on a long name");
    write_file("*\n", 2);
    ok(wrappers_read(path, error) && wrappers_has("main"), "all may be wrappers");
    wrappers_read(NULL, error);
    free(text);
}

int main(void)
{
    snprintf(path, sizeof path, "/tmp/test_wrappers.%d", (int)getpid());
    test_match();
    test_built_in();
    test_file();
    test_hostile();
    unlink(path);
    return tap_done();
}
