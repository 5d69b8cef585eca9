/* Any bytes as a profile, plain or gzip'ed: what is accepted must go round. */
#include "replay.h"

#include "unit/fake_segment.h"
#include "view/pprof.h"
#include "view/top.h"

#include <zlib.h>

#define LIMIT (UINT64_C(4) << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct profile p, again;
    char error[VIEW_ERROR_SIZE];
    if (pprof_decode(&p, bytes, size, LIMIT, error) != 0)
        return 0;
    for (int i = 0; i < (int)p.type_count && i < 4; i++) {
        struct top top;
        char *text = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&text, &length);
        if (top_build(&top, &p, i, &(struct top_options){0.01, 0.01, 5, i & 1}))
            top_print(&top, &p, true, out);
        fclose(out);
        free(text);
        top_fini(&top);
    }
    uint8_t *packed;
    size_t packed_size;
    if (pprof_encode(&p, &packed, &packed_size, error) != 0)
        abort();
    if (pprof_decode(&again, packed, packed_size, PPROF_LIMIT, error) != 0 ||
        again.sample_count != p.sample_count || again.location_count != p.location_count)
        abort();
    profile_fini(&again);
    profile_fini(&p);
    free(packed);
    return 0;
}

/* 0: gzip'ed, 1: plain. */
uint8_t *fuzz_seed(unsigned index, size_t *size)
{
    struct fake_segment s;
    struct snapshot snap;
    struct profile p;
    uint8_t *packed = NULL;
    if (index > 1)
        return NULL;
    fake_full(&s);
    const struct profile_options options = {.kind = MD_BUCKET_HEAP};
    if (snapshot_take(&snap, s.bytes, s.size, SNAPSHOT_ALL, NULL) != 0 ||
        profile_from_snapshot(&p, &snap, &options, NULL) != 0)
        abort();
    const char *name = string_pool_add(&p.strings, "main");
    profile_add_function(&p, &(struct profile_function){name, name, name, 1});
    profile_add_line(&p, 0, 12);
    p.locations[0].line_first = (uint32_t)p.line_count - 1;
    p.locations[0].line_count = 1;
    if (pprof_encode(&p, &packed, size, NULL) != 0)
        abort();
    profile_fini(&p);
    snapshot_fini(&snap);
    free(s.bytes);
    if (index == 0)
        return packed;
    uint8_t *plain = malloc(1 << 16);
    z_stream z = {
        .next_in = packed, .avail_in = (unsigned)*size, .next_out = plain, .avail_out = 1 << 16};
    if (!plain || inflateInit2(&z, 31) != Z_OK || inflate(&z, Z_FINISH) != Z_STREAM_END)
        abort();
    *size = z.total_out;
    inflateEnd(&z);
    free(packed);
    return plain;
}
