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

/* Ends the line.  Returns its length, or 0 if it may have been cut: fmt keeps one byte for the NUL,
 * and a full buffer looks the same whether it lost its end or not. */
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
    if (c->unseen_threads) {
        fmt_text(f, ", ");
        fmt_u64(f, c->unseen_threads);
        fmt_text(f, " threads unseen");
    }
    put_process(f, pid, name);
    if (c->flags & MD_CYCLE_FORCED)
        fmt_text(f, " (forced)");
    return finish(f);
}
