/* Profiles of processes as serve hands them out: of one process, of all of a program added up, now
 * or over some time, as pprof's bytes or as the older text that Go writes with debug=1.
 *
 * Any thread.  Functions that return int return 0, or an errno value with one line in `error`. */
#ifndef MEMTOP_COLLECT_H
#define MEMTOP_COLLECT_H

#include "symbols.h"
#include "view/pprof.h"

#include <stdio.h>

/* The segments of some processes, read at one moment; a profile is built of them when it is wanted.
 */
struct collection {
    struct source *sources;
    size_t count;
    int64_t time_nanos; /* realtime */
};

/* Reads what a profile of the kind needs of each target.  With `ask` a process is first asked to
 * add up who pins its slabs, of the kind pinned.  ESRCH: one of them has ended meanwhile, and there
 * is one target; of several those that have ended are left out, if any is left. */
int collection_read(struct collection *collection, const struct target *targets, size_t count,
                    enum md_bucket_kind kind, bool ask, char error[VIEW_ERROR_SIZE]);
void collection_fini(struct collection *collection);
/* Why there is nothing of this kind in any of them, in a phrase; NULL: there is, or may be. */
const char *collection_lacks(const struct collection *collection, enum md_bucket_kind kind);

/* The sum of their profiles, with names.  `type`: the default sample type, or NULL.  The caller
 * frees it by profile_fini. */
int collection_build(const struct collection *collection, enum md_bucket_kind kind,
                     const char *type, struct symbols *symbols, struct profile *profile,
                     char error[VIEW_ERROR_SIZE]);
/* What has changed from `before` to `after`; values may be below 0, as Go's are. */
int collection_delta(const struct collection *before, const struct collection *after,
                     enum md_bucket_kind kind, const char *type, struct symbols *symbols,
                     struct profile *profile, char error[VIEW_ERROR_SIZE]);

/* The names of addresses of one process, as pprof asks for them at …/symbol: "0xpc+0xpc". */
int collection_symbols(const struct collection *collection, const char *query,
                       struct symbols *symbols, FILE *out, char error[VIEW_ERROR_SIZE]);

#endif
