/* Exact int8 neural network kernels, portable C11.
 *
 * Arithmetic: TensorFlow Lite's int8, byte for byte as TensorFlow Lite Micro computes it (int32 accumulators,
 * requantization with gemmlowp's double rounding). Right shifts of negative integers must be arithmetic, as with
 * every compiler for the supported cores.
 *
 * Common rules, unless a kernel says otherwise:
 *   - tensors are int8, batch 1, height x width x channels, channels fastest, with no alignment needed;
 *   - input and output must not overlap;
 *   - no scratch memory: a kernel uses its arguments and at most 320 bytes of stack, calls included;
 *   - nothing is called but memcpy, memset and the compiler's own helpers;
 *   - no branch depends on data, so the instruction count is a function of the layer alone (but for the division of
 *     ofa_mean without rescaling on cores that have no division instruction);
 *   - descriptors and constants are only read and may lie in flash.
 *
 * Packed weights: output channels in blocks of four. Block b holds, for every tap in the order kernel row, kernel
 * column, input channel, the four weights of the channels 4b .. 4b + 3 side by side:
 * weights[blocks][taps][4]. Channels beyond the last are filled with zeros. A depthwise kernel has one tap per kernel
 * element.
 *
 * Folded bias: bias[o] - input_zero_point * (sum of all weights of channel o), so that kernels multiply raw codes.
 * Together with every raw product it must stay within int32:
 * |folded bias| + 128 * (sum of the magnitudes of the weights) < 2^31.
 */
#ifndef OFA_KERNELS_H
#define OFA_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Weights and requantization of a convolution, a depthwise convolution or a fully connected layer.
 *
 * output code = multiplier[o] * 2^(shift[o] - 31) * accumulator + output_zero_point, clamped.
 * multiplier: 0 .. 2^31 - 1; shift: -31 .. 30, positive to the left, |accumulator| << max(shift, 0) < 2^31.
 * clamp_min <= clamp_max. input_zero_point stands for padded input elements; it is unused where there is no padding.
 */
typedef struct {
    const int8_t *weights;     /* packed, see above */
    const int32_t *bias;       /* [output channels], folded */
    const int32_t *multiplier; /* [output channels] */
    const int8_t *shift;       /* [output channels] */
    int8_t input_zero_point;
    int8_t output_zero_point;
    int8_t clamp_min;
    int8_t clamp_max;
} ofa_filter;

/* Pointwise (1x1, stride 1) convolution of `pixels` pixels. */
typedef struct {
    ofa_filter filter;
    int32_t pixels;          /* >= 1 */
    uint16_t input_channels; /* 1 .. 65535 */
    uint16_t output_channels;
} ofa_pointwise_layer;

/* General convolution with explicit padding. */
typedef struct {
    ofa_filter filter;
    uint16_t input_height;
    uint16_t input_width;
    uint16_t input_channels;
    uint16_t output_height;
    uint16_t output_width;
    uint16_t output_channels;
    uint8_t kernel_height; /* 1 .. 255, like every extent below */
    uint8_t kernel_width;
    uint8_t stride_height;
    uint8_t stride_width;
    uint8_t pad_top; /* below kernel_height; padding at the bottom follows from the heights, and is below it, too */
    uint8_t pad_left;
} ofa_conv2d_layer;

/* Depthwise convolution with depth multiplier 1 and explicit padding. */
typedef struct {
    ofa_filter filter;
    uint16_t input_height;
    uint16_t input_width;
    uint16_t output_height;
    uint16_t output_width;
    uint16_t channels;
    uint8_t kernel_height; /* ranges as in ofa_conv2d_layer */
    uint8_t kernel_width;
    uint8_t stride_height;
    uint8_t stride_width;
    uint8_t pad_top;
    uint8_t pad_left;
} ofa_depthwise_layer;

/* Fully connected layer. */
typedef struct {
    ofa_filter filter;
    int32_t inputs;  /* >= 1 */
    int32_t outputs; /* >= 1 */
} ofa_fully_connected_layer;

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

/* output[pixels][output_channels] from input[pixels][input_channels]. */
void ofa_pointwise(const ofa_pointwise_layer *layer, const int8_t *input, int8_t *output);

/* output[output_height][output_width][output_channels] from input[input_height][input_width][input_channels]. */
void ofa_conv2d(const ofa_conv2d_layer *layer, const int8_t *input, int8_t *output);

/* output[output_height][output_width][channels] from input[input_height][input_width][channels]. */
void ofa_depthwise(const ofa_depthwise_layer *layer, const int8_t *input, int8_t *output);

/* output[outputs] from input[inputs]. */
void ofa_fully_connected(const ofa_fully_connected_layer *layer, const int8_t *input, int8_t *output);

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
