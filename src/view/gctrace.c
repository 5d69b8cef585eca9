#include "view/gctrace.h"

#include "base/fmt.h"

#include <string.h>

/* Go's itoaDiv: fixed point with `decimals` digits behind the point. */
static void put_fixed(struct fmt *f, uint64_t value, unsigned decimals)
{
    uint64_t divisor = 1;
    for (unsigned i = 0; i < decimals; i++)
        divisor *= 10;
    fmt_u64(f, value / divisor);
    if (decimals) {
        fmt_char(f, '.');
        fmt_padded(f, value % divisor, decimals);
    }
}

/* Go's fmtNSAsMS. */
static void put_ms(struct fmt *f, uint64_t ns)
{
    if (ns >= 10000000) {
        fmt_u64(f, ns / 1000000);
        return;
    }
    uint64_t x = ns / 1000;
    if (!x) {
        fmt_char(f, '0');
        return;
    }
    unsigned decimals = 3;
    for (; x >= 100; x /= 10)
        decimals--;
    put_fixed(f, x, decimals);
}

static void put_mib(struct fmt *f, uint64_t bytes)
{
    fmt_u64(f, bytes >> 20);
}

static void put_start(struct fmt *f, uint64_t start_ns)
{
    fmt_text(f, " @");
    put_fixed(f, start_ns / 1000000, 3);
    fmt_text(f, "s ");
}

static void put_process(struct fmt *f, uint32_t pid, const char *name)
{
    fmt_text(f, ", pid ");
    fmt_u64(f, pid);
    fmt_char(f, ' ');
    if (!*name)
        fmt_char(f, '_');
    for (unsigned i = 0; name[i] && i < GCTRACE_NAME_SIZE - 1; i++) {
        unsigned char c = (unsigned char)name[i];
        fmt_char(f, c <= ' ' || c == ',' || c == 0x7f ? '_' : (char)c);
    }
}

/* The length, or 0 if something was dropped: fmt keeps one byte for the NUL, so a full buffer may
 * have lost its end. */
static size_t finish(struct fmt *f)
{
    fmt_char(f, '\n');
    return f->length + 1 < f->size ? f->length : 0;
}

static size_t format_skip(struct fmt *f, const struct md_cycle *c, uint32_t pid, const char *name)
{
    fmt_text(f, "gcskip");
    put_start(f, c->start_ns);
    if (!c->reason[0])
        fmt_text(f, "unknown");
    for (unsigned i = 0; i < sizeof c->reason && c->reason[i]; i++)
        fmt_char(f, (unsigned char)c->reason[i] < ' ' || c->reason[i] == 0x7f ? ' ' : c->reason[i]);
    put_process(f, pid, name);
    return finish(f);
}

size_t gctrace_format(const struct md_cycle *c, uint32_t pid, const char *name, char *buf,
                      size_t size)
{
    if (!size)
        return 0;
    struct fmt line = fmt_on(buf, size), *f = &line;
    if (c->flags & MD_CYCLE_SKIPPED)
        return format_skip(f, c, pid, name);

    fmt_text(f, "gc ");
    fmt_u64(f, c->number);
    put_start(f, c->start_ns);
    fmt_u64(f, c->utilization_percent);
    fmt_text(f, "%: ");
    put_ms(f, c->stop1_ns);
    fmt_char(f, '+');
    put_ms(f, c->mark_ns);
    fmt_char(f, '+');
    put_ms(f, c->stop2_ns);
    fmt_text(f, " ms clock, ");
    put_ms(f, c->stop1_cpu_ns);
    fmt_char(f, '+');
    put_ms(f, c->assist_cpu_ns);
    fmt_char(f, '/');
    put_ms(f, c->mark_cpu_ns);
    fmt_char(f, '/');
    put_ms(f, c->idle_cpu_ns);
    fmt_char(f, '+');
    put_ms(f, c->stop2_cpu_ns);
    fmt_text(f, " ms cpu, ");
    put_mib(f, c->heap_start_bytes);
    fmt_text(f, "->");
    put_mib(f, c->heap_end_bytes);
    fmt_text(f, "->");
    put_mib(f, c->heap_live_bytes);
    fmt_text(f, " MB, ");
    put_mib(f, c->goal_bytes);
    fmt_text(f, " MB goal, ");
    put_mib(f, c->stack_bytes);
    fmt_text(f, " MB stacks, ");
    put_mib(f, c->globals_bytes);
    fmt_text(f, " MB globals, ");
    fmt_u64(f, c->cpus);
    fmt_text(f, " P, ");
    fmt_u64(f, c->live_objects);
    fmt_text(f, " objects, ");
    fmt_u64(f, c->unreachable_objects);
    fmt_text(f, " unreachable ");
    fmt_u64(f, c->unreachable_bytes);
    fmt_text(f, " B");
    put_process(f, pid, name);
    if (c->flags & MD_CYCLE_FORCED)
        fmt_text(f, " (forced)");
    return finish(f);
}

/* The bytes of one well-formed UTF-8 character at `text`, or 0. */
static unsigned utf8_length(const char *text, size_t room)
{
    const unsigned char *u = (const unsigned char *)text;
    unsigned n = u[0] < 0x80   ? 1
                 : u[0] < 0xc2 ? 0
                 : u[0] < 0xe0 ? 2
                 : u[0] < 0xf0 ? 3
                 : u[0] < 0xf5 ? 4
                               : 0;
    if (n > room)
        return 0;
    for (unsigned i = 1; i < n; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) ||
        (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))
        return 0;
    return n;
}

static void put_json_text(struct fmt *f, const char *text, size_t size)
{
    size = strnlen(text, size);
    fmt_char(f, '"');
    while (size) {
        unsigned n = utf8_length(text, size);
        if (!n) {
            fmt_text(f, "\\ufffd");
            n = 1;
        } else if ((unsigned char)*text < ' ' || *text == 0x7f) {
            fmt_text(f, "\\u00");
            fmt_char(f, "0123456789abcdef"[(unsigned char)*text >> 4]);
            fmt_char(f, "0123456789abcdef"[*text & 15]);
        } else {
            if (*text == '"' || *text == '\\')
                fmt_char(f, '\\');
            fmt_bytes(f, text, n);
        }
        text += n;
        size -= n;
    }
    fmt_char(f, '"');
}

static void put_json_u64(struct fmt *f, const char *key, uint64_t value)
{
    fmt_text(f, ",\"");
    fmt_text(f, key);
    fmt_text(f, "\":");
    fmt_u64(f, value);
}

static void put_json_flag(struct fmt *f, const char *key, bool value)
{
    fmt_text(f, ",\"");
    fmt_text(f, key);
    fmt_text(f, value ? "\":true" : "\":false");
}

static const char *engine_name(uint32_t engine)
{
    static const char *const names[] = {
        [MD_ENGINE_NONE] = "none",
        [MD_ENGINE_CLONE] = "clone",
        [MD_ENGINE_WP] = "wp",
        [MD_ENGINE_STOP] = "stop",
    };
    return engine < sizeof names / sizeof names[0] ? names[engine] : "unknown";
}

size_t gctrace_format_json(const struct md_cycle *c, uint32_t pid, const char *name, char *buf,
                           size_t size)
{
    if (!size)
        return 0;
    bool skipped = c->flags & MD_CYCLE_SKIPPED;
    struct fmt line = fmt_on(buf, size), *f = &line;
    fmt_text(f, "{\"version\":");
    fmt_u64(f, GCTRACE_JSON_VERSION);
    fmt_text(f, skipped ? ",\"type\":\"gcskip\"" : ",\"type\":\"gc\"");
    put_json_u64(f, "pid", pid);
    fmt_text(f, ",\"name\":");
    put_json_text(f, name, GCTRACE_NAME_SIZE - 1);
    put_json_u64(f, "start_ns", c->start_ns);
    if (skipped) {
        fmt_text(f, ",\"reason\":");
        put_json_text(f, c->reason, sizeof c->reason);
        put_json_u64(f, "attempts", c->attempts);
        put_json_u64(f, "stop1_ns", c->stop1_ns);
        fmt_char(f, '}');
        return finish(f);
    }
    put_json_u64(f, "cycle", c->number);
    put_json_u64(f, "utilization_percent", c->utilization_percent);
    put_json_u64(f, "stop1_ns", c->stop1_ns);
    put_json_u64(f, "mark_ns", c->mark_ns);
    put_json_u64(f, "stop2_ns", c->stop2_ns);
    put_json_u64(f, "snapshot_ns", c->snapshot_ns);
    put_json_u64(f, "stop1_cpu_ns", c->stop1_cpu_ns);
    put_json_u64(f, "assist_cpu_ns", c->assist_cpu_ns);
    put_json_u64(f, "mark_cpu_ns", c->mark_cpu_ns);
    put_json_u64(f, "idle_cpu_ns", c->idle_cpu_ns);
    put_json_u64(f, "stop2_cpu_ns", c->stop2_cpu_ns);
    put_json_u64(f, "total_cpu_ns", c->total_cpu_ns);
    put_json_u64(f, "heap_start_bytes", c->heap_start_bytes);
    put_json_u64(f, "heap_end_bytes", c->heap_end_bytes);
    put_json_u64(f, "heap_live_bytes", c->heap_live_bytes);
    put_json_u64(f, "goal_bytes", c->goal_bytes);
    put_json_u64(f, "stack_bytes", c->stack_bytes);
    put_json_u64(f, "globals_bytes", c->globals_bytes);
    put_json_u64(f, "cpus", c->cpus);
    put_json_u64(f, "live_objects", c->live_objects);
    put_json_u64(f, "unreachable_objects", c->unreachable_objects);
    put_json_u64(f, "unreachable_bytes", c->unreachable_bytes);
    put_json_u64(f, "direct_objects", c->direct_objects);
    put_json_u64(f, "direct_bytes", c->direct_bytes);
    put_json_u64(f, "leak_samples", c->leak_samples);
    if (c->flags & MD_CYCLE_LEAKS) {
        put_json_u64(f, "leaked_objects", c->leaked_objects);
        put_json_u64(f, "leaked_bytes", c->leaked_bytes);
    }
    put_json_u64(f, "arm_ns", c->arm_ns);
    put_json_u64(f, "rounds", c->rounds);
    put_json_u64(f, "dirty_bytes", c->dirty_bytes);
    put_json_u64(f, "threads", c->threads);
    put_json_u64(f, "attempts", c->attempts);
    put_json_u64(f, "markers", c->markers);
    fmt_text(f, ",\"engine\":\"");
    fmt_text(f, engine_name(c->engine));
    fmt_char(f, '"');
    put_json_flag(f, "forced", c->flags & MD_CYCLE_FORCED);
    put_json_flag(f, "at_exit", c->flags & MD_CYCLE_AT_EXIT);
    put_json_flag(f, "timed", c->flags & MD_CYCLE_TIMED);
    fmt_char(f, '}');
    return finish(f);
}
