#include "view/sampling.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct sampling sampling_of(const struct profile *p, int index)
{
    struct sampling s = {.profile = p, .index = index, .objects = -1, .space = -1};
    const struct profile_value_type *own = &p->types[index];
    const char *end = strrchr(own->type, '_');
    bool bytes = strcmp(own->unit, "bytes") == 0;
    char name[64];
    if (strcmp(p->period_type.unit, "bytes") != 0 || (!bytes && strcmp(own->unit, "count") != 0))
        return s;
    if (p->period == 1) {
        s.known = SAMPLING_EXACT;
        return s;
    }
    /* Its sibling: "inuse_objects" of "inuse_space". */
    if (p->period < 1 || !end ||
        snprintf(name, sizeof name, "%.*s_%s", (int)(end - own->type), own->type,
                 bytes ? "objects" : "space") >= (int)sizeof name)
        return s;
    for (size_t i = 0; i < p->type_count; i++)
        if (strcmp(p->types[i].type, name) == 0) {
            s.objects = bytes ? (int)i : index;
            s.space = bytes ? index : (int)i;
            s.known = SAMPLING_ESTIMATES;
        }
    return s;
}

double sampling_variance(const struct sampling *s, size_t sample)
{
    const int64_t *values = &s->profile->values[sample * s->profile->type_count];
    if (s->known != SAMPLING_ESTIMATES || !values[s->objects])
        return 0;
    double objects = fabs((double)values[s->objects]), space = fabs((double)values[s->space]);
    double size = space / objects, beyond = 1 / expm1(size / (double)s->profile->period);
    double variance = objects * beyond * (s->index == s->space ? size * size : 1);
    return isfinite(variance) ? variance : 0;
}

struct sampling_sum sampling_total(const struct sampling *s)
{
    struct sampling_sum sum = {0, s->known == SAMPLING_UNKNOWN ? NAN : 0};
    const struct profile *p = s->profile;
    for (size_t i = 0; i < p->sample_count; i++) {
        sum.value += (double)p->values[i * p->type_count + (size_t)s->index];
        sum.variance += sampling_variance(s, i);
    }
    return sum;
}
