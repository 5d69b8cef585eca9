/* The verdict: what a process's memory has been doing, as one finding, or none where the evidence
 * is thin.  Few rules, by pure arithmetic over readings that others have taken: no I/O, no clock,
 * no memory but the caller's.  README.md has the rules as a table.
 *
 * A verdict is found in two steps.  verdict_find says what there is: how much has grown, over how
 * long, and of what kind it is.  The caller then adds up, by call site, what that is made of, and
 * verdict_attribute says which sites to name: those that stand out of the error of their samples.
 *
 * What has been said once is held on to at half of each bound, so that a line does not come and go.
 */
#ifndef VIEW_VERDICT_H
#define VIEW_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a reading has, in bytes.  RSS is what the kernel counts; those from SLACK on are its parts
 * beside the heap in use. */
enum verdict_series {
    VERDICT_HEAP,      /* in use, as the process counts it */
    VERDICT_RSS,       /* resident */
    VERDICT_MAPPED,    /* anonymous address space that the program has mapped itself */
    VERDICT_PARTED,    /* resident when its parts were taken, which is somewhat earlier */
    VERDICT_SLACK,     /* unused space of partly used slabs */
    VERDICT_CACHES,    /* of the program's threads */
    VERDICT_FREE,      /* free pages that the allocator keeps: dirty and muzzy */
    VERDICT_METADATA,  /* of the allocator */
    VERDICT_STACKS,    /* of threads */
    VERDICT_ANONYMOUS, /* other anonymous mappings */
    VERDICT_FILES,     /* mapped files */
    VERDICT_SHARED,    /* shared memory */
    VERDICT_SERIES
};

struct verdict_reading {
    int64_t time_ns;              /* CLOCK_MONOTONIC, as all times here */
    double value[VERDICT_SERIES]; /* NAN: not known */
};

/* Readings, oldest first, two seconds or more apart but for the newest. */
#define VERDICT_READINGS 320
struct verdict_history {
    struct verdict_reading reading[VERDICT_READINGS];
    size_t count;
};
/* A reading of which nothing is known. */
struct verdict_reading verdict_blank(int64_t time_ns);
/* Adds one; it is passed over if it is older than the newest. */
void verdict_add(struct verdict_history *history, const struct verdict_reading *reading);

/* A cycle tells of now for so long. */
#define VERDICT_FRESH_NS INT64_C(60000000000)

/* Of what was in use at a moment, how much has been found lost: unreachable in the cycle of that
 * moment, and the same blocks in the next.  At a process's start both are 0. */
struct verdict_point {
    int64_t time_ns;
    double heap_bytes, leaked_bytes;
};

/* A sampled object that leaks.  `bytes` is what it stands for. */
struct verdict_lost {
    int64_t born_ns;
    double bytes, variance;
};

struct verdict_evidence {
    const struct verdict_history *history; /* may be empty */
    const struct verdict_point *point;     /* oldest first */
    size_t point_count;
    const struct verdict_lost *lost; /* as the last point has them, in any order */
    size_t lost_count;
    double sample_bytes; /* what one sample may stand for: the mean bytes between two */
    double peak_bytes;   /* the most that was ever in use; NAN: not known */
    bool whole_life;     /* there is one look only: from the process's start to now is the time */
};

enum verdict_kind {
    VERDICT_NONE,
    VERDICT_LEAK,    /* what has grown is lost, or a share of it */
    VERDICT_HELD,    /* the heap has grown, and what is new is reachable */
    VERDICT_GROWTH,  /* the heap has grown, and no cycle tells whether that is reachable */
    VERDICT_KEPT,    /* RSS has grown by what the allocator keeps: `part` */
    VERDICT_OUTSIDE, /* RSS has grown by what is not the heap: `part` */
};

#define VERDICT_NAMES 2
struct verdict {
    enum verdict_kind kind;
    enum verdict_series part; /* of KEPT and OUTSIDE */
    double growth_bytes;      /* of the heap; of KEPT and OUTSIDE of RSS */
    double seconds;           /* in that time, */
    int64_t from_ns, to_ns;   /* from here to there */
    double leaked_bytes;      /* LEAK, HELD: in that time */
    double part_bytes;        /* KEPT, OUTSIDE: how much of the growth the part explains, */
    double heap_bytes;        /* and by how much the heap has grown meanwhile */
    uint64_t block_bytes;     /* KEPT, of slabs: blocks of this size pin most of them; 0: of none */
    struct verdict_name {
        uint32_t stack;
        uint64_t site;
        double share;      /* of what the verdict is about */
    } name[VERDICT_NAMES]; /* the greatest first */
    size_t name_count;
};

/* What there is to say.  `before` is the verdict of the tick before, or NULL. */
struct verdict verdict_find(const struct verdict_evidence *evidence, const struct verdict *before);

/* How much of it is a call site's.  Of LEAK what was born there from from_ns to to_ns and is lost;
 * of HELD and GROWTH the growth of the heap's sites, of OUTSIDE of those that map; of KEPT, if it
 * is slabs', the free room that its blocks pin. */
struct verdict_site {
    uint64_t site;
    uint32_t stack;
    double bytes, error; /* one standard error */
};
/* Names those that are more than three standard errors, and a fifth of `total_bytes`. */
void verdict_attribute(struct verdict *verdict, const struct verdict_site *sites, size_t count,
                       double total_bytes, const struct verdict *before);

#endif
