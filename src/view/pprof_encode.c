#include "view/pprof.h"

#include "profile.pb-c.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* Elements in a piece.  A profile is packed in pieces, each a message of its own: protobuf reads
 * messages of one type, one behind the other, as one message that has the fields of all.  So a
 * profile of any size needs memory for one piece only, and some 20 KiB of stack at most. */
#define PIECE 128

/* protobuf-c's names are long. */
typedef Perftools__Profiles__Profile pb_profile;
typedef Perftools__Profiles__ValueType pb_value_type;
typedef Perftools__Profiles__Sample pb_sample;
typedef Perftools__Profiles__Label pb_label;
typedef Perftools__Profiles__Mapping pb_mapping;
typedef Perftools__Profiles__Location pb_location;
typedef Perftools__Profiles__Line pb_line;
typedef Perftools__Profiles__Function pb_function;

struct encoder {
    const struct profile *profile;
    struct pair_map string_index; /* pooled pointer -> index in `strings` */
    const char **strings;
    size_t string_count, string_room;
    z_stream z;
    uint8_t *packed; /* scratch for one piece */
    size_t packed_room;
    int fd; /* -1: into `out` */
    uint8_t *out;
    size_t out_count, out_room;
    int result; /* the errno value of the first failure */
};

static bool failed(struct encoder *e, int result)
{
    if (!e->result)
        e->result = result;
    return false;
}

static int64_t string_index(struct encoder *e, const char *text)
{
    if (!*text)
        return 0;
    uint32_t *slot = pair_map_put(&e->string_index, (uint64_t)(uintptr_t)text, 0);
    if (!slot ||
        (*slot == PAIR_MAP_NONE &&
         !array_reserve(&e->strings, &e->string_room, e->string_count + 1, sizeof *e->strings))) {
        failed(e, ENOMEM);
        return 0;
    }
    if (*slot == PAIR_MAP_NONE) {
        *slot = (uint32_t)e->string_count;
        e->strings[e->string_count++] = text;
    }
    return *slot;
}

static bool put_out(struct encoder *e, const uint8_t *bytes, size_t count)
{
    if (e->fd < 0) {
        if (!array_reserve(&e->out, &e->out_room, e->out_count + count, 1))
            return failed(e, ENOMEM);
        memcpy(e->out + e->out_count, bytes, count);
        e->out_count += count;
        return true;
    }
    while (count) {
        ssize_t n = write(e->fd, bytes, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return failed(e, n < 0 ? errno : EIO);
        bytes += n;
        count -= (size_t)n;
    }
    return true;
}

static bool deflate_bytes(struct encoder *e, uint8_t *bytes, size_t count, int flush)
{
    uint8_t room[8192];
    int status;
    do {
        /* zlib counts in unsigned int. */
        size_t part = count > 1 << 30 ? 1 << 30 : count;
        e->z.next_in = bytes;
        e->z.avail_in = (unsigned)part;
        do {
            e->z.next_out = room;
            e->z.avail_out = sizeof room;
            status = deflate(&e->z, part < count ? Z_NO_FLUSH : flush);
            if (status == Z_STREAM_ERROR)
                return failed(e, EIO);
            if (!put_out(e, room, sizeof room - e->z.avail_out))
                return false;
        } while (e->z.avail_out == 0);
        bytes += part;
        count -= part;
    } while (count);
    return true;
}

static bool put_piece(struct encoder *e, const pb_profile *piece)
{
    if (e->result)
        return false;
    size_t size = perftools__profiles__profile__get_packed_size(piece);
    if (!size)
        return true;
    if (!array_reserve(&e->packed, &e->packed_room, size, 1))
        return failed(e, ENOMEM);
    perftools__profiles__profile__pack(piece, e->packed);
    return deflate_bytes(e, e->packed, size, Z_NO_FLUSH);
}

static bool put_head(struct encoder *e)
{
    const struct profile *p = e->profile;
    pb_profile piece = PERFTOOLS__PROFILES__PROFILE__INIT;
    pb_value_type period = PERFTOOLS__PROFILES__VALUE_TYPE__INIT;
    pb_value_type *types = calloc(p->type_count + 1, sizeof *types);
    pb_value_type **type_list = calloc(p->type_count + 1, sizeof(pb_value_type *));
    int64_t *comments = calloc(p->comment_count + 1, sizeof *comments);
    bool done = types && type_list && comments;
    for (size_t i = 0; done && i < p->type_count; i++) {
        perftools__profiles__value_type__init(&types[i]);
        types[i].type = string_index(e, p->types[i].type);
        types[i].unit = string_index(e, p->types[i].unit);
        type_list[i] = &types[i];
    }
    for (size_t i = 0; done && i < p->comment_count; i++)
        comments[i] = string_index(e, p->comments[i]);
    if (done) {
        piece.n_sample_type = p->type_count;
        piece.sample_type = type_list;
        piece.n_comment = p->comment_count;
        piece.comment = comments;
        period.type = string_index(e, p->period_type.type);
        period.unit = string_index(e, p->period_type.unit);
        if (period.type || period.unit)
            piece.period_type = &period;
        piece.period = p->period;
        piece.time_nanos = p->time_nanos;
        piece.duration_nanos = p->duration_nanos;
        piece.drop_frames = string_index(e, p->drop_frames);
        piece.keep_frames = string_index(e, p->keep_frames);
        piece.default_sample_type = string_index(e, p->default_sample_type);
        done = put_piece(e, &piece);
    } else {
        failed(e, ENOMEM);
    }
    free(types);
    free(type_list);
    free(comments);
    return done;
}

static bool put_samples(struct encoder *e, size_t first, size_t count)
{
    const struct profile *p = e->profile;
    pb_sample samples[PIECE], *list[PIECE];
    size_t id_count = 0, label_count = 0;
    for (size_t i = 0; i < count; i++) {
        id_count += p->samples[first + i].location_count;
        label_count += p->samples[first + i].label_count;
    }
    uint64_t *ids = calloc(id_count + 1, sizeof *ids), *id = ids;
    pb_label *labels = calloc(label_count + 1, sizeof *labels), *label = labels;
    pb_label **label_list = calloc(label_count + 1, sizeof(pb_label *)), **labelp = label_list;
    bool done = ids && labels && label_list;
    for (size_t i = 0; done && i < count; i++) {
        const struct profile_sample *s = &p->samples[first + i];
        perftools__profiles__sample__init(list[i] = &samples[i]);
        samples[i].n_location_id = s->location_count;
        samples[i].location_id = id;
        for (uint32_t k = 0; k < s->location_count; k++)
            *id++ = p->location_ids[s->location_first + k] + UINT64_C(1);
        samples[i].n_value = p->type_count;
        samples[i].value = p->values + (first + i) * p->type_count;
        samples[i].n_label = s->label_count;
        samples[i].label = labelp;
        for (uint32_t k = 0; k < s->label_count; k++, label++) {
            const struct profile_label *from = &p->labels[s->label_first + k];
            perftools__profiles__label__init(*labelp++ = label);
            label->key = string_index(e, from->key);
            label->str = string_index(e, from->text);
            label->num = from->number;
            label->num_unit = string_index(e, from->unit);
        }
    }
    pb_profile piece = PERFTOOLS__PROFILES__PROFILE__INIT;
    piece.n_sample = count;
    piece.sample = list;
    done = done ? put_piece(e, &piece) : failed(e, ENOMEM);
    free(ids);
    free(labels);
    free(label_list);
    return done;
}

static bool put_mappings(struct encoder *e, size_t first, size_t count)
{
    pb_mapping mappings[PIECE], *list[PIECE];
    for (size_t i = 0; i < count; i++) {
        const struct profile_mapping *from = &e->profile->mappings[first + i];
        pb_mapping *m = list[i] = &mappings[i];
        perftools__profiles__mapping__init(m);
        m->id = first + i + 1;
        m->memory_start = from->start;
        m->memory_limit = from->limit;
        m->file_offset = from->offset;
        m->filename = string_index(e, from->file);
        m->build_id = string_index(e, from->build_id);
        m->has_functions = from->has_functions;
        m->has_filenames = from->has_filenames;
        m->has_line_numbers = from->has_line_numbers;
        m->has_inline_frames = from->has_inline_frames;
    }
    pb_profile piece = PERFTOOLS__PROFILES__PROFILE__INIT;
    piece.n_mapping = count;
    piece.mapping = list;
    return put_piece(e, &piece);
}

static bool put_locations(struct encoder *e, size_t first, size_t count)
{
    const struct profile *p = e->profile;
    pb_location locations[PIECE], *list[PIECE];
    size_t line_count = 0;
    for (size_t i = 0; i < count; i++)
        line_count += p->locations[first + i].line_count;
    pb_line *lines = calloc(line_count + 1, sizeof *lines), *line = lines;
    pb_line **line_list = calloc(line_count + 1, sizeof(pb_line *)), **linep = line_list;
    bool done = lines && line_list;
    for (size_t i = 0; done && i < count; i++) {
        const struct profile_location *from = &p->locations[first + i];
        pb_location *l = list[i] = &locations[i];
        perftools__profiles__location__init(l);
        l->id = first + i + 1;
        l->mapping_id = from->mapping == PROFILE_NONE ? 0 : from->mapping + UINT64_C(1);
        l->address = from->address;
        l->is_folded = from->folded;
        l->n_line = from->line_count;
        l->line = linep;
        for (uint32_t k = 0; k < from->line_count; k++, line++) {
            perftools__profiles__line__init(*linep++ = line);
            line->function_id = p->lines[from->line_first + k].function + UINT64_C(1);
            line->line = p->lines[from->line_first + k].line;
        }
    }
    pb_profile piece = PERFTOOLS__PROFILES__PROFILE__INIT;
    piece.n_location = count;
    piece.location = list;
    done = done ? put_piece(e, &piece) : failed(e, ENOMEM);
    free(lines);
    free(line_list);
    return done;
}

static bool put_functions(struct encoder *e, size_t first, size_t count)
{
    pb_function functions[PIECE], *list[PIECE];
    for (size_t i = 0; i < count; i++) {
        const struct profile_function *from = &e->profile->functions[first + i];
        pb_function *f = list[i] = &functions[i];
        perftools__profiles__function__init(f);
        f->id = first + i + 1;
        f->name = string_index(e, from->name);
        f->system_name = string_index(e, from->system_name);
        f->filename = string_index(e, from->file);
        f->start_line = from->start_line;
    }
    pb_profile piece = PERFTOOLS__PROFILES__PROFILE__INIT;
    piece.n_function = count;
    piece.function = list;
    return put_piece(e, &piece);
}

/* The strings come last, as the other pieces number them. */
static bool put_strings(struct encoder *e, size_t first, size_t count)
{
    pb_profile piece = PERFTOOLS__PROFILES__PROFILE__INIT;
    piece.n_string_table = count;
    piece.string_table = (char **)(uintptr_t)(e->strings + first);
    return put_piece(e, &piece);
}

static bool in_pieces(struct encoder *e, size_t count,
                      bool (*put)(struct encoder *, size_t first, size_t count))
{
    for (size_t first = 0; first < count; first += PIECE)
        if (!put(e, first, count - first < PIECE ? count - first : PIECE))
            return false;
    return true;
}

static bool encode(struct encoder *e)
{
    const struct profile *p = e->profile;
    if (!array_reserve(&e->strings, &e->string_room, 1, sizeof *e->strings))
        return failed(e, ENOMEM);
    e->strings[e->string_count++] = "";
    /* Level and header as Go's; 16: gzip. */
    if (deflateInit2(&e->z, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return failed(e, ENOMEM);
    uint8_t none = 0;
    bool done = put_head(e) && in_pieces(e, p->sample_count, put_samples) &&
                in_pieces(e, p->mapping_count, put_mappings) &&
                in_pieces(e, p->location_count, put_locations) &&
                in_pieces(e, p->function_count, put_functions) &&
                in_pieces(e, e->string_count, put_strings) && deflate_bytes(e, &none, 0, Z_FINISH);
    deflateEnd(&e->z);
    return done && !e->result;
}

static int run(struct encoder *e, char *error)
{
    bool done = encode(e);
    pair_map_fini(&e->string_index);
    free(e->strings);
    free(e->packed);
    if (error)
        error[0] = 0;
    if (done)
        return 0;
    free(e->out);
    if (error)
        snprintf(error, VIEW_ERROR_SIZE, "cannot write the profile: %s", strerror(e->result));
    return e->result;
}

int pprof_encode(const struct profile *p, uint8_t **bytes, size_t *size, char *error)
{
    struct encoder e = {.profile = p, .fd = -1};
    *bytes = NULL;
    *size = 0;
    int result = run(&e, error);
    if (result == 0) {
        *bytes = e.out;
        *size = e.out_count;
    }
    return result;
}

int pprof_write(const struct profile *p, int fd, char *error)
{
    if (fd < 0) {
        if (error)
            snprintf(error, VIEW_ERROR_SIZE, "cannot write the profile: %s", strerror(EBADF));
        return EBADF;
    }
    struct encoder e = {.profile = p, .fd = fd};
    return run(&e, error);
}
