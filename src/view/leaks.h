/* What leaks, and who allocated it: the live samples that the last two cycles did not reach, added
 * up by call stack (or by function, type, module, size), with the standard error of each sum.
 *
 * The cycle has counted all leaks, sampled or not, by size.  The samples say where they come from.
 * A sample of weight w is one object, and stands for w-1 others that are not sampled.  So the
 * unsampled leaks of a size are shared out among the leaked samples of that size in proportion to
 * w-1 (a calibration of weights, as in survey sampling), and the sums come to what was counted.  A
 * sample that comes to v objects adds v(v-1) to the variance (Horvitz-Thompson).  Where every block
 * is sampled, v is 1, the error 0 and the sum exact.  Leaks of a size that no sample stands for are
 * `unsampled`: they have no stack, so no suppression, and no age.  Where a segment has no counts, v
 * is w.  Bytes are usable sizes, as everywhere.
 *
 * The segment does not say which unreachable block points to which.  It says of each whether any
 * other points to it.  If none does, the leak is direct, a root cause.  Else it is indirect, and
 * goes away with what holds it.
 *
 * Used by memtop and, at exit, by the library on its own thread.  Memory: malloc.  Each object is
 * used by one thread at a time. */
#ifndef VIEW_LEAKS_H
#define VIEW_LEAKS_H

#include "view/leak_stacks.h"
#include "view/pprof.h"

#include <stdio.h>

enum leak_kind { LEAK_DIRECT, LEAK_INDIRECT, LEAK_KINDS };

struct leak_sum {
    double objects, objects_variance, bytes, bytes_variance;
    uint64_t samples;
    /* Births, in tenths of a second after md_header.start_ns; UINT32_MAX and 0 without samples. */
    uint32_t oldest_ds, newest_ds;
};

/* By type: the type that C++'s allocator was asked for, where the stack has it, else the function
 * that asked and the size of the block. */
enum leaks_by { LEAKS_BY_STACK, LEAKS_BY_FUNCTION, LEAKS_BY_TYPE, LEAKS_BY_MODULE, LEAKS_BY_SIZE };

/* The smallest thing that is added up: objects of one size and kind from one stack. */
struct leak {
    struct leak_sum sum;
    uint64_t size;  /* usable bytes */
    uint32_t stack; /* id */
    enum leak_kind kind;
};

/* By stack, direct and indirect leaks are in separate groups; otherwise a group has both. */
struct leak_group {
    struct leak_sum sum[LEAK_KINDS];
    const char *name; /* function, type or module; "" by stack and by size */
    uint64_t size;    /* usable bytes of each object; 0: they differ */
    uint32_t stack;   /* the id of one of its stacks; by stack, all fold to the same frames */
    uint32_t stacks;  /* how many it has */
};

/* Leaks of one size that no sample stands for. */
struct leaks_unsampled {
    uint64_t size; /* usable bytes of each; 0: not known, or they differ */
    uint64_t objects, bytes;
};
#define LEAKS_UNSAMPLED_MAX 128u

/* Whether a cycle says which blocks are unreachable.  It does not if it has not seen all registers,
 * unless it reached all blocks without them. */
static inline bool leaks_tell(const struct md_cycle *cycle)
{
    return !(cycle->flags & MD_CYCLE_SKIPPED) &&
           (!cycle->unseen_threads || !cycle->unreachable_objects);
}

struct leaks {
    struct leak_group *groups; /* by bytes; by stack direct ones first */
    size_t group_count;
    enum leaks_by by;
    struct leak_sum total[LEAK_KINDS];                     /* of all groups */
    struct leaks_unsampled unsampled[LEAKS_UNSAMPLED_MAX]; /* by bytes */
    size_t unsampled_count;
    bool counted;  /* `cycle` has counted leaks; if not, there may be leaks without any group */
    bool filtered; /* something was left out of the groups, so their sum is an estimate */
    struct leak_sum suppressed; /* left out by suppressions and excludes */
    uint64_t seen;              /* samples that are leaks, before anything was left out */
    uint64_t once;              /* samples that only the last cycle did not reach: not yet leaks */
    bool has_cycle;
    struct md_cycle cycle;   /* the last one of which leaks_tell is true */
    uint32_t unseen_threads; /* of a later one, of which it is false for that reason */
    uint64_t cycles;         /* done so far */
    uint64_t rate;           /* memprofilerate */
    uint64_t lost_samples;
    /* its own */
    struct leak *leaks;
    size_t leak_count, leak_room, group_room;
    struct leak_stacks stacks;
    struct leak_frame *shown;
    size_t shown_room;
};

struct leaks_options {
    struct symbolizer *symbolizer;     /* borrowed, with full_names; NULL: addresses only */
    struct suppressions *suppressions; /* borrowed, its sums grow; NULL: none */
    const char *const *excludes; /* leave out leaks with a frame of such a name; * is any text */
    size_t exclude_count;
    const struct profile *base; /* leave out what this profile had; must have leak_space */
    uint32_t born_from_ds;      /* leave out what was allocated before this, as md_sample.born_ds */
    enum leaks_by by;
};

/* `snap` must hold LEAKS_SNAPSHOT and outlive the result.  0, or ENOMEM with one line in `error`
 * (VIEW_ERROR_SIZE, may be NULL).  leaks_fini may follow either way. */
#define LEAKS_SNAPSHOT (SNAPSHOT_CYCLES | SNAPSHOT_PROFILE | SNAPSHOT_LEAKS)
int leaks_build(struct leaks *l, const struct snapshot *snap, const struct leaks_options *options,
                char *error);
void leaks_fini(struct leaks *l);
/* Whether it is known what leaks.  It is not before a cycle, nor after only one that has found
 * something unreachable. */
bool leaks_known(const struct leaks *l);
/* Whether anything leaks that was not left out. */
bool leaks_found(const struct leaks *l);
/* What leaks in all, groups and unsampled ones; exact if nothing was left out. */
struct leak_sum leaks_total(const struct leaks *l);
struct leak_sum leaks_unsampled_sum(const struct leaks *l);

/* The unsampled ones alone, by bytes, as the last cycle that has counted leaks has them; returns
 * how many.  `snap` must hold LEAKS_SNAPSHOT. */
size_t leaks_unsampled_of(const struct snapshot *snap,
                          struct leaks_unsampled sizes[LEAKS_UNSAMPLED_MAX]);

/* The frames of a stack (its id), the innermost first, without this library's own and folded
 * (leak_stacks.h); *recursive says that some were left out.  NULL, with *count 0: no memory.
 * Borrowed until the next call. */
const struct leak_frame *leaks_frames(struct leaks *l, uint32_t stack, size_t *count,
                                      bool *recursive);

/* How many frames stand before the one that a leak is charged to (plumbing.h); 0 if all would. */
size_t leaks_looked_through(const struct leak_frame *frames, size_t count);

/* Takes off what `base` had, before groups are made.  False: no memory.  (leaks_diff.c) */
bool leaks_subtract(struct leaks *l, const struct profile *base);

static inline struct leak_sum leak_sum_of(const struct leak_sum *a, const struct leak_sum *b)
{
    return (struct leak_sum){a->objects + b->objects,
                             a->objects_variance + b->objects_variance,
                             a->bytes + b->bytes,
                             a->bytes_variance + b->bytes_variance,
                             a->samples + b->samples,
                             a->oldest_ds < b->oldest_ds ? a->oldest_ds : b->oldest_ds,
                             a->newest_ds > b->newest_ds ? a->newest_ds : b->newest_ds};
}

/* ---- as text: in LeakSanitizer's format, for people and tools that know it ---- */

struct leaks_text {
    uint32_t pid;
    const char *name;
    size_t count;                            /* groups at most, 0: all */
    size_t frames;                           /* of a stack at most, 0: all */
    const struct suppressions *suppressions; /* NULL: none are listed */
};
/* Prints the groups, a count of the rest, the unsampled leaks, the suppressions used and, always, a
 * summary.  Errors of `out` are left for the caller to find. */
void leaks_print(struct leaks *l, const struct leaks_text *how, FILE *out);

/* "7 byte(s) in 1 object(s)" if exact, else "~12.3 MB ± 1.1 MB in ~1000 ± 90 object(s) (24
 * samples)". */
#define LEAKS_AMOUNT_SIZE 160
void leaks_amount(const struct leak_sum *sum, char text[LEAKS_AMOUNT_SIZE]);
/* "812 B", "12.3 kB", "1.25 MB": powers of two. */
#define LEAKS_BYTES_SIZE 48
void leaks_bytes(double bytes, char text[LEAKS_BYTES_SIZE]);

#endif
