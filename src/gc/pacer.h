/* When the next cycle is due: arithmetic on numbers that it is given, so that it can be run on
 * simulated heaps.
 *
 * By growth: when the bytes in use reach the goal, max(min_heap, in use at the end of the last
 * cycle x (1 + percent / 100)), but no more than `limit`.  By time: `interval` after the last cycle
 * ended.
 *
 * A cycle at the limit is there to be told in time what leaks.  It frees nothing, so after it as
 * much is in use as before, and the next would be due at once: of those that are due by the limit
 * alone, all but the first wait until they take at most 1 % of one CPU, as by the automatic
 * interval.
 *
 * A program that grows fast may not be eaten up by cycles.  A cycle by growth waits until, counted
 * from the start of the last one, tracing has used at most a quarter of the CPUs (Go's share while
 * its collector runs) and the program has stood still for at most a twentieth of the time.  The
 * automatic interval is the shortest of at least 5 s in which the last cycle's CPU time is at most
 * 1 % of one CPU.
 *
 * What a cycle spends on memory beside the heap (a JVM's own, gigabytes beside a few MB of
 * malloc's) has nothing to do with the heap's growth.  On that, cycles by growth too spend at most
 * 1 % of a CPU.
 *
 * What could not be done is tried again after a while that doubles each time, so that a program in
 * which no cycle can be done is left alone.
 *
 * Bytes, and nanoseconds of any one clock. */
#ifndef GC_PACER_H
#define GC_PACER_H

#include <stdbool.h>
#include <stdint.h>

#define PACER_OFF UINT64_MAX
#define PACER_AUTO (UINT64_MAX - 1)
#define PACER_AUTO_MIN_NS INT64_C(5000000000)
#define PACER_AUTO_CPU_DIVISOR 100 /* 1 % of a CPU */
#define PACER_CPU_DIVISOR 4        /* a quarter of the CPUs */
/* Up to so much beside the heap is taken for part of it: looking at it takes some 10 ms. */
#define PACER_BESIDE_MIN (UINT64_C(64) << 20)
/* The last cycle was at the limit if no more than so much of it was left. */
#define PACER_LIMIT_DIVISOR 16
#define PACER_PAUSE_DIVISOR 20 /* a twentieth of the time */
#define PACER_AGAIN_MIN_NS INT64_C(10000000)
#define PACER_AGAIN_MAX_NS INT64_C(10000000000)

struct pacer_settings {
    uint64_t percent;     /* PACER_OFF: never by growth */
    uint64_t min_heap;    /* bytes */
    uint64_t interval_ns; /* PACER_OFF, PACER_AUTO */
    unsigned cpus;
    uint64_t limit; /* bytes in use that no goal is above; PACER_OFF: none */
};

struct pacer {
    uint64_t base;     /* bytes in use at the end of the last cycle, 0 before the first */
    int64_t start_ns;  /* of the last cycle, or of the pacer */
    int64_t end_ns;    /* of the last cycle, or of the pacer */
    int64_t cpu_ns;    /* of the last cycle, failed attempts too */
    int64_t beside_ns; /* part of that, for memory beside the heap */
    int64_t pause_ns;  /* likewise */
    int64_t again_ns;  /* after end_ns, no other is tried for so long; 0 after one that was done */
};

void pacer_init(struct pacer *pacer, int64_t now_ns);
/* A cycle, or one that was skipped (not done), has ended; it has looked at so many bytes of the
 * heap, and beside it. */
struct pacer_cycle {
    int64_t start_ns, end_ns, cpu_ns, pause_ns;
    uint64_t heap_bytes, beside_bytes;
    bool done;
};
void pacer_cycle(struct pacer *pacer, const struct pacer_cycle *cycle);
/* Bytes in use after a cycle that was done: what the next goal is counted from. */
void pacer_base(struct pacer *pacer, uint64_t in_use);

/* PACER_OFF: never by growth. */
uint64_t pacer_goal(const struct pacer *pacer, const struct pacer_settings *settings);

enum pacer_due { PACER_WAIT, PACER_GROWN, PACER_TIMED };
/* Whether a cycle is due with `in_use` bytes; if not, *look_again_ns is when time alone may make it
 * due (INT64_MAX: never). */
enum pacer_due pacer_due(const struct pacer *pacer, const struct pacer_settings *settings,
                         int64_t now_ns, uint64_t in_use, int64_t *look_again_ns);

#endif
