/* A profile in memory: what pprof's profile.proto says, with indexes instead of ids and pooled
 * strings instead of a table.  It is made from a snapshot or read from a file (pprof.h); tables,
 * views and the encoder read nothing else.
 *
 * Every index in a profile is valid.  Every string is there ("" for none) and lives as long as the
 * profile.  Whoever fills a profile sees to that.  Memory: malloc; profile_fini frees all.  Each
 * object is used by one thread at a time. */
#ifndef VIEW_PROFILE_H
#define VIEW_PROFILE_H

#include "view/containers.h"

#define PROFILE_NONE UINT32_MAX

struct profile_value_type {
    const char *type, *unit;
};

struct profile_mapping {
    uint64_t start, limit, offset;
    const char *file, *build_id; /* build_id in hex */
    bool has_functions, has_filenames, has_line_numbers, has_inline_frames;
};

struct profile_function {
    const char *name, *system_name, *file;
    int64_t start_line;
};

struct profile_line {
    uint32_t function;
    int64_t line;
};

/* An instruction.  Its lines are the functions it lies in, the innermost inlined one first; it has
 * none where there was no symbol. */
struct profile_location {
    uint64_t address;
    uint32_t mapping; /* or PROFILE_NONE */
    uint32_t line_first, line_count;
    bool folded; /* pprof's is_folded: several symbols have this address */
};

struct profile_label {
    const char *key;
    const char *text; /* "": `number` is the value */
    int64_t number;
    const char *unit;
};

/* Samples may share their run of location_ids. */
struct profile_sample {
    uint32_t location_first, location_count; /* in location_ids, leaf first */
    uint32_t label_first, label_count;
};

struct profile {
    struct profile_value_type *types;
    struct profile_sample *samples;
    int64_t *values; /* of sample s from values[s * type_count] on, one for each type */
    uint32_t *location_ids;
    struct profile_label *labels;
    struct profile_location *locations;
    struct profile_line *lines;
    struct profile_function *functions;
    struct profile_mapping *mappings; /* [0]: the main binary */
    const char **comments;
    size_t type_count, sample_count, location_id_count, label_count, location_count, line_count,
        function_count, mapping_count, comment_count;
    struct profile_value_type period_type;
    int64_t period;
    int64_t time_nanos; /* realtime */
    int64_t duration_nanos;
    const char *default_sample_type, *drop_frames, *keep_frames;
    struct string_pool strings;
    size_t type_room, sample_room, value_room, location_id_room, label_room, location_room,
        line_room, function_room, mapping_room, comment_room;
};

void profile_init(struct profile *p);
void profile_fini(struct profile *p); /* leaves an empty one */

/* Each appends one element.  False: no memory, or more elements than an index can count.  All types
 * come before the first sample.  Strings must be in the pool; profile_add_comment alone puts its
 * own there. */
bool profile_add_type(struct profile *p, struct profile_value_type type);
bool profile_add_mapping(struct profile *p, const struct profile_mapping *mapping);
bool profile_add_function(struct profile *p, const struct profile_function *function);
bool profile_add_line(struct profile *p, uint32_t function, int64_t line);
bool profile_add_location(struct profile *p, const struct profile_location *location);
bool profile_add_location_id(struct profile *p, uint32_t location);
bool profile_add_label(struct profile *p, const struct profile_label *label);
/* Copies type_count values. */
bool profile_add_sample(struct profile *p, const struct profile_sample *sample,
                        const int64_t *values);
bool profile_add_comment(struct profile *p, const char *text);

/* The index of the sample type that `name` means, as pprof's -sample_index: a number, or a type's
 * name, with or without "inuse_" before it; NULL or "": default_sample_type, else the last.  -1:
 * there is none such. */
int profile_sample_index(const struct profile *p, const char *name);

#endif
