/* heap_index.h for x86-64. */
#ifndef GC_MARK_HEAP_INDEX_X86_64_H
#define GC_MARK_HEAP_INDEX_X86_64_H

#include "base/compiler.h"

#include <emmintrin.h>
#include <stdint.h>

static ALWAYS_INLINE uint64_t nonzero_bytes(const uint8_t *at)
{
    const __m128i zero = _mm_setzero_si128();
    uint64_t bits = 0;
    for (int i = 0; i < 4; i++) {
        __m128i bytes = _mm_load_si128((const __m128i *)(at + 16 * i));
        bits |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, zero)) << 16 * i;
    }
    return ~bits;
}

#endif
