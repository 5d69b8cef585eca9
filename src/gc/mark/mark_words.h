/* Sorting the words of a block: those that may be pointers into the heap are copied, side by side.
 * A quarter of a mark's time on a heap of small blocks, hence four words at once where the CPU can.
 */
#ifndef GC_MARK_MARK_WORDS_H
#define GC_MARK_MARK_WORDS_H

#include "gc/mark/heap_index.h"
#include "gc/sys/fault.h"

/* For CPUs that can, each machine's own:
 *   struct words_wide, words_wide(lo, span)  the same as struct words_span, for four words at once
 *   words_wide_add(heap, at, top)            add_one for four words; NULL: the load has faulted */
#ifdef __AVX2__
#include "gc/mark/mark_words_x86_64.h"
#define WORDS_WIDE
#endif

/* Between which addresses a word may be a pointer. */
struct words_span {
    uintptr_t lo, span;
#ifdef WORDS_WIDE
    struct words_wide wide;
#endif
};

static ALWAYS_INLINE struct words_span words_span(uintptr_t lo, uintptr_t span)
{
    struct words_span heap = {.lo = lo, .span = span};
#ifdef WORDS_WIDE
    heap.wide = words_wide(lo, span);
#endif
    return heap;
}

static ALWAYS_INLINE NO_SANITIZE uintptr_t *add_one(struct words_span heap, uintptr_t at,
                                                    uintptr_t *top)
{
    uintptr_t word = fault_load((const uintptr_t *)at);
    *top = word;
    return top + (word - heap.lo < heap.span);
}

#ifdef WORDS_WIDE
/* Four words, those that may be pointers moved together.  The load may fault (fault.h). */
static ALWAYS_INLINE NO_SANITIZE uintptr_t *add_four(struct words_span heap, uintptr_t at,
                                                     uintptr_t *top)
{
    uintptr_t *added = words_wide_add(heap.wide, at, top);
    if (LIKELY(added))
        return added;
    for (unsigned i = 0; i < 4; i++) /* they may lie on two pages, one of which is still there */
        top = add_one(heap, at + 8 * i, top);
    return top;
}
#endif

/* Adds the words from `start` on that may be pointers.  Without branches: their density does not
 * matter.  Returns the new top; writes up to four entries behind it. */
static ALWAYS_INLINE NO_SANITIZE uintptr_t *add_words(struct words_span heap, uintptr_t start,
                                                      size_t words, uintptr_t *top)
{
    size_t i = 0;
#ifdef WORDS_WIDE
    for (; i + 4 <= words; i += 4)
        top = add_four(heap, start + i * 8, top);
#endif
    for (; i < words; i++)
        top = add_one(heap, start + i * 8, top);
    return top;
}

#endif
