/* What the verdict (view/verdict.h) is found by, taken from snapshots, and the verdict in words. */
#ifndef MEMTOP_EVIDENCE_H
#define MEMTOP_EVIDENCE_H

#include "history.h"
#include "names.h"
#include "sites.h"
#include "view/rss.h"
#include "view/verdict.h"

/* A process as it is watched: readings so far, and what has been found. */
struct evidence {
    struct verdict_history history;
    struct verdict verdict;
};

/* Adds the first readings, before those of ticks: what was in use, as far as it is known. */
void evidence_begin(struct evidence *evidence, const struct history *history);
/* Takes in a tick: its snapshot, with SNAPSHOT_CYCLES and SNAPSHOT_SAMPLES, resident memory (NAN:
 * not known) and its parts, and call sites, by kind, that have been updated with it.  Finds the
 * verdict, and asks for the names of what it names. */
void evidence_tick(struct evidence *evidence, const struct snapshot *snapshot, double rss_bytes,
                   const struct rss_parts *parts, const struct sites sites[MD_BUCKET_KINDS],
                   struct names *names);

/* The verdict of one look at a process, with SNAPSHOT_CYCLES and SNAPSHOT_LEAKS, alive or dead: of
 * all that it has in use, what it has lost.  Asks for names, as above. */
struct verdict evidence_of_leaks(const struct snapshot *snapshot, struct names *names);

/* What two cycles have found lost, for the times that are in the snapshot: the points of
 * struct verdict_evidence.  Returns how many. */
#define EVIDENCE_POINTS 257
size_t evidence_points(const struct snapshot *snapshot,
                       struct verdict_point points[EVIDENCE_POINTS]);

/* Whether cycles can tell a leak from what is held. */
enum evidence_cycles {
    EVIDENCE_NEVER,  /* none is possible */
    EVIDENCE_NONE,   /* none has been done */
    EVIDENCE_OLD,    /* none lately */
    EVIDENCE_CYCLES, /* one has told, or there are too few samples */
};
enum evidence_cycles evidence_cycles(const struct verdict *verdict,
                                     const struct snapshot *snapshot);

/* A verdict in one line; "": there is none.  `label` are the names of its sites (names.h), NULL
 * where one is not known yet.  Returns `text`. */
#define VERDICT_TEXT_SIZE 1600
char *verdict_text(const struct verdict *verdict, enum evidence_cycles cycles,
                   const char *const label[VERDICT_NAMES], char text[VERDICT_TEXT_SIZE]);
/* The same with names looked up by their stacks. */
char *verdict_line(const struct verdict *verdict, enum evidence_cycles cycles,
                   const struct names *names, char text[VERDICT_TEXT_SIZE]);
/* The kind in a word for programs, and the part's; NULL: none. */
const char *verdict_kind_name(const struct verdict *verdict);
const char *verdict_part_name(const struct verdict *verdict);

#endif
