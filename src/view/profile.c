#include "view/profile.h"

#include <stdlib.h>
#include <string.h>

void profile_init(struct profile *p)
{
    *p = (struct profile){
        .period_type = {"", ""}, .default_sample_type = "", .drop_frames = "", .keep_frames = ""};
}

void profile_fini(struct profile *p)
{
    free(p->types);
    free(p->samples);
    free(p->values);
    free(p->location_ids);
    free(p->labels);
    free(p->locations);
    free(p->lines);
    free(p->functions);
    free(p->mappings);
    free(p->comments);
    string_pool_fini(&p->strings);
    profile_init(p);
}

static bool room_for_one(void *array, size_t *room, size_t count, size_t element)
{
    return count < PROFILE_NONE && array_reserve(array, room, count + 1, element);
}

bool profile_add_type(struct profile *p, struct profile_value_type type)
{
    if (!room_for_one(&p->types, &p->type_room, p->type_count, sizeof *p->types))
        return false;
    p->types[p->type_count++] = type;
    return true;
}

bool profile_add_mapping(struct profile *p, const struct profile_mapping *mapping)
{
    if (!room_for_one(&p->mappings, &p->mapping_room, p->mapping_count, sizeof *p->mappings))
        return false;
    p->mappings[p->mapping_count++] = *mapping;
    return true;
}

bool profile_add_function(struct profile *p, const struct profile_function *function)
{
    if (!room_for_one(&p->functions, &p->function_room, p->function_count, sizeof *p->functions))
        return false;
    p->functions[p->function_count++] = *function;
    return true;
}

bool profile_add_line(struct profile *p, uint32_t function, int64_t line)
{
    if (!room_for_one(&p->lines, &p->line_room, p->line_count, sizeof *p->lines))
        return false;
    p->lines[p->line_count++] = (struct profile_line){function, line};
    return true;
}

bool profile_add_location(struct profile *p, const struct profile_location *location)
{
    if (!room_for_one(&p->locations, &p->location_room, p->location_count, sizeof *p->locations))
        return false;
    p->locations[p->location_count++] = *location;
    return true;
}

bool profile_add_location_id(struct profile *p, uint32_t location)
{
    if (!room_for_one(&p->location_ids, &p->location_id_room, p->location_id_count,
                      sizeof *p->location_ids))
        return false;
    p->location_ids[p->location_id_count++] = location;
    return true;
}

bool profile_add_label(struct profile *p, const struct profile_label *label)
{
    if (!room_for_one(&p->labels, &p->label_room, p->label_count, sizeof *p->labels))
        return false;
    p->labels[p->label_count++] = *label;
    return true;
}

bool profile_add_sample(struct profile *p, const struct profile_sample *sample,
                        const int64_t *values)
{
    size_t need = (p->sample_count + 1) * p->type_count;
    if (!room_for_one(&p->samples, &p->sample_room, p->sample_count, sizeof *p->samples) ||
        !array_reserve(&p->values, &p->value_room, need, sizeof *p->values))
        return false;
    if (p->type_count)
        memcpy(p->values + p->sample_count * p->type_count, values, p->type_count * sizeof *values);
    p->samples[p->sample_count++] = *sample;
    return true;
}

bool profile_add_comment(struct profile *p, const char *text)
{
    const char *copy = string_pool_add(&p->strings, text);
    if (!copy ||
        !room_for_one(&p->comments, &p->comment_room, p->comment_count, sizeof *p->comments))
        return false;
    p->comments[p->comment_count++] = copy;
    return true;
}

int profile_sample_index(const struct profile *p, const char *name)
{
    if (!name || !*name) {
        for (size_t i = 0; i < p->type_count && *p->default_sample_type; i++)
            if (strcmp(p->types[i].type, p->default_sample_type) == 0)
                return (int)i;
        return (int)p->type_count - 1;
    }
    char *end;
    unsigned long number = strtoul(name, &end, 10);
    if (!*end && *name >= '0' && *name <= '9')
        return number < p->type_count ? (int)number : -1;
    const char *bare = strncmp(name, "inuse_", 6) == 0 ? name + 6 : name;
    for (size_t i = 0; i < p->type_count; i++)
        if (strcmp(p->types[i].type, name) == 0 || strcmp(p->types[i].type, bare) == 0)
            return (int)i;
    return -1;
}
