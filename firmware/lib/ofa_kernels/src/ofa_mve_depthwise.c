/* Depthwise convolution, one channel at a time.
 *
 * The ring holds padded rows column by column: row r of column c is at c * kernel_height + r. So every window is
 * contiguous, and a row takes the places of the row kernel_height above it in the next column, which no window needs any
 * more. Nothing is ever moved.
 */
#include "ofa_mve.h"

#include "ofa_mve_vectors.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)

/* How rows get into the ring: eight pixels at a time from `pixels` to `places`. */
typedef struct {
    uint16x8_t pixels;
    uint16x8_t places;
} paths;

OFA_MVE_INLINE uint16x8_t steps_of(int32_t last, int32_t step)
{
    const uint16x8_t lanes = vminq_u16(vidupq_n_u16(0, 1), vdupq_n_u16((uint16_t)(last < 7 ? last : 7)));
    return vmulq_n_u16(lanes, (uint16_t)step);
}

/* One row of a channel; the last group starts early, so that it ends with the row. */
OFA_MVE_INLINE void feed(int8_t *to, const int8_t *from, int32_t width, int32_t channels, int32_t rows,
                         uint16x8_t pixels, uint16x8_t places)
{
    int32_t groups = width >> 3;
    int32_t rest = groups ? width & 7 : 0;
    groups += groups == 0;
    for (;;) {
        do {
            vstrbq_scatter_offset_s16(to, places, vldrbq_gather_offset_s16(from, pixels));
            to += 8 * rows;
            from += 8 * channels;
        } while (--groups);
        if (rest == 0) {
            break;
        }
        to -= (8 - rest) * rows;
        from -= (8 - rest) * channels;
        groups = 1;
        rest = 0;
    }
}

#define OFA_MVE_PAIRS 1
#define OFA_MVE_TWO_VECTORS 2
#define OFA_MVE_ANY_VECTORS 3

/* Sums of four windows `step` bytes apart from `window` on. */
OFA_MVE_INLINE int32x4_t sums_of(const int8_t *window, int32_t step, int8x16_t w0, int8x16_t w1, const int8_t *weights,
                                 int32_t vectors, const int kind)
{
    if (kind == OFA_MVE_PAIRS) {
        const int8x16_t x0 = vldrbq_s8(window);
        const int8x16_t x1 = vldrbq_s8(window + 2 * step);
        return ofa_mve_lanes(vmladavq_s8(x0, w0), vmladavq_s8(x0, w1), vmladavq_s8(x1, w0), vmladavq_s8(x1, w1));
    }
    const int8_t *const p1 = window + step, *const p2 = p1 + step, *const p3 = p2 + step;
    int32_t a = vmladavq_s8(vldrbq_s8(window), w0);
    int32_t b = vmladavq_s8(vldrbq_s8(p1), w0);
    int32_t c = vmladavq_s8(vldrbq_s8(p2), w0);
    int32_t d = vmladavq_s8(vldrbq_s8(p3), w0);
    a = vmladavaq_s8(a, vldrbq_s8(window + 16), w1);
    b = vmladavaq_s8(b, vldrbq_s8(p1 + 16), w1);
    c = vmladavaq_s8(c, vldrbq_s8(p2 + 16), w1);
    d = vmladavaq_s8(d, vldrbq_s8(p3 + 16), w1);
    if (kind == OFA_MVE_ANY_VECTORS) {
        for (int32_t at = 32; at < 16 * vectors; at += 16) {
            const int8x16_t w = vldrbq_s8(weights + at);
            a = vmladavaq_s8(a, vldrbq_s8(window + at), w);
            b = vmladavaq_s8(b, vldrbq_s8(p1 + at), w);
            c = vmladavaq_s8(c, vldrbq_s8(p2 + at), w);
            d = vmladavaq_s8(d, vldrbq_s8(p3 + at), w);
        }
    }
    return ofa_mve_lanes(a, b, c, d);
}

OFA_MVE_INLINE void depthwise(const ofa_mve_depthwise_layer *layer, const int8_t *input, int8_t *output, int8_t *ring,
                              const int mode, const int kind)
{
    const int32_t rows = layer->kernel_height, width = layer->input_width;
    const int32_t channels = layer->channels, input_channels = layer->input_channels;
    const int32_t input_row = width * input_channels, output_row = layer->output_width * channels;
    const int32_t step = layer->stride_width * rows;
    const int32_t zero_point = layer->zero_point, low = layer->clamp_min, high = layer->clamp_max;
    const uint16x8_t pixels = steps_of(width - 1, input_channels);
    const uint16x8_t places = steps_of(width - 1, rows);
    const uint32x4_t outputs = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)channels);
    const mve_pred16_t live = vctp32q(layer->output_width);
    const int8_t *weights = layer->weights;
    int32_t multiple = 0;
    for (int32_t channel = 0; channel < channels; ++channel) {
        const int8x16_t w0 = vldrbq_s8(weights);
        const int8x16_t w1 = vldrbq_s8(weights + 16);
        const int32_t bias = layer->bias[channel], multiplier = layer->multiplier[channel];
        const int32_t shift = layer->shift[channel];
        int8_t *to = output + channel;
        int8_t *next = ring;                    /* where the first column of the next row goes */
        const int8_t *from = input;
        int32_t until = rows;
        int32_t row = -layer->pad_top;          /* of the input, to be fed next */
        for (int32_t oy = 0; oy < layer->output_height; ++oy) {
            for (; row < until - layer->pad_top; ++row, ++next) {
                const int32_t inside = row >= 0 && row < layer->input_height;
                if (inside) {
                    feed(next + layer->pad_left * rows, from, width, input_channels, rows, pixels, places);
                    from += input_row;
                }
                int8_t *pad = next;
                for (int32_t count = inside ? layer->pad_left : layer->pad_left + width; count > 0; --count) {
                    *pad = layer->input_zero_point;
                    pad += rows;
                }
                pad = next + (layer->pad_left + width) * rows;
                for (int32_t count = layer->pad_right; count > 0; --count) {
                    *pad = layer->input_zero_point;
                    pad += rows;
                }
            }
            const int8_t *window = ring + (until - rows);
            int8_t *place = to;
            int32_t groups = layer->output_width >> 2;
            int32_t rest = groups ? layer->output_width & 3 : 0;
            groups += groups == 0;
            for (;;) {
                do {
                    const int32x4_t sums = vaddq_n_s32(
                        sums_of(window, step, w0, w1, weights, layer->vectors, kind), bias);
                    vstrbq_scatter_offset_p_s32(
                        place, outputs,
                        ofa_mve_channel_codes(sums, multiplier, shift, zero_point, low, high, mode), live);
                    window += 4 * step;
                    place += 4 * channels;
                } while (--groups);
                if (rest == 0) {
                    break;
                }
                window -= (4 - rest) * step;
                place -= (4 - rest) * channels;
                groups = 1;
                rest = 0;
            }
            to += output_row;
            until += layer->stride_height;
        }
        weights += kind == OFA_MVE_PAIRS ? 32 : 16 * layer->vectors;
        if (++multiple == layer->depth_multiplier) {
            multiple = 0;
            ++input;
        }
    }
}

#define OFA_MVE_DEPTHWISE(number, kind, name, mode) \
    void ofa_mve_depthwise_##number##_##name(const ofa_mve_depthwise_layer *layer, const int8_t *input, \
                                             int8_t *output, int8_t *scratch) \
    { \
        depthwise(layer, input, output, scratch, mode, kind); \
    }

OFA_MVE_DEPTHWISE(1, OFA_MVE_PAIRS, plain, OFA_MVE_PLAIN)
OFA_MVE_DEPTHWISE(1, OFA_MVE_PAIRS, signed, OFA_MVE_SIGNED)
OFA_MVE_DEPTHWISE(1, OFA_MVE_PAIRS, clamped, OFA_MVE_CLAMPED)
OFA_MVE_DEPTHWISE(1, OFA_MVE_PAIRS, general, OFA_MVE_GENERAL)
OFA_MVE_DEPTHWISE(2, OFA_MVE_TWO_VECTORS, plain, OFA_MVE_PLAIN)
OFA_MVE_DEPTHWISE(2, OFA_MVE_TWO_VECTORS, signed, OFA_MVE_SIGNED)
OFA_MVE_DEPTHWISE(2, OFA_MVE_TWO_VECTORS, clamped, OFA_MVE_CLAMPED)
OFA_MVE_DEPTHWISE(2, OFA_MVE_TWO_VECTORS, general, OFA_MVE_GENERAL)
OFA_MVE_DEPTHWISE(n, OFA_MVE_ANY_VECTORS, plain, OFA_MVE_PLAIN)
OFA_MVE_DEPTHWISE(n, OFA_MVE_ANY_VECTORS, signed, OFA_MVE_SIGNED)
OFA_MVE_DEPTHWISE(n, OFA_MVE_ANY_VECTORS, clamped, OFA_MVE_CLAMPED)
OFA_MVE_DEPTHWISE(n, OFA_MVE_ANY_VECTORS, general, OFA_MVE_GENERAL)

#else

typedef int ofa_mve_depthwise_is_empty;

#endif
