/* The exported malloc family.  Each symbol is one indirect jump.  Only malloc and free are
 * jemalloc's own code, where that has a form that can be copied (COPIED_ENTRIES;
 * copy_entries_x86_64.py).  The first call of any of them boots the library, which chooses the
 * variant once, before the first block exists.
 *
 *   plain    jemalloc's own functions with its profiler's hooks redirected (plain.c)
 *   tracked  around them: object map, exact counts, our own countdown (tracked.c)
 */
#ifndef MALLOC_ENTRY_H
#define MALLOC_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#ifdef COPIED_ENTRIES
/* Replaces the page of malloc and free by one of jumps: to be called before the tracked variant is
 * chosen.  False: the system refused, and only the plain variant can be had. */
bool entry_can_track(void);
/* Where that page has come from, in the middle of our code: what lies there now is not ours. */
uintptr_t entry_page_gone(void);
#else
static inline bool entry_can_track(void)
{
    return true;
}

static inline uintptr_t entry_page_gone(void)
{
    return 0;
}
#endif
/* Points every entry at its variant. */
void entry_choose(bool tracked);
/* Points glibc's second names (__libc_malloc) at glibc again, for a malloc before ours that takes
 * blocks from there and reads their headers.  After entry_choose. */
void entry_leave_seconds(void);
/* Points operator new and delete at the malloc before ours, where libstdc++'s own would go.  After
 * entry_choose. */
void entry_follow_foreign(void);
/* In memdebug.c.  Boots the library: called by the first call of any entry, and by whoever may come
 * before that; only the first of these does anything. */
void memdebug_boot(void);

#endif
