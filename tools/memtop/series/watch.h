/* A target over time: a source that is polled once a tick, and all that is computed from it.  The
 * live view, batch output and `memtop run` show one.  One thread. */
#ifndef MEMTOP_WATCH_H
#define MEMTOP_WATCH_H

#include "model.h"
#include "rate.h"
#include "target/source.h"

struct watch {
    struct source source;
    struct history history;
    bool with_past; /* each tick's snapshot has the past, not only the first one's */
    struct evidence evidence;
    int64_t pins_asked_ns; /* when the process was last asked who pins its slabs; 0: never */
    struct sites sites[MD_BUCKET_KINDS]; /* by kind */
    enum md_bucket_kind kind;            /* the kind that is shown: the model's sites */
    struct trace trace;
    struct resident resident;
    struct names *names;
    struct rate alloc_rate, free_rate, objects_rate, sampling_rate;
    /* Copies for the model, which stay as they are while the view is frozen. */
    struct md_header shown;
    struct trace shown_trace; /* without pauses */
    struct resident shown_resident;
    struct model model; /* borrows from the rest */
    uint64_t ticks;
};

/* `background`: names are looked up by a thread (names.h).  0, or an errno value with one line in
 * `error`. */
int watch_open(struct watch *watch, const struct target *target, bool background,
               char error[VIEW_ERROR_SIZE]);
/* The same of a source that is fed (source.h), which has not been polled yet. */
int watch_fed(struct watch *watch, const struct source *source, bool background,
              char error[VIEW_ERROR_SIZE]);
void watch_close(struct watch *watch);
/* Call it when the struct has been moved, as the model has pointers into it. */
void watch_moved(struct watch *watch);
/* Shows the call sites of this kind; at first they are the heap's. */
void watch_show(struct watch *watch, enum md_bucket_kind kind);
/* Shows those of the next kind of which the process has any.  False: there is no other, and `why`
 * has the reason in one line. */
bool watch_show_next(struct watch *watch, char why[VIEW_ERROR_SIZE]);
/* The call sites of the kind that is shown, sorted by `by`: up to `count` indexes of its
 * sites.group in `order`; returns how many.  Stacks with the same innermost call of the program's
 * own are one call site.  Asks for the names of the first `named`; without a background thread they
 * are known afterwards. */
size_t watch_sites(struct watch *watch, enum site_order by, uint32_t *order, size_t count,
                   size_t named);
/* Marks the last tick, or takes the mark away: growth, and what the columns of call sites say of
 * objects and of bytes allocated, is since then. */
void watch_mark(struct watch *watch, bool on);
/* One tick.  With `frozen` call sites and figures stay as they are, and only the history grows.  0,
 * or an errno value with one line in `error`; figures then stay as they were. */
int watch_tick(struct watch *watch, bool frozen, char error[VIEW_ERROR_SIZE]);

#endif
