/* What the kernels with weights share: where a kernel window meets the input, padding, and storing results.
 * Private to the library.
 */
#ifndef OFA_FILTER_H
#define OFA_FILTER_H

#include "ofa_kernels.h"
#include "ofa_requantize.h"

/* Keeps a hot loop in a function of its own, where it has all registers. */
#define OFA_NOINLINE __attribute__((noinline))
/* For what is small, or shrinks where it is used. */
#define OFA_INLINE inline __attribute__((always_inline))

/* The part first .. last - 1 of a kernel's extent that lies inside the input, 0 <= first < last <= extent. */
typedef struct {
    int32_t first;
    int32_t last;
} ofa_span;

/* Span of a kernel of `extent` elements whose element 0 lies on input index `start` (negative: in the padding). */
static inline ofa_span ofa_clip(int32_t start, int32_t extent, int32_t input)
{
    ofa_span span = {0, extent};
    if (start < 0) {
        span.first = -start;
    }
    if (start + extent > input) {
        span.last = input - start;
    }
    return span;
}

#endif
