#include "view/leaks.h"

#include "view/plumbing.h"
#include "view/simple_name.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is added up: one size from one stack. */
struct leak {
    struct leak_sum sum;
    uint64_t size;
    uint32_t stack; /* index in `stacks` */
    enum leak_kind kind;
};

struct leak_stack {
    uint32_t id;
    bool known;      /* its frames have been looked up */
    bool suppressed; /* by whatever means */
    uint32_t frame_first, frame_count;
};

static const struct leak_sum nothing = {.oldest_ds = UINT32_MAX};

static bool is_counter(double value)
{
    return value > 0.5;
}

static void add_sum(struct leak_sum *to, const struct leak_sum *from)
{
    *to = leak_sum_of(to, from);
}

/* ---- samples ---- */

static uint32_t intern_stack(struct leaks *l, uint32_t id)
{
    uint32_t *slot = pair_map_put(&l->stack_index, id, 0);
    if (!slot)
        return PAIR_MAP_NONE;
    if (*slot == PAIR_MAP_NONE) {
        if (!array_reserve(&l->stacks, &l->stack_room, l->stack_count + 1, sizeof *l->stacks))
            return PAIR_MAP_NONE;
        l->stacks[l->stack_count] = (struct leak_stack){.id = id};
        *slot = (uint32_t)l->stack_count++;
    }
    return *slot;
}

static struct leak *intern_leak(struct leaks *l, const struct md_bucket *b, enum leak_kind kind)
{
    uint32_t stack = intern_stack(l, b->stack);
    uint32_t *slot = stack == PAIR_MAP_NONE
                         ? NULL
                         : pair_map_put(&l->leak_index, (uint64_t)stack << 1 | kind, b->size);
    if (!slot)
        return NULL;
    if (*slot == PAIR_MAP_NONE) {
        if (!array_reserve(&l->leaks, &l->leak_room, l->leak_count + 1, sizeof *l->leaks))
            return NULL;
        l->leaks[l->leak_count] = (struct leak){nothing, b->size, stack, kind};
        *slot = (uint32_t)l->leak_count++;
    }
    return &l->leaks[*slot];
}

static bool take_samples(struct leaks *l, const struct leaks_options *options)
{
    const struct snapshot *snap = l->snap;
    for (size_t i = 0; i < snap->sample_count; i++) {
        const struct md_sample *s = &snap->samples[i];
        if (!(s->flags & MD_SAMPLE_LEAK)) {
            l->once += (s->flags & MD_SAMPLE_UNREACHED) != 0;
            continue;
        }
        l->seen++;
        if (s->bucket >= snap->bucket_count || s->born_ds < options->born_from_ds)
            continue;
        const struct md_bucket *b = &snap->buckets[s->bucket];
        struct leak *leak =
            intern_leak(l, b, s->flags & MD_SAMPLE_INDIRECT ? LEAK_INDIRECT : LEAK_DIRECT);
        if (!leak)
            return false;
        double w = (double)s->weight / MD_WEIGHT_ONE, size = (double)b->size;
        double variance = w > 1 ? w * (w - 1) : 0;
        struct leak_sum one = {w, variance,   w * size,  variance * size * size,
                               1, s->born_ds, s->born_ds};
        add_sum(&leak->sum, &one);
    }
    return true;
}

/* ---- names ---- */

/* The frames at one return address.  False: no memory. */
static bool add_frames(struct leaks *l, uint64_t pc, const struct md_module *module)
{
    const struct symbol_frame *found = NULL;
    uint64_t address = pc - 1;
    size_t count =
        l->symbolizer && module ? symbolizer_find(l->symbolizer, module, address, &found) : 0;
    static const struct symbol_frame unnamed = {"", "", "", 0, 0};
    if (!count) {
        found = &unnamed;
        count = 1;
    }
    if (!array_reserve(&l->frames, &l->frame_room, l->frame_count + count, sizeof *l->frames))
        return false;
    for (size_t i = 0; i < count; i++) {
        char name[1024];
        const char *function = found[i].function;
        size_t length = strlen(function);
        if (length < sizeof name && strpbrk(function, "(<:")) {
            memcpy(name, function, length + 1);
            simple_name(name);
            function = string_pool_add(&l->strings, name);
        }
        if (!function)
            return false;
        l->frames[l->frame_count++] = (struct leak_frame){
            .function = function,
            .full_name = found[i].function,
            .system_name = found[i].system_name,
            .file = found[i].file,
            .module = module ? module->path : "",
            .pc = address,
            .address = module ? address - module->bias : address,
            .offset = module ? address - module->start + module->offset : address,
            .line = found[i].line,
        };
    }
    return true;
}

static bool look_up(struct leaks *l, struct leak_stack *s)
{
    const struct md_stack *stack = snapshot_stack(l->snap, s->id);
    uint32_t depth = stack ? stack->depth : 0, leaf = 0;
    if (s->known)
        return true;
    while (leaf < depth) {
        const struct md_module *module =
            snapshot_module(l->snap, stack->pc[leaf] - 1, stack->epoch);
        if (!module || !plumbing_is_own(module->path))
            break;
        leaf++;
    }
    if (leaf == depth)
        leaf = 0; /* nothing but ours: better than nothing */
    s->frame_first = (uint32_t)l->frame_count;
    for (uint32_t i = leaf; i < depth; i++)
        if (stack->pc[i] &&
            !add_frames(l, stack->pc[i], snapshot_module(l->snap, stack->pc[i] - 1, stack->epoch)))
            return false;
    s->frame_count = (uint32_t)l->frame_count - s->frame_first;
    return s->known = true;
}

const struct leak_frame *leaks_frames(struct leaks *l, uint32_t stack, size_t *count)
{
    uint32_t number = pair_map_get(&l->stack_index, stack, 0);
    *count = 0;
    if (number == PAIR_MAP_NONE || !look_up(l, &l->stacks[number]))
        return NULL;
    *count = l->stacks[number].frame_count;
    return l->frames ? &l->frames[l->stacks[number].frame_first] : NULL;
}

/* ---- what is left out ---- */

static bool matches_function(const struct leak_frame *f, const char *exclude)
{
    /* A whole name, where a suppression is any part of one. */
    char pattern[512];
    if (snprintf(pattern, sizeof pattern, "^%s$", exclude) >= (int)sizeof pattern)
        return false;
    return suppressions_match(pattern, f->function) || suppressions_match(pattern, f->full_name) ||
           suppressions_match(pattern, f->system_name);
}

static bool is_excluded(const struct leaks *l, const struct leak_stack *s,
                        const struct leaks_options *options)
{
    for (uint32_t i = 0; i < s->frame_count; i++)
        for (size_t k = 0; k < options->exclude_count; k++)
            if (matches_function(&l->frames[s->frame_first + i], options->excludes[k]))
                return true;
    return false;
}

/* Frames by frame, the innermost first, and of each its function, file and module: as
 * LeakSanitizer looks. */
static uint32_t find_rule(const struct leaks *l, const struct leak_stack *s,
                          const struct suppressions *rules)
{
    for (uint32_t i = 0; i < s->frame_count; i++) {
        const struct leak_frame *f = &l->frames[s->frame_first + i];
        const char *const texts[] = {f->full_name, f->function, f->system_name, f->file, f->module};
        for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
            uint32_t rule = suppressions_find(rules, texts[k]);
            if (rule != SUPPRESSIONS_NONE)
                return rule;
        }
    }
    return SUPPRESSIONS_NONE;
}

/* Marks the stacks that are left out and takes their leaks off. */
static bool leave_out(struct leaks *l, const struct leaks_options *options)
{
    struct suppressions *rules = options->suppressions;
    bool any_rules = rules && rules->count;
    if (!any_rules && !options->exclude_count)
        return true;
    uint32_t *rule_of = calloc(l->stack_count + 1, sizeof *rule_of);
    if (!rule_of)
        return false;
    for (size_t i = 0; i < l->stack_count; i++) {
        struct leak_stack *s = &l->stacks[i];
        rule_of[i] = SUPPRESSIONS_NONE;
        if (!look_up(l, s)) {
            free(rule_of);
            return false;
        }
        s->suppressed = is_excluded(l, s, options);
        if (!s->suppressed && any_rules && (rule_of[i] = find_rule(l, s, rules)) < rules->count) {
            s->suppressed = true;
            rules->rules[rule_of[i]].uses++;
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < l->leak_count; i++) {
        struct leak *leak = &l->leaks[i];
        if (!l->stacks[leak->stack].suppressed) {
            l->leaks[kept++] = *leak;
            continue;
        }
        add_sum(&l->suppressed, &leak->sum);
        if (rule_of[leak->stack] != SUPPRESSIONS_NONE) {
            rules->rules[rule_of[leak->stack]].objects += leak->sum.objects;
            rules->rules[rule_of[leak->stack]].bytes += leak->sum.bytes;
        }
    }
    l->leak_count = kept;
    free(rule_of);
    return true;
}

/* ---- the difference to an older profile ---- */

/* A stack and size, so that it is found again in another process: by places in files where both ran
 * the same build, which tells two calls from one function apart, else by the functions' names. */
struct stack_key {
    uint64_t a, b;
};

static void key_bytes(struct stack_key *key, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length; i++) {
        key->a = (key->a ^ at[i]) * 0x100000001b3u;
        key->b = (key->b + at[i]) * 0x9e3779b97f4a7c15u;
        key->b ^= key->b >> 29;
    }
}

static void key_frame(struct stack_key *key, const char *function, const char *module,
                      uint64_t offset, bool by_place)
{
    if (*function && !(by_place && *module)) {
        key_bytes(key, function, strlen(function) + 1);
        return;
    }
    module = plumbing_base_name(module);
    key_bytes(key, module, strlen(module) + 1);
    key_bytes(key, &offset, sizeof offset);
}

static struct stack_key key_of_leak(const struct leaks *l, const struct leak *leak, bool by_place)
{
    struct stack_key key = {0xcbf29ce484222325u, leak->size};
    const struct leak_stack *s = &l->stacks[leak->stack];
    for (uint32_t i = 0; i < s->frame_count; i++) {
        const struct leak_frame *f = &l->frames[s->frame_first + i];
        if (!by_place || i == 0 || f->pc != f[-1].pc)
            key_frame(&key, f->function, f->module, f->offset, by_place);
    }
    if (!s->frame_count)
        key_frame(&key, PPROF_UNKNOWN_STACK, "", 0, by_place);
    return key;
}

static struct stack_key key_of_sample(const struct profile *p, const struct profile_sample *sample,
                                      bool by_place)
{
    uint64_t size = 0;
    for (uint32_t k = 0; k < sample->label_count; k++) {
        const struct profile_label *label = &p->labels[sample->label_first + k];
        if (strcmp(label->key, "bytes") == 0)
            size = (uint64_t)label->number;
    }
    struct stack_key key = {0xcbf29ce484222325u, size};
    for (uint32_t i = 0; i < sample->location_count; i++) {
        const struct profile_location *at =
            &p->locations[p->location_ids[sample->location_first + i]];
        const struct profile_mapping *m =
            at->mapping == PROFILE_NONE ? NULL : &p->mappings[at->mapping];
        uint64_t offset = m ? at->address - m->start + m->offset : at->address;
        uint32_t lines = by_place && m ? 0 : at->line_count;
        for (uint32_t k = 0; k < lines; k++)
            key_frame(&key, p->functions[p->lines[at->line_first + k].function].name, "", 0, false);
        if (!lines)
            key_frame(&key, "", m ? m->file : "", offset, by_place);
    }
    return key;
}

/* Whether the main binary of the base is the one that runs here. */
static bool same_build(const struct leaks *l, const struct profile *base)
{
    const char *id = base->mapping_count ? base->mappings[0].build_id : "";
    for (size_t i = 0; i < l->snap->module_count; i++) {
        const struct md_module *m = &l->snap->modules[i];
        char hex[2 * sizeof m->build_id + 1] = "";
        for (uint32_t k = 0; k < m->build_id_size; k++)
            snprintf(hex + 2 * (size_t)k, 3, "%02x", m->build_id[k]);
        if (strcmp(m->path, l->snap->header.exe) == 0)
            return strcmp(hex, id) == 0;
    }
    return false;
}

/* What the base had of one key, and what there is now. */
struct share {
    double base_objects, base_bytes, objects, bytes;
};

/* Of one process the base's samples are among those of now, so what is new has its share of the
 * variance; another process's were drawn apart, and its variance (of the same weights) is added. */
static void take_off(double *value, double *variance, double base, double now, bool same_process)
{
    double rest = now - base > 0.5 ? (now - base) / now : 0;
    *value *= rest;
    *variance *= same_process ? rest : rest > 0 ? 1 + base / now : 0;
}

static bool subtract(struct leaks *l, const struct profile *base)
{
    int objects = profile_sample_index(base, "leak_objects");
    int bytes = profile_sample_index(base, "leak_space");
    struct pair_map index = {0};
    struct share *shares = calloc(l->leak_count + 1, sizeof *shares);
    uint32_t *share_of = calloc(l->leak_count + 1, sizeof *share_of);
    size_t count = 0, kept = 0;
    bool done = shares && share_of, by_place = same_build(l, base);
    bool same = by_place && base->time_nanos >= l->snap->header.start_realtime_ns;
    for (size_t i = 0; done && i < l->leak_count; i++) {
        struct leak *leak = &l->leaks[i];
        done = look_up(l, &l->stacks[leak->stack]);
        struct stack_key key = key_of_leak(l, leak, by_place);
        uint32_t *slot = done ? pair_map_put(&index, key.a, key.b) : NULL;
        if (!slot) {
            done = false;
            break;
        }
        if (*slot == PAIR_MAP_NONE)
            *slot = (uint32_t)count++;
        share_of[i] = *slot;
        shares[*slot].objects += leak->sum.objects;
        shares[*slot].bytes += leak->sum.bytes;
    }
    for (size_t i = 0; done && i < base->sample_count; i++) {
        const int64_t *values = &base->values[i * base->type_count];
        struct stack_key key = key_of_sample(base, &base->samples[i], by_place);
        uint32_t slot = pair_map_get(&index, key.a, key.b);
        if (slot == PAIR_MAP_NONE)
            continue;
        shares[slot].base_objects += objects < 0 ? 0 : (double)values[objects];
        shares[slot].base_bytes += bytes < 0 ? 0 : (double)values[bytes];
    }
    for (size_t i = 0; done && i < l->leak_count; i++) {
        struct leak leak = l->leaks[i];
        const struct share *s = &shares[share_of[i]];
        double before = leak.sum.objects;
        take_off(&leak.sum.objects, &leak.sum.objects_variance, s->base_objects, s->objects, same);
        take_off(&leak.sum.bytes, &leak.sum.bytes_variance, s->base_bytes, s->bytes, same);
        uint64_t samples =
            (uint64_t)((double)leak.sum.samples * leak.sum.objects / fmax(before, 1) + 0.5);
        leak.sum.samples = samples ? samples : 1;
        if (is_counter(leak.sum.bytes) || is_counter(leak.sum.objects))
            l->leaks[kept++] = leak;
    }
    if (done)
        l->leak_count = kept;
    pair_map_fini(&index);
    free(shares);
    free(share_of);
    return done;
}

/* ---- groups ---- */

/* The frame that a leak is charged to when stacks are taken together. */
static const struct leak_frame *site_of(const struct leaks *l, const struct leak_stack *s)
{
    const struct leak_frame *frames = l->frames ? &l->frames[s->frame_first] : NULL;
    for (uint32_t i = 0; i < s->frame_count; i++)
        if (!plumbing_is_function(plumbing_base_name(frames[i].module), frames[i].function))
            return &frames[i];
    return s->frame_count ? frames : NULL;
}

/* NULL: no memory. */
static const char *name_of(struct leaks *l, const struct leak_stack *s, bool module)
{
    const struct leak_frame *f = site_of(l, s);
    char text[600];
    if (!f)
        return PPROF_UNKNOWN_STACK;
    const char *base = *f->module ? plumbing_base_name(f->module) : "?";
    if (module)
        return string_pool_add(&l->strings, base);
    if (*f->function)
        return f->function;
    snprintf(text, sizeof text, "%.500s+0x%llx", base, (unsigned long long)f->offset);
    return string_pool_add(&l->strings, text);
}

static struct leak_group *find_group(struct leaks *l, const struct leak *leak)
{
    struct leak_stack *s = &l->stacks[leak->stack];
    const char *name = "";
    uint64_t a = leak->stack, b = leak->kind;
    if (l->by == LEAKS_BY_SIZE) {
        a = leak->size;
        b = 0;
    } else if (l->by != LEAKS_BY_STACK) {
        if (!look_up(l, s) || !(name = name_of(l, s, l->by == LEAKS_BY_MODULE)))
            return NULL;
        /* Functions that were not pooled here are the symbolizer's: one copy is needed. */
        if (!(name = string_pool_add(&l->strings, name)))
            return NULL;
        a = (uint64_t)(uintptr_t)name;
        b = 0;
    }
    uint32_t *slot = pair_map_put(&l->group_index, a, b);
    if (!slot)
        return NULL;
    if (*slot == PAIR_MAP_NONE) {
        if (!array_reserve(&l->groups, &l->group_room, l->group_count + 1, sizeof *l->groups))
            return NULL;
        l->groups[l->group_count] = (struct leak_group){
            .sum = {nothing, nothing}, .name = name, .size = leak->size, .stack = s->id};
        *slot = (uint32_t)l->group_count++;
    }
    return &l->groups[*slot];
}

/* Leaks of one stack lie anywhere, so stacks are counted by (group, stack). */
static bool make_groups(struct leaks *l)
{
    struct pair_map seen = {0};
    bool done = true;
    for (size_t i = 0; done && i < l->leak_count; i++) {
        const struct leak *leak = &l->leaks[i];
        struct leak_group *g = find_group(l, leak);
        uint32_t *slot = g ? pair_map_put(&seen, (uint64_t)(g - l->groups), leak->stack) : NULL;
        if (!slot) {
            done = false;
            break;
        }
        if (*slot == PAIR_MAP_NONE) {
            *slot = 0;
            g->stacks++;
        }
        if (g->size != leak->size)
            g->size = 0;
        add_sum(&g->sum[leak->kind], &leak->sum);
        add_sum(&l->total[leak->kind], &leak->sum);
    }
    pair_map_fini(&seen);
    return done;
}

static int compare_groups(const void *a, const void *b)
{
    const struct leak_group *x = a, *y = b;
    double x_bytes = x->sum[LEAK_DIRECT].bytes + x->sum[LEAK_INDIRECT].bytes;
    double y_bytes = y->sum[LEAK_DIRECT].bytes + y->sum[LEAK_INDIRECT].bytes;
    if (x_bytes > y_bytes || x_bytes < y_bytes)
        return x_bytes > y_bytes ? -1 : 1;
    int names = strcmp(x->name, y->name);
    if (names)
        return names;
    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    return x->stack < y->stack ? -1 : x->stack > y->stack;
}

/* Direct ones are the causes: they come first where the two are kept apart. */
static int compare_kinds(const void *a, const void *b)
{
    const struct leak_group *x = a, *y = b;
    bool x_direct = x->sum[LEAK_DIRECT].samples != 0, y_direct = y->sum[LEAK_DIRECT].samples != 0;
    if (x_direct != y_direct)
        return x_direct ? -1 : 1;
    return compare_groups(a, b);
}

int leaks_build(struct leaks *l, const struct snapshot *snap, const struct leaks_options *options,
                char *error)
{
    *l = (struct leaks){
        .by = options->by,
        .total = {nothing, nothing},
        .suppressed = nothing,
        .cycles = snap->header.counters.cycles,
        .rate = snap->header.memprofilerate,
        .lost_samples = snap->header.counters.lost_samples,
        .snap = snap,
        .symbolizer = options->symbolizer,
    };
    for (size_t i = snap->cycle_count; i-- && !l->has_cycle;)
        if (!(snap->cycles[i].flags & MD_CYCLE_SKIPPED)) {
            l->has_cycle = true;
            l->cycle = snap->cycles[i];
        }
    if (take_samples(l, options) && leave_out(l, options) &&
        (!options->base || subtract(l, options->base)) && make_groups(l)) {
        if (l->group_count)
            qsort(l->groups, l->group_count, sizeof *l->groups,
                  l->by == LEAKS_BY_STACK ? compare_kinds : compare_groups);
        return 0;
    }
    if (error)
        snprintf(error, VIEW_ERROR_SIZE, "no memory for the leaks");
    return ENOMEM;
}

void leaks_fini(struct leaks *l)
{
    free(l->groups);
    free(l->leaks);
    free(l->stacks);
    free(l->frames);
    pair_map_fini(&l->leak_index);
    pair_map_fini(&l->group_index);
    pair_map_fini(&l->stack_index);
    string_pool_fini(&l->strings);
    *l = (struct leaks){0};
}
