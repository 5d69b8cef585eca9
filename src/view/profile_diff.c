#include "view/profile_diff.h"

#include "view/plumbing.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CERTAIN_ERRORS 3
#define NAME_SIZE 8192 /* of a stack: the callers that do not fit are left out of its name */

/* One function of a stack, or code without a name. */
struct frame {
    const char *function; /* "": it has no name */
    const char *module;   /* base name, "": not known */
    uint64_t offset;      /* in the module's file */
};

static struct frame frame_of(const struct profile *p, const struct profile_location *at,
                             const struct profile_line *line)
{
    const struct profile_mapping *m =
        at->mapping == PROFILE_NONE ? NULL : &p->mappings[at->mapping];
    return (struct frame){line ? p->functions[line->function].name : "",
                          m ? plumbing_base_name(m->file) : "",
                          m ? at->address - m->start + m->offset : at->address};
}

/* The `number`-th frame of a sample, innermost first.  False: there are no more. */
static bool frame_at(const struct profile *p, const struct profile_sample *sample, size_t number,
                     struct frame *frame)
{
    for (uint32_t i = 0; i < sample->location_count; i++) {
        const struct profile_location *at =
            &p->locations[p->location_ids[sample->location_first + i]];
        uint32_t frames = at->line_count ? at->line_count : 1;
        if (number < frames) {
            *frame = frame_of(p, at, at->line_count ? &p->lines[at->line_first + number] : NULL);
            return true;
        }
        number -= frames;
    }
    return false;
}

/* The number of the frame that the sample is charged to: the innermost that is no plumbing; 0 if
 * all is. */
static size_t charged(const struct profile *p, const struct profile_sample *sample)
{
    struct frame frame;
    for (size_t i = 0; frame_at(p, sample, i, &frame); i++)
        if (!plumbing_is_function(frame.module, frame.function))
            return i;
    return 0;
}

static size_t write_frame(const struct frame *frame, char *text, size_t size)
{
    int length = *frame->function ? snprintf(text, size, "%s", frame->function)
                                  : snprintf(text, size, "%s+0x%" PRIx64,
                                             *frame->module ? frame->module : "?", frame->offset);
    return length < 0 ? 0 : (size_t)length;
}

static void name_of_stack(const struct profile *p, const struct profile_sample *sample,
                          char text[NAME_SIZE])
{
    struct frame frame;
    size_t length = 0;
    for (size_t i = charged(p, sample); frame_at(p, sample, i, &frame); i++) {
        char one[NAME_SIZE / 4];
        const char *before = length ? " ← " : "";
        size_t need = write_frame(&frame, one, sizeof one);
        if (need >= sizeof one || length + strlen(before) + need + sizeof " ← …" > NAME_SIZE) {
            snprintf(text + length, NAME_SIZE - length, "%s…", before);
            return;
        }
        length += (size_t)snprintf(text + length, NAME_SIZE - length, "%s%s", before, one);
    }
}

static void name_of_size(const struct profile *p, const struct profile_sample *sample,
                         char text[NAME_SIZE])
{
    snprintf(text, NAME_SIZE, "-");
    for (uint32_t k = 0; k < sample->label_count; k++) {
        const struct profile_label *label = &p->labels[sample->label_first + k];
        if (strcmp(label->key, "bytes") == 0 && !*label->text)
            snprintf(text, NAME_SIZE, "%" PRId64, label->number);
    }
}

static void name_of(const struct profile *p, const struct profile_sample *sample, enum leaks_by by,
                    char text[NAME_SIZE])
{
    struct frame frame;
    if (by == LEAKS_BY_SIZE) {
        name_of_size(p, sample, text);
    } else if (!frame_at(p, sample, charged(p, sample), &frame)) {
        snprintf(text, NAME_SIZE, "%s", PPROF_UNKNOWN_STACK);
    } else if (by == LEAKS_BY_STACK) {
        name_of_stack(p, sample, text);
    } else if (by == LEAKS_BY_MODULE) {
        snprintf(text, NAME_SIZE, "%s", *frame.module ? frame.module : "?");
    } else {
        write_frame(&frame, text, NAME_SIZE);
    }
}

static bool add_samples(struct profile_diff *diff, struct pair_map *index, int side,
                        const struct sampling *sampling, enum leaks_by by)
{
    const struct profile *p = sampling->profile;
    for (size_t i = 0; i < p->sample_count; i++) {
        char text[NAME_SIZE];
        int64_t value = p->values[i * p->type_count + (size_t)sampling->index];
        if (!value)
            continue;
        name_of(p, &p->samples[i], by, text);
        const char *name = string_pool_add(&diff->strings, text);
        uint32_t *slot = name ? pair_map_put(index, (uint64_t)(uintptr_t)name, 0) : NULL;
        if (!slot || diff->row_count >= PAIR_MAP_NONE)
            return false;
        if (*slot == PAIR_MAP_NONE) {
            if (!array_reserve(&diff->rows, &diff->row_room, diff->row_count + 1,
                               sizeof *diff->rows))
                return false;
            *slot = (uint32_t)diff->row_count;
            diff->rows[diff->row_count++] = (struct profile_diff_row){
                .name = name,
                .side = {{0, isnan(diff->total[DIFF_A].variance) ? NAN : 0},
                         {0, isnan(diff->total[DIFF_B].variance) ? NAN : 0}}};
        }
        struct sampling_sum *sum = &diff->rows[*slot].side[side];
        sum->value += (double)value;
        sum->variance += sampling_variance(sampling, i);
    }
    return true;
}

struct sampling_sum profile_diff_of(const struct sampling_sum side[DIFF_SIDES])
{
    return (struct sampling_sum){side[DIFF_B].value - side[DIFF_A].value,
                                 side[DIFF_A].variance + side[DIFF_B].variance};
}

bool profile_diff_certain(const struct sampling_sum *difference)
{
    return !(fabs(difference->value) <= CERTAIN_ERRORS * sqrt(difference->variance));
}

static int compare_rows(const void *a, const void *b)
{
    const struct profile_diff_row *x = a, *y = b;
    double u = fabs(profile_diff_of(x->side).value), v = fabs(profile_diff_of(y->side).value);
    if (u > v || u < v)
        return u > v ? -1 : 1;
    return strcmp(x->name, y->name);
}

bool profile_diff_build(struct profile_diff *diff, const struct profile *const of[DIFF_SIDES],
                        const int index[DIFF_SIDES], enum leaks_by by)
{
    struct pair_map rows = {0};
    struct sampling sampling[DIFF_SIDES];
    bool done = true;
    *diff = (struct profile_diff){0};
    for (int side = 0; side < DIFF_SIDES; side++) {
        sampling[side] = sampling_of(of[side], index[side]);
        diff->total[side] = sampling_total(&sampling[side]);
    }
    for (int side = 0; done && side < DIFF_SIDES; side++)
        done = add_samples(diff, &rows, side, &sampling[side], by);
    if (done && diff->row_count)
        qsort(diff->rows, diff->row_count, sizeof *diff->rows, compare_rows);
    pair_map_fini(&rows);
    return done;
}

void profile_diff_fini(struct profile_diff *diff)
{
    free(diff->rows);
    string_pool_fini(&diff->strings);
    *diff = (struct profile_diff){0};
}
