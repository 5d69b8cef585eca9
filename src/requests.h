/* What is asked of this process through md_control, and how it is met. */
#ifndef REQUESTS_H
#define REQUESTS_H

#include <memdebug/segment.h>
#include <stdbool.h>
#include <stdint.h>

/* What a thread of the program's can do where it stands, at a publication; and what our own thread
 * alone can. */
#define REQUESTS_HERE (MD_REQUEST_SET | MD_REQUEST_ALLOCATOR | MD_REQUEST_PINS)
#define REQUESTS_THREAD (MD_REQUEST_GC | MD_REQUEST_DUMP | MD_REQUEST_PURGE | MD_REQUEST_QUESTION)

/* On our thread, when a cycle is asked for in a process that was not made ready for cycles: makes
 * it so, and says so in the segment's flags.  False: there can be none.  May be NULL. */
extern bool (*requests_begin_cycles)(void);

/* Meets these, which have been taken off md_control.request. */
void requests_answer(uint32_t bits);
/* The same of REQUESTS_HERE on a thread of the program's, without one of ours.  With none it goes
 * on with what has been begun (pinned.h). */
void requests_answer_here(uint32_t bits);
/* Takes off those that want a thread of ours, and says why there is none: an errno value. */
void requests_refuse(int error);

#endif
