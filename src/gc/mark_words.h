/* Sorting the words of a block: those that may be pointers into the heap are copied, side by side.
 * A quarter of a mark's time on a heap of small blocks, hence four words at once where the CPU can.
 */
#ifndef GC_MARK_WORDS_H
#define GC_MARK_WORDS_H

#include "gc/fault.h"
#include "gc/heap_index.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

#ifdef __AVX2__
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
#endif

/* Between which addresses a word may be a pointer; four times side by side, as signed numbers,
 * which is the only comparison that there is. */
struct words_span {
    uintptr_t lo, span;
#ifdef __AVX2__
    __m256i lo4, span4;
#endif
};

static ALWAYS_INLINE struct words_span words_span(uintptr_t lo, uintptr_t span)
{
    struct words_span heap = {.lo = lo, .span = span};
#ifdef __AVX2__
    const uint64_t sign = UINT64_C(1) << 63;
    heap.lo4 = _mm256_set1_epi64x((long long)(lo ^ sign));
    heap.span4 = _mm256_set1_epi64x((long long)(span ^ sign));
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

#ifdef __AVX2__
/* Four words, those that may be pointers moved together.  The load may fault (fault.h). */
static ALWAYS_INLINE NO_SANITIZE uintptr_t *add_four(struct words_span heap, uintptr_t at,
                                                     uintptr_t *top)
{
    uint64_t loaded = 1;
    __m256i words;
    __asm__ volatile("1:\tvmovdqu (%[at]), %[words]\n2:" FAULT_ENTRY("1b", "2b")
                     : "+a"(loaded), [words] "=x"(words)
                     : [at] "r"(at), "m"(*(const uintptr_t(*)[4])at));
    if (UNLIKELY(!loaded)) { /* they may lie on two pages, one of which is still there */
        for (unsigned i = 0; i < 4; i++)
            top = add_one(heap, at + 8 * i, top);
        return top;
    }
    __m256i within = _mm256_cmpgt_epi64(heap.span4, _mm256_sub_epi64(words, heap.lo4));
    unsigned set = (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(within));
    __m256i order = _mm256_load_si256((const __m256i *)pick[set]);
    _mm256_storeu_si256((__m256i *)top, _mm256_permutevar8x32_epi32(words, order));
    return top + __builtin_popcount(set);
}
#endif

/* Adds the words from `start` on that may be pointers.  Without branches: their density does not
 * matter.  Returns the new top; writes up to four entries behind it. */
static ALWAYS_INLINE NO_SANITIZE uintptr_t *add_words(struct words_span heap, uintptr_t start,
                                                      size_t words, uintptr_t *top)
{
    size_t i = 0;
#ifdef __AVX2__
    for (; i + 4 <= words; i += 4)
        top = add_four(heap, start + i * 8, top);
#endif
    for (; i < words; i++)
        top = add_one(heap, start + i * 8, top);
    return top;
}

#endif
