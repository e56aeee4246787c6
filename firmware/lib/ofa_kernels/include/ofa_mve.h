/* Kernels for M-profile vectors (Cortex-M55, Cortex-M85). Sources that hold them compile to nothing without MVE.
 *
 * Arithmetic is that of ofa_kernels.h. Weights are packed offline, input zero points are folded into biases. Input is
 * read up to 15 bytes past its end, where weights are zero; nothing is written beside the output and the scratch memory.
 *
 * Functions of one kernel come in four modes: plain, for layers whose clamp hides every sum below zero and is no tighter
 * than int8; signed, whose sums below zero matter; clamped, with an activation tighter than int8 but none below zero; and
 * general, for everything, shifts to the left and of zero included. In signed mode shifts are below 0, in plain and
 * clamped not above.
 */
#ifndef OFA_MVE_H
#define OFA_MVE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Weights and requantization of dot products. Arrays are filled up to a multiple of four outputs. */
typedef struct {
    const int8_t *weights;     /* [outputs by four][vectors][4][16], the last vector filled with zeros */
    const int32_t *bias;       /* folded */
    const int32_t *multiplier;
    const int8_t *shift;       /* positive to the left */
    uint16_t vectors;          /* of 16 inputs */
    uint16_t outputs;
    int8_t zero_point;
    int8_t clamp_min;
    int8_t clamp_max;
} ofa_mve_dense;

/* All outputs of `pixels` >= 1 pixels whose inputs lie `stride` bytes apart. */
typedef void ofa_mve_dots(const ofa_mve_dense *dense, const int8_t *input, int32_t stride, int32_t pixels,
                          int8_t *output);

/* For one vector, for two, and for more than one. */
ofa_mve_dots ofa_mve_dots_1_plain, ofa_mve_dots_1_signed, ofa_mve_dots_1_clamped, ofa_mve_dots_1_general;
ofa_mve_dots ofa_mve_dots_2_plain, ofa_mve_dots_2_signed, ofa_mve_dots_2_clamped, ofa_mve_dots_2_general;
ofa_mve_dots ofa_mve_dots_n_plain, ofa_mve_dots_n_signed, ofa_mve_dots_n_clamped, ofa_mve_dots_n_general;

/* Pointwise convolution, or fully connected layer with a pixel for every row. Where `block` is not 0, input may overlap
 * output: so many pixels at a time are copied to `scratch` (block * depth bytes, and 15 more), from the last to the
 * first if `backward`.
 */
typedef struct {
    ofa_mve_dense dense;
    ofa_mve_dots *dots;
    int32_t pixels;
    uint16_t depth;
    uint16_t block;
} ofa_mve_pointwise_layer;

void ofa_mve_pointwise(const ofa_mve_pointwise_layer *layer, const int8_t *input, int8_t *output, int8_t *scratch,
                       int32_t backward);

/* Convolution: windows of `block` pixels at a time are gathered in `scratch`, block * 16 * vectors + 32 bytes. */
typedef struct {
    ofa_mve_dense dense;
    ofa_mve_dots *dots;
    uint16_t input_height;
    uint16_t input_width;
    uint16_t input_channels;
    uint16_t output_height;
    uint16_t output_width;
    uint16_t block;
    uint8_t kernel_height;
    uint8_t kernel_width;
    uint8_t stride_height;
    uint8_t stride_width;
    uint8_t pad_top;
    uint8_t pad_left;
    int8_t input_zero_point;
} ofa_mve_conv2d_layer;

void ofa_mve_conv2d(const ofa_mve_conv2d_layer *layer, const int8_t *input, int8_t *output, int8_t *scratch);

/* Depthwise convolution. One channel at a time passes through a ring of rows in `scratch`, column by column, where every
 * window is contiguous. Input channel c gives the output channels c * multiplier and following.
 */
typedef struct {
    const int8_t *weights;     /* [channels][vectors][16], column by column */
    const int32_t *bias;       /* folded */
    const int32_t *multiplier;
    const int8_t *shift;
    uint16_t input_height;
    uint16_t input_width;
    uint16_t input_channels;
    uint16_t output_height;
    uint16_t output_width;
    uint16_t channels;
    uint8_t depth_multiplier;
    uint8_t vectors;
    uint8_t kernel_height;
    uint8_t stride_height;
    uint8_t stride_width;
    uint8_t pad_top;
    uint8_t pad_left;
    uint8_t pad_right;
    int8_t input_zero_point;
    int8_t zero_point;
    int8_t clamp_min;
    int8_t clamp_max;
} ofa_mve_depthwise_layer;

typedef void ofa_mve_depthwise(const ofa_mve_depthwise_layer *layer, const int8_t *input, int8_t *output,
                               int8_t *scratch);

/* For windows of which two neighbours fit one vector; for two vectors; for any number. */
ofa_mve_depthwise ofa_mve_depthwise_1_plain, ofa_mve_depthwise_1_signed, ofa_mve_depthwise_1_clamped,
    ofa_mve_depthwise_1_general;
ofa_mve_depthwise ofa_mve_depthwise_2_plain, ofa_mve_depthwise_2_signed, ofa_mve_depthwise_2_clamped,
    ofa_mve_depthwise_2_general;
ofa_mve_depthwise ofa_mve_depthwise_n_plain, ofa_mve_depthwise_n_signed, ofa_mve_depthwise_n_clamped,
    ofa_mve_depthwise_n_general;

#ifdef __cplusplus
}
#endif

#endif
