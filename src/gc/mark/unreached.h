/* What a mark has left unreached, looked at once more: which of these blocks lead to others, which
 * live samples they are, and which the cycle before had not reached either: the leaks.
 *
 * Direct: a block that no other unreachable block points at or into; of blocks that reach each
 * other, and that nothing else leads to, the one at the lowest address.  So each leak has one
 * direct block for each thing that was lost, and the rest hangs on these: it is indirect.
 *
 * unreached_prepare runs on the tracer thread, unreached_find where the mark ran, after
 * mark_finish, and the rest on the thread that called gc_cycle, when the mark is over.  Costs some
 * passes over the index, and follows each unreachable block twice. */
#ifndef GC_MARK_UNREACHED_H
#define GC_MARK_UNREACHED_H

#include "gc/mark/mark.h"

#include <stdbool.h>
#include <stdint.h>

/* Leaks are counted, whatever is sampled: the unreached blocks of a cycle are kept until the next
 * one that is told.  A block with a sample is known by that.  Any other counts as the same block if
 * it has the same address and size; one that was freed in between, by way of a pointer that nobody
 * sees, and given out again, is taken for the old one.
 *
 * In memory shared with the tracer. */
struct unreached_result {
    uint64_t direct_objects, direct_bytes;
    uint64_t leaked_objects, leaked_bytes;
    uint64_t samples;           /* records of the live-sample table that were looked at */
    uint64_t unreached_samples; /* of them, those of white blocks */
};

/* Blocks of one size class. */
struct unreached_class {
    uint64_t objects, bytes;
};

/* Makes room for what unreached_find says of samples, for as many as the segment can hold, and for
 * what it keeps of the unreached, in the worst case 1 % of the heap.  Before the stop; NULL, or why
 * not.
 */
const char *unreached_prepare(void);
/* `nothing_new`: not everything was looked at, as nothing is unreached but what is known to be
 * lost.  Then it tells only of samples that were unreached in the cycle told before, and says that
 * they are what they were.  Unreached blocks of mark->doubted are looked into as all are, as other
 * blocks may hang on them, but count for nothing, neither here nor in the index.  False: no memory.
 * When it returns the white bits are as before, but for those. */
bool unreached_find(struct mark *mark, bool nothing_new, struct unreached_result *result);
/* After the cycle: for each record of the sample table a byte of MD_SAMPLE_UNREACHED and
 * MD_SAMPLE_INDIRECT, and MD_SAMPLE_LEAK where it is to stay as it is, `result->samples` of them.
 * A record used anew since the stop has a byte that says nothing. */
const uint8_t *unreached_samples(void);
/* Of the blocks without a sample, by size class (OBJECT_CLASS_HUGE + 1 of them): those unreached by
 * this cycle, or the leaks among them.  After unreached_find, until unreached_keep or
 * unreached_drop. */
const struct unreached_class *unreached_unsampled(bool leaked);
/* Whether there is a cycle before, without which no leaks are found. */
bool unreached_had_before(void);
/* After a cycle.  keep: it is told, and the next one's leaks are counted against it.  drop: it is
 * not, and the last one that was told stays what the next is counted against. */
void unreached_keep(void);
void unreached_drop(void);
/* In a forked copy: the room belongs to the parent. */
void unreached_postfork_child(void);

#endif
