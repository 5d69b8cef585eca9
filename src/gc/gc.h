/* The tracing layer in observe mode: one cycle stops the world, takes a snapshot, resumes, marks
 * what is reachable from registers, stacks, TLS, modules' data and other private memory, and tells
 * what is not.  It frees nothing and writes nothing into the program.
 *
 * Which blocks are allocated is told by the object map, or where there is none by
 * gc_hooks.allocated, by the engines clone and stop alone.  The work is done on a thread of its own
 * with a descriptor table of its own (tracer.h), started at the first cycle. */
#ifndef GC_GC_H
#define GC_GC_H

#include "heap/allocated.h"
#include "heap/object_map.h"

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the rest of the library gives the tracing layer; set once by memdebug.c. */
struct gc_hooks {
    /* bytes in use now, of the counters: the pacer's input.  Also called while the program's
     * threads are parked: takes no lock, allocates nothing. */
    uint64_t (*in_use_bytes)(void);
    /* a cycle or skip is complete: print it.  On the thread that called gc_cycle. */
    void (*on_cycle)(const struct md_cycle *cycle);
    /* usable bytes of a block of OBJECT_CLASS_HUGE.  Called in the snapshot child, where locks may
     * be held for ever.  May be NULL: such blocks are then taken for empty. */
    size_t (*block_size)(const void *block);
    /* Where there is no object map; may be NULL where there is one. */
    allocated_enter *allocated;
    /* A name for this moment, by which samples taken later are told from those before.  Called
     * while the program's threads are parked, as in_use_bytes.  May be NULL. */
    uint64_t (*sample_moment)(void);
    /* After a cycle, on the thread that called gc_cycle: what it says of the first `count` records
     * of the sample table, a byte each.  MD_SAMPLE_UNREACHED and MD_SAMPLE_INDIRECT are what the
     * record says from now on; MD_SAMPLE_LEAK instead means that it stays as it is.  Samples taken
     * after `moment` are left alone.  Returns how many are leaks.  NULL if sample_moment is. */
    uint64_t (*on_samples)(const uint8_t *flags, uint64_t count, uint64_t moment);
    /* After that, where leaks are known: how many of each size class (object_map.h) are no sampled
     * block.  NULL if on_samples is. */
    void (*on_unsampled)(const uint64_t objects[OBJECT_CLASS_HUGE + 1]);
};

/* NULL, or why there are no cycles on this machine, in one line; then nothing else here is called
 * but gc_postfork_child. */
const char *gc_absent(void);

/* Once, before the first cycle, where dl_iterate_phdr may be called (not inside malloc).  Starts
 * nothing. */
void gc_init(const struct gc_hooks *hooks);
/* The same later, on the thread that calls gc_cycle, also in a copy of a process that has done it:
 * a thread that is under seccomp by now has been put there since load.  Each cycle is skipped for
 * `no_cycles`, unless that is NULL. */
void gc_init_late(const struct gc_hooks *hooks, const char *no_cycles);
/* Tries in copies of the process what cycles need to know of kernel and libc: begins with it, or
 * looks how far it is.  Called early by the thread that will call gc_cycle, and again after some ms
 * as long as it says false; else gc_cycle waits for it. */
bool gc_try(void);
/* In a forked copy: forgets the parent's cycle in flight and history. */
void gc_postfork_child(void);

/* Ends the thread that cycles run on, and waits until it is gone: where a process would otherwise
 * live on for our threads alone (its main thread has called pthread_exit).  Not during a cycle. The
 * next cycle starts it again. */
void gc_end(void);

/* Where the program calls us and will wait for a cycle: puts the registers that a call keeps on the
 * stack, where they are looked at, and runs work(above).  `above` is the lowest word of the stack
 * that may be the program's. */
int gc_spill(int (*work)(const void *above));
/* The calling thread waits for us from now on, in the frame at `wait` or just below it.  Between
 * our frames lies what earlier calls have left, old pointers of the program's too: so nothing below
 * `above` is looked at, unless a signal handler of the program's runs there meanwhile.  NULL, NULL:
 * it goes on. */
void gc_note_wait(const void *above, const void *wait);

/* Beside MD_CYCLE_*.  The cycle is run and told to nobody, as if it had not been: builds for tests
 * that run cycles where they hurt. */
#define GC_UNTOLD (1u << 31)
/* At exit, where nobody feels a stop, and the answer is waited for: all cycles with this flag have
 * 10 s for their stops, where others give up after four attempts of 10 ms.  With hundreds of busy
 * threads it takes a CPU's round through all of them until each is parked. */
#define GC_PATIENT (1u << 29)
/* With MD_CYCLE_AT_EXIT: no more of the program's code will run on the calling thread meanwhile. If
 * there is no other, nothing can change, and this cycle counts as two (MD_CYCLE_FINAL). */
#define GC_FINAL (1u << 30)

/* Runs one cycle with these MD_CYCLE_* flags, or skips it with a reason; fills `out`, which has
 * been put into the segment's ring, and passes it to on_cycle.  True: done.  Blocks until the mark
 * is over; one at a time; not while holding a lock that a parked thread may want.  Not on a thread
 * of the program's in a signal handler. */
bool gc_cycle(uint32_t flags, struct md_cycle *out);

/* Has a question (gc/ask/ask.h; any text) answered in a copy of the process, and puts the answer,
 * or why there is none, into the segment.  True: there is one.  As gc_cycle it blocks, one at a
 * time; it counts as no cycle, and tells no leaks. */
bool gc_question(const char *question);

/* The program waits for its end: a cycle under way, and all from now on, yield to nobody. */
void gc_hurry(void);

/* Whether a cycle is due now, and if not, when to look again at the latest (CLOCK_MONOTONIC ns).
 * Also publishes the goal. */
bool gc_due(int64_t now_ns, uint32_t *flags, int64_t *look_again_ns);
/* Bytes in use at which gc_due should be asked again before that; UINT64_MAX: never.  Takes no
 * lock. */
uint64_t gc_ask_bytes(void);

#endif
