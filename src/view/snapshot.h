/* A snapshot is a copy of what a segment says, in plain memory, checked so that it can be trusted.
 * This is the only code that reads segments, but for struct md_control, which memtop's ask.c works
 * on.  All else in view/ and in memtop reads snapshots.  The segment may be a live writer's
 * mapping, a dead process's file, or a truncated or hostile file: every offset, count, index and
 * string is checked against the mapping before it is used.
 *
 * A live writer goes on meanwhile.  Each record is as it was at one moment, but not all at the
 * same.  The bucket and the stack that a record points to are copied after it, and so are there.  A
 * record that cannot be read whole is left out and counted in `torn`.
 *
 * The reader never writes to the segment and takes no lock, so the target is not disturbed.
 * Memory: malloc; snapshot_fini frees it.  Each object is used by one thread at a time. */
#ifndef VIEW_SNAPSHOT_H
#define VIEW_SNAPSHOT_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define VIEW_ERROR_SIZE 256

/* A segment file mapped for reading. */
struct segment_file {
    const void *base; /* NULL: not open */
    size_t size;      /* bytes mapped: of the file as it is, not as its header claims */
    int fd;           /* open while a file on a tmpfs is mapped; -1: `base` is memory of our own */
    dev_t dev;
    ino_t ino;
    bool writable;
};

/* Maps `path`; with `writable` read-write, for struct md_control alone.  A file on a disk is copied
 * into memory (with `writable`: EROFS).  One on a tmpfs is mapped, and its owner may cut it short
 * at any time.  A program that opens files of others needs a handler for the SIGBUS that may follow
 * (memtop's is target/bus_error.h: what is missing reads as zeros).
 * Returns 0, or an errno value with one line in `error` (VIEW_ERROR_SIZE, may be NULL).
 * segment_file_close may follow either way. */
int segment_file_open(struct segment_file *file, const char *path, bool writable, char *error);
void segment_file_close(struct segment_file *file);

#define SNAPSHOT_CYCLES 1u
#define SNAPSHOT_PROFILE 2u /* modules, stacks, buckets */
#define SNAPSHOT_SAMPLES 4u
#define SNAPSHOT_ALL 7u /* these three */
/* Of the samples those that the last cycle did not reach, and counts of unsampled leaks. */
#define SNAPSHOT_LEAKS 8u
#define SNAPSHOT_MAPPINGS 16u
#define SNAPSHOT_RANGES 32u /* and header.allocator as of them */
#define SNAPSHOT_ANSWER 64u /* and header.answer as of it */
#define SNAPSHOT_PAST 128u

struct snapshot {
    unsigned what; /* SNAPSHOT_* that it was asked for */
    /* Checked: strings are terminated and plain text; counts of sections lie within the mapping,
     * but for that of cycles, which is of all ever written. */
    struct md_header header;
    struct md_cycle *cycles; /* oldest first, skips included */
    size_t cycle_count;
    struct md_module *modules;
    size_t module_count;
    uint64_t *stack_words; /* the whole section: snapshot_stack finds a stack in it */
    size_t stack_word_count;
    struct md_bucket *buckets; /* same indexes as in the segment; kind MD_BUCKET_UNUSED: skip */
    size_t bucket_count;
    struct md_sample *samples; /* live ones only, packed */
    size_t sample_count;
    struct md_unsampled *unsampled; /* perhaps of several cycles */
    size_t unsampled_count;
    struct md_mapping *mappings; /* by address; none without SNAPSHOT_PROFILE */
    size_t mapping_count;
    struct md_range *ranges; /* in no order */
    size_t range_count;
    uint64_t *answer_words; /* records of the answer: snapshot_record */
    size_t answer_word_count;
    struct md_past *past; /* by time, which none has twice */
    size_t past_count;
    uint64_t torn;    /* records that could not be read whole */
    int64_t taken_ns; /* CLOCK_MONOTONIC */
};

/* Copies what `what` (SNAPSHOT_*) names out of `size` bytes at `base`.  0, or an errno value
 * (EINVAL: not a segment, EPROTO: a version that cannot be read, ENOMEM) with one line in `error`
 * (may be NULL); the snapshot is then empty.  Older versions are read, and newer ones whose
 * oldest_reader allows it: what the writer did not know is 0 here, what this reader does not know
 * is passed over. */
int snapshot_take(struct snapshot *snap, const void *base, size_t size, unsigned what, char *error);
/* The same of a file.  Holes in it are never touched, as a load from one would take memory of the
 * tmpfs: a section ends at its first hole, and the rest of it counts as torn. */
int snapshot_read(struct snapshot *snap, const struct segment_file *file, unsigned what,
                  char *error);
void snapshot_fini(struct snapshot *snap);

/* What changes all the time, without the rest: `counters` and, of the cycles, how many there have
 * ever been.  A hundred loads and no system call, so that a thousand segments can be looked at each
 * second.  Only of a file that snapshot_read has read before; of a writer that does not know a
 * counter it is 0. */
void snapshot_counters(const struct segment_file *file, struct md_counters *counters,
                       uint64_t *cycles);

/* Whether the writer's version has this section.  If not, nothing is known of what it is for. */
static inline bool snapshot_has(const struct snapshot *snap, enum md_section_id id)
{
    return id < snap->header.section_count;
}

/* What a heap profile needs: SNAPSHOT_PROFILE, and once there has been a cycle SNAPSHOT_LEAKS too.
 * Arguments as above; SNAPSHOT_PROFILE if this is no segment. */
unsigned snapshot_of_profile(const void *base, size_t size);

/* The stack with this id; NULL for 0, and for one that is not within the section.  Borrowed. */
const struct md_stack *snapshot_stack(const struct snapshot *snap, uint32_t id);
/* Of the answer the next record of this kind, with at least so many bytes, from *at on, which is 0
 * at first; NULL: there is none.  Its fields are as they were written: what they count may lie
 * behind its end, and texts are not checked.  Borrowed. */
const struct md_answer_record *snapshot_record(const struct snapshot *snap, size_t *at,
                                               enum md_answer_kind kind, size_t bytes);
/* Of the answer the next object that its stacks lie in, from *at on, with its fields in order;
 * false: there is none. */
bool snapshot_answer_module(const struct snapshot *snap, size_t *at, struct md_module *module);
/* A module's build ID in hexadecimal; "": it has none. */
#define BUILD_ID_TEXT_SIZE (2 * sizeof((struct md_module *)NULL)->build_id + 1)
void snapshot_build_id(const struct md_module *module, char text[BUILD_ID_TEXT_SIZE]);
/* The module that held `pc` at a stack's epoch, or NULL.  Borrowed.  Looks at each module. */
const struct md_module *snapshot_module(const struct snapshot *snap, uint64_t pc, uint32_t epoch);

#endif
