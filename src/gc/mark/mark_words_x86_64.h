/* mark_words.h for x86-64 with AVX2. */
#ifndef GC_MARK_MARK_WORDS_X86_64_H
#define GC_MARK_MARK_WORDS_X86_64_H

#include "gc/sys/fault.h"

#include <immintrin.h>

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

/* The span four times side by side, as signed numbers, which is the only comparison that there is.
 */
struct words_wide {
    __m256i lo, span;
};

static ALWAYS_INLINE struct words_wide words_wide(uintptr_t lo, uintptr_t span)
{
    const uint64_t sign = UINT64_C(1) << 63;
    return (struct words_wide){_mm256_set1_epi64x((long long)(lo ^ sign)),
                               _mm256_set1_epi64x((long long)(span ^ sign))};
}

static ALWAYS_INLINE NO_SANITIZE uintptr_t *words_wide_add(struct words_wide heap, uintptr_t at,
                                                           uintptr_t *top)
{
    uint64_t loaded = 1;
    __m256i words;
    __asm__ volatile("1:\tvmovdqu (%[at]), %[words]\n2:" FAULT_ENTRY("1b", "2b")
                     : "+a"(loaded), [words] "=x"(words)
                     : [at] "r"(at), "m"(*(const uintptr_t(*)[4])at));
    if (UNLIKELY(!loaded))
        return NULL;
    __m256i within = _mm256_cmpgt_epi64(heap.span, _mm256_sub_epi64(words, heap.lo));
    unsigned set = (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(within));
    __m256i order = _mm256_load_si256((const __m256i *)pick[set]);
    _mm256_storeu_si256((__m256i *)top, _mm256_permutevar8x32_epi32(words, order));
    return top + __builtin_popcount(set);
}

#endif
