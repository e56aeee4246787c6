/* Pools and means, eight or sixteen channels at a time. */
#include "ofa_mve_operators.h"

#include "ofa_mve_vectors.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)

#include "ofa_window.h"

/* Averages of n codes: floor((|sum| + n / 2) / n), with the sum's sign.
 *
 * For a < 2^15 and n from 2 to 255 the quotient by n is a * m >> 16 >> s. If n is 2^k, m = 2^15 and s = k - 1. Else
 * s = floor(log2(n)) and m = ceil(2^(16 + s) / n) < 2^16: m is too large by less than 1, so the product of a and that is
 * below 2^15 and the quotient is off by less than 2^-(1 + s) < 1 / n. For n = 1, (a + 1) * (2^16 - 1) >> 16 = a.
 */
typedef struct {
    int16_t half;
    uint16x8_t reciprocal;
    int32_t shift; /* to the left */
} average;

static OFA_INLINE average average_of(uint32_t n)
{
    int32_t shift = 31 - __builtin_clz(n);
    average result = {(int16_t)(n / 2), vdupq_n_u16(0), 0};
    if (n == 1) {
        result.half = 1;
        result.reciprocal = vdupq_n_u16(0xffff);
        return result;
    }
    if ((n & (n - 1)) == 0) {
        --shift;
    }
    result.reciprocal = vdupq_n_u16((uint16_t)(((0x10000u << shift) + n - 1) / n));
    result.shift = -shift;
    return result;
}

static OFA_INLINE int16x8_t averaged(int16x8_t sums, const average *by, int16x8_t low, int16x8_t high)
{
    const mve_pred16_t negative = vcmpltq_n_s16(sums, 0);
    const uint16x8_t rounded = vreinterpretq_u16_s16(vaddq_n_s16(vabsq_s16(sums), by->half));
    const uint16x8_t quotient = vshlq_r_u16(vmulhq_u16(rounded, by->reciprocal), by->shift);
    const int16x8_t magnitude = vreinterpretq_s16_u16(quotient);
    return vminq_s16(vmaxq_s16(vnegq_m_s16(magnitude, magnitude, negative), low), high);
}

static OFA_NOINLINE void average_pixel(const ofa_pool_layer *layer, const int8_t *window, int32_t rows,
                                       int32_t columns, int8_t *output)
{
    const average by = average_of((uint32_t)(rows * columns));
    const int32_t channels = layer->channels;
    const int32_t rest = (layer->input_width - columns) * channels;
    const int16x8_t low = vdupq_n_s16(layer->clamp_min), high = vdupq_n_s16(layer->clamp_max);
    int32_t left = channels;
    for (; left >= 16; left -= 16) {
        const int8_t *x = window;
        int16x8_t lower = vdupq_n_s16(0), upper = lower;
        int32_t i = rows;
        do {
            int32_t j = columns;
            do {
                lower = vaddq_s16(lower, vldrbq_s16(x));
                upper = vaddq_s16(upper, vldrbq_s16(x + 8));
                x += channels;
            } while (--j);
            x += rest;
        } while (--i);
        vstrbq_s16(output, averaged(lower, &by, low, high));
        vstrbq_s16(output + 8, averaged(upper, &by, low, high));
        window += 16;
        output += 16;
    }
    for (; left > 0; left -= 8) {
        const int8_t *x = window;
        int16x8_t sums = vdupq_n_s16(0);
        int32_t i = rows;
        do {
            int32_t j = columns;
            do {
                sums = vaddq_s16(sums, vldrbq_s16(x));
                x += channels;
            } while (--j);
            x += rest;
        } while (--i);
        vstrbq_p_s16(output, averaged(sums, &by, low, high), vctp16q((uint32_t)left));
        window += 8;
        output += 8;
    }
}

static OFA_NOINLINE void max_pixel(const ofa_pool_layer *layer, const int8_t *window, int32_t rows, int32_t columns,
                                   int8_t *output)
{
    const int32_t channels = layer->channels;
    const int32_t rest = (layer->input_width - columns) * channels;
    const int8x16_t low = vdupq_n_s8(layer->clamp_min), high = vdupq_n_s8(layer->clamp_max);
    for (int32_t left = channels; left > 0; left -= 16) {
        const int8_t *x = window;
        int8x16_t largest = low;
        int32_t i = rows;
        do {
            int32_t j = columns;
            do {
                largest = vmaxq_s8(largest, vldrbq_s8(x));
                x += channels;
            } while (--j);
            x += rest;
        } while (--i);
        vstrbq_p_s8(output, vminq_s8(largest, high), vctp8q((uint32_t)left));
        window += 16;
        output += 16;
    }
}

void ofa_mve_average_pool(const ofa_pool_layer *layer, const int8_t *input, int8_t *output)
{
#define PIXEL(window, rows, columns) \
    average_pixel(layer, window, rows, columns, output); \
    output += layer->channels
    OFA_FOR_WINDOWS(layer, input, PIXEL);
#undef PIXEL
}

void ofa_mve_max_pool(const ofa_pool_layer *layer, const int8_t *input, int8_t *output)
{
#define PIXEL(window, rows, columns) \
    max_pixel(layer, window, rows, columns, output); \
    output += layer->channels
    OFA_FOR_WINDOWS(layer, input, PIXEL);
#undef PIXEL
}

/* Four scaled sums with the zero point, to be saturated. */
static OFA_INLINE int32x4_t scaled(const ofa_mean_layer *layer, int32x4_t sums, int32_t base)
{
    const int32x4_t shift = vdupq_n_s32(layer->shift);
    const int32x4_t high =
        ofa_mve_scaled(vaddq_n_s32(sums, base), vdupq_n_s32(layer->multiplier), shift, OFA_MVE_GENERAL);
    return vqaddq_n_s32(vrshlq_s32(high, vminq_s32(shift, vdupq_n_s32(0))), layer->output_zero_point);
}

void ofa_mve_mean(const ofa_mean_layer *layer, const int8_t *input, int8_t *output)
{
    const int32_t channels = layer->channels;
    const int32_t base = -layer->pixels * layer->input_zero_point;
    for (int32_t left = channels; left > 0; left -= 8) {
        const int8_t *x = input;
        int32x4_t even = vdupq_n_s32(0), odd = even;
        int32_t pixels = layer->pixels;
        do {
            /* As many as 16 bits hold. */
            int32_t part = pixels < 255 ? pixels : 255;
            int16x8_t sums = vdupq_n_s16(0);
            pixels -= part;
            do {
                sums = vaddq_s16(sums, vldrbq_s16(x));
                x += channels;
            } while (--part);
            even = vaddq_s32(even, vmovlbq_s16(sums));
            odd = vaddq_s32(odd, vmovltq_s16(sums));
        } while (pixels > 0);
        int16x8_t codes = vuninitializedq_s16();
        codes = vqmovnbq_s32(codes, scaled(layer, even, base));
        codes = vqmovntq_s32(codes, scaled(layer, odd, base));
        const int8x16_t narrow = vqmovnbq_s16(vuninitializedq_s8(), codes);
        vstrbq_p_s16(output, vreinterpretq_s16_s8(narrow), vctp16q((uint32_t)left));
        input += 8;
        output += 8;
    }
}

#else

typedef int ofa_mve_pool_is_empty;

#endif
