/* Whether a copy of the process has room in its memory cgroups, of version 2 or 1.
 *
 * Where the program writes while a copy of it marks, memory comes to as much again: every page of
 * its own, heap or not, may be had twice.  At the limit the kernel gives up what the cgroup has of
 * caches, then kills the copy first (oom_score_adj), which costs a cycle; but with
 * memory.oom.group, as Kubernetes sets it, everything in the cgroup dies with it, and with
 * oom_kill_disable (version 1) all of it stands still for ever.  There a copy is made only if all
 * of it has room; elsewhere, if what the copies of this process have come to so far has room twice.
 */
#ifndef GC_ENGINE_HEADROOM_H
#define GC_ENGINE_HEADROOM_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes that a copy comes to. */
struct headroom_need {
    uint64_t most;   /* if all is written to */
    uint64_t likely; /* by what has been seen; before the first copy, as much as `most` */
};

/* Arithmetic only: for so many resident bytes of the process's own, and a heap to mark. */
struct headroom_need headroom_need(uint64_t private_bytes, uint64_t heap_bytes);
/* A copy has been made and has ended; meanwhile the program has written to so many bytes of pages
 * for the first time. */
void headroom_note_copy(uint64_t private_bytes, uint64_t written_bytes);
/* In a forked copy: nothing has been seen. */
void headroom_postfork_child(void);

/* On the tracer thread.  NULL: that much more is no danger; else the reason. */
const char *headroom_for_copy(struct headroom_need need);
/* While there is a copy that headroom_for_copy had no reason against: NULL, or why it must go now.
 * The less room, the sooner it wants to be asked again.  Of no use where nothing is limited. */
const char *headroom_runs_out(int64_t *look_again_ns);
bool headroom_is_limited(void);
/* headroom_for_copy with the root of the cgroup file systems, below which version 1 is in `memory`,
 * and the text of /proc/self/cgroup. */
const char *headroom_in(const char *root, const char *membership, struct headroom_need need);

/* ---- for whoever is to know before the limit is reached ---- */

/* Bytes a nanosecond that are written for the first time at most, as is assumed: a fault for each
 * page costs more than to write it. */
#define HEADROOM_WRITTEN_MAX 16
#define HEADROOM_PATH_SIZE 4096
struct headroom_limit {
    uint64_t used_bytes, limit_bytes; /* used: without caches, which give way */
    const char *file;                 /* static: what says the limit */
    char directory[HEADROOM_PATH_SIZE];
};
/* Of the cgroups of these two that have a limit, at which memory is refused or somebody killed, the
 * one with the least room below `percent` of it.  False: none has a limit.  Not beside itself, nor
 * beside the functions above. */
bool headroom_least(const char *root, const char *membership, unsigned percent,
                    struct headroom_limit *least);
/* Bytes until `percent` of it are used; negative: they are. */
int64_t headroom_until(const struct headroom_limit *limit, unsigned percent);

#endif
