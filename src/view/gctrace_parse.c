#include "view/gctrace.h"

#include <string.h>

/* What is left of a line.  Each take_… below takes its piece off the front; false: the line is
 * something else. */
struct text {
    const char *at, *end;
};

static bool take(struct text *t, const char *literal)
{
    size_t n = strlen(literal);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, literal, n) != 0)
        return false;
    t->at += n;
    return true;
}

static bool take_u64(struct text *t, uint64_t *out)
{
    const char *start = t->at;
    uint64_t value = 0;
    for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*t->at - '0'), &value))
            return false;
    *out = value;
    return t->at > start;
}

static bool take_u32(struct text *t, uint32_t *out)
{
    uint64_t value;
    if (!take_u64(t, &value) || value > UINT32_MAX)
        return false;
    *out = (uint32_t)value;
    return true;
}

/* A decimal number in units of `unit` ns. */
static bool take_ns(struct text *t, uint64_t unit, uint64_t *out)
{
    uint64_t whole;
    if (!take_u64(t, &whole) || __builtin_mul_overflow(whole, unit, out))
        return false;
    if (t->at == t->end || *t->at != '.')
        return true;
    const char *start = ++t->at;
    uint64_t digit_ns = unit, fraction = 0;
    for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++) {
        digit_ns /= 10;
        fraction += digit_ns * (uint64_t)(*t->at - '0');
    }
    return t->at > start && !__builtin_add_overflow(*out, fraction, out);
}

static bool take_ms(struct text *t, uint64_t *ns)
{
    return take_ns(t, 1000000, ns);
}

static bool take_mib(struct text *t, uint64_t *bytes)
{
    return take_u64(t, bytes) && !__builtin_mul_overflow(*bytes, UINT64_C(1) << 20, bytes);
}

/* " @12.345s " */
static bool take_start(struct text *t, uint64_t *ns)
{
    return take(t, " @") && take_ns(t, 1000000000, ns) && take(t, "s ");
}

/* A name ends where gctrace_format would have put _: at a blank, a comma, a control character. */
static bool take_name(struct text *t, char *name)
{
    const char *start = t->at;
    while (t->at < t->end && (unsigned char)*t->at > ' ' && *t->at != ',' && *t->at != 0x7f)
        t->at++;
    size_t n = (size_t)(t->at - start);
    if (!n)
        return false;
    if (n > GCTRACE_NAME_SIZE - 1)
        n = GCTRACE_NAME_SIZE - 1;
    memset(name, 0, GCTRACE_NAME_SIZE);
    memcpy(name, start, n);
    return true;
}

/* What follows the first stop: "+mark+stop2", in Go 1.5 "+scan+sync+mark+stop2", which is *five. */
static bool take_clock(struct text *t, struct md_cycle *c, bool *five)
{
    uint64_t sync, mark;
    if (!take(t, "+") || !take_ms(t, &c->mark_ns) || !take(t, "+") || !take_ms(t, &c->stop2_ns))
        return false;
    *five = take(t, "+");
    if (!*five)
        return true;
    sync = c->stop2_ns;
    return take_ms(t, &mark) && take(t, "+") && take_ms(t, &c->stop2_ns) &&
           !__builtin_add_overflow(c->mark_ns, sync, &c->mark_ns) &&
           !__builtin_add_overflow(c->mark_ns, mark, &c->mark_ns);
}

/* What follows the first stop's: "+assist/background/idle+stop2", in Go 1.5 with "+scan+sync" in
 * front. */
static bool take_cpu(struct text *t, struct md_cycle *c, bool five)
{
    uint64_t scan = 0, sync = 0;
    if (five && (!take(t, "+") || !take_ms(t, &scan) || !take(t, "+") || !take_ms(t, &sync)))
        return false;
    return take(t, "+") && take_ms(t, &c->assist_cpu_ns) && take(t, "/") &&
           take_ms(t, &c->mark_cpu_ns) && take(t, "/") && take_ms(t, &c->idle_cpu_ns) &&
           take(t, "+") && take_ms(t, &c->stop2_cpu_ns) &&
           !__builtin_add_overflow(c->mark_cpu_ns, scan, &c->mark_cpu_ns) &&
           !__builtin_add_overflow(c->mark_cpu_ns, sync, &c->mark_cpu_ns);
}

/* Up to " P", which Go has too; stacks and globals since 1.18. */
static bool take_go_part(struct text *t, struct md_cycle *c, enum gctrace_form *form)
{
    bool five;
    if (!take_u64(t, &c->number) || !take_start(t, &c->start_ns) ||
        !take_u32(t, &c->utilization_percent) || !take(t, "%: ") || !take_ms(t, &c->stop1_ns) ||
        !take_clock(t, c, &five) || !take(t, " ms clock, ") || !take_ms(t, &c->stop1_cpu_ns) ||
        !take_cpu(t, c, five) || !take(t, " ms cpu, ") || !take_mib(t, &c->heap_start_bytes) ||
        !take(t, "->") || !take_mib(t, &c->heap_end_bytes) || !take(t, "->") ||
        !take_mib(t, &c->heap_live_bytes) || !take(t, " MB, ") || !take_mib(t, &c->goal_bytes) ||
        !take(t, " MB goal, "))
        return false;
    struct text roots = *t;
    *form = GCTRACE_GO_OLD;
    if (take_mib(&roots, &c->stack_bytes) && take(&roots, " MB stacks, ")) {
        if (five || !take_mib(&roots, &c->globals_bytes) || !take(&roots, " MB globals, "))
            return false;
        *form = GCTRACE_GO;
        *t = roots;
    } else {
        c->stack_bytes = 0;
    }
    return take_u32(t, &c->cpus) && take(t, " P");
}

/* "3 threads unseen, ", which a line has only where there are any. */
static bool take_unseen(struct text *t, struct md_cycle *c)
{
    c->unseen_threads = 0;
    c->flags |= MD_CYCLE_UNSEEN;
    return t->at == t->end || *t->at == 'p' ||
           (take_u32(t, &c->unseen_threads) && take(t, " threads unseen, "));
}

static bool take_our_part(struct text *t, struct md_cycle *c, uint32_t *pid, char *name)
{
    return take_u64(t, &c->live_objects) && take(t, " objects, ") &&
           take_u64(t, &c->unreachable_objects) && take(t, " unreachable ") &&
           take_u64(t, &c->unreachable_bytes) && take(t, " B, ") && take_unseen(t, c) &&
           take(t, "pid ") && take_u32(t, pid) && take(t, " ") && take_name(t, name);
}

static enum gctrace_form take_cycle(struct text *t, struct md_cycle *c, uint32_t *pid, char *name)
{
    enum gctrace_form form;
    if (!take_go_part(t, c, &form))
        return GCTRACE_NONE;
    if (form == GCTRACE_GO && take(t, ", ")) {
        form = GCTRACE_OURS;
        if (!take_our_part(t, c, pid, name))
            return GCTRACE_NONE;
    }
    if (take(t, " (forced)"))
        c->flags |= MD_CYCLE_FORCED;
    return t->at == t->end ? form : GCTRACE_NONE;
}

/* The reason is free text, so the last ", pid " is what ends it. */
static bool take_skip(struct text *t, struct md_cycle *c, uint32_t *pid, char *name)
{
    static const char mark[] = ", pid ";
    size_t mark_length = sizeof mark - 1;
    c->flags |= MD_CYCLE_SKIPPED;
    if (!take_start(t, &c->start_ns))
        return false;
    const char *reason = t->at;
    if ((size_t)(t->end - reason) <= mark_length)
        return false;
    for (const char *p = t->end - mark_length; p > reason; p--) {
        if (memcmp(p, mark, mark_length) != 0)
            continue;
        size_t n = (size_t)(p - reason);
        if (n > sizeof c->reason - 1)
            return false;
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)reason[i] < ' ' || reason[i] == 0x7f)
                return false;
        memcpy(c->reason, reason, n);
        t->at = p + mark_length;
        return take_u32(t, pid) && take(t, " ") && take_name(t, name) && t->at == t->end;
    }
    return false;
}

enum gctrace_form gctrace_parse(const char *line, size_t length, struct md_cycle *out,
                                uint32_t *pid, char *name)
{
    struct text t = {line, line + length};
    if (length && t.end[-1] == '\n')
        t.end--;
    if (t.end > t.at && t.end[-1] == '\r')
        t.end--;
    struct md_cycle cycle;
    memset(&cycle, 0, sizeof cycle);
    uint32_t who = 0;
    char called[GCTRACE_NAME_SIZE] = "";
    enum gctrace_form form = GCTRACE_NONE;
    if (take(&t, "gc "))
        form = take_cycle(&t, &cycle, &who, called);
    else if (take(&t, "gcskip") && take_skip(&t, &cycle, &who, called))
        form = GCTRACE_OURS;
    if (form == GCTRACE_NONE)
        return GCTRACE_NONE;
    *out = cycle;
    *pid = who;
    memcpy(name, called, sizeof called);
    return form;
}
