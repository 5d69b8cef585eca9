#include "legacy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct order {
    int64_t value;
    uint32_t sample;
};

static int greatest_first(const void *a, const void *b)
{
    const struct order *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    return (x->sample > y->sample) - (x->sample < y->sample);
}

static int64_t value_of(const struct profile *p, uint32_t sample, int type)
{
    return type < 0 ? 0 : p->values[sample * p->type_count + (size_t)type];
}

static int64_t total(const struct profile *p, int type)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < p->sample_count; i++)
        if (__builtin_add_overflow(sum, value_of(p, i, type), &sum))
            return INT64_MAX;
    return sum;
}

/* Addresses are told as return addresses, from which pprof takes 1. */
static void write_stack(const struct profile *p, uint32_t sample, FILE *out)
{
    const struct profile_sample *s = &p->samples[sample];
    const uint32_t *ids = p->location_ids + s->location_first;
    fputs(" @", out);
    for (uint32_t i = 0; i < s->location_count; i++)
        fprintf(out, " 0x%" PRIx64, p->locations[ids[i]].address + 1);
    fputc('\n', out);
    for (uint32_t i = 0; i < s->location_count; i++) {
        const struct profile_location *l = &p->locations[ids[i]];
        for (uint32_t k = 0; k < l->line_count; k++) {
            const struct profile_line *line = &p->lines[l->line_first + k];
            const struct profile_function *f = &p->functions[line->function];
            fprintf(out, "#\t0x%" PRIx64 "\t%s\t%s:%" PRId64 "\n", l->address + 1, f->name, f->file,
                    line->line);
        }
    }
    fputc('\n', out);
}

static void write_mappings(const struct profile *p, FILE *out)
{
    fputs("MAPPED_LIBRARIES:\n", out);
    for (size_t i = 0; i < p->mapping_count; i++) {
        const struct profile_mapping *m = &p->mappings[i];
        fprintf(out, "%08" PRIx64 "-%08" PRIx64 " r-xp %08" PRIx64 " 00:00 0 %s\n", m->start,
                m->limit, m->offset, m->file);
    }
}

bool legacy_write(const struct profile *p, const char *name, FILE *out)
{
    bool heap = strcmp(name, "heap") == 0;
    int shown = profile_sample_index(p, heap ? "inuse_space" : NULL);
    const int types[] = {profile_sample_index(p, "inuse_objects"), shown,
                         profile_sample_index(p, "alloc_objects"),
                         profile_sample_index(p, "alloc_space")};
    struct order *order = reallocarray(NULL, p->sample_count + 1, sizeof *order);
    if (!order)
        return false;
    for (uint32_t i = 0; i < p->sample_count; i++)
        order[i] = (struct order){value_of(p, i, shown), i};
    qsort(order, p->sample_count, sizeof *order, greatest_first);
    if (heap)
        fprintf(out,
                "heap profile: %" PRId64 ": %" PRId64 " [%" PRId64 ": %" PRId64
                "] @ heapprofile\n# samples are %" PRId64 " bytes apart; these are estimates of "
                "all, no counts of samples\n",
                total(p, types[0]), total(p, types[1]), total(p, types[2]), total(p, types[3]),
                p->period);
    else
        fprintf(out, "%s profile: total %" PRId64 "\n", name, total(p, shown));
    for (size_t i = 0; i < p->sample_count; i++) {
        uint32_t sample = order[i].sample;
        if (heap)
            fprintf(out, "%" PRId64 ": %" PRId64 " [%" PRId64 ": %" PRId64 "]",
                    value_of(p, sample, types[0]), value_of(p, sample, types[1]),
                    value_of(p, sample, types[2]), value_of(p, sample, types[3]));
        else
            fprintf(out, "%" PRId64, value_of(p, sample, shown));
        write_stack(p, sample, out);
    }
    write_mappings(p, out);
    free(order);
    return true;
}
