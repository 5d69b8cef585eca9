/* MEMDEBUG: every key with what it takes and what it does not, spelling, escapes, what is said and
 * that it is said once in a process tree. */
#include "base/fmt.h"
#include "base/message.h"
#include "base/options.h"
#include "core_test.h"
#include "tap.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
    const char *key, *initial, *accepts;
    char when; /* first letter of START, RUNTIME, LATER */
} keys[OPTION_COUNT] = {
#define OPTION(id, key, type, initial, when, accepts, meaning)                                     \
    [OPTION_##id] = {key, initial, accepts, #when[0]},
#include "base/options.def"
#undef OPTION
};

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define SECOND UINT64_C(1000000000)
#define BAD (UINT64_MAX - 99)
#define ANY (UINT64_MAX - 98) /* taken; a text, the number says nothing */

static const struct {
    enum option_id id;
    const char *value;
    uint64_t number;
} values[] = {
    {OPTION_GCTRACE, "0", GCTRACE_OFF},
    {OPTION_GCTRACE, "1", GCTRACE_LINES},
    {OPTION_GCTRACE, "json", GCTRACE_NDJSON},
    {OPTION_GCTRACE, "JSON", GCTRACE_NDJSON},
    {OPTION_GCTRACE, "2", BAD},
    {OPTION_GCTRACE, "", BAD},
    {OPTION_GCTRACE, "js", BAD},
    {OPTION_GCTRACE, "json|0", BAD},
    {OPTION_GCTRACE, "|", BAD},
    {OPTION_GCTRACEFILE, "/tmp/x", ANY},
    {OPTION_GCTRACEFILE, "a b", ANY},
    {OPTION_GCTRACEFILE, "", ANY},
    {OPTION_SCAVTRACE, "0", 0},
    {OPTION_SCAVTRACE, "1", 1},
    {OPTION_SCAVTRACE, "json", BAD},
    {OPTION_GC, "auto", GC_AUTO},
    {OPTION_GC, "off", GC_OFF},
    {OPTION_GC, "Ready", GC_READY},
    {OPTION_GC, "observe", GC_OBSERVE},
    {OPTION_GC, "~collect", BAD},
    {OPTION_GC, "1", BAD},
    {OPTION_GC, "observer", BAD},
    {OPTION_GCPERCENT, "100", 100},
    {OPTION_GCPERCENT, "0", 0},
    {OPTION_GCPERCENT, "50%", 50},
    {OPTION_GCPERCENT, "off", OPTION_OFF},
    {OPTION_GCPERCENT, "OFF", OPTION_OFF},
    {OPTION_GCPERCENT, "-1", BAD},
    {OPTION_GCPERCENT, "5%%", BAD},
    {OPTION_GCPERCENT, "auto", BAD},
    {OPTION_GCPERCENT, "1e3", BAD},
    {OPTION_GCMEMLIMIT, "1", 1},
    {OPTION_GCMEMLIMIT, "1g", GIB},
    {OPTION_GCMEMLIMIT, "off", OPTION_OFF},
    {OPTION_GCMEMLIMIT, "90%", BAD},
    {OPTION_GCMINHEAP, "4MiB", 4 * MIB},
    {OPTION_GCMINHEAP, "0", 0},
    {OPTION_GCMINHEAP, "off", BAD},
    {OPTION_GCMINHEAP, "lots", BAD},
    {OPTION_GCINTERVAL, "500ms", SECOND / 2},
    {OPTION_GCINTERVAL, "10s", 10 * SECOND},
    {OPTION_GCINTERVAL, "10S", 10 * SECOND},
    {OPTION_GCINTERVAL, "2m", 120 * SECOND},
    {OPTION_GCINTERVAL, "1h", 3600 * SECOND},
    {OPTION_GCINTERVAL, "7", 7 * SECOND},
    {OPTION_GCINTERVAL, "auto", OPTION_AUTO},
    {OPTION_GCINTERVAL, "off", OPTION_OFF},
    {OPTION_GCINTERVAL, "5y", BAD},
    {OPTION_GCINTERVAL, "s", BAD},
    {OPTION_GCINTERVAL, "", BAD},
    {OPTION_GCINTERVAL, "-5s", BAD},
    {OPTION_GCINTERVAL, "10000000000h", BAD},
    {OPTION_GCINTERVAL, "9223372036854775807", BAD},
    {OPTION_GCINTERVAL, "soon", BAD},
    {OPTION_GCENGINE, "auto", GCENGINE_AUTO},
    {OPTION_GCENGINE, "clone", GCENGINE_CLONE},
    {OPTION_GCENGINE, "WP", GCENGINE_WP},
    {OPTION_GCENGINE, "stop", GCENGINE_STOP},
    {OPTION_GCENGINE, "fork", BAD},
    {OPTION_GCENGINE, "1", BAD},
    {OPTION_GCCPU, "25", 25},
    {OPTION_GCCPU, "50%", 50},
    {OPTION_GCCPU, "1", 1},
    {OPTION_GCCPU, "-1", BAD},
    {OPTION_GCCPU, "off", BAD},
    {OPTION_MEMPROFILERATE, "524288", 512 * KIB},
    {OPTION_MEMPROFILERATE, "512KiB", 512 * KIB},
    {OPTION_MEMPROFILERATE, "512K", 512 * KIB},
    {OPTION_MEMPROFILERATE, "512kb", 512 * KIB},
    {OPTION_MEMPROFILERATE, "64MB", 64 * MIB},
    {OPTION_MEMPROFILERATE, "64 MB", 64 * MIB},
    {OPTION_MEMPROFILERATE, "1g", GIB},
    {OPTION_MEMPROFILERATE, "1gib", GIB},
    {OPTION_MEMPROFILERATE, "2T", 2048 * GIB},
    {OPTION_MEMPROFILERATE, "5b", 5},
    {OPTION_MEMPROFILERATE, "1", 1},
    {OPTION_MEMPROFILERATE, "0", 0},
    {OPTION_MEMPROFILERATE, "-1", BAD},
    {OPTION_MEMPROFILERATE, "k", BAD},
    {OPTION_MEMPROFILERATE, "", BAD},
    {OPTION_MEMPROFILERATE, "5ib", BAD},
    {OPTION_MEMPROFILERATE, "5kk", BAD},
    {OPTION_MEMPROFILERATE, "5x", BAD},
    {OPTION_MEMPROFILERATE, "5kibx", BAD},
    {OPTION_MEMPROFILERATE, "1.5k", BAD},
    {OPTION_MEMPROFILERATE, "0x10", BAD},
    {OPTION_MEMPROFILERATE, "18446744073709551616", BAD},
    {OPTION_MEMPROFILERATE, "18446744073709551615", BAD},
    {OPTION_MEMPROFILERATE, "99999999999999999999999", BAD},
    {OPTION_MEMPROFILERATE, "17179869184G", BAD},
    {OPTION_MEMPROFILERATE, "off", BAD},
    {OPTION_MEMPROFILECPU, "0.5", 5000},
    {OPTION_MEMPROFILECPU, "0.5%", 5000},
    {OPTION_MEMPROFILECPU, "1", 10000},
    {OPTION_MEMPROFILECPU, "0.0001", 1},
    {OPTION_MEMPROFILECPU, "12.3450", 123450},
    {OPTION_MEMPROFILECPU, "100", 1000000},
    {OPTION_MEMPROFILECPU, "off", OPTION_OFF},
    {OPTION_MEMPROFILECPU, "0", BAD},
    {OPTION_MEMPROFILECPU, "0.0", BAD},
    {OPTION_MEMPROFILECPU, "100.1", BAD},
    {OPTION_MEMPROFILECPU, "101", BAD},
    {OPTION_MEMPROFILECPU, "0.00001", BAD},
    {OPTION_MEMPROFILECPU, ".5", BAD},
    {OPTION_MEMPROFILECPU, "1.", BAD},
    {OPTION_MEMPROFILECPU, "1.5x", BAD},
    {OPTION_MEMPROFILECPU, "-1", BAD},
    {OPTION_MEMPROFILECPU, "auto", BAD},
    {OPTION_LEAKRATE, "auto", OPTION_AUTO},
    {OPTION_LEAKRATE, "off", OPTION_OFF},
    {OPTION_LEAKRATE, "8KiB", 8 * KIB},
    {OPTION_LEAKRATE, "often", BAD},
    {OPTION_PROFSTACKDEPTH, "1", 1},
    {OPTION_PROFSTACKDEPTH, "1024", 1024},
    {OPTION_PROFSTACKDEPTH, "0", BAD},
    {OPTION_PROFSTACKDEPTH, "1025", BAD},
    {OPTION_PROFSTACKDEPTH, "1k", BAD},
    {OPTION_GCENGINE, "auto", GCENGINE_AUTO},
    {OPTION_GCENGINE, "clone", GCENGINE_CLONE},
    {OPTION_GCENGINE, "stop", GCENGINE_STOP},
    {OPTION_GCENGINE, "fork", BAD},
    {OPTION_GCCPU, "25", 25},
    {OPTION_GCCPU, "100", 100},
    {OPTION_GCCPU, "many", BAD},
    {OPTION_GCSTOP, "auto", GCSTOP_AUTO},
    {OPTION_GCSTOP, "quiet", GCSTOP_QUIET},
    {OPTION_GCSTOP, "0", BAD},
    {OPTION_UNWIND, "auto", UNWIND_AUTO},
    {OPTION_UNWIND, "cfi", UNWIND_CFI},
    {OPTION_UNWIND, "fp", UNWIND_FP},
    {OPTION_UNWIND, "off", BAD},
    {OPTION_HEAPPROFILE, "/tmp/{pid}-{exe}", ANY},
    {OPTION_THREADSTAY, "200ms", 200000000},
    {OPTION_THREADSTAY, "many", BAD},
    {OPTION_HEAPPROFILEINTERVAL, "30", 30 * SECOND},
    {OPTION_HEAPPROFILEINTERVAL, "off", OPTION_OFF},
    {OPTION_HEAPPROFILEINTERVAL, "auto", BAD},
    {OPTION_HEAPPROFILEALLOC, "1", 1},
    {OPTION_HEAPPROFILEALLOC, "64MB", 64 * MIB},
    {OPTION_HEAPPROFILEALLOC, "off", OPTION_OFF},
    {OPTION_HEAPPROFILEALLOC, "1%", BAD},
    {OPTION_HEAPPROFILEPEAK, "1", 1},
    {OPTION_HEAPPROFILEPEAK, "1g", GIB},
    {OPTION_HEAPPROFILEPEAK, "off", OPTION_OFF},
    {OPTION_HEAPPROFILEPEAK, "much", BAD},
    {OPTION_HEAPPROFILELIMIT, "1", 1},
    {OPTION_HEAPPROFILELIMIT, "1g", GIB},
    {OPTION_HEAPPROFILELIMIT, "90%", OPTION_SHARE | 90},
    {OPTION_HEAPPROFILELIMIT, "1%", OPTION_SHARE | 1},
    {OPTION_HEAPPROFILELIMIT, "100%", OPTION_SHARE | 100},
    {OPTION_HEAPPROFILELIMIT, "off", OPTION_OFF},
    {OPTION_HEAPPROFILELIMIT, "0", BAD},
    {OPTION_HEAPPROFILELIMIT, "0%", BAD},
    {OPTION_HEAPPROFILELIMIT, "101%", BAD},
    {OPTION_HEAPPROFILELIMIT, "%", BAD},
    {OPTION_HEAPPROFILELIMIT, "90%%", BAD},
    {OPTION_HEAPPROFILELIMIT, "90 %", BAD},
    {OPTION_HEAPPROFILELIMIT, "99999999999999999999%", BAD},
    {OPTION_HEAPPROFILELIMIT, "4611686018427387904", BAD},
    {OPTION_HEAPPROFILELIMIT, "auto", BAD},
    {OPTION_HEAPPROFILESIGNAL, "USR2", SIGUSR2},
    {OPTION_HEAPPROFILESIGNAL, "sigusr1", SIGUSR1},
    {OPTION_HEAPPROFILESIGNAL, "12", 12},
    {OPTION_HEAPPROFILESIGNAL, "40", 40},
    {OPTION_HEAPPROFILESIGNAL, "off", OPTION_OFF},
    {OPTION_HEAPPROFILESIGNAL, "KILL", BAD},
    {OPTION_HEAPPROFILESIGNAL, "SIGSTOP", BAD},
    {OPTION_HEAPPROFILESIGNAL, "9", BAD},
    {OPTION_HEAPPROFILESIGNAL, "SEGV", BAD},
    {OPTION_HEAPPROFILESIGNAL, "SIGFPE", BAD},
    {OPTION_HEAPPROFILESIGNAL, "BUS", BAD},
    {OPTION_HEAPPROFILESIGNAL, "SIGILL", BAD},
    {OPTION_HEAPPROFILESIGNAL, "0", BAD},
    {OPTION_HEAPPROFILESIGNAL, "32", BAD},
    {OPTION_HEAPPROFILESIGNAL, "65", BAD},
    {OPTION_HEAPPROFILESIGNAL, "SIG", BAD},
    {OPTION_HEAPPROFILESIGNAL, "USR2x", BAD},
    {OPTION_HEAPPROFILEEXIT, "0", 0},
    {OPTION_HEAPPROFILEEXIT, "1", 1},
    {OPTION_HEAPPROFILEEXIT, "2", BAD},
    {OPTION_HEAPPROFILEKEEP, "60", 60},
    {OPTION_HEAPPROFILEKEEP, "0", 0},
    {OPTION_HEAPPROFILEKEEP, "few", BAD},
    {OPTION_HEAPPROFILEKEEP, "off", BAD},
    {OPTION_ONLY, "redis-server:python3", ANY},
    {OPTION_FOLLOW, "none", FOLLOW_NONE},
    {OPTION_FOLLOW, "fork", FOLLOW_FORK},
    {OPTION_FOLLOW, "fork,exec", FOLLOW_ALL},
    {OPTION_FOLLOW, "FORK,EXEC", FOLLOW_ALL},
    {OPTION_FOLLOW, "exec", BAD},
    {OPTION_FOLLOW, "1", BAD},
    {OPTION_MONITOR, "on", 1},
    {OPTION_MONITOR, "off", 0},
    {OPTION_MONITOR, "OFF", 0},
    {OPTION_MONITOR, "0", 0},
    {OPTION_MONITOR, "1", 1},
    {OPTION_MONITOR, "perhaps", BAD},
    {OPTION_MONITOR, "", BAD},
    {OPTION_DIR, "/dev/shm/x", ANY},
    {OPTION_LEAKCHECK, "1", 1},
    {OPTION_LEAKCHECK, "yes", 1},
    {OPTION_LEAKCHECK, "2", BAD},
    {OPTION_LEAKEXITCODE, "0", 0},
    {OPTION_LEAKEXITCODE, "255", 255},
    {OPTION_LEAKEXITCODE, "256", BAD},
    {OPTION_LEAKEXITCODE, "-1", BAD},
    {OPTION_LEAKFILE, "/var/log/{exe}.leaks", ANY},
    {OPTION_LEAKSUPPRESSIONS, "/etc/{exe}.supp", ANY},
    {OPTION_LEAKSUPPRESSIONS, "", ANY},
    {OPTION_MMAPPROFILE, "0", 0},
    {OPTION_MMAPPROFILE, "2", BAD},
    {OPTION_DEEPBIND, "strip", DEEPBIND_STRIP},
    {OPTION_DEEPBIND, "keep", DEEPBIND_KEEP},
    {OPTION_DEEPBIND, "off", BAD},
    {OPTION_CLOBBERFREE, "0", 0},
    {OPTION_CLOBBERFREE, "1", 1},
    {OPTION_CLOBBERFREE, "2", BAD},
    {OPTION_KEEPDEAD, "0", 0},
    {OPTION_KEEPDEAD, "16", 16},
    {OPTION_KEEPDEAD, "-1", BAD},
    {OPTION_HELP, "1", 1},
    {OPTION_HELP, "maybe", BAD},
};

/* What a copy of the process says on stderr when it parses `text`. */
static const char *said(const char *text)
{
    static char out[65536];
    char copy[16384];
    int ends[2];
    size_t have = 0;
    if (pipe(ends) != 0)
        return "";
    pid_t pid = fork();
    if (pid == 0) {
        alarm(STUCK_SECONDS);
        dup2(ends[1], 2);
        message_init();
        strcpy(copy, text);
        options_parse(copy);
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], out + have, sizeof out - 1 - have)) > 0;)
        have += (size_t)n;
    out[have] = 0;
    close(ends[0]);
    int status = 1;
    waitpid(pid, &status, 0);
    if (status != 0)
        strcpy(out, "the copy died");
    return out;
}

static unsigned lines(const char *text)
{
    unsigned n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* Parses a copy, which it leaves behind for a look. */
static char parsed[16384];
static bool parse(const char *text)
{
    memmove(parsed, text, strlen(text) + 1);
    return options_parse(parsed);
}

static bool all_commas(const char *text)
{
    return strspn(text, ",") == strlen(text);
}

static void test_defaults(void)
{
    unsigned wrong = 0;
    for (int pass = 0; pass < 2; pass++) {
        options_parse(pass ? parsed : NULL);
        for (int id = 0; id < OPTION_COUNT; id++)
            wrong += option_given((enum option_id)id) ||
                     strcmp(option_text((enum option_id)id), keys[id].initial) != 0;
    }
    is(wrong, 0, "without a text, and with an empty one, all is as options.def has it");
    is(option_number(OPTION_MEMPROFILERATE), 512 * KIB, "a rate of 512 KiB");
    is(option_number(OPTION_GCPERCENT), 100, "100 percent");
    is(option_number(OPTION_GCMINHEAP), 4 * MIB, "at least 4 MiB");
    ok(option_number(OPTION_GCINTERVAL) == OPTION_AUTO, "an interval of its own choice");
    is(option_number(OPTION_HEAPPROFILEINTERVAL), 60 * SECOND, "a profile a minute");
    ok(option_number(OPTION_HEAPPROFILESIGNAL) == OPTION_OFF, "no signal");
    is(option_number(OPTION_FOLLOW), FOLLOW_ALL, "fork,exec");
    is(option_number(OPTION_KEEPDEAD), 16, "16 dead ones");
    is(option_number(OPTION_MONITOR), 1, "monitor on");
    is(option_number(OPTION_PROFSTACKDEPTH), 128, "128 frames");
}

struct refusal {
    enum option_id id;
    const char *text;
};

/* In a copy, as each complaint counts against the limit. */
static int refuses(void *argument)
{
    struct refusal *r = argument;
    parse("");
    uint64_t number = option_number(r->id);
    parse(r->text);
    return !(option_number(r->id) == number && !option_given(r->id) &&
             strcmp(option_text(r->id), keys[r->id].initial) == 0 && all_commas(parsed));
}

static void test_values(void)
{
    bool tried[OPTION_COUNT][2] = {{false}};
    char text[256], line[512];
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        enum option_id id = values[i].id;
        bool bad = values[i].number == BAD;
        tried[id][bad] = true;
        snprintf(text, sizeof text, "%s=%s", keys[id].key, values[i].value);
        const char *out = said(text);
        if (bad) {
            struct refusal r = {id, text};
            snprintf(line, sizeof line, "memdebug: MEMDEBUG: %s: bad value, accepted: ", text);
            ok(in_copy(refuses, &r) == 0 && strncmp(out, line, strlen(line)) == 0 &&
                   lines(out) == 1,
               "%s is refused in one line and changes nothing", text);
            continue;
        }
        parse(text);
        uint64_t number = option_number(id);
        ok(option_given(id) && strcmp(option_text(id), values[i].value) == 0 && !*out &&
               (values[i].number == ANY || number == values[i].number),
           "%s is taken", text);
    }
    for (int id = 0; id < OPTION_COUNT; id++) {
        snprintf(text, sizeof text, "%s=1", keys[id].key);
        if (keys[id].when == 'L') {
            struct refusal r = {(enum option_id)id, text};
            snprintf(line, sizeof line, "memdebug: MEMDEBUG: %s: not in this version\n", text);
            ok(strcmp(said(text), line) == 0 && in_copy(refuses, &r) == 0,
               "%s is not in this version", keys[id].key);
        } else if (!tried[id][0]) {
            ok(false, "%s is among the values of this test", keys[id].key);
        }
    }
    ok(strcmp(said("gc=collect"), "memdebug: MEMDEBUG: gc=collect: not in this version\n") == 0,
       "a word that a later version takes");
    ok(!strchr(strstr(said("gc=1"), "accepted"), '~') && !strstr(said("gc=1"), "collect"),
       "it is not among those accepted now");
}

/* One that is not the default where there are words. */
static const char *good_value(int id)
{
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++)
        if ((int)values[i].id == id && values[i].number == 1)
            return values[i].value;
    return "1";
}

static void test_spelling(void)
{
    unsigned wrong = 0;
    char text[128];
    for (int id = 0; id < OPTION_COUNT; id++) {
        if (keys[id].when == 'L')
            continue;
        for (int style = 0; style < 4; style++) {
            const char *value = good_value(id);
            size_t n = 0;
            text[n++] = ' ';
            for (const char *c = keys[id].key; *c; c++) {
                if (style & 1)
                    text[n++] = "_-"[draw(2)];
                text[n++] = (char)(style & 2 ? toupper(*c) : *c);
            }
            snprintf(text + n, sizeof text - n, " =\t%s ,", value);
            parse(text);
            if (!option_given((enum option_id)id) ||
                strcmp(option_text((enum option_id)id), value) != 0) {
                tap_print("# '%s' is not %s", text, keys[id].key);
                wrong++;
            }
        }
    }
    is(wrong, 0, "keys ignore case, _ and -; blanks are trimmed");
    parse("gctrace,heapprofileexit=0,,,memprofilerate=1k,");
    ok(option_number(OPTION_GCTRACE) == GCTRACE_LINES &&
           option_number(OPTION_HEAPPROFILEEXIT) == 0 &&
           option_number(OPTION_MEMPROFILERATE) == 1024,
       "a lone key is 1; empty items are nothing");
    parse("memprofilerate=1k,memprofilerate=2k");
    is(option_number(OPTION_MEMPROFILERATE), 2048, "of two the last holds");
    ok(!option_given(OPTION_GCTRACE), "nothing is left of the text before");
    parse("heapprofile=/tmp/a\\,b\\c,gctrace=1");
    ok(strcmp(option_text(OPTION_HEAPPROFILE), "/tmp/a,b\\c") == 0 &&
           option_number(OPTION_GCTRACE) == GCTRACE_LINES,
       "\\, is a comma, \\ alone is itself");
    parse("heapprofile=a=b");
    ok(strcmp(option_text(OPTION_HEAPPROFILE), "a=b") == 0, "a value may hold =");
    parse("follow=fork,exec,gctrace=1");
    ok(option_number(OPTION_FOLLOW) == FOLLOW_ALL && option_number(OPTION_GCTRACE) == GCTRACE_LINES,
       "follow=fork,exec is one value");
    parse("fol_low=fork,exec,gctrace=1");
    ok(option_number(OPTION_FOLLOW) == FOLLOW_ALL && option_given(OPTION_FOLLOW) &&
           !*said("fol_low=fork,exec,gctrace=1"),
       "however the key is written");
    parse("follow=fork,gctrace=1");
    ok(option_number(OPTION_FOLLOW) == FOLLOW_FORK &&
           option_number(OPTION_GCTRACE) == GCTRACE_LINES,
       "follow=fork ends at its comma");
    is(lines(said("follow=fork,executive=1")), 1, "exec is a whole word there");
}

static void test_once(void)
{
    static const char text[] = "gctrace=1,nonsense=5,memprofilerate=x\\,y,heapprofile=/tmp/p";
    parse(text);
    ok(strlen(parsed) == strlen(text), "the text stays as long as it was");
    ok(option_number(OPTION_GCTRACE) == GCTRACE_LINES && option_given(OPTION_HEAPPROFILE),
       "the rest applies");
    ok(strncmp(parsed, "gctrace=1,", 10) == 0 && strstr(parsed, ",heapprofile=/tmp/p") &&
           !strstr(parsed, "nonsense") && !strstr(parsed, "memprofilerate") &&
           !strchr(parsed, '\\'),
       "what was complained about is gone, the rest is not");
    is(lines(said(text)), 2, "two complaints");
    char left[256];
    strcpy(left, parsed);
    ok(!*said(left), "a child has none");
    parse(left);
    ok(option_number(OPTION_GCTRACE) == GCTRACE_LINES &&
           strcmp(option_text(OPTION_HEAPPROFILE), "/tmp/p") == 0 &&
           option_number(OPTION_MEMPROFILERATE) == 512 * KIB,
       "and the same options");

    static const char *const follows[] = {
        "follow=fork", "follow=none,gctrace=1",    "FOLLOW=none",  "Follow=fork,exec",
        "fOLLOW=fork", "gctrace=1, follow = none", "fol-low=fork", "F_O_L_L_O_W=none"};
    for (unsigned i = 0; i < sizeof follows / sizeof follows[0]; i++) {
        bool first = parse(follows[i]);
        uint64_t number = option_number(OPTION_FOLLOW);
        strcpy(left, parsed);
        bool second = parse(left), third = parse(left);
        ok(!first && second && third && option_number(OPTION_FOLLOW) == number &&
               strlen(left) == strlen(follows[i]),
           "%s: the first process is told from its children by exec", follows[i]);
    }
    ok(!parse("gctrace=1") && !parse(parsed) && !parse("followed=1") && !parse("fOllowed=1"),
       "without the key nobody is");
}

static void test_first_in_tree(void)
{
    static const char *const texts[] = {"gc=ready",
                                        "GC=ready",
                                        "gcTrace",
                                        " gc_percent = 20,gctrace=1",
                                        "nonsense=1,leakcheck",
                                        "follow=fork,exec,gc=ready"};
    static const char *const nothing[] = {"", "nonsense", "=,"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        parse(texts[i]);
        ok(options_first_in_tree(parsed) && !options_first_in_tree(parsed), "%s: once", texts[i]);
        char inherited[256];
        strcpy(inherited, parsed);
        parse(inherited);
        ok(!options_first_in_tree(parsed), "%s: and not in a child", parsed);
    }
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
        parse(nothing[i]);
        ok(!options_first_in_tree(parsed), "\"%s\": nothing to say it by", nothing[i]);
    }
    ok(!options_first_in_tree(NULL), "nor without a text");
}

static unsigned edit_distance(const char *a, const char *b)
{
    unsigned d[40][40];
    size_t m = strlen(a), n = strlen(b);
    for (size_t i = 0; i <= m; i++)
        for (size_t j = 0; j <= n; j++) {
            unsigned best = i && j ? d[i - 1][j - 1] + (a[i - 1] != b[j - 1]) : (unsigned)(i + j);
            if (i && d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (j && d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            d[i][j] = best;
        }
    return d[m][n];
}

static void test_nearest(void)
{
    unsigned wrong = 0, asked = 0;
    for (int id = 0; id < OPTION_COUNT; id++) {
        char text[2048] = "", typos[12][40];
        for (int i = 0; i < 12; i++) {
            char *t = typos[i];
            strcpy(t, keys[id].key);
            for (int k = 0; k <= i / 4; k++) {
                size_t length = strlen(t), at = draw(length);
                if (draw(3) == 0 && length > 1)
                    memmove(t + at, t + at + 1, length - at);
                else if (draw(2))
                    t[at] = (char)('a' + draw(26));
                else
                    memmove(t + at + 1, t + at, length - at + 1), t[at] = (char)('a' + draw(26));
            }
            for (int other = 0; other < OPTION_COUNT; other++)
                if (strcmp(t, keys[other].key) == 0)
                    strcpy(t, "zz");
            strcat(strcat(strcat(text, t), "=1"), ",");
        }
        const char *line = said(text);
        for (int i = 0; i < 12; i++, asked++) {
            char typo[40], near[40] = "";
            unsigned best = 99;
            if (sscanf(line, "memdebug: MEMDEBUG: %39[^=]=1: unknown key, nearest: %39s", typo,
                       near) != 2 ||
                strcmp(typo, typos[i]) != 0) {
                wrong++;
                break;
            }
            for (int other = 0; other < OPTION_COUNT; other++) {
                unsigned d = edit_distance(typo, keys[other].key);
                best = d < best ? d : best;
            }
            if (edit_distance(typo, near) != best) {
                tap_print("# '%s' is not nearest to '%s'", typo, near);
                wrong++;
            }
            line = strchr(line, '\n') + 1;
        }
    }
    ok(wrong == 0 && asked > 300, "of %u unknown keys %u were told a key that is not the nearest",
       asked, wrong);
}

static void test_hostile(void)
{
    static char text[9000];
    memset(text, 'a', 3000);
    text[3000] = 0;
    const char *out = said(text);
    ok(lines(out) == 1 && strlen(out) < 1000, "a key of 3000 letters is one line");
    out = said("gc\x01trace\x1b[31m=1\x7f");
    unsigned odd = 0;
    for (const char *c = out; *c; c++)
        odd += (*c < ' ' && *c != '\n') || *c == 127;
    ok(lines(out) == 1 && odd == 0, "no control characters are passed on");
    out = said("%s%n%s%n=%s");
    ok(strstr(out, "%s%n%s%n=%s") && lines(out) == 1, "percent signs are themselves");
    ok(lines(said("=")) == 1 && lines(said("=5")) == 1, "no key at all is one line");
    ok(lines(said("gctrace=\\")) == 1 && lines(said("\\")) == 1, "a text that ends in \\");
    text[0] = 0;
    for (int i = 0; i < 100; i++)
        strcat(text, "x=1,");
    is(lines(said(text)), MESSAGE_LIMIT, "never more than %d lines", MESSAGE_LIMIT);
    snprintf(text, sizeof text, "leakfile=/%01100d,gccpu=7", 0);
    ok(lines(said(text)) == 1 && strstr(said(text), "leakfile=/0") &&
           strstr(said(text), ": too long\n"),
       "a path that is too long is one line");
    parse(text);
    ok(!option_text(OPTION_LEAKFILE)[0], "and not cut: it would be another file's");
    is(option_number(OPTION_GCCPU), 7, "what follows it applies");
    text[0] = 0;
    for (int i = 0; i < 9; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "dir=/%0950d,", i);
    ok(lines(said(text)) == 1 && strstr(said(text), ": too long\n"),
       "so is what there is no room for");
}

static void test_set(void)
{
    parse("");
    unsigned wrong = 0;
    for (int id = 0; id < OPTION_COUNT; id++) {
        int expected = keys[id].when == 'S' ? EPERM : keys[id].when == 'L' ? ENOSYS : 0;
        int got = option_set(keys[id].key, good_value(id));
        if (got != expected) {
            tap_print("# %s: %d", keys[id].key, got);
            wrong++;
        }
    }
    is(wrong, 0, "each key can be set at run time, or says why not");
    ok(option_number(OPTION_GCTRACE) == GCTRACE_LINES &&
           option_number(OPTION_MEMPROFILERATE) == 1 &&
           option_number(OPTION_GCINTERVAL) == SECOND && option_number(OPTION_KEEPDEAD) == 16,
       "those that can have the new value");
    is(option_set("nonsense", "1"), EINVAL, "an unknown key is EINVAL");
    is(option_set("memprofilerate", "lots"), EINVAL, "so is a bad value");
    is(option_number(OPTION_MEMPROFILERATE), 1, "which changes nothing");
    is(option_set("Mem_Profile-Rate", "2MiB"), 0, "keys are as free as in MEMDEBUG");
    is(option_number(OPTION_MEMPROFILERATE), 2 * MIB, "and values");
    is(option_set("gcpercent", "off"), 0, "off");
    ok(option_number(OPTION_GCPERCENT) == OPTION_OFF, "is off");
}

/* What options_describe writes is a MEMDEBUG of the same meaning. */
static void test_describe(void)
{
    char text[1024], again[1024];
    parse("");
    options_describe(text, sizeof text);
    ok(!*text, "nothing differs from the defaults");
    parse("gctrace=1,memprofilerate=512KiB,gcpercent=50%");
    options_describe(text, sizeof text);
    ok(strcmp(text, "gctrace=1,gcpercent=50") == 0, "what differs: %s", text);
    unsigned wrong = 0, tried = 0;
    static const char *const more[] = {"heapprofile=a\\,b", "heapprofileinterval=500us",
                                       "heapprofileinterval=1500us", "only=a:b"};
    for (unsigned i = 0; i < sizeof values / sizeof values[0] + 4; i++) {
        unsigned k = i - 4;
        char item[256];
        uint64_t numbers[OPTION_COUNT];
        char texts[OPTION_COUNT][64];
        if (i >= 4 && values[k].number == BAD)
            continue;
        snprintf(item, sizeof item, "%s=%s", i < 4 ? "" : keys[values[k].id].key,
                 i < 4 ? "" : values[k].value);
        parse(i < 4 ? more[i] : item);
        for (int id = 0; id < OPTION_COUNT; id++) {
            numbers[id] = option_number((enum option_id)id);
            snprintf(texts[id], 64, "%s", option_text((enum option_id)id));
        }
        options_describe(text, sizeof text);
        parse(text);
        tried++;
        bool same = true;
        for (int id = 0; id < OPTION_COUNT; id++)
            same = same && numbers[id] == option_number((enum option_id)id) &&
                   (i < 4 || values[k].number != ANY ||
                    strcmp(texts[id], option_text((enum option_id)id)) == 0);
        if (i == 0)
            same = same && strcmp(option_text(OPTION_HEAPPROFILE), "a,b") == 0;
        options_describe(again, sizeof again);
        if (!same || strcmp(text, again) != 0) {
            tap_print("# %s became %s", i < 4 ? more[i] : item, text);
            wrong++;
        }
    }
    ok(wrong == 0 && tried > 50, "what is described means the same: %u of %u do not", wrong, tried);
    parse("gctrace=1,heapprofile=/tmp/long");
    memset(text, '#', sizeof text);
    options_describe(text, 12);
    ok(strlen(text) == 11 && text[12] == '#', "cut to its room");
}

/* One item by itself: taken, or refused in the words that options_parse says, and nothing changes.
 */
static void test_check(void)
{
    static const char *const refused[] = {"gcintreval=1s", "gc=on",       "=",       "",
                                          "gc=collect",    "gcinterval=", "help\nme"};
    static const char *const taken[] = {"gc=ready",      "Mem_Profile-Rate = 1", "gctrace",
                                        "gcpercent=50%", "follow=fork,exec",     "heapprofile=a,b",
                                        "dir="};
    char complaint[600], expected[700], text[1100];
    parse("gcpercent=7");
    for (unsigned i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        bool good = options_check(taken[i], complaint, sizeof complaint);
        ok(good && !*complaint, "%s is taken", taken[i]);
    }
    ok(option_number(OPTION_GCPERCENT) == 7 && option_number(OPTION_GC) == GC_AUTO,
       "and the options are as before");
    for (unsigned i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        bool good = options_check(refused[i], complaint, sizeof complaint);
        snprintf(expected, sizeof expected, "memdebug: MEMDEBUG: %s\n", complaint);
        const char *says = *refused[i] ? said(refused[i]) : expected;
        ok(!good && *complaint && strcmp(says, expected) == 0, "%s: %s", refused[i], complaint);
    }
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    memcpy(text, "leakfile=", 9);
    ok(!options_check(text, complaint, sizeof complaint) && strstr(complaint, ": too long"),
       "what is too long is refused");
    ok(!options_check("gc=on", complaint, 10) && strlen(complaint) == 9, "cut to its room");
}

/* gc=auto is decided by what else is asked for. */
static void test_gc(void)
{
    static const struct {
        const char *text;
        enum gc_mode mode;
    } modes[] = {{"", GC_OFF},
                 {"gc=ready", GC_READY},
                 {"gctrace=json", GC_OBSERVE},
                 {"leakcheck=1", GC_OBSERVE},
                 {"gcinterval=auto", GC_OBSERVE},
                 {"gctrace=1,gc=off", GC_OFF},
                 {"gctrace=1,gc=ready", GC_READY},
                 {"heapprofile=/tmp/x", GC_OFF}};
    for (unsigned i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        parse(modes[i].text);
        is(option_gc(), modes[i].mode, "%s: what gc comes to", modes[i].text);
    }
}

static bool shown[OPTION_COUNT];
/* Whom the text was given to: by a mark of pid and start, which is no option and no error. */
static void test_mark(void)
{
    char text[200];
    static const char *const others[] = {"@1.5", "@", "@x", "@999999999999999999999.1"};
    struct fmt f = fmt_on(text, sizeof text);
    fmt_text(&f, "leakcheck=1,gcpercent=50");
    options_parse(text);
    is(options_given_to(), GIVEN_FIRST, "no mark yet");
    options_mark(&f);
    ok(f.length < 24 + OPTIONS_MARK_SIZE && strchr(text, '@'), "a mark: %s", text);
    options_parse(text);
    is(options_given_to(), GIVEN_HERE, "this process's, whatever it runs now");
    is(option_number(OPTION_GCPERCENT), 50, "the options are as before");
    if (fork() == 0) {
        options_parse(text);
        _exit(options_given_to() != GIVEN_TO_PARENT);
    }
    int status = 1;
    wait(&status);
    is(status, 0, "in a child it is the parent's");
    for (unsigned i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "gcpercent=50,%s,leakcheck=1", others[i]);
        options_parse(text);
        ok(options_given_to() == GIVEN_TO_PARENT && option_number(OPTION_LEAKCHECK),
           "%s is not this process", others[i]);
    }
    options_parse(NULL);
    is(options_given_to(), GIVEN_FIRST, "nothing given");
}

static unsigned help_lines;

static void help_line(const char *text)
{
    char key[32] = "";
    help_lines++;
    sscanf(text, "  %31s", key);
    for (int id = 0; id < OPTION_COUNT; id++)
        if (strcmp(key, keys[id].key) == 0 &&
            (keys[id].when == 'L') == (strstr(text, "not in this version") != NULL))
            shown[id] = true;
}

int main(void)
{
    test_defaults();
    test_values();
    test_nearest();
    test_check();
    test_gc();
    test_hostile();
    test_spelling();
    test_once();
    test_mark();
    test_first_in_tree();
    test_set();
    test_describe();
    options_help(help_line);
    unsigned missing = 0;
    for (int id = 0; id < OPTION_COUNT; id++)
        missing += !shown[id];
    ok(missing == 0 && help_lines == OPTION_COUNT + 2, "help has a line for each key");
    return tap_done();
}
