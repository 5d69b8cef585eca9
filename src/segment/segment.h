/* The writer's side of the segment: where the file lives, how it comes and goes, and room for
 * records in it.  Callers fill records in place; the format is <memdebug/segment.h>.
 *
 * Before the process has allocated 512 KiB or a thread of ours has shown it, with monitor=off, and
 * where no tmpfs is to be had, the same tables lie in private memory: callers see no difference.
 *
 * In a forked copy segment_check() finds out (a page that the kernel wipes on fork) and starts a
 * segment of its own.  Nothing here waits for another process, and a full tmpfs is an answer (NULL,
 * counted), never a signal. */
#ifndef SEGMENT_SEGMENT_H
#define SEGMENT_SEGMENT_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Learns who we are and sets up the private tables; before threads, no file yet.  False: no memory
 * at all, nothing can be recorded. */
bool segment_init(uint32_t flags);
/* Call before each series of writes.  False: nothing may be written (a fork just happened and its
 * segment could not be made, or memory is refused).  Cheap: one load when nothing happened.  In a
 * forked copy the first thread makes the segment; another that comes meanwhile waits for it, 0.2 s
 * by the naps and as much again by their slack, and a signal handler in the first one's does not.
 */
bool segment_check(void);
/* Called with bytes allocated so far: makes the file when it is due, makes it anew if it was
 * unlinked (looked at once a second). */
void segment_publish(uint64_t allocated_bytes);
/* Makes the file, if there is none, however little has been allocated; for a thread of ours, or at
 * exit.  True: a lock was not to be had, try again. */
bool segment_show(void);
/* Clears away a little more of what dead processes of this user have left, where a creation has not
 * come to the end of it; for a thread of ours.  True: there is still more. */
bool segment_tidy(void);
/* Nothing is recorded from here on, in this process and its copies. */
void segment_disable(void);
/* What the process was asked to say could not be said: its file, made now if there is none yet,
 * stays at exit as that of a dead process, flagged MD_FLAG_REPORT. */
void segment_keep(void);
/* Removes the file; for normal exit. */
void segment_fini(void);

/* Never NULL after segment_init. */
struct md_header *segment_header(void);
struct md_counters *segment_counters(void);
/* Bytes that the program has in use, by what has been published.  Takes no lock. */
uint64_t segment_in_use(void);
/* Start of a section's table: valid until the next segment_check. */
void *segment_table(enum md_section_id id);
/* Entries that `id` can hold at most. */
uint64_t segment_capacity(enum md_section_id id);
/* Makes room for entries up to `count` (exclusive) to be written.  False: full. */
bool segment_grow(enum md_section_id id, uint64_t count);
/* Publishes that entries below `count` may be read. */
void segment_set_count(enum md_section_id id, uint64_t count);
/* The last count that was published.  Not what the header says, nor may anything else that is read
 * from the tables lead to an address unchecked: others may write to them. */
uint64_t segment_count(enum md_section_id id);

/* Appends a record to the cycle ring: `cycle->index`, and `number` where it is no skip, are set
 * here.  Caller: the one cycle at a time. */
void segment_add_cycle(struct md_cycle *cycle);

/* Who we are (pid, name, start): the header that each segment begins with. */
const struct md_header *segment_identity(void);
/* Whether this is a forked copy that segment_check has not seen yet. */
bool segment_forked(void);
/* In a forked copy, by the fork handlers. */
void segment_postfork_child(void);
/* Whether the caller is a child of vfork, which runs in its parent's memory for a while. */
bool segment_is_guest(void);
/* Bytes of the tables' reservation, from segment_header(). */
size_t segment_size(void);
/* Keeps the tables where they are, from `true` to `false`, while this thread reads or writes them.
 * Holds a lock meanwhile. */
void segment_hold(bool hold);
/* Sets flags of the header (MD_FLAG_*), now and in segments to come. */
void segment_set_flags(uint32_t flags);
/* Takes them away.  Holds a lock meanwhile. */
void segment_clear_flags(uint32_t flags);
/* Writes the options in force into the header, after one has changed. */
void segment_publish_options(void);

/* Set by the owner of the profile tables: keeps everyone from writing to them while they move.
 * False: not now. */
extern bool (*segment_move_lock)(bool take);
/* Called in a forked copy after the tables were made anew and empty; `inherited` has the parent's
 * as they were at the fork, its header NULL if there are none; the parent goes on writing to what
 * they lead to. */
struct tables;
extern void (*segment_on_fork)(const struct tables *inherited);

#define COUNT_ADD(field, n)                                                                        \
    __atomic_fetch_add(&segment_counters()->field, (uint64_t)(n), __ATOMIC_RELAXED)

#endif
