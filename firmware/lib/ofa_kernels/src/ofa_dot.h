/* Dot products of four output channels at a time. Private to the library. */
#ifndef OFA_DOT_H
#define OFA_DOT_H

#include "ofa_portable.h"

/* Output channels whose sums are put down before they become codes. */
#define OFA_ROW_CHANNELS 16
/* The same where two rows are taken at a time. */
#define OFA_PAIR_CHANNELS 8

/* sums[j] = start + sum over i < taps of x[i] * weights[4 * i + j], j < 4; at most 32768 taps, here and below. */
void ofa_dot4(int32_t sums[4], const uint8_t *x, const uint8_t *weights, int32_t taps, int32_t start);

/* The same with raw codes. */
void ofa_dot4_raw(int32_t sums[4], const int8_t *x, const uint8_t *weights, int32_t taps, int32_t start);

/* Two rows side by side, x[2 * i + p]: sums[OFA_PAIR_CHANNELS * p + j] = starts[p] + ..., p < 2. */
void ofa_dot4_pair(int32_t *sums, const uint8_t *x, const uint8_t *weights, int32_t taps, const int32_t starts[2]);

#endif
