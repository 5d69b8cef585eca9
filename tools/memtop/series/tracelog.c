#include "tracelog.h"

#include "cycle_json.h"
#include "ndjson.h"
#include "units.h"
#include "view/plain_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_HISTORY = 8192, PROGRAMS_MAX = 4096 };

void tracelog_init(struct tracelog *log)
{
    *log = (struct tracelog){0};
}

void tracelog_fini(struct tracelog *log)
{
    for (size_t i = 0; i < log->count; i++) {
        trace_fini(&log->program[i].trace);
        history_fini(&log->program[i].history);
    }
    free(log->program);
    *log = (struct tracelog){0};
}

static struct log_program *add(struct tracelog *log, uint32_t pid, const char *name)
{
    if (log->count >= PROGRAMS_MAX)
        return NULL;
    if (log->count == log->capacity) {
        size_t capacity = log->capacity ? 2 * log->capacity : 4;
        struct log_program *grown = realloc(log->program, capacity * sizeof grown[0]);
        if (!grown)
            return NULL;
        log->program = grown;
        log->capacity = capacity;
    }
    struct log_program *program = &log->program[log->count];
    *program = (struct log_program){.log = log->log, .run = 1};
    if (!history_init(&program->history, LOG_HISTORY))
        return NULL;
    trace_init(&program->trace, pid, name);
    log->count++;
    return program;
}

/* The program that a line is of, made at its first line.  NULL: no memory. */
static struct log_program *find(struct tracelog *log, const struct md_cycle *cycle, uint32_t pid,
                                const char *name)
{
    size_t run = 1;
    for (size_t i = log->count; i > 0; i--) {
        struct log_program *program = &log->program[i - 1];
        if (program->log != log->log || program->trace.pid != pid || program->superseded)
            continue;
        /* Numbers grow: where 1 comes again, it is another program. */
        bool again = !(cycle->flags & MD_CYCLE_SKIPPED) && cycle->number <= program->last_number &&
                     cycle->number == 1;
        if (strcmp(program->trace.name, name) == 0 && !again)
            return program;
        program->superseded = true;
        run = program->run + 1;
        break;
    }
    struct log_program *program = add(log, pid, name);
    if (program)
        program->run = run;
    else
        log->out_of_memory = true;
    return program;
}

static void write_record(const struct tracelog *log, enum gctrace_form form,
                         const struct md_cycle *cycle, uint32_t pid, const char *name)
{
    char text[GCTRACE_JSON_SIZE];
    if (!gctrace_format_json(form, cycle, pid, name, text, sizeof text))
        return;
    json_t *object = json_loads(text, 0, NULL);
    if (object)
        json_object_set_new(object, "log", log->log ? ndjson_string(log->log) : json_null());
    ndjson_line(log->records, object);
}

void tracelog_cycle(struct tracelog *log, enum gctrace_form form, const struct md_cycle *cycle,
                    uint32_t pid, const char *name)
{
    log->trace_lines++;
    if (log->records)
        write_record(log, form, cycle, pid, name);
    struct log_program *program = find(log, cycle, pid, name);
    if (!program)
        return;
    trace_add(&program->trace, cycle);
    if (cycle->flags & MD_CYCLE_SKIPPED)
        return;
    program->last_number = cycle->number;
    struct history_point point = history_blank((int64_t)cycle->start_ns);
    point.value[HISTORY_HEAP] = (double)cycle->heap_start_bytes;
    point.value[HISTORY_REACHABLE] = (double)cycle->heap_live_bytes;
    point.value[HISTORY_GOAL] =
        cycle->goal_bytes < UINT64_C(1) << 50 ? (double)cycle->goal_bytes : NAN;
    point.value[HISTORY_PAUSE] = cycle_pause_ns(cycle);
    history_push(&program->history, &point);
}

static bool begins_with(const char *text, const char *end, const char *literal)
{
    size_t length = strlen(literal);
    return (size_t)(end - text) > length && memcmp(text, literal, length) == 0;
}

static bool take_line(struct tracelog *log, const char *line, size_t length)
{
    static const char record[] = "{\"version\":";
    struct md_cycle cycle;
    uint32_t pid;
    char name[GCTRACE_NAME_SIZE];
    const char *end = line + length;
    /* A log's time stamp may stand before a line, or output that had no newline. */
    for (const char *start = line; start < end; start++) {
        size_t left = (size_t)(end - start);
        enum gctrace_form form = GCTRACE_NONE;
        if (begins_with(start, end, "gc ") || begins_with(start, end, "gcskip"))
            form = gctrace_parse(start, left, &cycle, &pid, name);
        else if (begins_with(start, end, record))
            form = trace_json_parse(start, left, &cycle, &pid, name);
        if (form != GCTRACE_NONE) {
            tracelog_cycle(log, form, &cycle, pid, name);
            return true;
        }
    }
    return false;
}

/* The text inside a record of a log of JSON: Docker's has it as "log", journalctl's as "MESSAGE",
 * many a program's as one of the others.  NULL: there is none.  `object` is to be released. */
static const char *wrapped_text(const char *line, size_t length, json_t **object)
{
    static const char *const keys[] = {"log", "MESSAGE", "message", "msg"};
    *object = json_loadb(line, length, JSON_DISABLE_EOF_CHECK, NULL);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *text = json_string_value(json_object_get(*object, keys[i]));
        if (text)
            return text;
    }
    return NULL;
}

void tracelog_line(void *context, const char *line, size_t length)
{
    struct tracelog *log = context;
    json_t *object;
    log->lines++;
    if (take_line(log, line, length) || !begins_with(line, line + length, "{") ||
        !memmem(line, length, "gc", 2))
        return;
    const char *text = wrapped_text(line, length, &object);
    size_t inside = text ? strlen(text) : 0;
    while (inside > 0 && text[inside - 1] == '\n')
        inside--;
    if (inside > 0)
        take_line(log, text, inside);
    json_decref(object);
}

void tracelog_who(const struct tracelog *log, const struct log_program *program, char *buffer,
                  size_t size)
{
    size_t n;
    if (program->trace.pid != 0)
        n = (size_t)snprintf(buffer, size, "%" PRIu32 " %s", program->trace.pid,
                             program->trace.name);
    else if (program->run > 1)
        n = (size_t)snprintf(buffer, size, "Go program %zu", program->run);
    else
        n = (size_t)snprintf(buffer, size, "Go program");
    if (log->many_logs && program->log && n < size) {
        char clean[256];
        plain_text(clean, sizeof clean, program->log, sizeof clean);
        snprintf(buffer + n, size - n, ", %s", clean);
    }
}

static void program_json(const struct log_program *program, FILE *out)
{
    const struct trace *trace = &program->trace;
    struct pause_quantiles pauses = trace_pauses(trace);
    bool cycles = trace->cycles > 0, ours = trace->pid != 0;
    json_t *object = json_object();
    json_object_set_new(object, "version", json_integer(NDJSON_VERSION));
    json_object_set_new(object, "type", json_string("trace_summary"));
    json_object_set_new(object, "pid", ours ? json_integer(trace->pid) : json_null());
    json_object_set_new(object, "name", ours ? json_string(trace->name) : json_null());
    json_object_set_new(object, "log", program->log ? ndjson_string(program->log) : json_null());
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"cycles", (double)trace->cycles},
        {"forced_cycles", (double)trace->forced},
        {"skips", (double)trace->skips},
        {"first_cycle_seconds", trace->first_seconds},
        {"last_cycle_seconds", trace->last_seconds},
        {"pause_p50_ns", pauses.p50_ns},
        {"pause_p99_ns", pauses.p99_ns},
        {"pause_max_ns", pauses.max_ns},
        {"pause_total_ns", trace->pause_total_ns},
        {"heap_min_bytes", cycles ? (double)trace->heap_min_bytes : NAN},
        {"heap_max_bytes", cycles ? (double)trace->heap_max_bytes : NAN},
        {"reachable_bytes", cycles ? (double)trace->reachable_last : NAN},
        {"goal_bytes", cycles ? (double)trace->goal_last : NAN},
        {"unreachable_objects", cycles && ours ? (double)trace->unreachable_objects : NAN},
        {"unreachable_bytes", cycles && ours ? (double)trace->unreachable_bytes : NAN},
        {"gc_cpu_ns", trace->cpu_ns},
        {"gc_cpu_percent", cycles ? (double)trace->utilization_percent : NAN},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_set_new(object, numbers[i].key, ndjson_number(numbers[i].value));
    ndjson_line(out, object);
}

static void program_text(const struct tracelog *log, const struct log_program *program, FILE *out)
{
    const struct trace *trace = &program->trace;
    struct pause_quantiles pauses = trace_pauses(trace);
    char who[320], a[UNITS_SIZE], b[UNITS_SIZE], c[UNITS_SIZE], d[UNITS_SIZE];
    tracelog_who(log, program, who, sizeof who);
    fprintf(out, "%s: %" PRIu64 " cycles", who, trace->cycles);
    if (trace->forced > 0)
        fprintf(out, " (%" PRIu64 " forced)", trace->forced);
    if (trace->skips > 0)
        fprintf(out, ", %" PRIu64 " skipped", trace->skips);
    fprintf(out, ", from %.3fs to %.3fs\n", trace->first_seconds, trace->last_seconds);
    if (trace->cycles == 0)
        return;
    fprintf(out, "  pause        p50 %s  p99 %s  max %s  total %s\n", units_pause(a, pauses.p50_ns),
            units_pause(b, pauses.p99_ns), units_pause(c, pauses.max_ns),
            units_pause(d, trace->pause_total_ns));
    fprintf(out, "  heap         %s to %s, %s reachable at the last cycle (%s at the first)\n",
            units_bytes(a, (double)trace->heap_min_bytes),
            units_bytes(b, (double)trace->heap_max_bytes),
            units_bytes(c, (double)trace->reachable_last),
            units_bytes(d, (double)trace->reachable_first));
    if (trace->goal_last >= UINT64_C(1) << 50)
        fprintf(out, "  goal         off\n");
    else
        fprintf(out, "  goal         %s\n", units_bytes(a, (double)trace->goal_last));
    if (trace->unreachable_known)
        fprintf(out, "  unreachable  %" PRIu64 " objects, %s\n", trace->unreachable_objects,
                units_bytes(a, (double)trace->unreachable_bytes));
    fprintf(out, "  gc cpu       %s, %" PRIu32 "%% of the CPUs\n", units_pause(a, trace->cpu_ns),
            trace->utilization_percent);
}

void tracelog_report(const struct tracelog *log, bool json, FILE *out)
{
    for (size_t i = 0; i < log->count; i++) {
        if (json)
            program_json(&log->program[i], out);
        else
            program_text(log, &log->program[i], out);
    }
}
