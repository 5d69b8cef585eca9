/* What is set in jemalloc, and asked of it, before its first block. */
#include "malloc/jemalloc.h"

#include "base/compiler.h"
#include "base/fmt.h"
#include "heap/object_map.h"

/* A program may define malloc_conf for jemalloc: it is found here, as it would be there. */
EXPORT __attribute__((weak)) const char *malloc_conf;

THREAD_LOCAL size_t jemalloc_asked_bytes;

/* What nobody can overrule. */
static const char *const settings[] = {
    [JEMALLOC_UNWATCHED] = "dss:disabled,zero_realloc:free,prof:false",
    [JEMALLOC_SAMPLED] =
        ("dss:disabled,zero_realloc:free,prof:true,prof_active:true,prof_thread_active_init:true,"
         "prof_final:false,prof_leak:false,prof_gdump:false,prof_accum:false,lg_prof_interval:-1,"
         "prof_stats:false,prof_recent_alloc_max:0"),
    [JEMALLOC_TRACKED] = ("dss:disabled,zero_realloc:free,prof:false" JEMALLOC_SIZES_OF_CLASSES),
};

void jemalloc_configure(enum jemalloc_use use, bool clobber)
{
    static char all[512]; /* jemalloc may read it at any time until it is up */
    struct fmt f = fmt_on(all, sizeof all);
    fmt_text(&f, settings[use]);
    if (clobber)
        fmt_text(&f, ",junk:free");
    jep_malloc_conf = malloc_conf;
    jep_malloc_conf_2_conf_harder = all;
}

bool jemalloc_learn_classes(void)
{
    static size_t sizes[256], slabs[256];
    unsigned small = 0, large = 0;
    size_t length = sizeof small, value = sizeof(size_t), mib[4], mib_length = 4;
    if (jep_mallctl("arenas.nbins", &small, &length, NULL, 0) != 0 ||
        jep_mallctl("arenas.nlextents", &large, &length, NULL, 0) != 0 ||
        small + large > ARRAY_LENGTH(sizes))
        return false;
    for (unsigned i = 0; i < small; i++) {
        mib_length = 4;
        if (jep_mallctlnametomib("arenas.bin.0.size", mib, &mib_length) != 0)
            return false;
        mib[2] = i;
        jep_mallctlbymib(mib, mib_length, &sizes[i], &value, NULL, 0);
        mib_length = 4;
        jep_mallctlnametomib("arenas.bin.0.slab_size", mib, &mib_length);
        mib[2] = i;
        jep_mallctlbymib(mib, mib_length, &slabs[i], &value, NULL, 0);
    }
    for (unsigned i = 0; i < large; i++) {
        mib_length = 4;
        if (jep_mallctlnametomib("arenas.lextent.0.size", mib, &mib_length) != 0)
            return false;
        mib[2] = i;
        jep_mallctlbymib(mib, mib_length, &sizes[small + i], &value, NULL, 0);
    }
    object_map_set_classes(sizes, small + large, slabs, small);
    return true;
}
