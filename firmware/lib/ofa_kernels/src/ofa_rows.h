/* All output channels of one or two rows of gathered taps. Private to the library. */
#ifndef OFA_ROWS_H
#define OFA_ROWS_H

#include "ofa_portable.h"

/* output[channels] from x[taps], offset codes whose sum is `sum`. */
void ofa_row(const ofa_rounding *rounding, const uint8_t *weights, int32_t channels, const uint8_t *x, int32_t taps,
             int32_t sum, int8_t *output);

/* output[p][channels], p < 2, from x[2 * taps], the taps of both alternately, whose sums are `sums`. */
void ofa_row_pair(const ofa_rounding *rounding, const uint8_t *weights, int32_t channels, const uint8_t *x,
                  int32_t taps, const int32_t sums[2], int8_t *output);

/* One tap of the weights' offset: what start of a sum makes up for weights being 128 too large. */
static inline int32_t ofa_start(int32_t sum)
{
    return -128 * sum;
}

#endif
