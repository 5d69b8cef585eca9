/* A snapshot answers: what did this segment say, at one moment, as plain memory that can be
 * trusted?  It is the only code that reads a segment, but for the answers in its control word,
 * which memtop's ask.c waits for.  Everything else in view/ and in memtop reads snapshots.  It
 * works on a live writer's mapping, on a dead process's file, on a truncated or hostile file: every
 * offset, count, index and string is checked against the mapping before it is used; a record that
 * cannot be read whole is left out and counted in `torn`.
 *
 * The reader never writes to the segment, so the target does nothing because it is looked at.
 * Memory: malloc; snapshot_fini frees it.  Not thread-safe per object, no globals. */
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
    int fd;           /* of what is mapped from a tmpfs; -1: `base` is memory of our own */
    dev_t dev;
    ino_t ino;
    bool writable;
};

/* Maps `path`.  With `writable`, read-write: only for struct md_control.  Of a file on a disk a
 * copy is read into memory.  One on a tmpfs is mapped, and its owner may cut it at any time: a
 * program that opens files of others has a handler for the SIGBUS that follows
 * (tools/memtop/bus_error.h); what is missing then reads as zeros.
 * On failure returns an errno value and one line in `error` (VIEW_ERROR_SIZE). */
int segment_file_open(struct segment_file *file, const char *path, bool writable, char *error);
void segment_file_close(struct segment_file *file);

#define SNAPSHOT_CYCLES 1u
#define SNAPSHOT_PROFILE 2u /* modules, stacks, buckets */
#define SNAPSHOT_SAMPLES 4u
#define SNAPSHOT_ALL 7u
#define SNAPSHOT_LEAKS                                                                             \
    8u /* of the samples those that the last cycle did not reach; unsampled ones */
#define SNAPSHOT_MAPPINGS 16u

struct snapshot {
    unsigned what;           /* SNAPSHOT_* that it was asked for */
    struct md_header header; /* checked: strings terminated, section counts within the mapping */
    struct md_cycle *cycles; /* oldest first, skips included */
    size_t cycle_count;
    struct md_module *modules;
    size_t module_count;
    uint64_t *stack_words; /* private copy */
    size_t stack_word_count;
    struct md_bucket *buckets; /* same indexes as in the segment; kind MD_BUCKET_UNUSED: skip */
    size_t bucket_count;
    struct md_sample *samples; /* live ones only, packed */
    size_t sample_count;
    struct md_unsampled *unsampled; /* of several cycles, perhaps */
    size_t unsampled_count;
    struct md_mapping *mappings; /* by address */
    size_t mapping_count;
    uint64_t torn;    /* records that could not be read whole */
    int64_t taken_ns; /* CLOCK_MONOTONIC */
};

/* Copies what `what` (SNAPSHOT_*) names out of `size` bytes at `base`.  0, or an errno value
 * (EINVAL: not a segment, EPROTO: a version that cannot be read, ENOMEM) and one line in `error`.
 * Older versions are read, and newer ones whose oldest_reader allows it: what the writer did not
 * know is 0 here, what this reader does not know is passed over. */
int snapshot_take(struct snapshot *snap, const void *base, size_t size, unsigned what, char *error);
/* The same of a file.  A hole in it is never touched, as reading one fills it with memory of the
 * tmpfs: the section ends there, and the rest of it counts as torn. */
int snapshot_read(struct snapshot *snap, const struct segment_file *file, unsigned what,
                  char *error);
void snapshot_fini(struct snapshot *snap);

/* Whether the writer's version has this section.  Where not, nothing is known of what it is for. */
static inline bool snapshot_has(const struct snapshot *snap, enum md_section_id id)
{
    return id < snap->header.section_count;
}

/* What a heap profile needs: what leaks too, once a cycle has looked.  `base` as
 * above; what is no segment needs SNAPSHOT_PROFILE. */
unsigned snapshot_of_profile(const void *base, size_t size);

/* The stack with this id, or NULL for 0 and for what does not hold together.  Borrowed. */
const struct md_stack *snapshot_stack(const struct snapshot *snap, uint32_t id);
/* The module that held `pc` at a stack's epoch, or NULL.  Borrowed. */
const struct md_module *snapshot_module(const struct snapshot *snap, uint64_t pc, uint32_t epoch);

#endif
