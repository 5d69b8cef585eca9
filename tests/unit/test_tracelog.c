/* tools/memtop/target/logread.c and tracelog.c: trace lines out of whatever stands around them. */
#include "target/logread.h"
#include "support/tap.h"
#include "series/tracelog.h"
#include "view/gctrace.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define GO(n, at)                                                                                  \
    "gc " n " @" at "s 0%: 0.014+0.30+0.002 ms clock, 0.028+0/0.064/0.086+0.005 ms cpu, "          \
    "10->11->6 MB, 10 MB goal, 0 MB stacks, 0 MB globals, 2 P"
#define OURS(n, at, pid)                                                                           \
    GO(n, at) ", 48211 objects, 12 unreachable 1536 B, pid " pid " redis-server"

static void feed(struct tracelog *log, const char *line)
{
    tracelog_line(log, line, strlen(line));
}

static void test_sorting(void)
{
    struct tracelog log;
    char who[64];
    tracelog_init(&log);
    feed(&log, "starting up");
    feed(&log, OURS("1", "0.480", "812"));
    feed(&log, GO("1", "0.100"));
    feed(&log, OURS("1", "0.500", "813"));
    feed(&log, OURS("2", "0.900", "812"));
    feed(&log, "2026-11-21T12:00:00 worker[7]: " OURS("3", "1.900", "812"));
    feed(&log, "half a line without an end" GO("2", "0.200"));
    feed(&log, "gc me if you can, gc gc gc 1 @");
    feed(&log, "gcskip @12.345s no answer, pid 812 redis-server");
    feed(&log, GO("1", "0.050"));
    is(log.count, 4, "two of ours, a Go program, and the one after it");
    is(log.lines, 10, "lines read");
    is(log.trace_lines, 8, "lines understood");
    is(log.program[0].trace.pid, 812, "in the order in which they came");
    is(log.program[0].trace.cycles, 3, "each has its own cycles");
    is(log.program[0].trace.skips, 1, "and skips");
    is(log.program[0].trace.unreachable_objects, 12, "unreachable of the last");
    is(log.program[1].trace.cycles, 2, "a line behind other text counts");
    is(log.program[1].trace.unreachable_known, 0, "Go's lines do not know what is unreachable");
    tracelog_who(&log, &log.program[0], who, sizeof who);
    ok(strcmp(who, "812 redis-server") == 0, "ours have a name");
    tracelog_who(&log, &log.program[3], who, sizeof who);
    ok(strcmp(who, "Go program 2") == 0, "Go programs a number");
    struct pause_quantiles pauses = trace_pauses(&log.program[0].trace);
    is(llround(pauses.max_ns), 16000, "the pause is both stops");
    tracelog_fini(&log);
}

/* Lines without a pid, in two files; records of JSON among them, as exact as they were. */
static void test_files(void)
{
    static const char *const a = "a.log", *const b = "b.log";
    struct tracelog log;
    struct md_cycle cycle;
    char who[64], json[GCTRACE_JSON_SIZE], name[GCTRACE_NAME_SIZE];
    uint32_t pid;
    tracelog_init(&log);
    log.many_logs = true;
    log.log = a;
    feed(&log, GO("1", "0.100"));
    log.log = b;
    feed(&log, GO("1", "0.150"));
    feed(&log, GO("2", "0.160"));
    log.log = a;
    feed(&log, GO("2", "0.200"));
    is(log.count, 2, "Go programs of two files are two");
    is(log.program[0].trace.cycles * 10 + log.program[1].trace.cycles, 22,
       "each with its own cycles");
    tracelog_who(&log, &log.program[1], who, sizeof who);
    ok(strcmp(who, "Go program, b.log") == 0, "told by their files");
    feed(&log, OURS("1", "0.480", "812"));
    log.log = b;
    feed(&log, OURS("1", "0.480", "812"));
    is(log.count, 4, "the same pid in two files, too");

    gctrace_parse(OURS("2", "0.900", "812"), strlen(OURS("2", "0.900", "812")), &cycle, &pid, name);
    cycle.heap_live_bytes = 12345677;
    gctrace_format_json(GCTRACE_EXACT, &cycle, pid, name, json, sizeof json);
    feed(&log, json);
    memmove(json + 10, json, strlen(json) + 1);
    memcpy(json, "stamp {\"x\" ", 10);
    feed(&log, json);
    is(log.program[3].trace.cycles, 3,
       "records of JSON are read like lines, behind other text too");
    is(log.program[3].trace.reachable_last, 12345677, "and exact");
    cycle.flags |= MD_CYCLE_SKIPPED;
    strcpy(cycle.reason, "a \"reason\"");
    gctrace_format_json(GCTRACE_EXACT, &cycle, pid, name, json, sizeof json);
    feed(&log, json);
    is(log.program[3].trace.skips, 1, "skips too");
    ok(strcmp(trace_recent(&log.program[3].trace, 0)->reason, cycle.reason) == 0,
       "with the reason");
    feed(&log, "{\"version\":1,\"type\":\"gc\"}");
    feed(&log, "{\"version\":2,\"type\":\"gc\",\"pid\":1,\"start_ns\":1,\"cycle\":1}");
    feed(&log, "{\"version\":1,\"type\":\"process\",\"pid\":1,\"start_ns\":1,\"cycle\":1}");
    feed(&log, "{\"version\":{\"version\":{\"version\":");
    is(log.count, 4, "other JSON is passed over");
    tracelog_fini(&log);
}

/* As docker and journalctl write them. */
static void test_wrapped(void)
{
    struct tracelog log;
    struct md_cycle cycle;
    char json[GCTRACE_JSON_SIZE], name[GCTRACE_NAME_SIZE], line[4096];
    uint32_t pid;
    tracelog_init(&log);
    feed(&log, "{\"log\":\"" OURS("1", "0.480", "812") "\\n\",\"stream\":\"stderr\",\"time\":"
                                                       "\"2026-11-21T12:00:00.1Z\"}");
    feed(&log,
         "{\"PRIORITY\":\"6\",\"MESSAGE\":\"" OURS("2", "0.900", "812") "\",\"_PID\":\"812\"}");
    feed(&log, "2026-11-21T12:00:00.1Z stderr F " OURS("3", "1.900", "812"));
    is(log.count, 1, "one program");
    is(log.program[0].trace.cycles, 3, "in a container's log, in the journal, behind a time stamp");
    gctrace_parse(OURS("4", "2.900", "812"), strlen(OURS("4", "2.900", "812")), &cycle, &pid, name);
    cycle.heap_live_bytes = 12345677;
    gctrace_format_json(GCTRACE_EXACT, &cycle, pid, name, json, sizeof json);
    size_t n = (size_t)snprintf(line, sizeof line, "{\"time\":\"x\",\"log\":\"");
    for (const char *c = json; *c; c++) {
        if (*c == '"')
            line[n++] = '\\';
        if (*c != '\n')
            line[n++] = *c;
    }
    snprintf(line + n, sizeof line - n, "\\n\"}");
    feed(&log, line);
    is(log.program[0].trace.reachable_last, 12345677, "a record of JSON in one of JSON");
    feed(&log, "{\"log\":\"gc gc 1 @\"}");
    feed(&log, "{\"log\":{\"gc\":1}}");
    feed(&log, "{\"log\":\"gc 1 @");
    feed(&log, "{\"MESSAGE\":[103,99],\"gc\":1}");
    feed(&log, "{\"log\":\"\\n\\n\",\"gc\":1}");
    is(log.trace_lines, 4, "what only looks like one is passed over");
    tracelog_fini(&log);
}

static void count_line(void *context, const char *line, size_t length)
{
    (void)line;
    size_t *sums = context;
    sums[0]++;
    sums[1] += length;
}

static void write_text(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) < 0)
        tap_print("# write failed");
}

static void test_following(void)
{
    char path[] = "/tmp/memtop-log-XXXXXX", other[64];
    size_t sums[2] = {0};
    struct logread log;
    int fd = mkstemp(path);
    is(logread_open(&log, path), 0, "opens a file");
    logread_poll(&log, 1 << 20, count_line, sums);
    is(sums[0], 0, "an empty file has no lines");
    write_text(fd, "one\ntw");
    logread_poll(&log, 1 << 20, count_line, sums);
    is(sums[0], 1, "half a line waits for its end");
    write_text(fd, "o\n");
    logread_poll(&log, 1 << 20, count_line, sums);
    ok(sums[0] == 2 && sums[1] == 6, "then it is a line");
    if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) < 0)
        tap_print("# truncate failed");
    write_text(fd, "x\n");
    logread_poll(&log, 1 << 20, count_line, sums);
    is(sums[0], 3, "a file that was cut is read from its start");
    snprintf(other, sizeof other, "%s.new", path);
    int second = open(other, O_WRONLY | O_CREAT | O_EXCL, 0600);
    write_text(second, "of another file\n");
    rename(other, path);
    logread_poll(&log, 1 << 20, count_line, sums);
    is(sums[0], 4, "so is another file of that name");
    unlink(path);
    logread_poll(&log, 1 << 20, count_line, sums);
    is(sums[0], 4, "a file that is gone is no end");
    close(fd);
    close(second);
    logread_close(&log);
    ok(logread_open(&log, "/nonexistent/x") == ENOENT && logread_open(&log, "/tmp") == EISDIR,
       "what cannot be read is refused");
}

static void test_gzip(void)
{
    char path[] = "/tmp/memtop-log-XXXXXX";
    size_t sums[2] = {0};
    struct logread log;
    int fd = mkstemp(path);
    gzFile gzip = gzopen(path, "wb");
    for (int i = 0; i < 20000; i++)
        gzprintf(gzip, "line %d\n", i);
    gzclose(gzip);
    logread_open(&log, path);
    while (!logread_poll(&log, 4096, count_line, sums))
        ;
    ok(sums[0] == 20000 && log.ended && !log.damaged, "a file of gzip's is read to its end");
    logread_close(&log);
    if (ftruncate(fd, lseek(fd, 0, SEEK_END) / 2) != 0)
        tap_print("# truncate failed");
    sums[0] = 0;
    logread_open(&log, path);
    while (!logread_poll(&log, 1 << 20, count_line, sums))
        ;
    ok(sums[0] > 0 && sums[0] < 20000 && log.ended && log.damaged, "of half a one what is there");
    logread_close(&log);
    close(fd);
    unlink(path);
}

static void test_long_lines(void)
{
    char path[] = "/tmp/memtop-log-XXXXXX", block[4096];
    size_t sums[2] = {0};
    struct logread log;
    int fd = mkstemp(path);
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 2560; i++)
        if (write(fd, block, sizeof block) < 0)
            break;
    write_text(fd, "\nshort\n");
    logread_open(&log, path);
    while (!logread_poll(&log, 1 << 20, count_line, sums))
        ;
    ok(sums[0] == 1 && sums[1] == 5,
       "10 MB without a newline are passed over, what follows is read");
    logread_close(&log);
    close(fd);
    unlink(path);
}

int main(void)
{
    test_sorting();
    test_files();
    test_wrapped();
    test_following();
    test_gzip();
    test_long_lines();
    return tap_done();
}
