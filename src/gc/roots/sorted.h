/* Tables of words in memory of ours: sorted, and looked up in, where nothing of libc's is called.
 */
#ifndef GC_ROOTS_SORTED_H
#define GC_ROOTS_SORTED_H

#include <stddef.h>
#include <stdint.h>

/* Heap sort: no recursion, no memory, and never quadratic.  `stride` words an element, by the
 * first. */
static inline void sort_words(uintptr_t *words, size_t count, size_t stride)
{
#define SWAP_ELEMENTS(a, b)                                                                        \
    for (size_t swap_i = 0; swap_i < stride; swap_i++) {                                           \
        uintptr_t swap_word = words[(a)*stride + swap_i];                                          \
        words[(a)*stride + swap_i] = words[(b)*stride + swap_i];                                   \
        words[(b)*stride + swap_i] = swap_word;                                                    \
    }
    for (size_t pass = count / 2 + count; pass-- > 1;) {
        size_t root = pass >= count ? pass - count : 0;
        size_t end = pass >= count ? count : pass;
        if (pass < count)
            SWAP_ELEMENTS(0, pass);
        for (size_t child; (child = 2 * root + 1) < end; root = child) {
            if (child + 1 < end && words[(child + 1) * stride] > words[child * stride])
                child++;
            if (words[child * stride] <= words[root * stride])
                break;
            SWAP_ELEMENTS(child, root);
        }
    }
#undef SWAP_ELEMENTS
}

/* Index of the first of `words` that is >= value. */
static inline size_t lower_bound(const uintptr_t *words, size_t count, size_t stride,
                                 uintptr_t value)
{
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        if (words[middle * stride] < value)
            low = middle + 1;
        else
            count = middle;
    }
    return low;
}

#endif
