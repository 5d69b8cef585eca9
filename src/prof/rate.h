/* How close together samples are: as memprofilerate says; or further apart, where they would cost
 * more CPU than memprofilecpu; or closer, for the size classes whose losses have no names
 * (leakrate).  One number says which, the fineness (governor.h), and is looked at anew each tenth
 * of a second in which a sample is taken, and after each cycle.
 *
 * A change takes no sample's law from it: the gap in progress ends as it was drawn, each sample
 * carries the rate that its own gap was drawn with, and the toll that it paid itself.  (In the
 * plain variant but for the rest of a window: points.h.) */
#ifndef PROF_RATE_H
#define PROF_RATE_H

#include "heap/object_map.h"

#include <stdbool.h>
#include <stdint.h>

/* The plain variant pays a page for each live sample, which is too dear for all below this rate. */
#define PROF_PLAIN_MIN_RATE (64u << 10)
/* With sampling off a gap is still drawn, so that a rate set later is seen: this many bytes. */
#define PROF_IDLE_GAP (64u << 20)

#define RATE_CLASSES (OBJECT_CLASS_HUGE + 1u)

/* By class: an allocation of S bytes is sampled as one of toll bytes is, with
 * 1 - exp(-toll / rate).  That is its bytes, or a multiple where the class wants more samples.  In
 * the tracked variant it is what the allocation takes off the gap in progress; in the plain one see
 * points.h.  0 where it is always its bytes: for OBJECT_CLASS_HUGE, and in the plain variant as
 * long as no class wants more.  Atomic: read once for each allocation. */
extern uint64_t rate_toll[RATE_CLASSES];
/* Bytes that the greatest of them is more than its allocation; 0: none is.  Atomic. */
extern uint64_t rate_window;

/* Once.  `paged`: a live sample has a page of its own (the plain variant); else the classes are
 * known. */
void rate_init(bool paged);
/* Mean bytes of a gap that is drawn now; 0: no samples. */
uint64_t rate_now(void);
/* After a cycle: which classes want more samples, and how many bytes they have lost since the one
 * before; 0: none now.  On the thread that runs cycles, with nothing held. */
void rate_want(const bool wanted[RATE_CLASSES], uint64_t lost_bytes);

/* Around the work of a sample, and of its end; every eighth of a thread's is measured, and the
 * others count for the mean. */
enum rate_work { RATE_SAMPLE, RATE_END, RATE_WORKS };
int64_t rate_begin(enum rate_work work);
void rate_end(enum rate_work work, int64_t begun);
/* A sample has been taken of what paid more than its bytes. */
void rate_paid_more(void);
/* An allocation has been looked at because of what others want, for so long, and is no sample. */
void rate_passed(uint64_t ns);
/* Sees whether the fineness is due to change.  Waits for nobody; async-signal-safe. */
void rate_look(void);
/* The options may have changed: the same, now. */
void rate_renew(void);

/* In a forked copy: no cycle of its own has wanted anything yet. */
void rate_postfork_child(void);

#endif
