#include "view/profile_merge.h"

#include <stdlib.h>
#include <string.h>

/* Elements are told apart by a text that says all of them; equal texts are equal pointers. */
struct merge {
    struct profile *sum;
    const struct profile *from; /* the term that is being added, and its sign */
    int sign;
    struct string_pool keys;
    struct pair_map index; /* (text, 0) -> element of the sum; a text begins with its kind */
    uint32_t *types;       /* by type of the sum: the term's */
    uint32_t *mappings, *functions, *locations; /* by the term's: the sum's */
    char *text;                                 /* being written, `length` bytes */
    size_t length, room;
    bool no_memory;
};

static void say(struct merge *m, const char *text)
{
    size_t n = strlen(text);
    if (m->no_memory || !array_reserve(&m->text, &m->room, m->length + n + 1, 1)) {
        m->no_memory = true;
        return;
    }
    memcpy(m->text + m->length, text, n);
    m->length += n;
    m->text[m->length++] = '\1'; /* in no name */
}

static void say_number(struct merge *m, uint64_t number)
{
    char digits[17], *at = digits + sizeof digits - 1;
    *at = '\0';
    do
        *--at = "0123456789abcdef"[number & 15];
    while (number >>= 4);
    say(m, at);
}

/* Where the number of the element that the text says is kept, and a new text begins; NULL: no
 * memory. */
static uint32_t *slot_of(struct merge *m)
{
    const char *key = m->no_memory ? NULL : string_pool_add_bytes(&m->keys, m->text, m->length);
    m->length = 0;
    return key ? pair_map_put(&m->index, (uint64_t)(uintptr_t)key, 0) : NULL;
}

static bool pool(struct merge *m, const char **text)
{
    *text = string_pool_add(&m->sum->strings, *text);
    return *text != NULL;
}

static bool take_mapping(struct merge *m, uint32_t i)
{
    struct profile_mapping mapping = m->from->mappings[i];
    say(m, "mapping");
    say(m, mapping.build_id);
    say(m, mapping.file);
    say_number(m, mapping.offset);
    say_number(m, mapping.limit - mapping.start);
    uint32_t *slot = slot_of(m);
    if (!slot)
        return false;
    bool fresh = *slot == PAIR_MAP_NONE;
    if (fresh)
        *slot = (uint32_t)m->sum->mapping_count;
    m->mappings[i] = *slot;
    if (fresh)
        return pool(m, &mapping.file) && pool(m, &mapping.build_id) &&
               profile_add_mapping(m->sum, &mapping);
    struct profile_mapping *have = &m->sum->mappings[*slot];
    have->has_functions |= mapping.has_functions;
    have->has_filenames |= mapping.has_filenames;
    have->has_line_numbers |= mapping.has_line_numbers;
    have->has_inline_frames |= mapping.has_inline_frames;
    return true;
}

static bool take_function(struct merge *m, uint32_t i)
{
    struct profile_function f = m->from->functions[i];
    say(m, "function");
    say(m, f.name);
    say(m, f.system_name);
    say(m, f.file);
    say_number(m, (uint64_t)f.start_line);
    uint32_t *slot = slot_of(m);
    if (!slot)
        return false;
    bool fresh = *slot == PAIR_MAP_NONE;
    if (fresh)
        *slot = (uint32_t)m->sum->function_count;
    m->functions[i] = *slot;
    return !fresh || (pool(m, &f.name) && pool(m, &f.system_name) && pool(m, &f.file) &&
                      profile_add_function(m->sum, &f));
}

static bool take_location(struct merge *m, uint32_t i)
{
    struct profile_location location = m->from->locations[i];
    const struct profile_line *lines = m->from->lines + location.line_first;
    if (location.mapping != PROFILE_NONE) {
        const struct profile_mapping *old = &m->from->mappings[location.mapping];
        uint64_t within = location.address - old->start;
        location.mapping = m->mappings[location.mapping];
        location.address = m->sum->mappings[location.mapping].start + within;
    }
    say(m, location.folded ? "folded location" : "location");
    say_number(m, location.mapping);
    say_number(m, location.address);
    for (uint32_t k = 0; k < location.line_count; k++) {
        say_number(m, m->functions[lines[k].function]);
        say_number(m, (uint64_t)lines[k].line);
    }
    uint32_t *slot = slot_of(m);
    if (!slot)
        return false;
    bool fresh = *slot == PAIR_MAP_NONE;
    if (fresh)
        *slot = (uint32_t)m->sum->location_count;
    m->locations[i] = *slot;
    if (!fresh)
        return true;
    location.line_first = (uint32_t)m->sum->line_count;
    for (uint32_t k = 0; k < location.line_count; k++)
        if (!profile_add_line(m->sum, m->functions[lines[k].function], lines[k].line))
            return false;
    return profile_add_location(m->sum, &location);
}

/* Adds the sample that the text says to the sum; its values are still to be added. */
static bool add_sample(struct merge *m, const struct profile_sample *sample, const int64_t *zeros)
{
    struct profile *sum = m->sum;
    struct profile_sample fresh = {
        .location_first = (uint32_t)sum->location_id_count,
        .location_count = sample->location_count,
        .label_first = (uint32_t)sum->label_count,
        .label_count = sample->label_count,
    };
    for (uint32_t k = 0; k < sample->location_count; k++)
        if (!profile_add_location_id(
                sum, m->locations[m->from->location_ids[sample->location_first + k]]))
            return false;
    for (uint32_t k = 0; k < sample->label_count; k++) {
        struct profile_label label = m->from->labels[sample->label_first + k];
        if (!pool(m, &label.key) || !pool(m, &label.text) || !pool(m, &label.unit) ||
            !profile_add_label(sum, &label))
            return false;
    }
    return profile_add_sample(sum, &fresh, zeros);
}

static bool take_sample(struct merge *m, size_t i, const int64_t *zeros)
{
    const struct profile *from = m->from;
    const struct profile_sample *sample = &from->samples[i];
    say(m, "sample");
    for (uint32_t k = 0; k < sample->location_count; k++)
        say_number(m, m->locations[from->location_ids[sample->location_first + k]]);
    say(m, "labels");
    for (uint32_t k = 0; k < sample->label_count; k++) {
        const struct profile_label *label = &from->labels[sample->label_first + k];
        say(m, label->key);
        say(m, label->text);
        say_number(m, (uint64_t)label->number);
        say(m, label->unit);
    }
    uint32_t *slot = slot_of(m);
    if (!slot)
        return false;
    if (*slot == PAIR_MAP_NONE) {
        *slot = (uint32_t)m->sum->sample_count;
        if (!add_sample(m, sample, zeros))
            return false;
    }
    int64_t *to = m->sum->values + *slot * m->sum->type_count;
    const int64_t *values = from->values + i * from->type_count;
    for (size_t t = 0; t < m->sum->type_count; t++) {
        int64_t value = m->sign < 0 ? -values[m->types[t]] : values[m->types[t]];
        if (__builtin_add_overflow(to[t], value, &to[t]))
            to[t] = value < 0 ? INT64_MIN : INT64_MAX;
    }
    return true;
}

/* The number of a sample type; PROFILE_NONE: the profile has it not. */
static uint32_t type_in(const struct profile *p, struct profile_value_type type)
{
    for (uint32_t i = 0; i < p->type_count; i++)
        if (strcmp(p->types[i].type, type.type) == 0 && strcmp(p->types[i].unit, type.unit) == 0)
            return i;
    return PROFILE_NONE;
}

static bool add_types(struct merge *m, const struct profile_term *terms, size_t count)
{
    const struct profile *first = terms[0].profile, *last = terms[count - 1].profile;
    struct profile *sum = m->sum;
    for (size_t i = 0; i < first->type_count; i++) {
        struct profile_value_type type = first->types[i];
        bool common = true;
        for (size_t k = 1; k < count; k++)
            common = common && type_in(terms[k].profile, type) != PROFILE_NONE;
        if (common && !(pool(m, &type.type) && pool(m, &type.unit) && profile_add_type(sum, type)))
            return false;
    }
    sum->period = first->period;
    sum->period_type = first->period_type;
    sum->default_sample_type = first->default_sample_type;
    sum->drop_frames = first->drop_frames;
    sum->keep_frames = first->keep_frames;
    sum->time_nanos = last->time_nanos;
    return sum->type_count > 0 && pool(m, &sum->period_type.type) &&
           pool(m, &sum->period_type.unit) && pool(m, &sum->default_sample_type) &&
           pool(m, &sum->drop_frames) && pool(m, &sum->keep_frames);
}

static bool has_comment(const struct profile *p, const char *text)
{
    for (size_t i = 0; i < p->comment_count; i++)
        if (strcmp(p->comments[i], text) == 0)
            return true;
    return false;
}

static bool add_term(struct merge *m, const struct profile_term *term, const int64_t *zeros)
{
    const struct profile *from = m->from = term->profile;
    m->sign = term->sign;
    m->types = reallocarray(NULL, m->sum->type_count + 1, sizeof *m->types);
    m->mappings = reallocarray(NULL, from->mapping_count + 1, sizeof *m->mappings);
    m->functions = reallocarray(NULL, from->function_count + 1, sizeof *m->functions);
    m->locations = reallocarray(NULL, from->location_count + 1, sizeof *m->locations);
    bool good = m->types && m->mappings && m->functions && m->locations;
    for (size_t t = 0; good && t < m->sum->type_count; t++)
        m->types[t] = type_in(from, m->sum->types[t]);
    for (uint32_t i = 0; good && i < from->mapping_count; i++)
        good = take_mapping(m, i);
    for (uint32_t i = 0; good && i < from->function_count; i++)
        good = take_function(m, i);
    for (uint32_t i = 0; good && i < from->location_count; i++)
        good = take_location(m, i);
    for (size_t i = 0; good && i < from->sample_count; i++)
        good = take_sample(m, i, zeros);
    for (size_t i = 0; good && i < from->comment_count; i++)
        good = has_comment(m->sum, from->comments[i]) ||
               profile_add_comment(m->sum, from->comments[i]);
    free(m->types);
    free(m->mappings);
    free(m->functions);
    free(m->locations);
    return good;
}

static void drop_zeros(struct profile *p)
{
    size_t kept = 0, types = p->type_count;
    for (size_t i = 0; i < p->sample_count; i++) {
        bool any = false;
        for (size_t t = 0; t < types; t++)
            any = any || p->values[i * types + t] != 0;
        if (!any)
            continue;
        p->samples[kept] = p->samples[i];
        memmove(p->values + kept * types, p->values + i * types, types * sizeof *p->values);
        kept++;
    }
    p->sample_count = kept;
}

bool profile_merge(struct profile *sum, const struct profile_term *terms, size_t count)
{
    struct merge m = {.sum = sum};
    profile_init(sum);
    bool good = add_types(&m, terms, count);
    int64_t *zeros = good ? calloc(sum->type_count, sizeof *zeros) : NULL;
    for (size_t i = 0; i < count && (good = good && zeros); i++)
        good = add_term(&m, &terms[i], zeros);
    if (good)
        drop_zeros(sum);
    else
        profile_fini(sum);
    free(m.text);
    free(zeros);
    string_pool_fini(&m.keys);
    pair_map_fini(&m.index);
    return good;
}
