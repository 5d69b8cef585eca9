#include "view/pprof.h"

#include "view/counters.h"
#include "view/plumbing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* In place of a module's number: a location that has a name and no address. */
#define NAMELESS (PROFILE_NONE - 1)

static const struct profile_value_rule rules[] = {
#define MD_KIND_VALUE(id, type, unit, plus, minus, shift, flags)                                   \
    {MD_BUCKET_##id, {type, unit}, plus, minus, shift, flags},
#include <memdebug/kinds.def>
};

static const struct profile_kind kinds[] = {
#define MD_KIND(id, name, key, label, period_type, period_unit, period, help)                      \
    {MD_BUCKET_##id, name, help, key, label, {period_type, period_unit}},
#include <memdebug/kinds.def>
};

static const struct {
    enum md_bucket_kind bucket_kind;
    const char *word;
} labels[MD_LABELS] = {
#define MD_KIND_LABEL(id, word, text) [MD_LABEL_##id##_##word] = {MD_BUCKET_##id, text},
#include <memdebug/kinds.def>
};

static int64_t period_of(enum md_bucket_kind kind, const struct md_header *header)
{
    const uint64_t periods[MD_BUCKET_KINDS] = {
#define MD_KIND(id, name, key, label, period_type, period_unit, period, help)                      \
    [MD_BUCKET_##id] = period,
#include <memdebug/kinds.def>
    };
    return periods[kind] > INT64_MAX ? INT64_MAX : (int64_t)periods[kind];
}

const struct profile_kind *profile_kind(enum md_bucket_kind kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].bucket_kind == kind)
            return &kinds[i];
    return NULL;
}

const struct profile_kind *profile_kind_named(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

const struct profile_value_rule *profile_kind_values(enum md_bucket_kind kind, size_t *count)
{
    size_t first = 0, end = sizeof rules / sizeof rules[0];
    while (first < end && rules[first].bucket_kind != kind)
        first++;
    for (*count = 0; first + *count < end && rules[first + *count].bucket_kind == kind;)
        ++*count;
    return rules + first;
}

/* The sum of the flagged live samples of one bucket. */
struct flagged {
    uint64_t objects, bytes; /* objects in 1/1024, as in md_bucket.value */
};

struct builder {
    struct profile *profile;
    const struct snapshot *snap;
    const struct profile_options *options;
    const struct profile_kind *kind;
    const struct profile_value_rule *values; /* the kind's */
    struct pair_map locations;               /* (address, epoch) -> location */
    struct pair_map unique;    /* (address, module), (function, NAMELESS) -> location */
    struct pair_map functions; /* (system name, file) -> function */
    uint32_t *mapping_of;      /* by module: its mapping */
    bool *hidden;              /* by module: whether it is our own library */
    struct flagged *flagged; /* by bucket; NULL: the kind has no flagged values, or no cycle was */
    size_t value_count;      /* of `values`, those that the profile has */
    const char *key_label, *word_label; /* in the profile's pool */
    const char *words[MD_LABELS];       /* likewise; NULL: not of this kind */
};

static bool add_mapping(struct builder *b, size_t module)
{
    const struct md_module *m = &b->snap->modules[module];
    char id[BUILD_ID_TEXT_SIZE];
    snapshot_build_id(m, id);
    struct profile_mapping mapping = {
        .start = m->start,
        .limit = m->limit,
        .offset = m->offset,
        .file = string_pool_add_bytes(&b->profile->strings, m->path, m->path_size),
        .build_id = string_pool_add(&b->profile->strings, id),
    };
    b->mapping_of[module] = (uint32_t)b->profile->mapping_count;
    b->hidden[module] = plumbing_is_own(m->path);
    return mapping.file && mapping.build_id && profile_add_mapping(b->profile, &mapping);
}

/* The main binary comes first: pprof takes its name for the profile's. */
static bool add_mappings(struct builder *b)
{
    size_t count = b->snap->module_count, first = 0;
    if (!count)
        return true;
    b->mapping_of = calloc(count, sizeof *b->mapping_of);
    b->hidden = calloc(count, sizeof *b->hidden);
    if (!b->mapping_of || !b->hidden)
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(b->snap->modules[i].path, b->snap->header.exe) == 0) {
            first = i;
            break;
        }
    if (!add_mapping(b, first))
        return false;
    for (size_t i = 0; i < count; i++)
        if (i != first && !add_mapping(b, i))
            return false;
    return true;
}

/* PROFILE_NONE: no memory. */
static uint32_t find_function(struct builder *b, const struct symbol_frame *frame)
{
    struct string_pool *pool = &b->profile->strings;
    struct profile_function f = {
        .name = string_pool_add(pool, frame->function),
        .system_name = string_pool_add(pool, frame->system_name),
        .file = string_pool_add(pool, frame->file),
        .start_line = frame->start_line,
    };
    if (!f.name || !f.system_name || !f.file)
        return PROFILE_NONE;
    /* Pooled strings: equal pointers are equal names.  Two functions of one system name in one
     * file are one function, as far as a reader of the profile can tell. */
    uint32_t *slot = pair_map_put(&b->functions, (uint64_t)(uintptr_t)f.system_name,
                                  (uint64_t)(uintptr_t)f.file);
    if (!slot)
        return PROFILE_NONE;
    if (*slot == PAIR_MAP_NONE) {
        *slot = (uint32_t)b->profile->function_count;
        if (!profile_add_function(b->profile, &f))
            return PROFILE_NONE;
    }
    return *slot;
}

static bool add_lines(struct builder *b, struct profile_location *location,
                      const struct md_module *module)
{
    const struct symbol_frame *frames;
    struct symbolizer *symbolizer = b->options->symbolizer;
    size_t count = symbolizer ? symbolizer_find(symbolizer, module, location->address, &frames) : 0;
    location->line_first = (uint32_t)b->profile->line_count;
    location->line_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        uint32_t function = find_function(b, &frames[i]);
        if (function == PROFILE_NONE || !profile_add_line(b->profile, function, frames[i].line))
            return false;
    }
    if (count && location->mapping != PROFILE_NONE) {
        struct profile_mapping *m = &b->profile->mappings[location->mapping];
        m->has_functions = true;
        if (frames[count - 1].file[0])
            m->has_filenames = m->has_inline_frames = true;
        if (frames[count - 1].line)
            m->has_line_numbers = true;
    }
    return true;
}

/* The one location of all samples that have this name and no address.  PROFILE_NONE: no memory. */
static uint32_t find_nameless(struct builder *b, const char *name)
{
    struct symbol_frame frame = {name, name, "", 0, 0};
    uint32_t function = find_function(b, &frame);
    uint32_t *slot = function == PROFILE_NONE ? NULL : pair_map_put(&b->unique, function, NAMELESS);
    if (!slot)
        return PROFILE_NONE;
    if (*slot == PAIR_MAP_NONE) {
        struct profile_location location = {.mapping = PROFILE_NONE,
                                            .line_first = (uint32_t)b->profile->line_count,
                                            .line_count = 1};
        uint32_t number = (uint32_t)b->profile->location_count;
        if (!profile_add_line(b->profile, function, 0) ||
            !profile_add_location(b->profile, &location))
            return PROFILE_NONE;
        *slot = number;
    }
    return *slot;
}

static bool is_nameless(const struct builder *b, uint32_t location)
{
    const struct profile_location *l = &b->profile->locations[location];
    return l->mapping == PROFILE_NONE && !l->address;
}

/* The location of one return address, made at first sight.  PROFILE_NONE: no memory. */
static uint32_t find_location(struct builder *b, uint64_t pc, uint32_t epoch)
{
    uint64_t address = pc - 1;
    uint32_t *slot = pair_map_put(&b->locations, address, epoch);
    if (!slot)
        return PROFILE_NONE;
    if (*slot != PAIR_MAP_NONE)
        return *slot;
    const struct md_module *module = snapshot_module(b->snap, address, epoch);
    uint32_t number = module ? (uint32_t)(module - b->snap->modules) : PROFILE_NONE;
    const struct symbol_frame *frame;
    if (!module && b->options->symbolizer &&
        symbolizer_find(b->options->symbolizer, NULL, address, &frame) &&
        symbol_frame_nameless(frame))
        return *slot = find_nameless(b, frame->function);
    uint32_t *unique = pair_map_put(&b->unique, address, number);
    if (!unique)
        return PROFILE_NONE;
    if (*unique == PAIR_MAP_NONE) {
        struct profile_location location = {
            .address = address,
            .mapping = module ? b->mapping_of[number] : PROFILE_NONE,
        };
        *unique = (uint32_t)b->profile->location_count;
        if (!add_lines(b, &location, module) || !profile_add_location(b->profile, &location))
            return PROFILE_NONE;
    }
    return *slot = *unique;
}

static bool is_hidden(const struct builder *b, uint64_t pc, uint32_t epoch)
{
    const struct md_module *module = snapshot_module(b->snap, pc - 1, epoch);
    return module && b->hidden && b->hidden[module - b->snap->modules];
}

static bool add_stack(struct builder *b, uint32_t id, struct profile_sample *sample)
{
    const struct md_stack *stack = snapshot_stack(b->snap, id);
    uint32_t depth = stack ? stack->depth : 0, leaf = 0;
    while (leaf < depth && is_hidden(b, stack->pc[leaf], stack->epoch))
        leaf++;
    if (leaf == depth)
        leaf = 0; /* all frames are ours: better these than none */
    sample->location_first = (uint32_t)b->profile->location_id_count;
    for (uint32_t i = leaf; i < depth; i++) {
        if (!stack->pc[i])
            continue;
        uint32_t location = find_location(b, stack->pc[i], stack->epoch);
        if (location == PROFILE_NONE)
            return false;
        size_t count = b->profile->location_id_count;
        if (count > sample->location_first && is_nameless(b, location) &&
            b->profile->location_ids[count - 1] == location)
            continue;
        if (!profile_add_location_id(b->profile, location))
            return false;
    }
    if (b->profile->location_id_count == sample->location_first) {
        /* Samples whose stack was lost count too, and need a name to be shown. */
        uint32_t location = find_nameless(b, PPROF_UNKNOWN_STACK);
        if (location == PROFILE_NONE || !profile_add_location_id(b->profile, location))
            return false;
    }
    sample->location_count = (uint32_t)b->profile->location_id_count - sample->location_first;
    return true;
}

static int64_t rule_value(const struct profile_value_rule *rule, const uint64_t *raw)
{
    uint64_t plus = raw[rule->plus], minus = rule->minus < 0 ? 0 : raw[rule->minus];
    uint64_t value = plus > minus ? plus - minus : 0;
    if (rule->shift)
        value = (value >> rule->shift) + (value >> (rule->shift - 1) & 1);
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static uint64_t add_saturated(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

/* Finds the kind's values, and adds up the live samples that its flagged ones are of.  Flagged
 * values come last in kinds.def, and all have the same flags.  Before a cycle they are left out: a
 * profile of a process without cycles has Go's types and no others. */
static bool sum_samples(struct builder *b)
{
    const struct snapshot *snap = b->snap;
    uint32_t flags = 0;
    size_t count;
    b->values = profile_kind_values(b->kind->bucket_kind, &count);
    for (size_t i = 0; i < count; i++) {
        flags |= b->values[i].sample_flags;
        if (!flags)
            b->value_count = i + 1;
    }
    if (!flags || !(snap->what & (SNAPSHOT_SAMPLES | SNAPSHOT_LEAKS)) ||
        !snap->header.counters.cycles)
        return true;
    b->value_count = count;
    b->flagged = calloc(snap->bucket_count + 1, sizeof *b->flagged);
    if (!b->flagged)
        return false;
    for (size_t i = 0; i < snap->sample_count; i++) {
        const struct md_sample *s = &snap->samples[i];
        if ((s->flags & flags) != flags || s->bucket >= snap->bucket_count)
            continue;
        struct flagged *f = &b->flagged[s->bucket];
        unsigned __int128 bytes = (unsigned __int128)s->weight * snap->buckets[s->bucket].key;
        bytes = (bytes + MD_WEIGHT_ONE / 2) >> MD_WEIGHT_SHIFT; /* rounded as buckets are */
        f->objects = add_saturated(f->objects, s->weight);
        f->bytes = add_saturated(f->bytes, bytes > UINT64_MAX ? UINT64_MAX : (uint64_t)bytes);
    }
    return true;
}

static int compare_buckets(const void *a, const void *b)
{
    const struct md_bucket *x = *(const struct md_bucket *const *)a;
    const struct md_bucket *y = *(const struct md_bucket *const *)b;
    if (x->stack != y->stack)
        return x->stack < y->stack ? -1 : 1;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    return 0;
}

/* Adds a label to the sample that is being made. */
static bool add_label(struct builder *b, struct profile_sample *sample, struct profile_label label)
{
    sample->label_count++;
    return profile_add_label(b->profile, &label);
}

/* One sample for all buckets of one stack, key and label; `first` to `last` are those. */
static bool add_buckets(struct builder *b, const struct md_bucket **first,
                        const struct md_bucket **last, struct profile_sample *sample)
{
    uint64_t raw[sizeof first[0]->value / sizeof first[0]->value[0]] = {0};
    uint64_t flagged[sizeof raw / sizeof raw[0]] = {0};
    for (const struct md_bucket **one = first; one < last; one++) {
        for (size_t i = 0; i < sizeof raw / sizeof raw[0]; i++)
            raw[i] = add_saturated(raw[i], (*one)->value[i]);
        if (b->flagged) {
            const struct flagged *f = &b->flagged[*one - b->snap->buckets];
            flagged[MD_HEAP_ALLOC_OBJECTS] =
                add_saturated(flagged[MD_HEAP_ALLOC_OBJECTS], f->objects);
            flagged[MD_HEAP_ALLOC_BYTES] = add_saturated(flagged[MD_HEAP_ALLOC_BYTES], f->bytes);
        }
    }
    int64_t values[PROFILE_VALUES_MAX];
    int64_t any = 0;
    for (size_t i = 0; i < b->value_count; i++)
        any |= values[i] = rule_value(&b->values[i], b->values[i].sample_flags ? flagged : raw);
    if (!any)
        return true;
    sample->label_first = (uint32_t)b->profile->label_count;
    sample->label_count = 0;
    uint64_t key = first[0]->key, label = first[0]->label;
    int64_t number = key > INT64_MAX ? INT64_MAX : (int64_t)key;
    if (*b->key_label &&
        !add_label(b, sample, (struct profile_label){b->key_label, "", number, ""}))
        return false;
    if (label < MD_LABELS && b->words[label] &&
        !add_label(b, sample, (struct profile_label){b->word_label, b->words[label], 0, ""}))
        return false;
    return profile_add_sample(b->profile, sample, values);
}

/* Orders samples by locations and labels; 0: a reader cannot tell them apart. */
static int order_of_samples(const struct profile *p, uint32_t a, uint32_t b)
{
    const struct profile_sample *x = &p->samples[a], *y = &p->samples[b];
    if (x->location_count != y->location_count)
        return x->location_count < y->location_count ? -1 : 1;
    int order = memcmp(p->location_ids + x->location_first, p->location_ids + y->location_first,
                       x->location_count * sizeof *p->location_ids);
    if (order)
        return order;
    if (x->label_count != y->label_count)
        return x->label_count < y->label_count ? -1 : 1;
    for (uint32_t i = 0; i < x->label_count; i++) { /* of one kind, so they have the same keys */
        const struct profile_label *m = &p->labels[x->label_first + i];
        const struct profile_label *n = &p->labels[y->label_first + i];
        if (m->number != n->number)
            return m->number < n->number ? -1 : 1;
        if ((order = strcmp(m->text, n->text)))
            return order;
    }
    return 0;
}

static int compare_samples(const void *a, const void *b, void *profile)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int order = order_of_samples(profile, x, y);
    return order ? order : (x > y) - (x < y);
}

/* Merges samples that differ only in what a profile leaves out: frames of ours, addresses of code
 * without a name.  Not every reader does that by itself. */
static bool merge_samples(struct profile *p)
{
    uint32_t *order = reallocarray(NULL, p->sample_count + 1, sizeof *order);
    if (!order)
        return false;
    for (uint32_t i = 0; i < p->sample_count; i++)
        order[i] = i;
    qsort_r(order, p->sample_count, sizeof *order, compare_samples, p);
    uint32_t first = 0; /* of equal samples the lowest number, to which the others are added */
    for (size_t i = 0; i < p->sample_count; i++) {
        if (i == 0 || order_of_samples(p, first, order[i]) != 0) {
            first = order[i];
            continue;
        }
        int64_t *sum = p->values + first * p->type_count;
        const int64_t *more = p->values + order[i] * p->type_count;
        for (size_t k = 0; k < p->type_count; k++)
            if (__builtin_add_overflow(sum[k], more[k], &sum[k]))
                sum[k] = INT64_MAX;
        p->samples[order[i]].location_count = 0;
    }
    free(order);
    size_t kept = 0;
    for (size_t i = 0; i < p->sample_count; i++) {
        if (!p->samples[i].location_count)
            continue;
        p->samples[kept] = p->samples[i];
        memmove(p->values + kept * p->type_count, p->values + i * p->type_count,
                p->type_count * sizeof *p->values);
        kept++;
    }
    p->sample_count = kept;
    return true;
}

static bool add_samples(struct builder *b)
{
    const struct snapshot *snap = b->snap;
    const struct md_bucket **order =
        reallocarray(NULL, snap->bucket_count + 1, sizeof(struct md_bucket *));
    if (!order)
        return false;
    size_t count = 0;
    for (size_t i = 0; i < snap->bucket_count; i++)
        if (snap->buckets[i].kind == (uint32_t)b->kind->bucket_kind)
            order[count++] = &snap->buckets[i];
    qsort(order, count, sizeof(struct md_bucket *), compare_buckets);

    bool done = true;
    struct profile_sample sample = {0};
    for (size_t i = 0, next; done && i < count; i = next) {
        if (i == 0 || order[i]->stack != order[i - 1]->stack)
            done = add_stack(b, order[i]->stack, &sample);
        for (next = i + 1; next < count && compare_buckets(&order[i], &order[next]) == 0;)
            next++;
        done = done && add_buckets(b, &order[i], &order[next], &sample);
    }
    free(order);
    return done && merge_samples(b->profile);
}

/* What is missing, as far as its writer has counted it; nothing where it is known that nothing is.
 */
static bool add_loss(struct builder *b, const char *name, bool known, uint64_t count)
{
    char text[64];
    if (known && !count)
        return true;
    if (known)
        snprintf(text, sizeof text, "memdebug %s=%" PRIu64, name, count);
    else
        snprintf(text, sizeof text, "memdebug %s=unknown", name);
    return profile_add_comment(b->profile, text);
}

/* How close together samples were when it was taken, and what they had cost until then. */
static bool add_sampling(struct builder *b)
{
    const struct md_header *header = &b->snap->header;
    const struct md_counters *counters = &header->counters;
    char text[160];
    int64_t age_ns = (int64_t)((uint64_t)b->snap->taken_ns - header->start_ns); /* it may be any */
    uint64_t cost_ns;
    if (b->kind->bucket_kind != MD_BUCKET_HEAP || age_ns <= 0 ||
        !counter_value(&counter_list[COUNTERS_WITH_sample_cost_ns], header, &cost_ns))
        return true;
    int length = snprintf(text, sizeof text, "memdebug sample_rate_bytes=%" PRIu64,
                          counters->sample_rate_bytes);
    if (counters->leak_rate_bytes)
        length += snprintf(text + length, sizeof text - (size_t)length, " leak_rate_bytes=%" PRIu64,
                           counters->leak_rate_bytes);
    snprintf(text + length, sizeof text - (size_t)length, " sampling_cpu_percent=%.4f",
             (double)cost_ns * 100 / (double)age_ns);
    return profile_add_comment(b->profile, text);
}

static bool add_comments(struct builder *b)
{
    if (!profile_add_comment(b->profile, "memdebug " MEMDEBUG_VERSION))
        return false;
    for (size_t i = 0; i < COUNTERS; i++) {
        const struct counter *counter = &counter_list[i];
        uint64_t count;
        bool known = counter_value(counter, &b->snap->header, &count);
        if (counter->lost && !add_loss(b, counter->name, known, count))
            return false;
    }
    return add_loss(b, "torn", true, b->snap->torn) && add_sampling(b);
}

static bool add_types(struct builder *b)
{
    struct profile *p = b->profile;
    for (size_t i = 0; i < b->value_count; i++)
        if (!profile_add_type(p, b->values[i].type))
            return false;
    p->period_type = b->kind->period_type;
    p->period = period_of(b->kind->bucket_kind, &b->snap->header);
    if (!(b->key_label = string_pool_add(&p->strings, b->kind->key_label)) ||
        !(b->word_label = string_pool_add(&p->strings, b->kind->word_label)))
        return false;
    for (size_t i = 0; i < MD_LABELS; i++)
        if (labels[i].word && labels[i].bucket_kind == b->kind->bucket_kind &&
            !(b->words[i] = string_pool_add(&p->strings, labels[i].word)))
            return false;
    /* Readers take the last type for the default, which flagged values must not be. */
    const char *wanted = b->options->default_sample_type;
    for (size_t i = b->value_count; b->flagged && !wanted && i--;)
        if (!b->values[i].sample_flags)
            wanted = b->values[i].type.type;
    if (wanted && !(p->default_sample_type = string_pool_add(&p->strings, wanted)))
        return false;
    p->time_nanos = b->options->time_nanos;
    if (!p->time_nanos) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        p->time_nanos = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
    }
    return true;
}

int profile_from_snapshot(struct profile *p, const struct snapshot *snap,
                          const struct profile_options *options, char *error)
{
    struct builder b = {
        .profile = p, .snap = snap, .options = options, .kind = profile_kind(options->kind)};
    profile_init(p);
    if (!b.kind) {
        if (error)
            snprintf(error, VIEW_ERROR_SIZE, "there is no such kind of profile");
        return EINVAL;
    }
    bool done =
        sum_samples(&b) && add_types(&b) && add_mappings(&b) && add_samples(&b) && add_comments(&b);
    pair_map_fini(&b.locations);
    pair_map_fini(&b.unique);
    pair_map_fini(&b.functions);
    free(b.mapping_of);
    free(b.hidden);
    free(b.flagged);
    if (!done) {
        profile_fini(p);
        if (error)
            snprintf(error, VIEW_ERROR_SIZE, "no memory for the profile");
        return ENOMEM;
    }
    return 0;
}
