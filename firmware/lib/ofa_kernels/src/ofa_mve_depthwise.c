/* Depthwise convolution, one channel at a time.
 *
 * The ring holds padded rows column by column: row r of column c is at c * kernel_height + r. So every window is
 * contiguous, and a row takes the places of the row kernel_height above it in the next column, which no window needs any
 * more. Nothing is ever moved.
 */
#include "ofa_mve.h"

#include "ofa_mve_vectors.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)

OFA_MVE_INLINE uint16x8_t steps_of(int32_t last, int32_t step)
{
    const uint16x8_t lanes = vminq_u16(vidupq_n_u16(0, 1), vdupq_n_u16((uint16_t)(last < 7 ? last : 7)));
    return vmulq_n_u16(lanes, (uint16_t)step);
}

/* Where the columns of padding start in a row of the ring, eight at most; none: where the first pixel will be. */
OFA_MVE_INLINE uint16x8_t padding_places(const ofa_mve_depthwise_layer *layer)
{
    uint16_t places[8];
    const int32_t count = layer->pad_left + layer->pad_right;
    for (int32_t lane = 0; lane < 8; ++lane) {
        const int32_t column = lane < count ? lane : count > 0 ? count - 1 : 0;
        const int32_t skipped = column >= layer->pad_left && count > 0 ? layer->input_width : 0;
        places[lane] = (uint16_t)((column + skipped) * layer->kernel_height);
    }
    return vldrhq_u16(places);
}

/* What all rows have in common. */
typedef struct {
    int32_t groups;      /* of eight pixels, but for the last, which starts early so that it ends with the row */
    int32_t last_pixel;  /* bytes from the row's start to the last group's */
    int32_t last_place;  /* the same in the ring */
    int32_t first_place;
    int32_t group_pixels;
    int32_t group_places;
    int32_t input_row;
} rows_in;

/* One row of a channel. */
OFA_MVE_INLINE void feed(const rows_in *in, int8_t *to, const int8_t *from, uint16x8_t pixels, uint16x8_t places,
                         uint16x8_t padding, int16x8_t code)
{
    int8_t *place = to + in->first_place;
    const int8_t *pixel = from;
    vstrbq_scatter_offset_s16(to, padding, code);
    for (int32_t groups = in->groups; groups > 0; --groups) {
        vstrbq_scatter_offset_s16(place, places, vldrbq_gather_offset_s16(pixel, pixels));
        place += in->group_places;
        pixel += in->group_pixels;
    }
    vstrbq_scatter_offset_s16(to + in->last_place, places, vldrbq_gather_offset_s16(from + in->last_pixel, pixels));
}

/* A row outside the input. */
OFA_MVE_INLINE void feed_padding(const rows_in *in, int8_t *to, uint16x8_t places, uint16x8_t padding, int16x8_t code)
{
    int8_t *place = to + in->first_place;
    vstrbq_scatter_offset_s16(to, padding, code);
    for (int32_t groups = in->groups; groups > 0; --groups) {
        vstrbq_scatter_offset_s16(place, places, code);
        place += in->group_places;
    }
    vstrbq_scatter_offset_s16(to + in->last_place, places, code);
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
    const int32_t last_group = width > 8 ? width - 8 : 0;
    const rows_in in = {
        .groups = (width - 1) >> 3,
        .last_pixel = last_group * input_channels,
        .last_place = (layer->pad_left + last_group) * rows,
        .first_place = layer->pad_left * rows,
        .group_pixels = 8 * input_channels,
        .group_places = 8 * rows,
        .input_row = width * input_channels,
    };
    const int32_t output_row = layer->output_width * channels;
    const int32_t step = layer->stride_width * rows;
    const int32_t low = layer->clamp_min, high = layer->clamp_max;
    const int32_t zero_point = layer->zero_point;
    const int16x8_t code = vdupq_n_s16(layer->input_zero_point);
    const int32_t quads = layer->output_width < 4 ? 1 : layer->output_width >> 2;
    const int32_t rest = layer->output_width < 4 ? 0 : layer->output_width & 3;
    const uint16x8_t pixels = steps_of(width - 1, input_channels);
    const uint16x8_t places = steps_of(width - 1, rows);
    const uint16x8_t padding = padding_places(layer);
    const uint32x4_t outputs = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)channels);
    const mve_pred16_t live = vctp32q(layer->output_width);
    const int8_t *weights = layer->weights + 16;
    int32_t multiple = 0;
    for (int32_t channel = 0; channel < channels; ++channel) {
        const int8x16_t w0 = vldrbq_s8(weights);
        /* The same weights for the next window of a pair, from the zeros before them on. */
        const int8x16_t w1 = vldrbq_s8(kind == OFA_MVE_PAIRS ? weights - step : weights + 16);
        const int32_t bias = layer->bias[channel], shift = layer->shift[channel];
        const int32x4_t multiplier = vdupq_n_s32(layer->multiplier[channel]);
        int8_t *to = output + channel;
        int8_t *next = ring; /* where the first column of the next row goes */
        const int8_t *from = input;
        int32_t waiting = layer->input_height;
        int32_t wanted = rows - layer->pad_top;
        const int8_t *windows = ring;
        int32_t left = layer->output_height;
        for (int32_t row = layer->pad_top; row > 0; --row) {
            feed_padding(&in, next++, places, padding, code);
        }
        for (;;) {
            for (; wanted > 0; --wanted, ++next) {
                if (--waiting >= 0) {
                    feed(&in, next, from, pixels, places, padding, code);
                    from += in.input_row;
                } else {
                    feed_padding(&in, next, places, padding, code);
                }
            }
            const int8_t *window = windows;
            int8_t *place = to;
            int32_t more = quads;
            int32_t again = rest;
            for (;;) {
                do {
                    const int32x4_t sums =
                        vaddq_n_s32(sums_of(window, step, w0, w1, weights, layer->vectors, kind), bias);
                    const int32x4_t codes =
                        ofa_mve_channel_codes(sums, multiplier, shift, zero_point, low, high, mode);
                    vstrbq_scatter_offset_p_s32(place, outputs, codes, live);
                    window += 4 * step;
                    place += 4 * channels;
                } while (--more);
                if (again == 0) {
                    break;
                }
                window -= (4 - rest) * step;
                place -= (4 - rest) * channels;
                more = 1;
                again = 0;
            }
            if (--left == 0) {
                break;
            }
            to += output_row;
            windows += layer->stride_height;
            wanted = layer->stride_height;
        }
        weights += 16 * layer->vectors;
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
