/* Exact int8 operators beside filters: sums and products of tensors that broadcast, tables, pools, softmax, and what
 * only moves codes. The common rules of ofa_kernels.h hold.
 */
#ifndef OFA_OPERATORS_H
#define OFA_OPERATORS_H

#include <stdint.h>

#include "ofa_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Four nested loops over the output, which is dense; steps are elements of either input, 0 where it broadcasts. */
typedef struct {
    int32_t counts[4]; /* >= 1, the innermost last */
    int32_t first[4];
    int32_t second[4];
} ofa_broadcast;

/* Sum of two tensors, or their difference with `sign` -1 (else 1). `add.count` is unused. */
typedef struct {
    ofa_broadcast shape;
    ofa_add_layer add;
    int32_t sign;
} ofa_add_broadcast_layer;

/* code = (a - first_zero_point) * (b - second_zero_point) * multiplier * 2^(shift - 31) + output_zero_point, clamped;
 * multiplier 0 .. 2^31 - 1, shift -31 .. 15, products shifted to the left stay within 32 bits.
 */
typedef struct {
    ofa_broadcast shape;
    int32_t multiplier;
    int8_t shift;
    int8_t first_zero_point;
    int8_t second_zero_point;
    int8_t output_zero_point;
    int8_t clamp_min;
    int8_t clamp_max;
} ofa_mul_layer;

/* The output may lie over an input of its own shape, from that input's start on downwards. */
void ofa_add_broadcasting(const ofa_add_broadcast_layer *layer, const int8_t *first, const int8_t *second,
                          int8_t *output);
void ofa_mul(const ofa_mul_layer *layer, const int8_t *first, const int8_t *second, int8_t *output);

/* output[i] = table[input[i] as uint8_t]: codes 0 .. 127, then -128 .. -1. The output may overlap the input from the
 * input's start on downwards.
 */
void ofa_table(const int8_t table[256], int32_t count, const int8_t *input, int8_t *output);

/* Codes of float values, divided by `scale` and rounded half away from zero, and back. The codes may overlap the
 * values from the values' start on downwards; a value may overlap no code still to be read, those of later values.
 */
void ofa_quantize(float scale, int32_t zero_point, int32_t count, const float *input, int8_t *output);
void ofa_dequantize(float scale, int32_t zero_point, int32_t count, const int8_t *input, float *output);

/* Softmax over the `depth` codes of each row, output scale 1/256, zero point -128. The output may overlap the input
 * from the input's start on downwards.
 */
typedef struct {
    const int32_t *exponentials; /* [256] of the distances to the largest code, no integer bits; 0: too far */
    int32_t rows;
    int32_t depth; /* 1 .. 4095 */
} ofa_softmax_layer;

void ofa_softmax(const ofa_softmax_layer *layer, const int8_t *input, int8_t *output);

/* Mean by four nested loops, two over what is kept, which makes up the dense output, and two over what is summed.
 * Steps are elements of the input. Scaling as in ofa_mean_layer.
 */
typedef struct {
    int32_t kept[2]; /* >= 1, the inner last, like all extents below */
    int32_t kept_steps[2];
    int32_t summed[2];
    int32_t summed_steps[2];
    int32_t multiplier;
    int32_t base; /* -(number of summed codes) * input zero point */
    int8_t shift;
    int8_t output_zero_point;
} ofa_mean_axes_layer;

void ofa_mean_axes(const ofa_mean_axes_layer *layer, const int8_t *input, int8_t *output);

/* Windows that are clipped where they reach outside the input; each holds one element of it at least. */
typedef struct {
    uint16_t input_height;
    uint16_t input_width;
    uint16_t output_height;
    uint16_t output_width;
    uint16_t channels;
    uint16_t kernel_height;
    uint16_t kernel_width;
    uint16_t stride_height;
    uint16_t stride_width;
    uint16_t pad_top; /* below the kernel's extent, like pad_left */
    uint16_t pad_left;
    int8_t clamp_min;
    int8_t clamp_max;
} ofa_pool_layer;

/* Averages are rounded half away from zero. Writes one output pixel after the other, channels in order, and reads
 * nothing of a window's channel behind its code's write: the output may overlap the input as far as that allows.
 */
void ofa_average_pool(const ofa_pool_layer *layer, const int8_t *input, int8_t *output);
void ofa_max_pool(const ofa_pool_layer *layer, const int8_t *input, int8_t *output);

/* The same by four channels at a time with the DSP extension, where `channels` is a multiple of four and tensors start
 * at multiples of four.
 */
void ofa_dsp_average_pool(const ofa_pool_layer *layer, const int8_t *input, int8_t *output);
void ofa_dsp_max_pool(const ofa_pool_layer *layer, const int8_t *input, int8_t *output);

/* Mean over pixels like ofa_mean with rescaling, by four channels at a time; tensors and channels as above. The output
 * may overlap the input from the input's start on downwards.
 */
void ofa_dsp_mean(const ofa_mean_layer *layer, const int8_t *input, int8_t *output);

/* Runs of bytes moved in four nested loops; steps in bytes. A run is dense in the output, its elements lie
 * `input_step` bytes apart in the input. The output may overlap the input where no element is written to a place above
 * its own.
 */
typedef struct {
    int32_t counts[4]; /* >= 1, the innermost last */
    int32_t from[4];
    int32_t to[4];
    int32_t run;
    int32_t input_step;
    int32_t words; /* whether every run starts at a multiple of four on both sides */
} ofa_move_layer;

void ofa_move(const ofa_move_layer *layer, const int8_t *input, int8_t *output);

/* Fills count bytes at a multiple of four. */
void ofa_fill(int8_t value, int32_t count, int8_t *output);

/* Copies count bytes, a multiple of four as both places are, in ascending order: `to` may lie below `from` and overlap
 * what is read.
 */
void ofa_carry(const int8_t *from, int32_t count, int8_t *to);

/* Rows and columns repeated: output[y][x] = input[rows[y]][columns[x]], ascending indices. */
typedef struct {
    const int16_t *rows;    /* [output_height] */
    const int16_t *columns; /* [output_width] */
    uint16_t input_width;
    uint16_t output_height;
    uint16_t output_width;
    uint16_t channels;
} ofa_resize_layer;

void ofa_resize(const ofa_resize_layer *layer, const int8_t *input, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
