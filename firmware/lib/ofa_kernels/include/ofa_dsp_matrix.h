/* Convolutions for cores with the DSP extension: two output channels of four pixels at a time.
 *
 * A block function gathers the windows of four pixels, widened to halfwords, then computes all their output channels.
 * Of the pair of channels (even, odd) a halfword of weights holds 256 * odd + even: one SMLAD of the word accumulates
 * A = 256 * O + E and one of its sign extended low bytes E; A - E is 256 * O, as requantization wants it. Sums are
 * below 2^23.
 *
 * The stream of weights holds for every pair of output channels: the even bias; 256 * odd bias + even bias; a word of
 * weights for every pair of taps; then for either channel multiplier, offset, what is taken off the offset for sums
 * below 0 where such codes survive, and the shift less one where channels have shifts of their own. Without its last
 * channel an odd layer has nothing after the scales of the even one.
 */
#ifndef OFA_DSP_MATRIX_H
#define OFA_DSP_MATRIX_H

#include <stdint.h>

#include "ofa_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Four pixels: pixel 1 lies `next` bytes behind pixel 0, pixel 2 `third` bytes, pixel 3 the sum of both. Fewer than
 * four pixels are four of which some are the same. `row` is the distance of the rows of a window.
 */
typedef struct {
    const int8_t *input;
    int8_t *output;
    int32_t row;
    int32_t input_next, input_third;
    int32_t output_next, output_third;
} ofa_matrix_quad;

typedef struct ofa_matrix_layer ofa_matrix_layer;
typedef void ofa_matrix_block(const ofa_matrix_layer *layer, const ofa_matrix_quad *quad, ofa_word *wide);

/* What a layer is, for functions that were not made for that: its codes have dead zones; are clamped; its channels are
 * odd in number, have shifts of their own; its codes are added to others. All but the last two are modes of blocks that
 * take layers of any mode.
 */
enum {
    OFA_MATRIX_SIGNED = 1,
    OFA_MATRIX_CLAMPED = 2,
    OFA_MATRIX_ODD = 4,
    OFA_MATRIX_OWN = 8,
    OFA_MATRIX_ADDS = 16,
    OFA_MATRIX_MODES = 7
};

/* A window consists of `rows` times `columns` runs of 4 * `words` codes, columns `column` bytes apart: what blocks in a
 * loop need. Codes are clamped to `low` .. `high` where the block was made for it.
 */
struct ofa_matrix_layer {
    ofa_matrix_block *block;
    const uint32_t *weights;
    uint16_t outputs;
    uint16_t words;
    uint16_t column;
    uint8_t rows, columns;
    int8_t low, high;
    int8_t zero_point; /* of the input, for windows that reach out of it */
    uint8_t flags;
};

/* Pointwise: `depth` codes of every pixel, `left` of them behind the last whole word. `single` computes the
 * pixels left over by blocks of four one by one; 0: a block computes some of them twice. `shift` is that of all
 * channels, less one, where the stream holds none.
 */
typedef struct {
    ofa_matrix_layer matrix;
    ofa_matrix_block *single;
    int32_t pixels;
    uint16_t depth;
    uint8_t left;
    uint8_t shift;
} ofa_matrix_points_layer;

/* Pointwise, and a tensor of the output's shape is added to the codes:
 * code = clamp((code * factor + other code * other_factor + offset) >> 22), where the sum stays within 32 bits. The
 * other tensor lies `other` bytes above the output, or is the output.
 */
typedef struct {
    ofa_matrix_points_layer points;
    int32_t factor;
    int32_t offset;
    int32_t other_factor;
    int32_t other;
} ofa_matrix_sum_layer;

/* The output may start up to where the input does if outputs <= depth, and with `backward` may end where the input does
 * if outputs >= depth. `wide` is what blocks in a loop work in: 8 bytes for every tap.
 */
void ofa_matrix_points(const ofa_matrix_points_layer *layer, const int8_t *input, int8_t *output, ofa_word *wide,
                       int backward);

/* Windows of any shape; extents are those from the first to the last tap. */
typedef struct {
    ofa_matrix_layer matrix;
    uint16_t input_height, input_width, depth;
    uint16_t output_height, output_width;
    uint16_t extent_height, extent_width;
    uint16_t stride_height, stride_width;
    uint16_t pad_top, pad_left;
    uint16_t kernel_height, dilation_height;
    uint16_t band; /* rows of the output that ofa_matrix_band computes together */
} ofa_matrix_window_layer;

/* Windows are read from the input; those that reach out of it are put together in `patch`, which takes
 * kernel_height * (3 * stride_width + extent_width) * depth + 4 bytes.
 */
void ofa_matrix_direct(const ofa_matrix_window_layer *layer, const int8_t *input, int8_t *output, ofa_word *wide,
                       int8_t *patch);

/* Windows are read from a padded copy of the rows that `band` output rows need, which takes
 * ((band - 1) * stride_height + extent_height) rows of ((output_width - 1) * stride_width + extent_width) * depth
 * bytes, and 4 bytes. Four pixels are above each other where that leaves fewer pixels over.
 */
void ofa_matrix_band(const ofa_matrix_window_layer *layer, const int8_t *input, int8_t *output, ofa_word *wide,
                     int8_t *rows);

#ifdef __cplusplus
}
#endif

#endif
