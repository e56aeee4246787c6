/* The multiply-accumulate loop of four output channels. Private to the library. */
#ifndef OFA_DOT_H
#define OFA_DOT_H

#include "ofa_filter.h"

/* One input element times the weights of four channels. */
#define OFA_TAP(i)                                                                                                     \
    do {                                                                                                               \
        const int32_t value = x[(i)];                                                                                  \
        acc0 += value * weights[4 * (i)];                                                                              \
        acc1 += value * weights[4 * (i) + 1];                                                                          \
        acc2 += value * weights[4 * (i) + 2];                                                                          \
        acc3 += value * weights[4 * (i) + 3];                                                                          \
    } while (0)

/* acc[j] = sum over rows r < rows and taps i < taps of x[r * input_row + i] * weights[r * weight_row + 4 * i + j],
 * j < 4; row strides in bytes. Inlined with constants it loses what is not needed.
 */
static OFA_INLINE void ofa_dot4(int32_t acc[4], const int8_t *x, const int8_t *weights, int32_t taps, int32_t rows,
                                int32_t input_row, int32_t weight_row)
{
    int32_t acc0 = 0, acc1 = 0, acc2 = 0, acc3 = 0;
    for (; rows > 0; --rows) {
        int32_t left = taps;
        for (; left >= 4; left -= 4) {
            OFA_TAP(0);
            OFA_TAP(1);
            OFA_TAP(2);
            OFA_TAP(3);
            x += 4;
            weights += 16;
        }
        for (; left > 0; --left) {
            OFA_TAP(0);
            x += 1;
            weights += 4;
        }
        x += input_row - taps;
        weights += weight_row - 4 * taps;
    }
    acc[0] = acc0;
    acc[1] = acc1;
    acc[2] = acc2;
    acc[3] = acc3;
}

#undef OFA_TAP

#endif
