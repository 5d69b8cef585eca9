/* Sorting the words of a block: those that may be pointers into the heap are copied, side by side.
 * A quarter of a mark's time on a heap of small blocks, hence four words at once where the CPU can.
 */
#ifndef GC_MARK_WORDS_H
#define GC_MARK_WORDS_H

#include "gc/fault.h"
#include "gc/marker.h"

/* For each set of words of four that may be pointers, in bits: halves of words, the set ones first.
 */
#define PICK(set, a, b, c, d)                                                                      \
    [set] = {2 * (a), 2 * (a) + 1, 2 * (b), 2 * (b) + 1, 2 * (c), 2 * (c) + 1, 2 * (d), 2 * (d) + 1}
static const uint32_t pick[16][8] __attribute__((aligned(32))) = {
    PICK(0, 0, 0, 0, 0),  PICK(1, 0, 0, 0, 0),  PICK(2, 1, 0, 0, 0),  PICK(3, 0, 1, 0, 0),
    PICK(4, 2, 0, 0, 0),  PICK(5, 0, 2, 0, 0),  PICK(6, 1, 2, 0, 0),  PICK(7, 0, 1, 2, 0),
    PICK(8, 3, 0, 0, 0),  PICK(9, 0, 3, 0, 0),  PICK(10, 1, 3, 0, 0), PICK(11, 0, 1, 3, 0),
    PICK(12, 2, 3, 0, 0), PICK(13, 0, 2, 3, 0), PICK(14, 1, 2, 3, 0), PICK(15, 0, 1, 2, 3),
};

static ALWAYS_INLINE NO_SANITIZE uintptr_t *add_one(const struct marker *marker, uintptr_t at,
                                                    uintptr_t *top)
{
    uintptr_t word = fault_load((const uintptr_t *)at);
    *top = word;
    return top + (word - marker->mark->index->lo < marker->mark->index->span);
}

/* Four words with AVX2, those that may be pointers moved together.  In assembly, as the load may
 * fault (fault.h) and the rest of the library is for any x86-64. */
static ALWAYS_INLINE NO_SANITIZE uintptr_t *add_four(const struct marker *marker, uintptr_t at,
                                                     uintptr_t *top)
{
    uint64_t count, offset, loaded = 1;
    __asm__ volatile("1:\tvmovdqu (%[at]), %%ymm0\n"
                     "2:" FAULT_ENTRY("1b", "2b") /* */
                     "\tvpsubq %[lo], %%ymm0, %%ymm1\n"
                     "\tvmovdqa %[span], %%ymm2\n"
                     "\tvpcmpgtq %%ymm1, %%ymm2, %%ymm1\n"
                     "\tvmovmskpd %%ymm1, %k[count]\n"
                     "\tmovl %k[count], %k[offset]\n"
                     "\tshll $5, %k[offset]\n"
                     "\tvmovdqa (%[pick],%[offset]), %%ymm2\n"
                     "\tvpermd %%ymm0, %%ymm2, %%ymm0\n"
                     "\tvmovdqu %%ymm0, (%[top])\n"
                     "\tpopcntl %k[count], %k[count]"
                     : "+a"(loaded), [count] "=&r"(count), [offset] "=&r"(offset)
                     : [at] "r"(at), [top] "r"(top), [pick] "r"(pick), [lo] "m"(marker->lo4),
                       [span] "m"(marker->span4)
                     : "xmm0", "xmm1", "xmm2", "memory", "cc");
    if (UNLIKELY(!loaded)) { /* they may lie on two pages, one of which is still there */
        for (unsigned i = 0; i < 4; i++)
            top = add_one(marker, at + 8 * i, top);
        return top;
    }
    return top + count;
}

/* Adds the words from `start` on that may be pointers.  Without branches: their density does not
 * matter.  Returns the new top; writes up to four entries behind it. */
static ALWAYS_INLINE NO_SANITIZE uintptr_t *add_words(const struct marker *marker, uintptr_t start,
                                                      size_t words, bool wide, uintptr_t *top)
{
    size_t i = 0;
    if (wide)
        for (; i + 4 <= words; i += 4)
            top = add_four(marker, start + i * 8, top);
    for (; i < words; i++)
        top = add_one(marker, start + i * 8, top);
    return top;
}

/* Other code of the task is not slowed by what is left in the upper halves. */
static ALWAYS_INLINE void end_wide(bool wide)
{
    if (wide)
        __asm__ volatile("vzeroupper" ::: "xmm0", "xmm1", "xmm2");
}

#endif
