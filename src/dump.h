/* Heap profiles written by the process itself: when, under which name, and how many are kept.  And
 * with heapprofilepeak the one at the heap's high-water mark, which stays in the segment
 * (prof/peak.h): it is kept anew whenever the heap has grown by a 64th, or 64 KiB. */
#ifndef DUMP_H
#define DUMP_H

#include <stdbool.h>
#include <stdint.h>

/* Learns where PREFIX is: relative to the directory the program was started in, whatever it
 * changes to later.  Before threads. */
void dump_init(void);
/* Writes PREFIX.PID.SEQ.CAUSE.pb.gz; failure is said once, counted, and tried again the next time.
 * 0 or an errno value (ENOENT: no heapprofile is set).  On a thread of ours. */
int dump_write(const char *cause);
/* The same for the end of the process; before it the profile at the high-water mark, if it is kept,
 * as PREFIX.PID.SEQ.exit.peak.pb.gz. */
int dump_write_exit(void);
/* Writes a profile to `path` through a temporary name. */
int dump_write_to(const char *path);
/* Keeps and writes the profiles that are due by time and by bytes; returns when the next one is by
 * time (CLOCK_MONOTONIC ns). */
int64_t dump_due(int64_t now_ns, uint64_t allocated_bytes, uint64_t in_use_bytes);
/* Whether one is due by these bytes.  At each publication, on any thread: takes no lock. */
bool dump_asks(uint64_t allocated_bytes, uint64_t in_use_bytes);
/* In a forked child: its own sequence. */
void dump_postfork_child(void);

#endif
