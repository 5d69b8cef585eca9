/* pprof profiles: built from a snapshot, written as gzip'ed profile.proto, read back from any such
 * file, ours or another program's.
 *
 * A kind of profile is data: which buckets it takes, which values they give, what the period is.
 * The next kind (CPU, locks) is another line of kinds.def, not other code.
 *
 * All functions return 0 or an errno value with one line in `error` (VIEW_ERROR_SIZE, may be
 * NULL).  Not for signal handlers: malloc, zlib. */
#ifndef VIEW_PPROF_H
#define VIEW_PPROF_H

#include "view/profile.h"
#include "view/snapshot.h"
#include "view/symbolize.h"

#define PROFILE_VALUES_MAX 8

/* Value = (bucket.value[plus] - bucket.value[minus]) / 2^shift, rounded, never below 0: the writer
 * may be between its two additions.  minus -1: nothing is subtracted.
 *
 * With `sample_flags` the value is not the bucket's but that of its live samples that carry all of
 * these MD_SAMPLE_* flags: `plus` MD_HEAP_ALLOC_OBJECTS or MD_HEAP_ALLOC_BYTES says which. */
struct profile_value_rule {
    enum md_bucket_kind bucket_kind;
    struct profile_value_type type;
    int plus, minus;
    unsigned shift;
    uint32_t sample_flags;
};

/* A line of kinds.def. */
struct profile_kind {
    enum md_bucket_kind bucket_kind;
    const char *name, *help;
    const char *key_label;  /* numeric label that gets md_bucket.key; "": none */
    const char *word_label; /* label that gets the word of md_bucket.label; "": none */
    struct profile_value_type period_type;
};

/* By its number or its name; NULL: there is none such.
 *
 * heap: alloc_objects alloc_space inuse_objects inuse_space, as Go's heap profile; when a cycle has
 * been done and `snap` holds SNAPSHOT_LEAKS or _SAMPLES also leak_objects leak_space: in use, and
 * unreachable in the last two cycles. */
const struct profile_kind *profile_kind(enum md_bucket_kind kind);
const struct profile_kind *profile_kind_named(const char *name);
/* Its values, `*count` of them in the order of kinds.def; none where there is no such kind. */
const struct profile_value_rule *profile_kind_values(enum md_bucket_kind kind, size_t *count);

/* The function of samples whose stack is not known. */
#define PPROF_UNKNOWN_STACK "[unknown stack]"

struct profile_options {
    enum md_bucket_kind kind;
    struct symbolizer *symbolizer;   /* borrowed; NULL: addresses and mappings only */
    const char *default_sample_type; /* NULL: what is there now: inuse_space, as Go's heap profile
                                        has it, mapped_space; "alloc_space": allocs; "leak_space":
                                        leaks, if there are such types */
    int64_t time_nanos;              /* realtime of the data; 0: now */
};

/* `snap` must hold SNAPSHOT_PROFILE (snapshot_of_profile).  The profile does not refer to it
 * afterwards. */
int profile_from_snapshot(struct profile *p, const struct snapshot *snap,
                          const struct profile_options *options, char *error);

/* One gzip member into a buffer that the caller frees, or to a descriptor. */
int pprof_encode(const struct profile *p, uint8_t **bytes, size_t *size, char *error);
int pprof_write(const struct profile *p, int fd, char *error);

/* Reads gzip'ed or plain profile.proto.  More than `limit` bytes once inflated are EFBIG; the
 * memory it takes is at most about PPROF_MEMORY_FACTOR times `limit`.  Anything that is not a sound
 * profile is EINVAL. */
#define PPROF_LIMIT (UINT64_C(256) << 20)
#define PPROF_MEMORY_FACTOR 8
int pprof_decode(struct profile *p, const void *bytes, size_t size, uint64_t limit, char *error);
/* The same from a file, of at most `limit` bytes. */
int pprof_read(struct profile *p, const char *path, uint64_t limit, char *error);

#endif
