/* Asks a process for something.  Only this file of memtop writes to a segment: it sets a bit in
 * md_control.request, wakes the thread that sleeps on it, and polls until the request is served. */
#ifndef MEMTOP_ASK_H
#define MEMTOP_ASK_H

#include "source.h"

/* How long to wait for an answer: of a thread of ours; and where there is none, until one of the
 * program's has come by. */
struct ask_wait {
    double seconds, idle_seconds;
};

/* Has the process do a cycle, waits for it, and copies its record, which may be a skip.  A process
 * without a thread of ours reads the request when one of its own has allocated or freed 64 KiB and
 * starts one then (MD_FLAG_ASKABLE): *pending says that this has not come yet; the request stands.
 * 0, or an errno value with one line in `error`; after ETIMEDOUT the request still stands.  The
 * source is polled. */
int ask_cycle(struct source *source, struct ask_wait wait, struct md_cycle *cycle, bool *pending,
              char error[VIEW_ERROR_SIZE]);

/* Cycles that are asked for and not waited for, one after the other: whoever polls the source looks
 * now and then how far they are. */
struct ask_cycles {
    unsigned left; /* 0: nothing is asked for */
    uint64_t before;
    uint32_t served;
    int64_t begin_ns;
};
enum ask_progress {
    ASK_RUNS,
    ASK_PENDING, /* the process has not read it: it has no thread of ours, and allocates nothing */
    ASK_DONE,    /* `last` is the record of the last one, which may be a skip */
    ASK_FAILED   /* for the reason in `error` */
};
/* 0, or an errno value with one line in `error`. */
int ask_cycles_begin(struct ask_cycles *asked, const struct source *source, unsigned count,
                     char error[VIEW_ERROR_SIZE]);
/* With SNAPSHOT_CYCLES in the source's snapshot, while something is asked for. */
enum ask_progress ask_cycles_look(struct ask_cycles *asked, const struct source *source,
                                  struct md_cycle *last, char error[VIEW_ERROR_SIZE]);

/* Has the process give free pages back to the system, and waits until it has; *pending as above.
 * 0, or an errno value with one line in `error`; ENOTSUP: it has nobody to do it. */
int ask_purge(struct source *source, struct ask_wait wait, bool *pending,
              char error[VIEW_ERROR_SIZE]);

/* Has the process set "key=value", and waits at most `seconds` until it has.  Without a thread of
 * ours it does so when one of its own has allocated or freed 64 KiB: then *pending says that this
 * has not come yet; the request stands.  One that stood before is withdrawn.  0, or an errno value
 * with one line in `error`. */
int ask_set(struct source *source, const char *setting, double seconds, bool *pending,
            char error[VIEW_ERROR_SIZE]);

/* Asks the process a question (src/gc/ask/ask.h), and waits for the answer as ask_cycle does;
 * *pending as there.  The source is polled, at last for `what` (SNAPSHOT_*) and the answer with its
 * records. 0, or an errno value with one line in `error`. */
int ask_question(struct source *source, const char *question, struct ask_wait wait, unsigned what,
                 bool *pending, char error[VIEW_ERROR_SIZE]);

/* Has the process write down what its allocator has (md_header.allocator); waits for nothing.  0,
 * or an errno value: it cannot be asked, or not by this user. */
int ask_allocator(const struct source *source);

/* Has it add up who pins the slabs: md_header.pinned_ns is another when it has.  As above, with one
 * line in `error`. */
int ask_pins(const struct source *source, char error[VIEW_ERROR_SIZE]);

/* Whether this target can be asked for cycles at all: 0, or an errno value with one line that says
 * why not. */
int ask_possible(const struct target *target, char error[VIEW_ERROR_SIZE]);

#endif
