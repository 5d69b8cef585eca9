#include "support/tap.h"

#include "view/gctrace.h"

#include <string.h>

static const char go_line_8[] =
    "gc 8 @0.480s 0%: 0.014+0.30+0.002 ms clock, 0.028+0/0.064/0.086+0.005 ms cpu, 10->10->6 MB, "
    "10 MB goal, 0 MB stacks, 0 MB globals, 2 P";
static const char go_line_forced[] =
    "gc 9 @0.485s 0%: 0.035+0.21+0.002 ms clock, 0.071+0/0.077/0.064+0.004 ms cpu, 6->6->6 MB, "
    "12 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)";
static const char go_line_big[] =
    "gc 1 @0.128s 16%: 0.025+251+0.002 ms clock, 0.20+0.13/502/1506+0.019 ms cpu, "
    "1526->1526->1525 MB, 1526 MB goal, 0 MB stacks, 0 MB globals, 8 P";
static const char go_line_off[] =
    "gc 1 @0.029s 0%: 0.032+0.13+0.003 ms clock, 0.065+0/0.063/0.070+0.006 ms cpu, 1->1->0 MB, "
    "8796093022198 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)";
static const char our_line[] =
    "gc 8 @0.480s 0%: 0.014+0.30+0.002 ms clock, 0.028+0/0.064/0.086+0.005 ms cpu, 10->10->6 MB, "
    "10 MB goal, 0 MB stacks, 0 MB globals, 2 P, 48211 objects, 12 unreachable 1536 B, "
    "pid 812 redis-server (forced)";

static struct md_cycle parse(const char *line, uint32_t *pid, char *name, bool *whole)
{
    struct md_cycle c;
    memset(&c, 0xee, sizeof c);
    *pid = 99;
    *whole = gctrace_parse(line, strlen(line), &c, pid, name);
    return c;
}

static void is_line(const struct md_cycle *c, const char *name, const char *expected)
{
    char line[GCTRACE_LINE_SIZE];
    size_t n = gctrace_format(c, 812, name, line, sizeof line);
    if (!ok(n == strlen(expected) + 1 && strncmp(line, expected, n - 1) == 0 && line[n - 1] == '\n',
            "formats %.60s...", expected))
        tap_print("# got %s", line);
}

static void test_go_lines(void)
{
    uint32_t pid;
    char name[GCTRACE_NAME_SIZE];
    bool whole;
    struct md_cycle c = parse(go_line_8, &pid, name, &whole);
    ok(whole, "Go's line is read");
    is(pid, 0, "Go tells no pid");
    ok(name[0] == 0, "and no name");
    is(c.number, 8, "number");
    is(c.start_ns, 480000000, "start");
    is(c.stop1_ns, 14000, "first stop");
    is(c.mark_ns, 300000, "mark");
    is(c.stop2_ns, 2000, "second stop");
    is(c.stop1_cpu_ns, 28000, "cpu of the first stop");
    is(c.assist_cpu_ns, 0, "assist");
    is(c.mark_cpu_ns, 64000, "background");
    is(c.idle_cpu_ns, 86000, "idle");
    is(c.stop2_cpu_ns, 5000, "cpu of the second stop");
    is(c.heap_start_bytes, 10 << 20, "A");
    is(c.heap_end_bytes, 10 << 20, "B");
    is(c.heap_live_bytes, 6 << 20, "C");
    is(c.goal_bytes, 10 << 20, "goal");
    is(c.cpus, 2, "P");
    is(c.flags, 0, "flags");
    c = parse(go_line_forced, &pid, name, &whole);
    ok(whole && c.flags == MD_CYCLE_FORCED, "forced");
    c = parse(go_line_big, &pid, name, &whole);
    ok(whole && c.utilization_percent == 16 && c.mark_ns == 251000000 && c.cpus == 8 &&
           c.heap_start_bytes == UINT64_C(1526) << 20,
       "the big heap's line");
    c = parse(go_line_off, &pid, name, &whole);
    ok(whole && c.goal_bytes == UINT64_C(8796093022198) << 20, "GOGC=off's goal");
}

static void test_our_line(void)
{
    uint32_t pid;
    char name[GCTRACE_NAME_SIZE];
    bool whole;
    struct md_cycle c = parse(our_line, &pid, name, &whole);
    ok(whole, "our line is read");
    is(pid, 812, "pid");
    ok(strcmp(name, "redis-server") == 0, "name");
    is(c.live_objects, 48211, "objects");
    is(c.unreachable_objects, 12, "unreachable");
    is(c.unreachable_bytes, 1536, "unreachable bytes");
    is(c.flags, MD_CYCLE_FORCED | MD_CYCLE_UNSEEN, "forced");
    is_line(&c, "redis-server", our_line);
    is_line(&c, "my prog, v2\t",
            "gc 8 @0.480s 0%: 0.014+0.30+0.002 ms clock, 0.028+0/0.064/0.086+0.005 ms cpu, "
            "10->10->6 MB, 10 MB goal, 0 MB stacks, 0 MB globals, 2 P, 48211 objects, 12 "
            "unreachable 1536 B, pid 812 my_prog__v2_ (forced)");
    static const char unseen_line[] =
        "gc 8 @0.480s 0%: 0.014+0.30+0.002 ms clock, 0.028+0/0.064/0.086+0.005 ms cpu, "
        "10->10->6 MB, 10 MB goal, 0 MB stacks, 0 MB globals, 2 P, 48211 objects, 12 "
        "unreachable 1536 B, 3 threads unseen, pid 812 redis-server (forced)";
    is(c.unseen_threads, 0, "no threads unseen");
    c = parse(unseen_line, &pid, name, &whole);
    ok(whole && pid == 812, "a line with threads whose registers were not seen");
    is(c.unseen_threads, 3, "threads unseen");
    is_line(&c, "redis-server", unseen_line);
    char crlf[512];
    snprintf(crlf, sizeof crlf, "%s\r\n", our_line);
    parse(crlf, &pid, name, &whole);
    ok(whole, "with CR and newline");
}

/* Go's fmtNSAsMS and itoaDiv, by its own results. */
static void test_numbers(void)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } table[] = {
        {0, "0"},
        {999, "0"},
        {1000, "0.001"},
        {14999, "0.014"},
        {99999, "0.099"},
        {100000, "0.10"},
        {209999, "0.20"},
        {999999, "0.99"},
        {1000000, "1.0"},
        {2199999, "2.1"},
        {9999999, "9.9"},
        {10000000, "10"},
        {12999999, "12"},
        {251000000, "251"},
        {123456789012, "123456"},
        {UINT64_MAX, "18446744073709"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct md_cycle c = {.mark_ns = table[i].ns, .cpus = 1};
        char line[GCTRACE_LINE_SIZE], expected[64];
        gctrace_format(&c, 1, "x", line, sizeof line);
        snprintf(expected, sizeof expected, "%%: 0+%s+0 ms clock, ", table[i].text);
        if (!ok(strstr(line, expected) != NULL, "%llu ns is %s ms", (unsigned long long)table[i].ns,
                table[i].text))
            tap_print("# got %s", line);
    }
    struct md_cycle c = {.start_ns = UINT64_C(12345999999), .heap_start_bytes = (2 << 20) - 1};
    char line[GCTRACE_LINE_SIZE];
    gctrace_format(&c, 1, "x", line, sizeof line);
    ok(strstr(line, " @12.345s ") != NULL, "start has three decimals, truncated");
    ok(strstr(line, ", 1->0->0 MB, ") != NULL, "MiB are truncated");
}

static void test_skip(void)
{
    struct md_cycle c = {.flags = MD_CYCLE_SKIPPED, .start_ns = UINT64_C(12345000000)};
    strcpy(c.reason, "2 of 3 threads, one in D, did not stop");
    static const char expected[] =
        "gcskip @12.345s 2 of 3 threads, one in D, did not stop, pid 812 redis-server";
    is_line(&c, "redis-server", expected);
    uint32_t pid;
    char name[GCTRACE_NAME_SIZE];
    bool whole;
    struct md_cycle back = parse(expected, &pid, name, &whole);
    ok(whole && back.flags == MD_CYCLE_SKIPPED && back.start_ns == c.start_ns &&
           strcmp(back.reason, c.reason) == 0 && pid == 812 && strcmp(name, "redis-server") == 0,
       "a skip goes round");
}

/* Any cycle, written, read and written again, gives the same line. */
static void test_round_trip(void)
{
    uint64_t x = 88172645463325252u;
    unsigned good = 0, rounds = 20000;
    for (unsigned i = 0; i < rounds; i++) {
        struct md_cycle c = {0}, back;
        uint64_t *field[] = {&c.number,           &c.start_ns,        &c.stop1_ns,
                             &c.mark_ns,          &c.stop2_ns,        &c.stop1_cpu_ns,
                             &c.assist_cpu_ns,    &c.mark_cpu_ns,     &c.idle_cpu_ns,
                             &c.stop2_cpu_ns,     &c.goal_bytes,      &c.heap_start_bytes,
                             &c.heap_end_bytes,   &c.heap_live_bytes, &c.stack_bytes,
                             &c.globals_bytes,    &c.live_objects,    &c.unreachable_objects,
                             &c.unreachable_bytes};
        for (size_t k = 0; k < sizeof field / sizeof field[0]; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            *field[k] = x >> (x & 63);
        }
        c.cpus = (uint32_t)x;
        c.flags = x & MD_CYCLE_FORCED;
        char one[GCTRACE_LINE_SIZE], two[GCTRACE_LINE_SIZE], name[GCTRACE_NAME_SIZE];
        uint32_t pid;
        size_t n = gctrace_format(&c, 812, "redis", one, sizeof one);
        bool same = n && gctrace_parse(one, n, &back, &pid, name) &&
                    gctrace_format(&back, pid, name, two, sizeof two) == n &&
                    memcmp(one, two, n) == 0;
        if (!same && good == i)
            tap_print("# %.*s", (int)n, one);
        good += same;
    }
    is(good, rounds, "random cycles go round");
}

/* Lines as Go 1.5 and Go 1.6 to 1.17 wrote them. */
static void test_old_go_lines(void)
{
    uint32_t pid;
    char name[GCTRACE_NAME_SIZE];
    struct md_cycle c;
    static const char five[] = "gc 49 @4.380s 2%: 4.8+5.2+0.54+0.35+0.60 ms clock, "
                               "19+5.2+0.10+4.5/0.006/7.2+2.4 ms cpu, 124->125->58 MB, 130 MB "
                               "goal, 32 P (forced)\n";
    static const char three[] = "gc 2 @0.028s 12%: 0.010+1.9+1.3 ms clock, 0.040+0.39/1.4/2.3+5.3 "
                                "ms cpu, 4->5->2 MB, 6 MB goal, 4 P";
    is(gctrace_parse(five, strlen(five), &c, &pid, name), GCTRACE_GO_OLD, "a line of Go 1.5");
    is(c.number == 49 && c.utilization_percent == 2 && c.cpus == 32, 1, "its numbers");
    is(c.stop1_ns, 4800000, "first stop");
    is(c.mark_ns, 5200000 + 540000 + 350000, "scan, synchronizing and mark are the mark of today");
    is(c.stop2_ns, 600000, "second stop");
    is(c.mark_cpu_ns, 5200000 + 100000 + 6000, "their CPU time is the background's");
    is(c.assist_cpu_ns == 4500000 && c.idle_cpu_ns == 7200000 && c.stop2_cpu_ns == 2400000, 1,
       "assist, idle, second stop");
    is(c.goal_bytes >> 20, 130, "goal");
    is(c.flags, MD_CYCLE_FORCED, "forced");
    is(pid, 0, "no pid");
    is(gctrace_parse(three, strlen(three), &c, &pid, name), GCTRACE_GO_OLD, "a line of Go 1.6");
    is(c.mark_ns == 1900000 && c.stop2_ns == 1300000 && c.mark_cpu_ns == 1400000, 1,
       "three phases");
    is(c.stack_bytes + c.globals_bytes, 0, "no stacks, no globals");
    is(gctrace_parse(go_line_8, strlen(go_line_8), &c, &pid, name), GCTRACE_GO, "one of Go 1.18");
    is(gctrace_parse(our_line, strlen(our_line), &c, &pid, name), GCTRACE_OURS, "and one of ours");

    char json[GCTRACE_JSON_SIZE];
    gctrace_parse(three, strlen(three), &c, &pid, name);
    gctrace_format_json(GCTRACE_GO_OLD, &c, 0, "", json, sizeof json);
    ok(strstr(json, "\"pid\":null") && strstr(json, "\"cpus\":4") && !strstr(json, "stack_bytes") &&
           !strstr(json, "objects") && !strstr(json, "engine"),
       "as JSON it has what the line said, and no zeros for what it did not");
}

static void test_others_pass(void)
{
    static const char *const lines[] = {
        "",
        "\n",
        "gc",
        "gc ",
        "GC forced",
        "gcc -O2 -c x.c",
        "scav 0 KiB work, 1360 KiB total, 62% util",
        "gc 1 @0.029s 0%: 0.032+0.13+0.003 ms clock, 0.065+0/0.063/0.070+0.006 ms cpu, 1->1->0 MB, "
        "2 MB goal, 0 MB stacks, 2 P",
        "gc 3 @0.966s 0%: 0+1.0+1.0+0+1.0 ms clock, 0+1.0+0/0/0+3.0 ms cpu, 6->7->5 MB, 7 MB goal, "
        "8 P", /* five phases and their CPU time of three */
        "gc 1 @0.029s 0%: 0.032+0.13+0.003 ms clock, 0.065+0/0.063/0.070+0.006 ms cpu, 1->1->0 MB, "
        "2 MB goal, 0 MB stacks, 0 MB globals, 2 P extra",
        "gc 99999999999999999999 @0.029s 0%: 0.032+0.13+0.003 ms clock, 0.065+0/0.063/0.070+0.006 "
        "ms cpu, 1->1->0 MB, 2 MB goal, 0 MB stacks, 0 MB globals, 2 P",
        "gc -1 @0.029s 0%: 0.032+0.13+0.003 ms clock, 0.065+0/0.063/0.070+0.006 ms cpu, 1->1->0 "
        "MB, 2 MB goal, 0 MB stacks, 0 MB globals, 2 P",
        "gcskip @1.000s reason without a process",
        "gcskip @1.000s , pid 1 x",
        "{\"version\":1,\"type\":\"gc\"}",
    };
    uint32_t pid;
    char name[GCTRACE_NAME_SIZE];
    bool whole;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct md_cycle c = parse(lines[i], &pid, name, &whole);
        ok(!whole && pid == 99 && c.seq == 0xeeeeeeee, "passes over \"%.50s\"", lines[i]);
    }
    unsigned wrong = 0;
    for (size_t n = 0; n < sizeof our_line - 1; n++) {
        struct md_cycle c;
        bool go_part = n == strlen(go_line_8); /* which is a whole line of Go's */
        bool unforced = n == strlen(our_line) - strlen(" (forced)");
        bool in_name = n > strlen(our_line) - strlen("redis-server (forced)") &&
                       n < strlen(our_line) - strlen(" (forced)");
        char exact[sizeof our_line];
        memcpy(exact, our_line, n);
        wrong += (gctrace_parse(exact, n, &c, &pid, name) != GCTRACE_NONE) !=
                 (go_part || unforced || in_name);
    }
    is(wrong, 0, "a line cut anywhere is no line");
}

static void test_json(void)
{
    struct md_cycle c = {.number = 3,
                         .start_ns = 1500000000,
                         .stop1_ns = 14123,
                         .heap_live_bytes = 6291456,
                         .cpus = 2,
                         .engine = MD_ENGINE_CLONE,
                         .markers = 2,
                         .unreachable_objects = 21,
                         .unreachable_bytes = 336,
                         .direct_objects = 3,
                         .direct_bytes = 48,
                         .leak_samples = 5,
                         .arm_ns = 771,
                         .rounds = 4,
                         .dirty_bytes = 8192,
                         .flags = MD_CYCLE_FORCED};
    char line[GCTRACE_JSON_SIZE];
    size_t n =
        gctrace_format_json(GCTRACE_EXACT, &c, 812, "a\"b\\c\n\xff\xc3\xa4", line, sizeof line);
    ok(n && line[n - 1] == '\n' && line[n - 2] == '}', "a record is one line");
    static const char start[] = "{\"version\":1,\"type\":\"gc\",\"pid\":812,\"name\":\"a\\\"b\\\\c"
                                "\\u000a\\ufffd\xc3\xa4\",\"start_ns\":1500000000,\"cycle\":3,";
    if (!ok(strncmp(line, start, sizeof start - 1) == 0, "name is escaped, bad UTF-8 replaced"))
        tap_print("# %s", line);
    ok(strstr(line, "\"stop1_ns\":14123,") && strstr(line, "\"heap_live_bytes\":6291456,") &&
           strstr(line, "\"engine\":\"clone\",\"forced\":true,\"at_exit\":false,\"timed\":false}"),
       "values are exact");
    ok(strstr(line, "\"unreachable_bytes\":336,\"direct_objects\":3,\"direct_bytes\":48,"
                    "\"leak_samples\":5,\"arm_ns\":771,\"rounds\":4,\"dirty_bytes\":8192,") &&
           strstr(line, "\"markers\":2,\"engine\""),
       "direct, leaks, and what the engine did");
    ok(!strstr(line, "unseen_threads") && !strstr(line, "leaked_"),
       "what its writer did not know, or find out, is left out");
    c.flags |= MD_CYCLE_UNSEEN;
    gctrace_format_json(GCTRACE_EXACT, &c, 812, "x", line, sizeof line);
    ok(strstr(line, "\"unseen_threads\":0,"), "what it found to be 0 is not");
    struct md_cycle most = {.number = UINT64_MAX};
    memset((char *)&most + 8, 0xff, sizeof most - 8);
    most.flags = ~MD_CYCLE_SKIPPED;
    n = gctrace_format_json(GCTRACE_EXACT, &most, UINT32_MAX,
                            "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"
                            "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"
                            "\x01\x01\x01\x01\x01\x01\x01",
                            line, sizeof line);
    ok(n > 0, "the longest record fits: %zu", n);
    n = gctrace_format(&most, UINT32_MAX, "0123456789012345678901234567890", line,
                       GCTRACE_LINE_SIZE);
    ok(n > 0, "the longest line fits: %zu", n);
    most.flags = MD_CYCLE_SKIPPED;
    ok(gctrace_format_json(GCTRACE_EXACT, &most, 1, "x", line, sizeof line) > 0,
       "a skip whose reason has no NUL");
    ok(gctrace_format(&most, 1, "x", line, sizeof line) > 0, "and its line");
    unsigned wrong = 0;
    size_t whole = gctrace_format(&c, 812, "x", line, sizeof line);
    for (size_t size = 0; size <= whole; size++) {
        char *small = malloc(size + 1);
        small[size] = 0x55;
        wrong += gctrace_format(&c, 812, "x", small, size) != 0 || small[size] != 0x55;
        free(small);
    }
    is(wrong, 0, "what does not fit gives 0 and stays within the buffer");
}

/* Lines of a Go program that runs now: each is read, and its numbers written again are the same.
 * It starts others, and Go writes a line in pieces, so one may be torn by another. */
static void test_go_runs(void)
{
    char line[1024];
    unsigned lines = 0, wrong = 0, torn = 0;
    FILE *go = popen("GODEBUG=gctrace=1 go list std 2>&1 >/dev/null", "r");
    while (go && fgets(line, sizeof line, go)) {
        struct md_cycle c;
        uint32_t pid;
        char name[GCTRACE_NAME_SIZE], again[GCTRACE_LINE_SIZE];
        if (strncmp(line, "gc ", 3) != 0)
            continue;
        lines++;
        size_t n = strcspn(line, "P") + 1;
        if (!gctrace_parse(line, strlen(line), &c, &pid, name)) {
            torn++;
            continue;
        }
        if (gctrace_format(&c, 1, "x", again, sizeof again) && strncmp(line, again, n) == 0)
            continue;
        if (!wrong++)
            tap_print("# %s", line);
    }
    if (go)
        pclose(go);
    if (lines == 0)
        tap_skip("lines of a Go program", "no go");
    else
        ok(wrong == 0 && torn <= lines / 4, "%u lines of a Go program go round, %u are torn", lines,
           torn);
}

int main(void)
{
    test_go_lines();
    test_old_go_lines();
    test_our_line();
    test_numbers();
    test_skip();
    test_round_trip();
    test_others_pass();
    test_json();
    test_go_runs();
    return tap_done();
}
