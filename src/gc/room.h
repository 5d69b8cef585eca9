/* Whether a copy of the process has room in its memory cgroup.
 *
 * Where the program writes while a copy of it marks, memory comes to as much again.  At the limit
 * the kernel kills the copy first (oom_score_adj), which costs a cycle; but with memory.oom.group,
 * as Kubernetes sets it, everything in the cgroup dies with it. */
#ifndef GC_ROOM_H
#define GC_ROOM_H

#include <stdint.h>

/* On the tracer thread or in a test.  NULL: `bytes` more are no danger; else the reason. */
const char *room_for_copy(uint64_t bytes);
/* The same with the root of the cgroup file system (v2) and the text of /proc/self/cgroup. */
const char *room_in(const char *root, const char *membership, uint64_t bytes);

#endif
