/* Fully connected layers of one row with the DSP extension. */
#ifndef OFA_DSP_DENSE_H
#define OFA_DSP_DENSE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Output channels come in blocks of four, then one of two if one or two are left (three: a block of four); channels
 * that are not there have weights of zero. The weights are a stream of words. A block starts with two words for every
 * pair of channels, the bias of its odd and that of its even one; for ofa_dsp_dense the former is 256 times the odd
 * bias plus the even one. Then come two words for every four inputs k and every pair of channels, each with two
 * halfwords of 256 * (odd weight) + (even weight): one for inputs k and k + 2, one for k + 1 and k + 3. In a block of
 * four both pairs' words for k come first. Inputs beyond the last have weights of zero and may be anything.
 */
typedef struct {
    const uint32_t *weights;
    const uint32_t *scales; /* see below */
    int32_t quads;          /* of inputs, >= 1 */
    int16_t outputs;
    int8_t clamp_min;
    int8_t clamp_max;
    int8_t output_zero_point;
} ofa_dsp_dense_layer;

/* output[outputs] from input[4 * quads] at a multiple of four.
 *
 * ofa_dsp_dense: for every channel four words, multiplier, offset, what is taken off that for sums below zero, and
 * shift less one: code = (offset + (256 * sum * multiplier >> 32)) >> shift, saturated and clamped. Sums are below 2^23.
 * ofa_dsp_dense_general: two words, multiplier and shift as in ofa_filter.
 */
void ofa_dsp_dense(const ofa_dsp_dense_layer *layer, const int8_t *input, int8_t *output);
void ofa_dsp_dense_general(const ofa_dsp_dense_layer *layer, const int8_t *input, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
