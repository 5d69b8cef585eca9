/* A target over time: a source polled once a tick, and everything that is computed from it.  The
 * live view, batch output and `run` are three ways to show one. */
#ifndef MEMTOP_WATCH_H
#define MEMTOP_WATCH_H

#include "model.h"
#include "rate.h"
#include "target/source.h"

struct watch {
    struct source source;
    struct history history;
    struct sites sites[MD_BUCKET_KINDS]; /* of each kind */
    enum md_bucket_kind kind;            /* that is shown: the model's */
    struct trace trace;
    struct names *names;
    struct rate alloc_rate, free_rate, objects_rate;
    /* What the view shows: copies, which stay as they are while it is frozen. */
    struct md_header shown;
    struct trace shown_trace; /* owns nothing */
    struct model model;       /* borrows from the rest */
    uint64_t ticks;
};

/* 0 or an errno value with one line in `error`. */
int watch_open(struct watch *watch, const struct target *target, bool background,
               char error[VIEW_ERROR_SIZE]);
void watch_close(struct watch *watch);
/* The struct lies at another place now: the model borrows from it. */
void watch_moved(struct watch *watch);
/* Shows the call sites of this kind.  It begins with the heap's. */
void watch_show(struct watch *watch, enum md_bucket_kind kind);
/* Shows those of the next kind of which the process has any.  False: there is no other, and `why`
 * has the reason in one line. */
bool watch_show_next(struct watch *watch, char why[VIEW_ERROR_SIZE]);
/* The call sites of the kind that is shown by `by`, stacks with the same innermost call of the
 * program's own together: up to `count` places of sites.group.  Asks for the names of the first
 * `named`; without a background thread they are there afterwards. */
size_t watch_sites(struct watch *watch, enum site_order by, uint32_t *order, size_t count,
                   size_t named);
/* One tick.  With `frozen` the call sites and figures stay as they are and only history grows. */
int watch_tick(struct watch *watch, bool frozen, char error[VIEW_ERROR_SIZE]);

#endif
