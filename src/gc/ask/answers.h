/* The records of an answer, on their way from the copy that answers into the segment: in memory
 * that it shares with the tracer thread (MAP_SHARED).  There is none until something is asked, and
 * none when the answer has been told. */
#ifndef GC_ASK_ANSWERS_H
#define GC_ASK_ANSWERS_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stddef.h>

/* On the tracer thread, before the stop.  False: no memory. */
bool answers_prepare(void);
/* In the copy, first thing: there are none yet. */
void answers_begin(void);
/* In the copy: room for a record of so many bytes, which are 0, but for its head; NULL: there is no
 * more, and the answer says so (MD_ANSWER_CUT). */
void *answers_record(enum md_answer_kind kind, size_t bytes);
/* When the copy has ended, on the thread that asked: puts the answer with its records, or the
 * reason in it, into the segment, and gives the memory back. */
void answers_tell(struct md_answer *answer);
/* In a forked copy of the process: the memory is the parent's. */
void answers_postfork_child(void);

#endif
