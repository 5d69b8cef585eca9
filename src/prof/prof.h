/* The sampled heap profile.  Allocations are sampled by bytes: a gap is drawn from an exponential
 * distribution with mean memprofilerate (rate.h), and the allocation in which it ends is a sample.
 * An allocation of S bytes is then sampled with probability p = 1 - exp(-S / rate), independent of
 * everything before, so it stands for 1/p objects; each sample carries that weight with the rate
 * its own gap was drawn with, which keeps sums unbiased when the rate changes at any time.
 *
 * A sample is charged to its bucket (stack, size) when it is taken and again when it is freed, in
 * the segment, where readers find alloc and free sums.  Nothing here uses the heap; the one lock is
 * held for some 100 ns.  Nothing is recorded on threads of ours. */
#ifndef PROF_PROF_H
#define PROF_PROF_H

#include "base/rng.h"
#include "prof/points.h"
#include "prof/rate.h"

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of each thread, which alone writes it, its signal handlers among it; zero is a good start. */
struct prof_thread {
    uint64_t gap_rate; /* rate that the gap in progress was drawn with; 0: no sample at its end */
    struct rng rng;
    struct points points; /* the plain variant */
    bool seeded;
    bool busy;         /* inside the profiler: what it calls is not sampled */
    bool gathering;    /* inside the unwinder */
    bool trusting;     /* inside it, and words that may be no return addresses are followed */
    bool alone;        /* within fork: no other thread was inside, so the copy may take stacks */
    uint32_t closings; /* within so many calls of dlclose */
};
extern _Thread_local struct prof_thread prof_thread __attribute__((tls_model("initial-exec")));

void prof_init(void);
/* In a forked copy: takes over the live samples of the parent's tables, if there are any. */
struct tables;
void prof_inherit(const struct tables *parent);
/* Around fork, in the parent.  The first waits, for microseconds as a rule, until no other thread
 * is inside the unwinder. */
void prof_before_fork(void);
void prof_after_fork(void);
/* Around dlclose, with the same wait: samples of other threads read nothing of what it unmaps. */
void prof_before_close(void);
void prof_after_close(void);
/* In a forked copy, before any other thread of it begins. */
void prof_postfork_child(void);
/* Called after each sample and each mapping, with nothing held, outside the profiler; may be NULL.
 */
extern void (*prof_on_sample)(void);
/* Bytes to the next sample of this thread, at least 1. */
uint64_t prof_draw_gap(void);
/* Whether the gap that has just ended makes a sample on this thread. */
static inline bool prof_wanted(void)
{
    return prof_thread.gap_rate != 0 && !prof_thread.busy;
}
/* The plain variant: bytes that this thread may allocate, which has allocated so many, before the
 * next allocation must be looked at. */
uint64_t prof_wait(uint64_t allocated_bytes);
/* The toll of that allocation, of `size` usable bytes, if it is a sample on this thread; else 0. */
uint64_t prof_choose(uint64_t allocated_bytes, size_t size);
/* Takes a sample of `ptr`, `size` usable bytes, which has paid `toll` (rate.h), and lies apart from
 * others of its size: those lie at `sibling` (pins.h; 0: not known).  Returns a handle for
 * prof_free, 0 if the sample could not be kept (counted). */
uint64_t prof_alloc(const void *ptr, size_t size, uint64_t toll, uintptr_t sibling);
void prof_free(uint64_t handle);
/* The same by address, for callers that keep no handle: prof_alloc_at also notes the address.
 * False: not kept. */
bool prof_alloc_at(const void *ptr, size_t size, uint64_t toll);
void prof_free_at(const void *ptr);

/* Names this moment between two samples.  Takes no lock. */
uint64_t prof_moment(void);
/* What a cycle that looked at `moment` says of the first `count` records of live samples:
 * MD_SAMPLE_UNREACHED and MD_SAMPLE_INDIRECT, a byte each, with MD_SAMPLE_LEAK what it was before.
 * Returns how many are leaks now. */
uint64_t prof_flag(const uint8_t *flags, uint64_t count, uint64_t moment);
/* After it: how many leaks of each size class have no sample.  Classes of which too few have one
 * get more samples from now on (unnamed.h). */
void prof_unsampled(const uint64_t objects[RATE_CLASSES]);

/* Weight of a sample that took `toll` bytes off a gap drawn at `rate`, in 1/MD_WEIGHT_ONE. */
uint64_t prof_weight(uint64_t toll, uint64_t rate);

#endif
