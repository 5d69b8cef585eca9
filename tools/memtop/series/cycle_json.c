#include "cycle_json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static bool take_u64(const json_t *object, const char *key, uint64_t *value)
{
    const json_t *number = json_object_get(object, key);
    if (!json_is_integer(number) || json_integer_value(number) < 0)
        return false;
    *value = (uint64_t)json_integer_value(number);
    return true;
}

static void take_text(const json_t *object, const char *key, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(object, key));
    snprintf(out, size, "%s", text ? text : "");
}

static void take_field(const json_t *object, const struct gctrace_field *field,
                       struct md_cycle *cycle)
{
    uint64_t value;
    if (!take_u64(object, field->key, &value) || (field->size == 4 && value > UINT32_MAX))
        return; /* records of other versions may lack some */
    memcpy((char *)cycle + field->offset, &value, field->size);
    cycle->flags |= field->flags;
}

static bool take_record(const json_t *object, struct md_cycle *cycle, uint32_t *pid, char *name)
{
    uint64_t version, who;
    char type[16], engine[16];
    take_text(object, "type", type, sizeof type);
    take_text(object, "engine", engine, sizeof engine);
    take_text(object, "name", name, GCTRACE_NAME_SIZE);
    take_text(object, "reason", cycle->reason, sizeof cycle->reason);
    bool skipped = strcmp(type, "gcskip") == 0;
    if ((!skipped && strcmp(type, "gc") != 0) || !take_u64(object, "version", &version) ||
        version != GCTRACE_JSON_VERSION || !take_u64(object, "pid", &who) || who > UINT32_MAX ||
        !take_u64(object, "start_ns", &cycle->start_ns))
        return false;
    *pid = (uint32_t)who;
    for (unsigned i = 0; i < gctrace_field_count; i++)
        take_field(object, &gctrace_fields[i], cycle);
    for (unsigned i = 0; i < gctrace_flag_count; i++)
        if (json_is_true(json_object_get(object, gctrace_flags[i].key)))
            cycle->flags |= gctrace_flags[i].flag;
    cycle->flags |= skipped ? MD_CYCLE_SKIPPED : 0;
    cycle->engine = gctrace_engine(engine);
    return skipped || cycle->number > 0;
}

enum gctrace_form trace_json_parse(const char *text, size_t length, struct md_cycle *out,
                                   uint32_t *pid, char *name)
{
    struct md_cycle cycle;
    char called[GCTRACE_NAME_SIZE];
    memset(&cycle, 0, sizeof cycle);
    json_t *object = json_loadb(text, length, JSON_DISABLE_EOF_CHECK, NULL);
    bool whole = json_is_object(object) && take_record(object, &cycle, pid, called);
    json_decref(object);
    if (!whole)
        return GCTRACE_NONE;
    *out = cycle;
    memcpy(name, called, sizeof called);
    return GCTRACE_EXACT;
}
