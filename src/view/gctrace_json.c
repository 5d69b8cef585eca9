/* The gctrace record as JSON.  One list of its fields serves the writer here and the reader in
 * memtop. */
#include "view/gctrace.h"

#include "base/compiler.h"
#include "base/fmt.h"
#include "view/plain_text.h"

#include <string.h>

#define FIELD(key, member, form, flags)                                                            \
    {                                                                                              \
        key, offsetof(struct md_cycle, member), sizeof(((struct md_cycle *)NULL)->member), form,   \
            flags                                                                                  \
    }
const struct gctrace_field gctrace_fields[] = {
    FIELD("cycle", number, GCTRACE_GO_OLD, 0),
    FIELD("utilization_percent", utilization_percent, GCTRACE_GO_OLD, 0),
    FIELD("stop1_ns", stop1_ns, GCTRACE_GO_OLD, 0),
    FIELD("mark_ns", mark_ns, GCTRACE_GO_OLD, 0),
    FIELD("stop2_ns", stop2_ns, GCTRACE_GO_OLD, 0),
    FIELD("snapshot_ns", snapshot_ns, GCTRACE_EXACT, 0),
    FIELD("stop1_cpu_ns", stop1_cpu_ns, GCTRACE_GO_OLD, 0),
    FIELD("assist_cpu_ns", assist_cpu_ns, GCTRACE_GO_OLD, 0),
    FIELD("mark_cpu_ns", mark_cpu_ns, GCTRACE_GO_OLD, 0),
    FIELD("idle_cpu_ns", idle_cpu_ns, GCTRACE_GO_OLD, 0),
    FIELD("stop2_cpu_ns", stop2_cpu_ns, GCTRACE_GO_OLD, 0),
    FIELD("total_cpu_ns", total_cpu_ns, GCTRACE_EXACT, 0),
    FIELD("heap_start_bytes", heap_start_bytes, GCTRACE_GO_OLD, 0),
    FIELD("heap_end_bytes", heap_end_bytes, GCTRACE_GO_OLD, 0),
    FIELD("heap_live_bytes", heap_live_bytes, GCTRACE_GO_OLD, 0),
    FIELD("goal_bytes", goal_bytes, GCTRACE_GO_OLD, 0),
    FIELD("stack_bytes", stack_bytes, GCTRACE_GO, 0),
    FIELD("globals_bytes", globals_bytes, GCTRACE_GO, 0),
    FIELD("cpus", cpus, GCTRACE_GO_OLD, 0),
    FIELD("live_objects", live_objects, GCTRACE_OURS, 0),
    FIELD("unreachable_objects", unreachable_objects, GCTRACE_OURS, 0),
    FIELD("unreachable_bytes", unreachable_bytes, GCTRACE_OURS, 0),
    FIELD("direct_objects", direct_objects, GCTRACE_EXACT, 0),
    FIELD("direct_bytes", direct_bytes, GCTRACE_EXACT, 0),
    FIELD("leak_samples", leak_samples, GCTRACE_EXACT, 0),
    FIELD("leaked_objects", leaked_objects, GCTRACE_EXACT, MD_CYCLE_LEAKS),
    FIELD("leaked_bytes", leaked_bytes, GCTRACE_EXACT, MD_CYCLE_LEAKS),
    FIELD("arm_ns", arm_ns, GCTRACE_EXACT, 0),
    FIELD("rounds", rounds, GCTRACE_EXACT, 0),
    FIELD("dirty_bytes", dirty_bytes, GCTRACE_EXACT, 0),
    FIELD("threads", threads, GCTRACE_EXACT, 0),
    FIELD("unseen_threads", unseen_threads, GCTRACE_OURS, MD_CYCLE_UNSEEN),
    FIELD("attempts", attempts, GCTRACE_EXACT, 0),
    FIELD("markers", markers, GCTRACE_EXACT, 0),
};
const unsigned gctrace_field_count = ARRAY_LENGTH(gctrace_fields);

const struct gctrace_flag gctrace_flags[] = {
    {"forced", MD_CYCLE_FORCED, GCTRACE_GO_OLD},
    {"at_exit", MD_CYCLE_AT_EXIT, GCTRACE_EXACT},
    {"timed", MD_CYCLE_TIMED, GCTRACE_EXACT},
};
const unsigned gctrace_flag_count = ARRAY_LENGTH(gctrace_flags);

static const char *const engines[] = {
    [MD_ENGINE_NONE] = "none",
    [MD_ENGINE_CLONE] = "clone",
    [MD_ENGINE_WP] = "wp",
    [MD_ENGINE_STOP] = "stop",
};

static const char *engine_name(uint32_t engine)
{
    return engine < ARRAY_LENGTH(engines) ? engines[engine] : "unknown";
}

uint32_t gctrace_engine(const char *name)
{
    for (uint32_t i = 0; i < ARRAY_LENGTH(engines); i++)
        if (strcmp(name, engines[i]) == 0)
            return i;
    return MD_ENGINE_NONE;
}

static void put_json_text(struct fmt *f, const char *text, size_t size)
{
    size = strnlen(text, size);
    fmt_char(f, '"');
    while (size) {
        uint32_t code;
        size_t n = utf8_character(text, size, &code);
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

static void put_u64(struct fmt *f, const char *key, uint64_t value)
{
    fmt_text(f, ",\"");
    fmt_text(f, key);
    fmt_text(f, "\":");
    fmt_u64(f, value);
}

static void put_field(struct fmt *f, const struct md_cycle *c, const struct gctrace_field *field)
{
    uint64_t value = 0;
    memcpy(&value, (const char *)c + field->offset, field->size); /* little endian, as the format */
    put_u64(f, field->key, value);
}

static void put_process(struct fmt *f, enum gctrace_form form, uint32_t pid, const char *name)
{
    if (form < GCTRACE_OURS) {
        fmt_text(f, ",\"pid\":null,\"name\":null");
        return;
    }
    put_u64(f, "pid", pid);
    fmt_text(f, ",\"name\":");
    put_json_text(f, name, GCTRACE_NAME_SIZE - 1);
}

size_t gctrace_format_json(enum gctrace_form form, const struct md_cycle *c, uint32_t pid,
                           const char *name, char *buf, size_t size)
{
    if (!size)
        return 0;
    bool skipped = c->flags & MD_CYCLE_SKIPPED;
    struct fmt line = fmt_on(buf, size), *f = &line;
    fmt_text(f, "{\"version\":");
    fmt_u64(f, GCTRACE_JSON_VERSION);
    fmt_text(f, skipped ? ",\"type\":\"gcskip\"" : ",\"type\":\"gc\"");
    put_process(f, form, pid, name);
    put_u64(f, "start_ns", c->start_ns);
    if (skipped) {
        fmt_text(f, ",\"reason\":");
        put_json_text(f, c->reason, sizeof c->reason);
        if (form == GCTRACE_EXACT) {
            put_u64(f, "attempts", c->attempts);
            put_u64(f, "stop1_ns", c->stop1_ns);
        }
    } else {
        for (unsigned i = 0; i < gctrace_field_count; i++) {
            const struct gctrace_field *field = &gctrace_fields[i];
            if (field->form <= form && (c->flags & field->flags) == field->flags)
                put_field(f, c, field);
        }
        if (form == GCTRACE_EXACT) {
            fmt_text(f, ",\"engine\":\"");
            fmt_text(f, engine_name(c->engine));
            fmt_char(f, '"');
        }
        for (unsigned i = 0; i < gctrace_flag_count; i++) {
            const struct gctrace_flag *flag = &gctrace_flags[i];
            if (flag->form > form)
                continue;
            fmt_text(f, ",\"");
            fmt_text(f, flag->key);
            fmt_text(f, c->flags & flag->flag ? "\":true" : "\":false");
        }
    }
    fmt_text(f, "}\n");
    return f->length + 1 < f->size ? f->length : 0;
}
