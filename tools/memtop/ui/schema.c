#include "schema.h"

#include "report.h"
#include "series/ndjson.h"
#include "view/counters.h"
#include "view/gctrace.h"
#include "view/rss.h"

#include <stdio.h>
#include <string.h>

struct member {
    const char *name, *kind; /* name NULL: a type begins, whose help is `kind` */
    bool always;
    const char *type; /* of a type that begins */
    int version;
};

#define CHANGE                                                                                     \
    MEMBER(unit, "text")                                                                           \
    MEMBER(a, "number")                                                                            \
    MEMBER(a_error, "number?")                                                                     \
    MEMBER(b, "number")                                                                            \
    MEMBER(b_error, "number?")                                                                     \
    MEMBER(difference, "number")                                                                   \
    MEMBER(difference_error, "number?")                                                            \
    MEMBER(difference_percent, "number?")
#define LEAKED                                                                                     \
    MEMBER(bytes, "number")                                                                        \
    MEMBER(bytes_standard_error, "number?")                                                        \
    MEMBER(objects, "number")                                                                      \
    MEMBER(objects_standard_error, "number?")                                                      \
    MEMBER(exact, "flag")                                                                          \
    MEMBER(samples, "integer")
#define RSS_PART(name, text, help) MEMBER(name, "number?")
#define PARTS_OF_RSS RSS_PARTS_LIST(RSS_PART)

/* Lists that are not known to the preprocessor here stand by these names. */
#define COUNTERS_LIST "(counters)"
#define CYCLE_LIST "(fields of a cycle)"
#define STAT_LIST "(columns of stat)"

static const struct member members[] = {
#define TYPE(id, name, version, help) {NULL, help, true, name, version},
#define MEMBER(name, kind) {#name, kind, true, NULL, 0},
#define MAYBE(name, kind) {#name, kind, false, NULL, 0},
#define ALL_COUNTERS(always) {COUNTERS_LIST, "", always, NULL, 0},
#define CYCLE_FIELDS {CYCLE_LIST, "", false, NULL, 0},
#define COLUMNS_OF_STAT {STAT_LIST, "", true, NULL, 0},
#include "schema.def"
};

static const char *const stat_columns[] = {
#define STAT_COLUMN(name, ...) #name,
#include "series/stat.def"
};

/* Whether it is a type of JSON's own by one of our words. */
static const char *plain_type(const char *word, size_t length)
{
    static const char *const types[][2] = {
        {"text", "string"}, {"number", "number"}, {"integer", "integer"}, {"flag", "boolean"}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strlen(types[i][0]) == length && memcmp(word, types[i][0], length) == 0)
            return types[i][1];
    return NULL;
}

static json_t *kind_json(const char *kind)
{
    size_t length = strcspn(kind, "[?");
    bool list = kind[length] == '[', null = kind[strlen(kind) - 1] == '?';
    const char *plain = plain_type(kind, length);
    char where[64];
    snprintf(where, sizeof where, "#/$defs/%.*s", (int)length, kind);
    if (list)
        return json_pack("{s:s, s:{s:s}}", "type", "array", "items", "$ref", where);
    if (plain)
        return null ? json_pack("{s:[s,s]}", "type", plain, "null")
                    : json_pack("{s:s}", "type", plain);
    return null ? json_pack("{s:[{s:s},{s:s}]}", "anyOf", "$ref", where, "type", "null")
                : json_pack("{s:s}", "$ref", where);
}

static void add_member(json_t *type, const char *name, const char *kind, bool always)
{
    json_object_set_new(json_object_get(type, "properties"), name, kind_json(kind));
    if (always)
        json_array_append_new(json_object_get(type, "required"), json_string(name));
}

static void add_members(json_t *type, const struct member *member)
{
    if (strcmp(member->name, COUNTERS_LIST) == 0) {
        for (size_t i = 0; i < COUNTERS; i++)
            if (counter_list[i].kind != MD_COUNTER_TIME)
                add_member(type, counter_list[i].name, "number?", member->always);
    } else if (strcmp(member->name, CYCLE_LIST) == 0) {
        for (unsigned i = 0; i < gctrace_field_count; i++)
            add_member(type, gctrace_fields[i].key, "integer", false);
        for (unsigned i = 0; i < gctrace_flag_count; i++)
            add_member(type, gctrace_flags[i].key, "flag", false);
    } else if (strcmp(member->name, STAT_LIST) == 0) {
        for (size_t i = 0; i < sizeof stat_columns / sizeof stat_columns[0]; i++)
            add_member(type, stat_columns[i], "number?", true);
    } else {
        add_member(type, member->name, member->kind, member->always);
    }
}

static json_t *begin_type(const struct member *member)
{
    json_t *type = json_pack("{s:s, s:s, s:{}, s:[]}", "description", member->kind, "type",
                             "object", "properties", "required");
    if (member->version == 0)
        return type;
    json_t *properties = json_object_get(type, "properties");
    json_object_set_new(properties, "version", json_pack("{s:i}", "const", member->version));
    json_object_set_new(properties, "type", json_pack("{s:s}", "const", member->type));
    json_array_append_new(json_object_get(type, "required"), json_string("version"));
    json_array_append_new(json_object_get(type, "required"), json_string("type"));
    return type;
}

json_t *schema_json(void)
{
    json_t *definitions = json_object(), *one_of = json_array(), *type = NULL;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (members[i].name) {
            add_members(type, &members[i]);
            continue;
        }
        type = begin_type(&members[i]);
        json_object_set_new(definitions, members[i].type, type);
        char where[64];
        snprintf(where, sizeof where, "#/$defs/%s", members[i].type);
        if (members[i].version)
            json_array_append_new(one_of, json_pack("{s:s}", "$ref", where));
    }
    return json_pack("{s:s, s:s, s:o, s:o}", "$schema",
                     "https://json-schema.org/draft/2020-12/schema", "title",
                     "an object that memtop prints in JSON", "oneOf", one_of, "$defs", definitions);
}
