/* What leaks now and did not when a profile was saved. */
#include "view/jit_code.h"
#include "view/leaks.h"
#include "view/plumbing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A hash of a stack and a size by which it is found again in another process.  Where both ran the
 * same build, it is of offsets in files, which tell two calls in one function apart; else of the
 * functions' names. */
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
                      uint64_t offset, bool by_offset)
{
    if (strcmp(function, JIT_UNKNOWN) == 0)
        function = JIT_CODE; /* as it was called while the process lived */
    if (*function && !(by_offset && *module)) {
        key_bytes(key, function, strlen(function) + 1);
        return;
    }
    module = plumbing_base_name(module);
    key_bytes(key, module, strlen(module) + 1);
    key_bytes(key, &offset, sizeof offset);
}

/* False: no memory. */
static bool key_of_leak(struct leaks *l, const struct leak *leak, bool by_offset,
                        struct stack_key *key)
{
    size_t count;
    const uint32_t *walk = leak_stacks_walk(&l->stacks, leak->stack, &count);
    *key = (struct stack_key){0xcbf29ce484222325u, leak->size};
    if (!walk)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct leak_location *location = &l->stacks.locations[walk[i]];
        /* Inlined functions share one address. */
        uint32_t frames = by_offset ? 1 : location->frame_count;
        for (uint32_t k = 0; k < frames; k++) {
            const struct leak_frame *f = &l->stacks.frames[location->frame_first + k];
            key_frame(key, f->function, f->module, f->offset, by_offset);
        }
    }
    if (!count)
        key_frame(key, PPROF_UNKNOWN_STACK, "", 0, by_offset);
    return true;
}

static struct stack_key key_of_sample(const struct profile *p, const struct profile_sample *sample,
                                      bool by_offset)
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
        uint32_t lines = by_offset && m ? 0 : at->line_count;
        for (uint32_t k = 0; k < lines; k++)
            key_frame(&key, p->functions[p->lines[at->line_first + k].function].name, "", 0, false);
        if (!lines)
            key_frame(&key, "", m ? m->file : "", offset, by_offset);
    }
    return key;
}

/* Whether the main binary of the base is the one that runs here. */
static bool same_build(const struct leaks *l, const struct profile *base)
{
    const char *id = base->mapping_count ? base->mappings[0].build_id : "";
    for (size_t i = 0; i < l->stacks.snap->module_count; i++) {
        const struct md_module *m = &l->stacks.snap->modules[i];
        char own[BUILD_ID_TEXT_SIZE];
        if (strcmp(m->path, l->stacks.snap->header.exe) != 0)
            continue;
        snapshot_build_id(m, own);
        return strcmp(own, id) == 0;
    }
    return false;
}

/* What the base had of one key, and what there is now. */
struct share {
    double base_objects, base_bytes, objects, bytes;
};

/* Takes the share that the base had of what there is now off a value and its variance.  In the same
 * process the base's samples are among those of now, so the rest keeps its share of the variance.
 * Another process's samples were drawn independently, so its variance is added; it is about the
 * same for each object, as the weights are. */
static void take_off(double *value, double *variance, double base, double now, bool same_process)
{
    double rest = now - base > 0.5 ? (now - base) / now : 0;
    *value *= rest;
    *variance *= same_process ? rest : rest > 0 ? 1 + base / now : 0;
}

bool leaks_subtract(struct leaks *l, const struct profile *base)
{
    int objects = profile_sample_index(base, "leak_objects");
    int bytes = profile_sample_index(base, "leak_space");
    struct pair_map index = {0};
    struct share *shares = calloc(l->leak_count + 1, sizeof *shares);
    uint32_t *share_of = calloc(l->leak_count + 1, sizeof *share_of);
    size_t count = 0, kept = 0;
    bool done = shares && share_of, by_offset = same_build(l, base);
    bool same = by_offset && base->time_nanos >= l->stacks.snap->header.start_realtime_ns;
    for (size_t i = 0; done && i < l->leak_count; i++) {
        const struct leak *leak = &l->leaks[i];
        struct stack_key key;
        uint32_t *slot =
            key_of_leak(l, leak, by_offset, &key) ? pair_map_put(&index, key.a, key.b) : NULL;
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
        struct stack_key key = key_of_sample(base, &base->samples[i], by_offset);
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
        if (leak.sum.bytes > 0.5 || leak.sum.objects > 0.5)
            l->leaks[kept++] = leak;
    }
    if (done)
        l->leak_count = kept;
    pair_map_fini(&index);
    free(shares);
    free(share_of);
    return done;
}
