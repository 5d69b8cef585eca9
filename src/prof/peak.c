#include "prof/peak.h"

#include "base/compiler.h"
#include "prof/prof.h"
#include "prof/record.h"
#include "prof/table.h"
#include "segment/segment.h"

#define BATCH 32u /* buckets for which the tables are locked at a time */

static uint64_t in_use(const struct md_bucket *bucket, unsigned plus, unsigned minus)
{
    uint64_t all = bucket->value[plus], gone = bucket->value[minus];
    return all > gone ? all - gone : 0;
}

static void keep_locked(uint32_t index)
{
    const struct md_bucket *bucket =
        (const struct md_bucket *)segment_table(MD_SECTION_BUCKETS) + index;
    if (bucket->kind == MD_BUCKET_HEAP &&
        !bucket_restate_locked(index, MD_BUCKET_PEAK,
                               in_use(bucket, MD_HEAP_ALLOC_OBJECTS, MD_HEAP_FREE_OBJECTS),
                               in_use(bucket, MD_HEAP_ALLOC_BYTES, MD_HEAP_FREE_BYTES)))
        COUNT_ADD(lost_samples, 1);
}

void peak_keep(void)
{
    struct prof_thread *t = &prof_thread;
    if (t->busy || !segment_check())
        return;
    uint64_t count = segment_count(MD_SECTION_BUCKETS);
    for (uint64_t from = 0; from < count; from += BATCH) {
        t->busy = true;
        tables_take();
        uint64_t end = MIN(from + BATCH, MIN(count, segment_count(MD_SECTION_BUCKETS)));
        for (uint64_t i = from; i < end; i++)
            keep_locked((uint32_t)i);
        tables_give();
        t->busy = false;
    }
}
