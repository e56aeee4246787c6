/* Depthwise convolution, one channel at a time.
 *
 * The ring holds padded rows column by column: row r of column c is at c * kernel_height + r. So every window is
 * contiguous, and a row takes the places of the row kernel_height above it in the next column, which no window needs any
 * more. Nothing is ever moved. Where two windows beside each other and the two below fit one vector, columns are one row
 * taller, and four windows are computed from one load.
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
OFA_MVE_INLINE uint16x8_t padding_places(const ofa_mve_depthwise_layer *layer, int32_t pitch)
{
    uint16_t places[8];
    const int32_t count = layer->pad_left + layer->pad_right;
    for (int32_t lane = 0; lane < 8; ++lane) {
        const int32_t column = lane < count ? lane : count > 0 ? count - 1 : 0;
        const int32_t skipped = column >= layer->pad_left && count > 0 ? layer->input_width : 0;
        places[lane] = (uint16_t)((column + skipped) * pitch);
    }
    return vldrhq_u16(places);
}

/* How the rows of a channel get into the ring. */
typedef struct {
    uint16x8_t pixels;   /* offsets of eight pixels */
    uint16x8_t places;   /* of theirs in the ring */
    uint16x8_t padding;  /* of the columns of padding */
    int16x8_t code;      /* of padding */
    int32_t first_place; /* of the first pixel */
    int32_t last_place;  /* of the last group of eight, which ends with the row */
    int32_t last_pixel;  /* bytes from the row's start to it */
    int32_t groups;      /* before it */
    int32_t group_pixels;
    int32_t group_places;
    int32_t input_row;
} paths;

/* Rows from `from` on. */
static __attribute__((noinline)) void feed(const paths *by, int8_t *to, const int8_t *from, int32_t count)
{
    const uint16x8_t pixels = by->pixels, places = by->places, padding = by->padding;
    const int16x8_t code = by->code;
    const int32_t groups = by->groups, group_pixels = by->group_pixels, group_places = by->group_places;
    do {
        int8_t *place = to + by->first_place;
        const int8_t *pixel = from;
        vstrbq_scatter_offset_s16(to, padding, code);
        for (int32_t left = groups; left > 0; --left) {
            vstrbq_scatter_offset_s16(place, places, vldrbq_gather_offset_s16(pixel, pixels));
            place += group_places;
            pixel += group_pixels;
        }
        vstrbq_scatter_offset_s16(to + by->last_place, places,
                                  vldrbq_gather_offset_s16(from + by->last_pixel, pixels));
        from += by->input_row;
        ++to;
    } while (--count);
}

/* Rows outside the input. */
static __attribute__((noinline)) void feed_padding(const paths *by, int8_t *to, int32_t count)
{
    do {
        int8_t *place = to + by->first_place;
        vstrbq_scatter_offset_s16(to, by->padding, by->code);
        for (int32_t left = by->groups; left > 0; --left) {
            vstrbq_scatter_offset_s16(place, by->places, by->code);
            place += by->group_places;
        }
        vstrbq_scatter_offset_s16(to + by->last_place, by->places, by->code);
        ++to;
    } while (--count);
}

#define OFA_MVE_SQUARES 0
#define OFA_MVE_PAIRS 1
#define OFA_MVE_TWO_VECTORS 2
#define OFA_MVE_ANY_VECTORS 3

/* Sums of four windows `step` bytes apart from `window` on; of two there and two in the row below. */
OFA_MVE_INLINE int32x4_t sums_of(const int8_t *window, int32_t step, int8x16_t w0, int8x16_t w1, int8x16_t w2,
                                 int8x16_t w3, const int8_t *weights, int32_t vectors, const int kind)
{
    if (kind == OFA_MVE_SQUARES) {
        const int8x16_t x = vldrbq_s8(window);
        return ofa_mve_lanes(vmladavq_s8(x, w0), vmladavq_s8(x, w1), vmladavq_s8(x, w2), vmladavq_s8(x, w3));
    }
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
    const int32_t squares = kind == OFA_MVE_SQUARES;
    const int32_t tall = squares ? 2 : 1, wide = squares ? 2 : 4;
    const int32_t pitch = squares ? rows + 1 : rows;
    const int32_t last_group = width > 8 ? width - 8 : 0;
    const paths by = {
        .pixels = steps_of(width - 1, input_channels),
        .places = steps_of(width - 1, pitch),
        .padding = padding_places(layer, pitch),
        .code = vdupq_n_s16(layer->input_zero_point),
        .first_place = layer->pad_left * pitch,
        .last_place = (layer->pad_left + last_group) * pitch,
        .last_pixel = last_group * input_channels,
        .groups = (width - 1) >> 3,
        .group_pixels = 8 * input_channels,
        .group_places = 8 * pitch,
        .input_row = width * input_channels,
    };
    const int32_t output_row = layer->output_width * channels;
    const int32_t step = layer->stride_width * pitch;
    const int32_t low = layer->clamp_min, high = layer->clamp_max;
    const int32_t zero_point = layer->zero_point;
    const int32_t columns = layer->output_width;
    const int32_t groups = columns < wide ? 1 : columns / wide;
    const int32_t rest = columns < wide ? 0 : columns % wide;
    const int32_t lower = squares ? output_row : 2 * channels;
    const uint32x4_t outputs = vreinterpretq_u32_s32(ofa_mve_lanes(0, channels, lower, lower + channels));
    const mve_pred16_t live = vctp32q((uint32_t)columns);
    const int8_t *weights = layer->weights + 16;
    int32_t multiple = 0;
    for (int32_t channel = 0; channel < channels; ++channel) {
        const int8x16_t w0 = vldrbq_s8(weights);
        /* The same weights for the next window, and for those below, from the zeros before them on. */
        const int8x16_t w1 = vldrbq_s8(squares || kind == OFA_MVE_PAIRS ? weights - step : weights + 16);
        const int8x16_t w2 = squares ? vldrbq_s8(weights - 1) : w0;
        const int8x16_t w3 = squares ? vldrbq_s8(weights - 1 - step) : w0;
        const int32_t bias = layer->bias[channel], shift = layer->shift[channel];
        const int32x4_t multiplier = vdupq_n_s32(layer->multiplier[channel]);
        int8_t *to = output + channel;
        int8_t *next = ring; /* where the first column of the next row goes */
        const int8_t *from = input;
        int32_t waiting = layer->input_height;
        int32_t wanted = rows + tall - 1 - layer->pad_top;
        const int8_t *windows = ring;
        int32_t left = layer->output_height; /* rows of outputs */
        if (layer->pad_top > 0) {
            feed_padding(&by, next, layer->pad_top);
            next += layer->pad_top;
        }
        for (;;) {
            const int32_t real = wanted < waiting ? wanted : waiting;
            if (real > 0) {
                feed(&by, next, from, real);
                from += real * by.input_row;
                waiting -= real;
                next += real;
                wanted -= real;
            }
            if (wanted > 0) {
                feed_padding(&by, next, wanted);
                next += wanted;
            }
            const int8_t *window = windows;
            int8_t *place = to;
            int32_t more = groups;
            int32_t again = rest;
            for (;;) {
                do {
                    const int32x4_t sums =
                        vaddq_n_s32(sums_of(window, step, w0, w1, w2, w3, weights, layer->vectors, kind), bias);
                    const int32x4_t codes =
                        ofa_mve_channel_codes(sums, multiplier, shift, zero_point, low, high, mode);
                    if (squares) {
                        vstrbq_scatter_offset_s32(place, outputs, codes);
                    } else {
                        vstrbq_scatter_offset_p_s32(place, outputs, codes, live);
                    }
                    window += wide * step;
                    place += wide * channels;
                } while (--more);
                if (again == 0) {
                    break;
                }
                window -= (wide - rest) * step;
                place -= (wide - rest) * channels;
                more = 1;
                again = 0;
            }
            /* The last two rows end with the outputs, too. */
            left -= tall;
            if (left <= 0) {
                break;
            }
            const int32_t onward = left < tall ? left : tall;
            to += onward * output_row;
            wanted = onward * layer->stride_height;
            windows += wanted;
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

OFA_MVE_DEPTHWISE(4, OFA_MVE_SQUARES, plain, OFA_MVE_PLAIN)
OFA_MVE_DEPTHWISE(4, OFA_MVE_SQUARES, signed, OFA_MVE_SIGNED)
OFA_MVE_DEPTHWISE(4, OFA_MVE_SQUARES, clamped, OFA_MVE_CLAMPED)
OFA_MVE_DEPTHWISE(4, OFA_MVE_SQUARES, general, OFA_MVE_GENERAL)
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
