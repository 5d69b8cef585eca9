#include "view/leaks.h"

#include "view/jit_code.h"
#include "view/plumbing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* With more leaks than this stacks are not folded: it would take longer than it is worth. */
#define FOLDED_MAX 500000u

static const struct leak_sum nothing = {.oldest_ds = UINT32_MAX};

static void add_sum(struct leak_sum *to, const struct leak_sum *from)
{
    *to = leak_sum_of(to, from);
}

/* ---- samples ---- */

static struct leak *intern_leak(struct leaks *l, struct pair_map *index, const struct md_bucket *b,
                                enum leak_kind kind)
{
    uint32_t *slot = pair_map_put(index, (uint64_t)b->stack << 1 | kind, b->key);
    if (!slot)
        return NULL;
    if (*slot == PAIR_MAP_NONE) {
        if (!array_reserve(&l->leaks, &l->leak_room, l->leak_count + 1, sizeof *l->leaks))
            return NULL;
        l->leaks[l->leak_count] = (struct leak){nothing, b->key, b->stack, kind};
        *slot = (uint32_t)l->leak_count++;
    }
    return &l->leaks[*slot];
}

/* The unsampled leaks of one size: how many the samples stand for, by their weights, and how many
 * were counted. */
struct calibration {
    uint64_t size;
    double expected;         /* objects: the sum of w-1 */
    uint64_t objects, bytes; /* counted */
};

struct calibrations {
    struct calibration sizes[LEAKS_UNSAMPLED_MAX];
    size_t count;
};

static struct calibration *calibration_of(struct calibrations *c, uint64_t size)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->sizes[i].size == size)
            return &c->sizes[i];
    return NULL;
}

static double weight_of(const struct md_sample *s)
{
    double w = (double)s->weight / MD_WEIGHT_ONE;
    return w > 1 ? w : 1;
}

static void calibrate(struct leaks *l, struct calibrations *c, const struct snapshot *snap)
{
    uint64_t objects = 0, bytes = 0;
    c->count = 0;
    for (size_t i = 0; i < snap->unsampled_count && c->count < LEAKS_UNSAMPLED_MAX - 1; i++) {
        const struct md_unsampled *u = &snap->unsampled[i];
        if (u->cycle != l->cycle.number || !u->objects)
            continue;
        c->sizes[c->count++] = (struct calibration){u->size, 0, u->objects, u->bytes};
        objects += u->objects;
        bytes += u->bytes;
    }
    for (size_t i = 0; i < snap->sample_count; i++) {
        const struct md_sample *s = &snap->samples[i];
        if (!(s->flags & MD_SAMPLE_LEAK) || s->bucket >= snap->bucket_count)
            continue;
        uint64_t size = snap->buckets[s->bucket].key;
        struct calibration *of = calibration_of(c, size);
        if (of && size)
            of->expected += weight_of(s) - 1;
        objects++;
        bytes += size;
    }
    for (size_t i = 0; i < c->count; i++)
        if (!(c->sizes[i].expected > 0))
            l->unsampled[l->unsampled_count++] =
                (struct leaks_unsampled){c->sizes[i].size, c->sizes[i].objects, c->sizes[i].bytes};
    /* Counted, but in no record: the snapshot was taken while the next cycle wrote its own. */
    if (l->cycle.leaked_objects > objects)
        l->unsampled[l->unsampled_count++] = (struct leaks_unsampled){
            0, l->cycle.leaked_objects - objects,
            l->cycle.leaked_bytes > bytes ? l->cycle.leaked_bytes - bytes : 0};
}

/* How many objects a leaked sample comes to: v, of leaks.h. */
static double objects_of(const struct leaks *l, struct calibrations *c, const struct md_sample *s,
                         uint64_t size)
{
    double w = (double)s->weight / MD_WEIGHT_ONE;
    if (!l->counted)
        return w;
    const struct calibration *of = calibration_of(c, size);
    return of && of->expected > 0 ? 1 + (weight_of(s) - 1) * (double)of->objects / of->expected : 1;
}

static bool take_samples(struct leaks *l, const struct snapshot *snap,
                         const struct leaks_options *options)
{
    struct pair_map index = {0};
    struct calibrations calibrations = {.count = 0};
    bool done = true;
    if (l->counted)
        calibrate(l, &calibrations, snap);
    for (size_t i = 0; done && i < snap->sample_count; i++) {
        const struct md_sample *s = &snap->samples[i];
        if (!(s->flags & MD_SAMPLE_LEAK)) {
            l->once += (s->flags & MD_SAMPLE_UNREACHED) != 0;
            continue;
        }
        l->seen++;
        if (s->bucket >= snap->bucket_count || s->born_ds < options->born_from_ds) {
            l->filtered = true;
            continue;
        }
        const struct md_bucket *b = &snap->buckets[s->bucket];
        struct leak *leak =
            intern_leak(l, &index, b, s->flags & MD_SAMPLE_INDIRECT ? LEAK_INDIRECT : LEAK_DIRECT);
        if (!(done = leak != NULL))
            break;
        double w = objects_of(l, &calibrations, s, b->key), size = (double)b->key;
        double variance = w > 1 ? w * (w - 1) : 0;
        struct leak_sum one = {w, variance,   w * size,  variance * size * size,
                               1, s->born_ds, s->born_ds};
        add_sum(&leak->sum, &one);
    }
    pair_map_fini(&index);
    return done;
}

/* ---- what is left out ---- */

/* Takes off the leaks that an exclude or a suppression names.  An exclude wins; of several
 * suppressions, that of the innermost location is counted.  False: no memory. */
static bool leave_out(struct leaks *l, struct suppressions *rules)
{
    size_t kept = 0;
    if (!(rules && rules->count) && !l->stacks.exclude_count)
        return true;
    for (size_t i = 0; i < l->leak_count; i++) {
        const struct leak *leak = &l->leaks[i];
        size_t count;
        const uint32_t *walk = leak_stacks_walk(&l->stacks, leak->stack, &count);
        uint32_t rule = SUPPRESSIONS_NONE;
        bool excluded = false;
        if (!walk)
            return false;
        for (size_t k = 0; k < count; k++) {
            const struct leak_location *location = &l->stacks.locations[walk[k]];
            excluded |= location->excluded;
            if (rule == SUPPRESSIONS_NONE)
                rule = location->rule;
        }
        if (!excluded && rule == SUPPRESSIONS_NONE) {
            l->leaks[kept++] = *leak;
            continue;
        }
        l->filtered = true;
        add_sum(&l->suppressed, &leak->sum);
        if (!excluded && rules) {
            rules->rules[rule].uses++;
            rules->rules[rule].objects += leak->sum.objects;
            rules->rules[rule].bytes += leak->sum.bytes;
        }
    }
    l->leak_count = kept;
    return true;
}

/* ---- groups ---- */

size_t leaks_looked_through(const struct leak_frame *frames, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!plumbing_is_function(plumbing_base_name(frames[i].module), frames[i].function))
            return i;
    return 0;
}

/* Writes std::string where the compiler has its template.  Returns the new length. */
static size_t shorten_strings(char *type)
{
    static const char whole[] =
        "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >";
    static const char name[] = "std::string";
    for (char *at = type; (at = strstr(at, whole));) {
        memcpy(at, name, sizeof name - 1);
        at += sizeof name - 1;
        const char *rest = at + sizeof whole - sizeof name;
        memmove(at, rest, strlen(rest) + 1);
    }
    return strlen(type);
}

/* "T" of a frame "std::__new_allocator<T>::allocate(...)", by which every container of the standard
 * library gets its memory.  NULL: the stack has no such frame, or there is no memory. */
static const char *type_of(struct string_pool *pool, const struct leak_frame *frames, size_t count)
{
    static const char *const allocators[] = {"new_allocator<", "malloc_allocator<"};
    for (size_t i = 0; i < count; i++) {
        const struct leak_frame *f = &frames[i];
        if (!plumbing_is_function(plumbing_base_name(f->module), f->function))
            return NULL;
        for (size_t k = 0; k < sizeof allocators / sizeof allocators[0]; k++) {
            const char *start = strstr(f->full_name, allocators[k]);
            if (!start)
                continue;
            const char *at = start += strlen(allocators[k]);
            for (int depth = 1; *at; at++) {
                /* Not the second half of ->. */
                depth += *at == '<' ? 1 : *at == '>' && at[-1] != '-' ? -1 : 0;
                if (!depth)
                    break;
            }
            while (at > start && at[-1] == ' ')
                at--;
            char type[400];
            if (!strstr(at, "::allocate") || at - start >= (ptrdiff_t)sizeof type)
                continue;
            memcpy(type, start, (size_t)(at - start));
            type[at - start] = 0;
            return string_pool_add_bytes(pool, type, shorten_strings(type));
        }
    }
    return NULL;
}

/* The name of the group that a leak belongs to, by function, type or module.  NULL: no memory. */
static const char *name_of(struct leaks *l, uint32_t stack, uint64_t size)
{
    size_t count;
    bool recursive;
    const struct leak_frame *frames = leaks_frames(l, stack, &count, &recursive);
    const struct leak_frame *f = count ? &frames[leaks_looked_through(frames, count)] : NULL;
    struct string_pool *pool = &l->stacks.strings;
    char text[600];
    if (!frames)
        return NULL;
    if (!f)
        return PPROF_UNKNOWN_STACK;
    const char *base = *f->module     ? plumbing_base_name(f->module)
                       : f->nameless  ? f->function
                       : *f->function ? JIT_CODE
                                      : "?";
    if (l->by == LEAKS_BY_MODULE)
        return string_pool_add(pool, base);
    const char *type = l->by == LEAKS_BY_TYPE ? type_of(pool, frames, count) : NULL;
    if (type || (*f->function && l->by == LEAKS_BY_FUNCTION))
        return type ? type : f->function;
    if (*f->function)
        snprintf(text, sizeof text, "malloc in %.500s", f->function);
    else
        snprintf(text, sizeof text, "%.480s+0x%llx", base, (unsigned long long)f->address);
    if (l->by == LEAKS_BY_TYPE)
        snprintf(text + strlen(text), 40, " [%llu]", (unsigned long long)size);
    return string_pool_add(pool, text);
}

/* A hash of the stack's folded frames; its id with over FOLDED_MAX leaks.  False: no memory. */
static bool stack_key(struct leaks *l, const struct leak *leak, uint64_t *a, uint64_t *b)
{
    size_t count;
    bool recursive;
    *a = leak->stack;
    *b = 0;
    if (l->leak_count > FOLDED_MAX)
        return true;
    const uint32_t *frames = leak_stacks_fold(&l->stacks, leak->stack, &count, &recursive);
    if (!frames)
        return false;
    *a = 0xcbf29ce484222325u;
    for (size_t i = 0; i < count; i++) {
        *a = (*a ^ frames[i]) * 0x100000001b3u;
        *b = (*b + frames[i] + 1) * 0x9e3779b97f4a7c15u;
        *b ^= *b >> 29;
    }
    return true;
}

static struct leak_group *find_group(struct leaks *l, struct pair_map *index,
                                     const struct leak *leak)
{
    const char *name = "";
    uint64_t a = leak->size, b = 0;
    if (l->by == LEAKS_BY_STACK) {
        if (!stack_key(l, leak, &a, &b))
            return NULL;
        b = b << 1 | leak->kind;
    } else if (l->by != LEAKS_BY_SIZE) {
        /* A name may be the symbolizer's: the pool has one of each. */
        name = name_of(l, leak->stack, leak->size);
        if (!name || !(name = string_pool_add(&l->stacks.strings, name)))
            return NULL;
        a = (uint64_t)(uintptr_t)name;
    }
    uint32_t *slot = pair_map_put(index, a, b);
    if (!slot)
        return NULL;
    if (*slot == PAIR_MAP_NONE) {
        if (!array_reserve(&l->groups, &l->group_room, l->group_count + 1, sizeof *l->groups))
            return NULL;
        l->groups[l->group_count] = (struct leak_group){
            .sum = {nothing, nothing}, .name = name, .size = leak->size, .stack = leak->stack};
        *slot = (uint32_t)l->group_count++;
    }
    return &l->groups[*slot];
}

static bool make_groups(struct leaks *l)
{
    /* A stack's leaks are not next to each other, so `seen` has the pairs of group and stack. */
    struct pair_map index = {0}, seen = {0};
    bool done = true;
    for (size_t i = 0; done && i < l->leak_count; i++) {
        const struct leak *leak = &l->leaks[i];
        struct leak_group *g = find_group(l, &index, leak);
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
    pair_map_fini(&index);
    pair_map_fini(&seen);
    return done;
}

const struct leak_frame *leaks_frames(struct leaks *l, uint32_t stack, size_t *count,
                                      bool *recursive)
{
    const uint32_t *folded = leak_stacks_fold(&l->stacks, stack, count, recursive);
    if (!folded || !array_reserve(&l->shown, &l->shown_room, *count + 1, sizeof *l->shown)) {
        *count = 0;
        return NULL;
    }
    for (size_t i = 0; i < *count; i++)
        l->shown[i] = l->stacks.frames[folded[i]];
    return l->shown;
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

/* Direct ones are the causes, so they come first. */
static int compare_kinds(const void *a, const void *b)
{
    const struct leak_group *x = a, *y = b;
    bool x_direct = x->sum[LEAK_DIRECT].samples != 0, y_direct = y->sum[LEAK_DIRECT].samples != 0;
    if (x_direct != y_direct)
        return x_direct ? -1 : 1;
    return compare_groups(a, b);
}

static int compare_unsampled(const void *a, const void *b)
{
    const struct leaks_unsampled *x = a, *y = b;
    return x->bytes != y->bytes ? (x->bytes > y->bytes ? -1 : 1)
                                : (x->size < y->size) - (x->size > y->size);
}

bool leaks_known(const struct leaks *l)
{
    return l->counted || (l->has_cycle && !l->cycle.unreachable_objects);
}

bool leaks_found(const struct leaks *l)
{
    return l->group_count || l->unsampled_count;
}

struct leak_sum leaks_unsampled_sum(const struct leaks *l)
{
    struct leak_sum sum = nothing;
    for (size_t i = 0; i < l->unsampled_count; i++) {
        sum.objects += (double)l->unsampled[i].objects;
        sum.bytes += (double)l->unsampled[i].bytes;
    }
    return sum;
}

struct leak_sum leaks_total(const struct leaks *l)
{
    struct leak_sum groups = leak_sum_of(&l->total[LEAK_DIRECT], &l->total[LEAK_INDIRECT]);
    struct leak_sum rest = leaks_unsampled_sum(l), all = leak_sum_of(&groups, &rest);
    if (l->counted && !l->filtered)
        all.objects_variance = all.bytes_variance = 0;
    return all;
}

static void find_cycle(struct leaks *l, const struct snapshot *snap)
{
    for (size_t i = snap->cycle_count; i-- && !l->has_cycle;) {
        const struct md_cycle *cycle = &snap->cycles[i];
        if (leaks_tell(cycle)) {
            l->has_cycle = true;
            l->cycle = *cycle;
            l->counted = cycle->flags & MD_CYCLE_LEAKS;
        } else if (!l->unseen_threads) {
            l->unseen_threads = cycle->unseen_threads;
        }
    }
}

size_t leaks_unsampled_of(const struct snapshot *snap,
                          struct leaks_unsampled sizes[LEAKS_UNSAMPLED_MAX])
{
    struct leaks leaks = {.cycles = 0};
    struct calibrations calibrations;
    find_cycle(&leaks, snap);
    if (leaks.counted)
        calibrate(&leaks, &calibrations, snap);
    if (leaks.unsampled_count)
        qsort(leaks.unsampled, leaks.unsampled_count, sizeof *sizes, compare_unsampled);
    memcpy(sizes, leaks.unsampled, leaks.unsampled_count * sizeof *sizes);
    return leaks.unsampled_count;
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
        .stacks = {.snap = snap,
                   .symbolizer = options->symbolizer,
                   .rules = options->suppressions,
                   .excludes = options->excludes,
                   .exclude_count = options->exclude_count},
    };
    find_cycle(l, snap);
    l->filtered = options->base != NULL;
    if (take_samples(l, snap, options) && leave_out(l, options->suppressions) &&
        (!options->base || leaks_subtract(l, options->base)) && make_groups(l)) {
        if (l->unsampled_count)
            qsort(l->unsampled, l->unsampled_count, sizeof *l->unsampled, compare_unsampled);
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
    free(l->shown);
    leak_stacks_fini(&l->stacks);
    *l = (struct leaks){0};
}
