/* heap_index.h for aarch64. */
#ifndef GC_MARK_HEAP_INDEX_AARCH64_H
#define GC_MARK_HEAP_INDEX_AARCH64_H

#include "base/compiler.h"

#include <arm_neon.h>
#include <stdint.h>

/* Each byte that is not 0 becomes its own bit of a group of eight, and the sum of a group is a byte
 * of the result. */
static ALWAYS_INLINE uint64_t nonzero_bytes(const uint8_t *at)
{
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(UINT64_C(0x8040201008040201)));
    uint8x16_t group[4];
    for (int i = 0; i < 4; i++) {
        uint8x16_t bytes = vld1q_u8(at + 16 * i);
        group[i] = vandq_u8(vtstq_u8(bytes, bytes), bit);
    }
    uint8x16_t low = vpaddq_u8(group[0], group[1]), high = vpaddq_u8(group[2], group[3]);
    uint8x16_t sum = vpaddq_u8(low, high);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sum, sum)), 0);
}

#endif
