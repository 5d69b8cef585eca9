/* Any bytes as a segment: taken, made a profile of and written out again. */
#include "replay.h"

#include "unit/fake_segment.h"
#include "view/gctrace.h"
#include "view/leaks.h"
#include "view/pprof.h"
#include "view/top.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct snapshot snap;
    struct profile profile;
    char error[VIEW_ERROR_SIZE], line[GCTRACE_JSON_SIZE];
    static FILE *out;
    if (!out)
        out = fopen("/dev/null", "w");
    uint64_t *aligned = malloc(size ? size : 1);
    if (!aligned)
        return 0;
    memcpy(aligned, bytes, size);
    if (snapshot_take(&snap, aligned, size,
                      SNAPSHOT_ALL | SNAPSHOT_MAPPINGS | SNAPSHOT_RANGES | SNAPSHOT_ANSWER |
                          SNAPSHOT_PAST,
                      error) == 0) {
        for (size_t i = 0; i < snap.past_count; i++)
            if (!snap.past[i].time_ns || (i && snap.past[i].time_ns <= snap.past[i - 1].time_ns))
                abort();
        const struct md_answer_record *record;
        for (size_t at = 0;
             (record = snapshot_record(&snap, &at, MD_ANSWER_PATH, sizeof(struct md_answer_path)));)
            if ((const uint64_t *)(const void *)record + record->words >
                snap.answer_words + snap.answer_word_count)
                abort();
        for (size_t i = 0; i < snap.cycle_count; i++) {
            gctrace_format(&snap.cycles[i], snap.header.pid, snap.header.name, line,
                           GCTRACE_LINE_SIZE);
            gctrace_format_json(GCTRACE_EXACT, &snap.cycles[i], snap.header.pid, snap.header.name,
                                line, sizeof line);
        }
        for (size_t i = 0; i < snap.sample_count; i++)
            if (snap.samples[i].bucket >= snap.bucket_count)
                abort();
        for (size_t i = 0; i < snap.mapping_count; i++)
            if (snap.mappings[i].bucket >= snap.bucket_count ||
                snap.mappings[i].start >= snap.mappings[i].limit)
                abort();
        const struct profile_options options = {.kind = MD_BUCKET_HEAP},
                                     mapped = {.kind = MD_BUCKET_MMAP};
        profile_from_snapshot(&profile, &snap, &mapped, error);
        profile_fini(&profile);
        if (profile_from_snapshot(&profile, &snap, &options, error) == 0) {
            struct top top;
            uint8_t *packed;
            size_t packed_size;
            top_build(&top, &profile, 3, &TOP_OPTIONS_PPROF);
            top_fini(&top);
            if (pprof_encode(&profile, &packed, &packed_size, error) == 0)
                free(packed);
        }
        profile_fini(&profile);
        for (int by = LEAKS_BY_STACK; by <= LEAKS_BY_SIZE; by++) {
            struct leaks leaks;
            const struct leaks_options what = {.by = (enum leaks_by)by};
            const struct leaks_text how = {.name = snap.header.name, .count = 3};
            if (leaks_build(&leaks, &snap, &what, error) == 0 && out)
                leaks_print(&leaks, &how, out);
            leaks_fini(&leaks);
        }
        snapshot_fini(&snap);
    }
    free(aligned);
    return 0;
}

uint8_t *fuzz_seed(unsigned index, size_t *size)
{
    struct fake_segment s;
    if (index > 0)
        return NULL;
    fake_full(&s);
    s.header->counters.cycles = 3;
    for (unsigned i = 0; i < 6; i++)
        ((struct md_sample *)fake_entry(&s, MD_SECTION_SAMPLES, i))->flags = i * 2;
    *size = s.size;
    return s.bytes;
}
