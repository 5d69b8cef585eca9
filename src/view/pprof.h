/* pprof profiles: built from a snapshot, written as gzip'ed profile.proto, read back from any such
 * file, ours or another program's.
 *
 * A kind of profile is data: which buckets it takes, which values they give, what the period is.
 * The next kind (CPU, locks) is another line of kinds.def, not other code.
 *
 * Functions that return int return 0, or an errno value with one line in `error` (VIEW_ERROR_SIZE,
 * may be NULL).  After an error a profile is empty: profile_fini may follow, and need not.  Any
 * thread, but not a signal handler: malloc, zlib. */
#ifndef VIEW_PPROF_H
#define VIEW_PPROF_H

#include "view/profile.h"
#include "view/snapshot.h"
#include "view/symbolize.h"

#define PROFILE_VALUES_MAX 8

/* A sample type of kinds.def: (bucket.value[plus] - bucket.value[minus]) / 2^shift, rounded.  Never
 * below 0, which it would be where the writer is between its two additions.  minus -1: nothing is
 * subtracted.
 *
 * With `sample_flags`, in place of the bucket's values those of its live samples that have all of
 * these MD_SAMPLE_* flags; `plus` is MD_HEAP_ALLOC_OBJECTS or MD_HEAP_ALLOC_BYTES.  All such rules
 * of a kind have the same flags. */
struct profile_value_rule {
    enum md_bucket_kind bucket_kind;
    struct profile_value_type type;
    int plus, minus;
    unsigned shift;
    uint32_t sample_flags;
};

/* A kind of kinds.def. */
struct profile_kind {
    enum md_bucket_kind bucket_kind;
    const char *name, *help;
    const char *key_label;  /* the numeric label that holds md_bucket.key; "": none */
    const char *word_label; /* the label that holds the word of md_bucket.label; "": none */
    struct profile_value_type period_type;
};

/* By its number or its name; NULL: there is none such.  Static.
 *
 * A profile of heap has alloc_objects, alloc_space, inuse_objects and inuse_space, as Go's.  If a
 * cycle has been done and `snap` holds SNAPSHOT_LEAKS or _SAMPLES, it has leak_objects and
 * leak_space too: in use, and unreachable in the last two cycles. */
const struct profile_kind *profile_kind(enum md_bucket_kind kind);
const struct profile_kind *profile_kind_named(const char *name);
/* Its values, *count of them in the order of kinds.def; none if there is no such kind.  Static. */
const struct profile_value_rule *profile_kind_values(enum md_bucket_kind kind, size_t *count);

/* The name of the function of samples whose stack is not known. */
#define PPROF_UNKNOWN_STACK "[unknown stack]"

struct profile_options {
    enum md_bucket_kind kind;
    struct symbolizer *symbolizer;   /* borrowed; NULL: addresses and mappings only */
    const char *default_sample_type; /* "alloc_space", "leak_space" and so on, if the kind has it;
                                        NULL: what is there now (inuse_space, mapped_space) */
    int64_t time_nanos;              /* realtime of the data; 0: now */
};

/* `snap` must hold SNAPSHOT_PROFILE (snapshot_of_profile); the profile does not refer to it
 * afterwards.  profile_fini frees what it holds.  EINVAL: no such kind; ENOMEM. */
int profile_from_snapshot(struct profile *p, const struct snapshot *snap,
                          const struct profile_options *options, char *error);

/* One gzip member, into a buffer that the caller frees, or to a descriptor from where it stands.
 * After an error part of it may have been written there. */
int pprof_encode(const struct profile *p, uint8_t **bytes, size_t *size, char *error);
int pprof_write(const struct profile *p, int fd, char *error);

/* Reads gzip'ed or plain profile.proto.  EFBIG: more than `limit` bytes once inflated.  EINVAL: not
 * a sound profile, or one whose messages would take more than PPROF_MEMORY_FACTOR times `limit` in
 * memory; the profile made of them takes less than they do. */
#define PPROF_LIMIT (UINT64_C(256) << 20)
#define PPROF_MEMORY_FACTOR 8
int pprof_decode(struct profile *p, const void *bytes, size_t size, uint64_t limit, char *error);
/* The same from a file, which too has at most `limit` bytes. */
int pprof_read(struct profile *p, const char *path, uint64_t limit, char *error);

#endif
