/* The exported malloc family.  Each symbol is one indirect jump, but malloc and free, which are
 * jemalloc's own code.  The first call of any of them boots the library, which chooses the variant
 * once, before the first block exists.
 *
 *   plain    jemalloc's own functions with its profiler's hooks redirected (plain.c)
 *   tracked  around them: object map, exact counts, our own countdown (tracked.c)
 */
#ifndef MALLOC_ENTRY_H
#define MALLOC_ENTRY_H

#include <stdbool.h>

/* Replaces the page of malloc and free by one of jumps: to be called before the tracked variant is
 * chosen.  False: the system refused, and only the plain variant can be had. */
bool entry_can_track(void);
/* Where that page has come from, in the middle of our code: what lies there now is not ours. */
extern char entry_page_tracked[] __attribute__((visibility("hidden")));
/* Points every entry at its variant. */
void entry_choose(bool tracked);
/* Points glibc's second names (__libc_malloc) at glibc again, for a malloc before ours that takes
 * blocks from there and reads their headers.  After entry_choose. */
void entry_leave_seconds(void);
/* Points operator new and delete at the malloc before ours, where libstdc++'s own would go.  After
 * entry_choose. */
void entry_follow_foreign(void);
/* Set by memdebug.c at link time: called once, by the first call of any entry. */
void memdebug_boot(void);

#endif
