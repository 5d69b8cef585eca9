#include "view/pprof.h"

#include "profile.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

typedef Perftools__Profiles__Profile pb_profile;

static int fail(char *error, int code, const char *what)
{
    if (error)
        snprintf(error, VIEW_ERROR_SIZE, "%s", what);
    return code;
}

/* A bound for protobuf-c's allocations: an empty message takes two bytes on the wire and a hundred
 * in memory. */
struct budget {
    uint64_t left; /* bytes; what is freed does not come back */
};

static void *budget_alloc(void *data, size_t size)
{
    struct budget *budget = data;
    size_t cost = size + 16;
    if (cost < size || cost > budget->left)
        return NULL;
    budget->left -= cost;
    return malloc(size);
}

static void budget_free(void *data, void *memory)
{
    free(memory);
}

static int inflate_all(const void *bytes, size_t size, uint64_t limit, uint8_t **out,
                       size_t *out_size)
{
    z_stream z = {0};
    uint8_t *buffer = NULL;
    size_t count = 0, room = 0;
    int result = 0, status = Z_OK;
    if (size > UINT32_MAX)
        return EFBIG;
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return ENOMEM;
    z.next_in = (uint8_t *)(uintptr_t)bytes;
    z.avail_in = (unsigned)size;
    for (;;) {
        if (count == room && !array_reserve(&buffer, &room, count + 65536, 1)) {
            result = ENOMEM;
            break;
        }
        size_t part = room - count > UINT32_MAX ? UINT32_MAX : room - count;
        z.next_out = buffer + count;
        z.avail_out = (unsigned)part;
        status = inflate(&z, Z_NO_FLUSH);
        count += part - z.avail_out;
        if (count > limit) {
            result = EFBIG;
            break;
        }
        if (status == Z_STREAM_END) {
            /* gzip files may be several members, one behind the other. */
            if (z.avail_in && z.next_in[0] == 0x1f && inflateReset(&z) == Z_OK)
                continue;
            break;
        }
        if (status != Z_OK || (z.avail_in == 0 && z.avail_out)) {
            result = EINVAL;
            break;
        }
    }
    inflateEnd(&z);
    if (result != 0) {
        free(buffer);
        return result;
    }
    *out = buffer;
    *out_size = count;
    return 0;
}

struct decoder {
    struct profile *profile;
    const pb_profile *from;
    const char **strings;
    struct pair_map mappings, functions, locations; /* id -> index */
    int result;
};

/* Each step below returns false at the first fault, with an errno value in `result`. */
static bool bad(struct decoder *d, int result)
{
    d->result = result;
    return false;
}

static bool text_at(struct decoder *d, int64_t index, const char **out)
{
    if (index == 0) { /* means "" even where there is no table at all */
        *out = "";
        return true;
    }
    if (index < 0 || (uint64_t)index >= d->from->n_string_table)
        return bad(d, EINVAL);
    *out = d->strings[index];
    return true;
}

static bool add_id(struct decoder *d, struct pair_map *map, uint64_t id, size_t index)
{
    uint32_t *slot = id ? pair_map_put(map, id, 0) : NULL;
    if (!slot)
        return bad(d, id ? ENOMEM : EINVAL);
    if (*slot != PAIR_MAP_NONE)
        return bad(d, EINVAL); /* the id stands there twice */
    *slot = (uint32_t)index;
    return true;
}

static bool decode_strings(struct decoder *d)
{
    size_t count = d->from->n_string_table;
    d->strings = calloc(count + 1, sizeof *d->strings);
    if (!d->strings)
        return bad(d, ENOMEM);
    if (count && d->from->string_table[0][0])
        return bad(d, EINVAL);
    for (size_t i = 0; i < count; i++)
        if (!(d->strings[i] = string_pool_add(&d->profile->strings, d->from->string_table[i])))
            return bad(d, ENOMEM);
    return true;
}

static bool decode_head(struct decoder *d)
{
    struct profile *p = d->profile;
    const pb_profile *from = d->from;
    for (size_t i = 0; i < from->n_sample_type; i++) {
        struct profile_value_type type;
        if (!text_at(d, from->sample_type[i]->type, &type.type) ||
            !text_at(d, from->sample_type[i]->unit, &type.unit))
            return false;
        if (!profile_add_type(p, type))
            return bad(d, ENOMEM);
    }
    if (from->period_type && (!text_at(d, from->period_type->type, &p->period_type.type) ||
                              !text_at(d, from->period_type->unit, &p->period_type.unit)))
        return false;
    p->period = from->period;
    p->time_nanos = from->time_nanos;
    p->duration_nanos = from->duration_nanos;
    for (size_t i = 0; i < from->n_comment; i++) {
        const char *text;
        if (!text_at(d, from->comment[i], &text))
            return false;
        if (!profile_add_comment(p, text))
            return bad(d, ENOMEM);
    }
    return text_at(d, from->default_sample_type, &p->default_sample_type) &&
           text_at(d, from->drop_frames, &p->drop_frames) &&
           text_at(d, from->keep_frames, &p->keep_frames);
}

static bool decode_mappings(struct decoder *d)
{
    for (size_t i = 0; i < d->from->n_mapping; i++) {
        const Perftools__Profiles__Mapping *m = d->from->mapping[i];
        struct profile_mapping mapping = {
            .start = m->memory_start,
            .limit = m->memory_limit,
            .offset = m->file_offset,
            .has_functions = m->has_functions,
            .has_filenames = m->has_filenames,
            .has_line_numbers = m->has_line_numbers,
            .has_inline_frames = m->has_inline_frames,
        };
        if (!text_at(d, m->filename, &mapping.file) ||
            !text_at(d, m->build_id, &mapping.build_id) || !add_id(d, &d->mappings, m->id, i))
            return false;
        if (!profile_add_mapping(d->profile, &mapping))
            return bad(d, ENOMEM);
    }
    return true;
}

static bool decode_functions(struct decoder *d)
{
    for (size_t i = 0; i < d->from->n_function; i++) {
        const Perftools__Profiles__Function *f = d->from->function[i];
        struct profile_function function = {.start_line = f->start_line};
        if (!text_at(d, f->name, &function.name) ||
            !text_at(d, f->system_name, &function.system_name) ||
            !text_at(d, f->filename, &function.file) || !add_id(d, &d->functions, f->id, i))
            return false;
        if (!profile_add_function(d->profile, &function))
            return bad(d, ENOMEM);
    }
    return true;
}

static bool decode_locations(struct decoder *d)
{
    struct profile *p = d->profile;
    for (size_t i = 0; i < d->from->n_location; i++) {
        const Perftools__Profiles__Location *l = d->from->location[i];
        struct profile_location location = {
            .address = l->address,
            .mapping = PROFILE_NONE,
            .line_first = (uint32_t)p->line_count,
            .line_count = (uint32_t)l->n_line,
            .folded = l->is_folded,
        };
        /* An unknown id means no mapping, as it does to pprof. */
        if (l->mapping_id)
            location.mapping = pair_map_get(&d->mappings, l->mapping_id, 0);
        for (size_t k = 0; k < l->n_line; k++) {
            uint32_t function = pair_map_get(&d->functions, l->line[k]->function_id, 0);
            if (function == PAIR_MAP_NONE)
                return bad(d, EINVAL);
            if (!profile_add_line(p, function, l->line[k]->line))
                return bad(d, ENOMEM);
        }
        if (!add_id(d, &d->locations, l->id, i))
            return false;
        if (!profile_add_location(p, &location))
            return bad(d, ENOMEM);
    }
    return true;
}

static bool decode_labels(struct decoder *d, const Perftools__Profiles__Sample *s)
{
    for (size_t k = 0; k < s->n_label; k++) {
        struct profile_label label = {.number = s->label[k]->num};
        if (!text_at(d, s->label[k]->key, &label.key) ||
            !text_at(d, s->label[k]->str, &label.text) ||
            !text_at(d, s->label[k]->num_unit, &label.unit))
            return false;
        if (!profile_add_label(d->profile, &label))
            return bad(d, ENOMEM);
    }
    return true;
}

static bool decode_samples(struct decoder *d)
{
    struct profile *p = d->profile;
    if (d->from->n_sample && !p->type_count)
        return bad(d, EINVAL);
    for (size_t i = 0; i < d->from->n_sample; i++) {
        const Perftools__Profiles__Sample *s = d->from->sample[i];
        struct profile_sample sample = {
            .location_first = (uint32_t)p->location_id_count,
            .location_count = (uint32_t)s->n_location_id,
            .label_first = (uint32_t)p->label_count,
            .label_count = (uint32_t)s->n_label,
        };
        if (s->n_value != p->type_count)
            return bad(d, EINVAL);
        for (size_t k = 0; k < s->n_location_id; k++) {
            uint32_t location = pair_map_get(&d->locations, s->location_id[k], 0);
            if (location == PAIR_MAP_NONE)
                return bad(d, EINVAL);
            if (!profile_add_location_id(p, location))
                return bad(d, ENOMEM);
        }
        if (!decode_labels(d, s))
            return false;
        if (!profile_add_sample(p, &sample, s->value))
            return bad(d, ENOMEM);
    }
    return true;
}

static int decode_message(struct profile *p, const uint8_t *bytes, size_t size, uint64_t limit,
                          char *error)
{
    if (size > limit)
        return fail(error, EFBIG, "larger than any profile this reads");
    struct budget budget = {limit < UINT64_MAX / PPROF_MEMORY_FACTOR ? limit * PPROF_MEMORY_FACTOR
                                                                     : UINT64_MAX};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    pb_profile *from = perftools__profiles__profile__unpack(&allocator, size, bytes);
    if (!from)
        return fail(error, EINVAL, "not a profile: not a sound protobuf message");
    struct decoder d = {.profile = p, .from = from, .result = EINVAL};
    profile_init(p);
    bool done = decode_strings(&d) && decode_head(&d) && decode_mappings(&d) &&
                decode_functions(&d) && decode_locations(&d) && decode_samples(&d);
    /* Any bytes are a message of unknown fields; without a value type it is no profile. */
    if (done && !p->type_count)
        done = bad(&d, EINVAL);
    perftools__profiles__profile__free_unpacked(from, &allocator);
    free(d.strings);
    pair_map_fini(&d.mappings);
    pair_map_fini(&d.functions);
    pair_map_fini(&d.locations);
    if (done)
        return 0;
    profile_fini(p);
    return fail(error, d.result,
                d.result == ENOMEM ? "no memory for the profile"
                                   : "not a profile: its parts do not fit together");
}

int pprof_decode(struct profile *p, const void *bytes, size_t size, uint64_t limit, char *error)
{
    const uint8_t *head = bytes;
    profile_init(p);
    if (error)
        error[0] = 0;
    if (size < 2 || head[0] != 0x1f || head[1] != 0x8b)
        return decode_message(p, bytes, size, limit, error);
    uint8_t *plain = NULL;
    size_t plain_size = 0;
    int result = inflate_all(bytes, size, limit, &plain, &plain_size);
    if (result != 0)
        return fail(error, result,
                    result == EFBIG    ? "larger than any profile this reads"
                    : result == ENOMEM ? "no memory for the profile"
                                       : "not a profile: its gzip data are damaged or cut short");
    result = decode_message(p, plain, plain_size, limit, error);
    free(plain);
    return result;
}

int pprof_read(struct profile *p, const char *path, uint64_t limit, char *error)
{
    profile_init(p);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    uint8_t *bytes = NULL;
    size_t count = 0, room = 0;
    int result = fd < 0 ? errno : 0;
    while (result == 0) {
        if (!array_reserve(&bytes, &room, count + 65536, 1)) {
            result = ENOMEM;
            break;
        }
        ssize_t n = read(fd, bytes + count, room - count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            result = n < 0 ? errno : 0;
            break;
        }
        count += (size_t)n;
        if (count > limit)
            result = EFBIG;
    }
    if (fd >= 0)
        close(fd);
    char why[VIEW_ERROR_SIZE] = "";
    if (result != 0)
        snprintf(why, sizeof why, "%s", strerror(result));
    else
        result = pprof_decode(p, bytes, count, limit, why);
    free(bytes);
    if (error)
        error[0] = 0;
    if (result != 0 && error)
        snprintf(error, VIEW_ERROR_SIZE, "%.128s: %.120s", path, why);
    return result;
}
