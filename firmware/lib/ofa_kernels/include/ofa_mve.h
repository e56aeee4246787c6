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

/* Weights and requantization of dot products. The stream holds for every four outputs their weights, vector by vector,
 * filled with zeros; their folded biases; their multipliers; their shifts, positive to the left. Its last four outputs
 * end with the outputs, so that some may come twice; fewer than four are filled with zeros.
 */
typedef struct {
    const int8_t *stream; /* [outputs by four]{[vectors][4][16], int32_t [4], int32_t [4], [4]}, at a multiple of four */
    uint16_t vectors;     /* of 16 inputs */
    uint16_t outputs;
    int8_t zero_point;
    int8_t clamp_min;
    int8_t clamp_max;
} ofa_mve_dense;

/* All outputs of `pixels` >= 1 pixels whose inputs lie `stride` bytes apart; output pixels are as many outputs apart. The
 * vectors of a pixel are `pitch` bytes apart, 16 but for ofa_mve_pixels and ofa_mve_pairs.
 *
 * ofa_mve_pixels: of one to six vectors; every pixel is read before its outputs are written, so that input and output may
 * overlap; with a stride below 0 pixels and outputs go from the last to the first, which are given. ofa_mve_pairs: the
 * same for two pixels at a time, both read before their outputs are written, from four outputs on.
 * ofa_mve_outputs: of one vector, from four outputs on. ofa_mve_products: from two vectors on. These two read pixels again
 * for every four outputs.
 */
typedef void ofa_mve_dots(const ofa_mve_dense *dense, const int8_t *input, int32_t stride, int32_t pixels,
                          int8_t *output, int32_t pitch);

#define OFA_MVE_DECLARE(kind) \
    ofa_mve_dots ofa_mve_##kind##_plain, ofa_mve_##kind##_signed, ofa_mve_##kind##_clamped, ofa_mve_##kind##_general

OFA_MVE_DECLARE(pixels_1);
OFA_MVE_DECLARE(pixels_2);
OFA_MVE_DECLARE(pixels_3);
OFA_MVE_DECLARE(pixels_4);
OFA_MVE_DECLARE(pixels_5);
OFA_MVE_DECLARE(pixels_6);
OFA_MVE_DECLARE(outputs);
OFA_MVE_DECLARE(products);

#define OFA_MVE_DECLARE_PAIRS(vectors) ofa_mve_dots ofa_mve_pairs_##vectors##_plain, ofa_mve_pairs_##vectors##_signed

OFA_MVE_DECLARE_PAIRS(1);
OFA_MVE_DECLARE_PAIRS(2);
OFA_MVE_DECLARE_PAIRS(3);
OFA_MVE_DECLARE_PAIRS(4);
OFA_MVE_DECLARE_PAIRS(5);
OFA_MVE_DECLARE_PAIRS(6);

/* Pointwise convolution, or fully connected layer with a pixel for every row. Input and output may overlap where `dots` is
 * one of ofa_mve_pixels, or where `block` is not 0: then so many pixels at a time are copied to `scratch` (block * depth
 * bytes, and 16 more). Pixels are computed from the last to the first if `backward`.
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

/* Convolution. Windows of `block` pixels at a time are gathered in `scratch`, block * 16 * vectors + 32 bytes. Where `rows`
 * is not 0, a row of a window is a vector, which is read where it lies; only windows that reach beyond the input are
 * gathered, `block` of them at most.
 */
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
    uint8_t rows;
} ofa_mve_conv2d_layer;

void ofa_mve_conv2d(const ofa_mve_conv2d_layer *layer, const int8_t *input, int8_t *output, int8_t *scratch);

/* Depthwise convolution. One channel at a time passes through a ring of rows in `scratch`, column by column, where every
 * window is contiguous. Input channel c gives the output channels c * multiplier and following. pad_left + pad_right <= 8;
 * pad_top <= kernel_height, or one more where four windows fit one vector.
 */
typedef struct {
    const int8_t *weights;     /* [16] zeros, [channels][vectors][16] column by column, filled with zeros */
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

#define OFA_MVE_DECLARE_DEPTHWISE(kind) \
    ofa_mve_depthwise ofa_mve_depthwise_##kind##_plain, ofa_mve_depthwise_##kind##_signed, \
        ofa_mve_depthwise_##kind##_clamped, ofa_mve_depthwise_##kind##_general

/* For windows of which four fit one vector, two beside each other and those below, with strides of 1 and two rows and
 * columns of outputs at least; of which two fit one vector; for two vectors; for any number from two on. For the first,
 * `weights` have a zero after every column.
 */
OFA_MVE_DECLARE_DEPTHWISE(4);
OFA_MVE_DECLARE_DEPTHWISE(1);
OFA_MVE_DECLARE_DEPTHWISE(2);
OFA_MVE_DECLARE_DEPTHWISE(n);

/* Depthwise convolution with windows of 3 x 3, 5 x 5 or 7 x 7 and a multiplier of 1, sixteen channels at a time. As many
 * padded rows of them as a window has lie in `scratch`, 16 bytes for every column. `weights` has for every sixteen channels
 * their biases, int32_t [4][4], their weights [height * width][16], and four times multipliers, int32_t [4], and shifts
 * [4]; those of four are channels 4k, then 4k + 2, 4k + 1 and 4k + 3, channels that are missing are zeros. `bias`,
 * `multiplier` and `shift` are not used. The output may start where the input starts if no row of outputs ends behind the
 * rows they need. Weights are above -128 but for the wide mode, which is general otherwise and needs half the window's
 * taps, rounded down, added to biases.
 */
#define OFA_MVE_DECLARE_BLOCKS(size) \
    ofa_mve_depthwise ofa_mve_depthwise_blocks_##size##_plain, ofa_mve_depthwise_blocks_##size##_signed, \
        ofa_mve_depthwise_blocks_##size##_general, ofa_mve_depthwise_blocks_##size##_wide

OFA_MVE_DECLARE_BLOCKS(3);
OFA_MVE_DECLARE_BLOCKS(5);
OFA_MVE_DECLARE_BLOCKS(7);

#ifdef __cplusplus
}
#endif

#endif
