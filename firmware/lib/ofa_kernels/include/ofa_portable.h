/* Exact int8 convolutions and matrix products in portable C11: they run every shape and every quantization.
 *
 * Arithmetic: TensorFlow Lite's int8, byte for byte as TensorFlow Lite Micro computes it. Right shifts of negative
 * integers must be arithmetic, as with every compiler for the supported cores. Tensors are int8, batch 1, height x
 * width x channels, channels fastest, with no alignment needed. No branch depends on data, so the instruction count
 * is a function of the layer alone. Descriptors and constants are only read and may lie in flash. At most 320 bytes of
 * stack are used, calls included. Whether and how input and output may overlap is said at each kernel; "gap" is the
 * distance from the start of the output up to the start of the input.
 *
 * Weights are stored with an offset: code + 128, 0 .. 255. Those of dense layers lie in blocks of four output channels,
 * weights[block][tap][4], taps in the order kernel row, kernel column, input channel; channels beyond the last are 128.
 * Those of depthwise layers are plain codes, weights[channel][kernel row][kernel column].
 *
 * Kernels multiply input codes that are raw or also offset by 128; each says which. Whatever the offsets contribute to
 * the sum of a channel is folded into its bias, together with the input's zero point.
 */
#ifndef OFA_PORTABLE_H
#define OFA_PORTABLE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Cores without a 32 x 32 -> 64 bit multiplication (ARMv6-M, ARMv8-M baseline) build products from pieces. */
#if !defined(OFA_NO_LONG_MULTIPLY)
#if (defined(__ARM_ARCH_6M__) && __ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
#define OFA_NO_LONG_MULTIPLY 1
#else
#define OFA_NO_LONG_MULTIPLY 0
#endif
#endif

typedef struct ofa_rounding ofa_rounding;

/* Turns sums[i] into codes output[i], i < count; the constants of `count` channels lie at `record`. */
typedef void ofa_store(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                       int32_t count);

/* Turns sums[i] of one channel into codes output[i * step], i < count. */
typedef void ofa_spread(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                        int32_t step, int32_t count);

/* How sums become codes: `records` holds `words` numbers for every output channel as the functions want them. */
struct ofa_rounding {
    ofa_store *store;   /* of dense layers */
    ofa_spread *spread; /* of depthwise layers */
    const int32_t *records;
    uint8_t words;
    uint8_t shift;     /* of "uniform" */
    int8_t zero_point; /* of "general" */
    int8_t clamp_min;
    int8_t clamp_max;
};

/* Records {bias, multiplier, offset}: saturate8((offset + floor(256 * (sum + bias) * multiplier / 2^32)) >> shift).
 * |sum + bias| < 2^23, or for those named "short" < 2^20, unless multiplier is 0; 0 <= multiplier < 2^31.
 */
ofa_store ofa_store_uniform;
ofa_spread ofa_spread_uniform;

/* Records {bias, multiplier, offset, 256 * dead zone + shift}: the same with a shift for every channel, the dead zone,
 * 0 .. 255, taken off the offset of negative sums, and the clamp.
 */
ofa_store ofa_store_channels;
ofa_spread ofa_spread_channels;

#if OFA_NO_LONG_MULTIPLY
ofa_store ofa_store_uniform_short, ofa_store_channels_short;
ofa_spread ofa_spread_uniform_short, ofa_spread_channels_short;
#else
#define ofa_store_uniform_short ofa_store_uniform
#define ofa_store_channels_short ofa_store_channels
#define ofa_spread_uniform_short ofa_spread_uniform
#define ofa_spread_channels_short ofa_spread_channels
#endif

/* Records {bias, multiplier, shift}: clamp(zero_point + multiplier * 2^(shift - 31) * (sum + bias)) with both roundings
 * of TensorFlow Lite; multiplier 0 .. 2^31 - 1, shift -31 .. 30, positive to the left,
 * |sum + bias| << max(shift, 0) < 2^31.
 */
ofa_store ofa_store_general;
ofa_spread ofa_spread_general;

/* Matrix product: output[rows][outputs] from input[rows][taps]. */
typedef struct {
    ofa_rounding rounding;
    const uint8_t *weights;
    int32_t rows;    /* >= 1 */
    int32_t taps;    /* >= 1 */
    int32_t outputs; /* >= 1 */
} ofa_product_layer;

/* Reads the input in place, a row for every 16 outputs of its own; multiplies raw codes. Outputs may overlap nothing of
 * the input's rows still to be read, their own row included but for its last outputs, 16 at most.
 */
void ofa_product(const ofa_product_layer *layer, const int8_t *input, int8_t *output);

/* Copies each row to `scratch`, `taps` bytes, first; multiplies offset codes. Rows are taken from the first to the last,
 * or where `backward` is set from the last to the first; an output row may overlap nothing of the input rows still to
 * be taken.
 */
void ofa_product_copied(const ofa_product_layer *layer, const int8_t *input, int8_t *output, uint8_t *scratch,
                        int backward);

/* The same for two rows at a time, in twice the scratch memory. */
void ofa_product_pairs(const ofa_product_layer *layer, const int8_t *input, int8_t *output, uint8_t *scratch,
                       int backward);

/* A window of kernel_height x kernel_width elements that moves over the input. */
typedef struct {
    uint16_t input_height; /* 1 .. 65535, like every extent below */
    uint16_t input_width;
    uint16_t input_channels;
    uint16_t output_height;
    uint16_t output_width;
    uint16_t output_channels;
    uint16_t kernel_height;
    uint16_t kernel_width;
    uint16_t stride_height;
    uint16_t stride_width;
    uint16_t dilation_height;
    uint16_t dilation_width;
    uint16_t pad_top; /* 0 .. 65535; at the bottom and on the right padding follows from the extents */
    uint16_t pad_left;
} ofa_sliding;

/* General convolution; multiplies offset codes. */
typedef struct {
    ofa_rounding rounding;
    const uint8_t *weights;
    ofa_sliding window;
    uint8_t padding; /* input zero point + 128 */
} ofa_conv2d_layer;

/* Gathers the taps of one output pixel in `scratch`, kernel_height * kernel_width * input_channels bytes. An output
 * pixel may overlap nothing of the windows of later output pixels.
 */
void ofa_conv2d(const ofa_conv2d_layer *layer, const int8_t *input, int8_t *output, uint8_t *scratch);

/* The same for two output pixels of a row at a time, in twice the scratch memory. */
void ofa_conv2d_pairs(const ofa_conv2d_layer *layer, const int8_t *input, int8_t *output, uint8_t *scratch);

typedef struct ofa_depthwise_layer ofa_depthwise_layer;

/* sums[i] of one channel and one output row, i < 4 * groups, from offset codes: rows[j] leads from `x` to what lies
 * under the first element of row j of the window.
 */
typedef void ofa_depthwise_sums(const ofa_sliding *window, const uint8_t *x, const int32_t *rows, const int8_t *weights,
                                int32_t *sums, int32_t groups);

/* For every window. */
ofa_depthwise_sums ofa_depthwise_any;

/* For windows of a width that move by 1 or 2 elements and are not dilated sideways. */
ofa_depthwise_sums ofa_depthwise_5_1, ofa_depthwise_5_2, ofa_depthwise_7_1, ofa_depthwise_7_2;

/* For windows of 3 x 3 elements that move sideways by 1 or 2 and are not dilated sideways. */
ofa_depthwise_sums ofa_depthwise_3x3_1, ofa_depthwise_3x3_2;

/* Depthwise convolution; output channel o reads input channel o / multiplier. Multiplies offset codes of plain weights.
 */
struct ofa_depthwise_layer {
    ofa_rounding rounding;
    ofa_depthwise_sums *sums;
    const int8_t *weights;
    ofa_sliding window;
    uint16_t multiplier;
    uint16_t pitch;  /* columns of a row of the window's path, see below */
    uint16_t block;  /* input channels worked on together; fewer than there are only where `multiplier` is 1 */
    uint8_t padding; /* input zero point + 128 */
};

/* Keeps the window's rows of a block of channels. With ring = dilation_height * (kernel_height - 1) + 1,
 * columns = output_width rounded up to a multiple of 4 and pitch = (columns - 1) * stride_width +
 * dilation_width * (kernel_width - 1) + 1, `scratch`, aligned to 4 bytes, takes
 * 4 * kernel_height + 4 * columns + ring * block * pitch bytes. An output row may overlap nothing of the input rows
 * behind its window. Where the output overlaps the input of several blocks, bytes of the input are moved down first, to
 * a whole number of pixels above the output.
 */
void ofa_depthwise(const ofa_depthwise_layer *layer, const int8_t *input, int8_t *output, uint8_t *scratch);

/* Keeps all rows of a block of channels: path = stride_height * (output_height - 1) + ring of them in place of the ring.
 * The output may overlap the input in any way if there is one block, and else if it starts at the input or below it;
 * the input is moved likewise.
 */
void ofa_depthwise_planes(const ofa_depthwise_layer *layer, const int8_t *input, int8_t *output, uint8_t *scratch);

#ifdef __cplusplus
}
#endif

#endif
