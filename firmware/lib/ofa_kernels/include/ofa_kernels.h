/* Exact int8 neural network kernels, portable C11.
 *
 * Arithmetic: TensorFlow Lite's int8, byte for byte as TensorFlow Lite Micro computes it (int32 accumulators,
 * requantization with gemmlowp's double rounding). Right shifts of negative integers must be arithmetic, as with
 * every compiler for the supported cores.
 *
 * Common rules, unless a kernel says otherwise:
 *   - tensors are int8, batch 1, height x width x channels, channels fastest, with no alignment needed;
 *   - input and output must not overlap;
 *   - no scratch memory: a kernel uses its arguments and at most 448 bytes of stack, calls included;
 *   - nothing is called but memcpy, memset and the compiler's own helpers;
 *   - no branch depends on data, so the instruction count is a function of the layer alone (but for the division of
 *     ofa_mean without rescaling on cores that have no division instruction);
 *   - descriptors and constants are only read and may lie in flash.
 */
#ifndef OFA_KERNELS_H
#define OFA_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Element-wise sum: each input code is scaled by multiplier * 2^(20 + shift - 31), the sum of both by
 * output_multiplier * 2^(output_shift - 31). Multipliers 0 .. 2^31 - 1, shifts -31 .. 0.
 */
typedef struct {
    int32_t count; /* elements, >= 0 */
    int32_t first_multiplier;
    int32_t second_multiplier;
    int32_t output_multiplier;
    int8_t first_zero_point;
    int8_t first_shift;
    int8_t second_zero_point;
    int8_t second_shift;
    int8_t output_zero_point;
    int8_t output_shift;
    int8_t clamp_min;
    int8_t clamp_max;
} ofa_add_layer;

/* Mean over all pixels of each channel. Where `rescale` is 0, input and output share scale and zero point: the sum of
 * the codes is divided by `pixels`, truncated towards zero, and multiplier, shift and zero points are unused. Else the
 * centred sum is scaled by multiplier * 2^(shift - 31), which holds the division, and clamped to int8.
 */
typedef struct {
    int32_t pixels; /* >= 1; pixels * 255 << max(shift, 0) < 2^31 */
    int32_t multiplier;
    uint16_t channels;
    int8_t shift;
    int8_t input_zero_point;
    int8_t output_zero_point;
    int8_t rescale;
} ofa_mean_layer;

/* output[count] from first[count] and second[count]. In place: output may be equal to first, to second or to both;
 * any other overlap with output is not allowed. first may overlap second in any way.
 */
void ofa_add(const ofa_add_layer *layer, const int8_t *first, const int8_t *second, int8_t *output);

/* output[channels] from input[pixels][channels]. */
void ofa_mean(const ofa_mean_layer *layer, const int8_t *input, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
