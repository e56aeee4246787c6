/* Dot products of pixels with the weights of four outputs at a time. */
#include "ofa_mve.h"

#include "ofa_mve_vectors.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)

/* The last four outputs start early, so that they end where all outputs do. Where there are fewer than four, those of
 * the last pixel pass through `spare`, since codes are stored by fours; what others leave is written over.
 */

/* The weights of four outputs stay in registers. */
OFA_MVE_INLINE void dots_1(const ofa_mve_dense *dense, const int8_t *input, int32_t stride, int32_t pixels,
                           int8_t *output, const int mode)
{
    const int8_t *weights = dense->weights;
    const int32_t outputs = dense->outputs;
    const int32_t zero_point = dense->zero_point;
    const int32_t low = dense->clamp_min, high = dense->clamp_max;
    int8_t spare[4];
    for (int32_t next = 0; next < outputs; next += 4) {
        const int32_t o = next + 4 <= outputs || outputs < 4 ? next : outputs - 4;
        const int8x16_t w0 = vldrbq_s8(weights);
        const int8x16_t w1 = vldrbq_s8(weights + 16);
        const int8x16_t w2 = vldrbq_s8(weights + 32);
        const int8x16_t w3 = vldrbq_s8(weights + 48);
        const int32x4_t bias = vldrwq_s32(dense->bias + o);
        const int32x4_t multiplier = vldrwq_s32(dense->multiplier + o);
        const int32x4_t shift = vldrbq_s32(dense->shift + o);
        const int8_t *from = input;
        int8_t *to = output + o;
        int32_t left = outputs < 4 ? pixels - 1 : pixels;
        weights += 64;
        if (left == 0) {
            to = spare;
            left = 1;
        }
        for (;;) {
            do {
                const int8x16_t x = vldrbq_s8(from);
                from += stride;
                const int32x4_t sums =
                    ofa_mve_lanes(vmladavq_s8(x, w0), vmladavq_s8(x, w1), vmladavq_s8(x, w2), vmladavq_s8(x, w3));
                vstrbq_s32(to, ofa_mve_codes(vaddq_s32(sums, bias), multiplier, shift, zero_point, low, high, mode));
                to += outputs;
            } while (--left);
            if (outputs >= 4 || to == spare + outputs) {
                break;
            }
            to = spare;
            left = 1;
        }
    }
    if (outputs < 4) {
        for (int32_t o = 0; o < outputs; ++o) {
            output[(pixels - 1) * outputs + o] = spare[o];
        }
    }
}

/* Two outputs of two pixels at a time; the last pixel of an odd number is computed with the one before it again. There are
 * four outputs at least.
 */
OFA_MVE_INLINE void dots_2(const ofa_mve_dense *dense, const int8_t *input, int32_t stride, int32_t pixels,
                           int8_t *output, const int mode)
{
    static const uint8_t halves[4] = {0, 1, 0, 1};
    const int8_t *weights = dense->weights;
    const int32_t outputs = dense->outputs;
    const int32_t zero_point = dense->zero_point;
    const int32_t low = dense->clamp_min, high = dense->clamp_max;
    const int32_t next_input = pixels > 1 ? stride : 0, next_output = pixels > 1 ? outputs : 0;
    const uint32x4_t pairs = vldrbq_u32(halves);
    const uint32x4_t words = vshlq_n_u32(pairs, 2);
    const uint32x4_t places = vaddq_u32(
        pairs, vreinterpretq_u32_s32(ofa_mve_lanes(0, 0, next_output, next_output)));
    for (int32_t pair = 0; pair < ((outputs + 3) >> 2) * 2; ++pair) {
        const int32_t o = (2 * pair & ~3) + 4 <= outputs ? 2 * pair : outputs - 4 + (2 * pair & 2);
        const int8x16_t w00 = vldrbq_s8(weights);
        const int8x16_t w10 = vldrbq_s8(weights + 16);
        const int8x16_t w01 = vldrbq_s8(weights + 64);
        const int8x16_t w11 = vldrbq_s8(weights + 80);
        const int32x4_t bias = vldrwq_gather_offset_s32(dense->bias + o, words);
        const int32x4_t multiplier = vldrwq_gather_offset_s32(dense->multiplier + o, words);
        const int32x4_t shift = vldrbq_gather_offset_s32(dense->shift + o, pairs);
        const int8_t *from = input;
        int8_t *to = output + o;
        int32_t left = pixels > 1 ? pixels >> 1 : 1;
        int32_t again = pixels > 1 ? pixels & 1 : 0;
        weights += pair & 1 ? 96 : 32;
        for (;;) {
            do {
                const int8_t *const second = from + next_input;
                int8x16_t x = vldrbq_s8(from);
                int32_t a = vmladavq_s8(x, w00), b = vmladavq_s8(x, w10);
                x = vldrbq_s8(from + 16);
                a = vmladavaq_s8(a, x, w01);
                b = vmladavaq_s8(b, x, w11);
                x = vldrbq_s8(second);
                int32_t c = vmladavq_s8(x, w00), d = vmladavq_s8(x, w10);
                x = vldrbq_s8(second + 16);
                c = vmladavaq_s8(c, x, w01);
                d = vmladavaq_s8(d, x, w11);
                from = second + stride;
                const int32x4_t sums = vaddq_s32(ofa_mve_lanes(a, b, c, d), bias);
                vstrbq_scatter_offset_s32(
                    to, places, ofa_mve_codes(sums, multiplier, shift, zero_point, low, high, mode));
                to += 2 * outputs;
            } while (--left);
            if (again == 0) {
                break;
            }
            again = 0;
            left = 1;
            from -= stride;
            to -= outputs;
        }
    }
}

/* The weights are read again for every pixel. */
OFA_MVE_INLINE void dots_n(const ofa_mve_dense *dense, const int8_t *input, int32_t stride, int32_t pixels,
                           int8_t *output, const int mode)
{
    const int8_t *weights = dense->weights;
    const int32_t outputs = dense->outputs;
    const int32_t rest = dense->vectors - 1;
    const int32_t zero_point = dense->zero_point;
    const int32_t low = dense->clamp_min, high = dense->clamp_max;
    int8_t spare[4];
    stride -= 16 * dense->vectors;
    for (int32_t next = 0; next < outputs; next += 4) {
        const int32_t o = next + 4 <= outputs || outputs < 4 ? next : outputs - 4;
        const int32x4_t bias = vldrwq_s32(dense->bias + o);
        const int32x4_t multiplier = vldrwq_s32(dense->multiplier + o);
        const int32x4_t shift = vldrbq_s32(dense->shift + o);
        const int8_t *from = input;
        const int8_t *w;
        int8_t *to = output + o;
        int32_t left = outputs < 4 ? pixels - 1 : pixels;
        if (left == 0) {
            to = spare;
            left = 1;
        }
        for (;;) {
            do {
                int32_t more = rest;
                int8x16_t x, w0;
                w = weights;
                OFA_MVE_LOAD_NEXT(x, from, 16);
                OFA_MVE_LOAD_NEXT(w0, w, 64);
                int32_t a = vmladavq_s8(x, w0);
                int32_t b = vmladavq_s8(x, vldrbq_s8(w - 48));
                int32_t c = vmladavq_s8(x, vldrbq_s8(w - 32));
                int32_t d = vmladavq_s8(x, vldrbq_s8(w - 16));
                do {
                    OFA_MVE_LOAD_NEXT(x, from, 16);
                    OFA_MVE_LOAD_NEXT(w0, w, 64);
                    a = vmladavaq_s8(a, x, w0);
                    b = vmladavaq_s8(b, x, vldrbq_s8(w - 48));
                    c = vmladavaq_s8(c, x, vldrbq_s8(w - 32));
                    d = vmladavaq_s8(d, x, vldrbq_s8(w - 16));
                } while (--more);
                from += stride;
                const int32x4_t sums = vaddq_s32(ofa_mve_lanes(a, b, c, d), bias);
                vstrbq_s32(to, ofa_mve_codes(sums, multiplier, shift, zero_point, low, high, mode));
                to += outputs;
            } while (--left);
            if (outputs >= 4 || to == spare + outputs) {
                break;
            }
            to = spare;
            left = 1;
        }
        weights = w;
    }
    if (outputs < 4) {
        for (int32_t o = 0; o < outputs; ++o) {
            output[(pixels - 1) * outputs + o] = spare[o];
        }
    }
}

#define OFA_MVE_DOTS(kind, name, mode) \
    void ofa_mve_dots_##kind##_##name(const ofa_mve_dense *dense, const int8_t *input, int32_t stride, \
                                      int32_t pixels, int8_t *output) \
    { \
        dots_##kind(dense, input, stride, pixels, output, mode); \
    }

OFA_MVE_DOTS(1, plain, OFA_MVE_PLAIN)
OFA_MVE_DOTS(1, signed, OFA_MVE_SIGNED)
OFA_MVE_DOTS(1, clamped, OFA_MVE_CLAMPED)
OFA_MVE_DOTS(1, general, OFA_MVE_GENERAL)
OFA_MVE_DOTS(2, plain, OFA_MVE_PLAIN)
OFA_MVE_DOTS(2, signed, OFA_MVE_SIGNED)
OFA_MVE_DOTS(2, clamped, OFA_MVE_CLAMPED)
OFA_MVE_DOTS(2, general, OFA_MVE_GENERAL)
OFA_MVE_DOTS(n, plain, OFA_MVE_PLAIN)
OFA_MVE_DOTS(n, signed, OFA_MVE_SIGNED)
OFA_MVE_DOTS(n, clamped, OFA_MVE_CLAMPED)
OFA_MVE_DOTS(n, general, OFA_MVE_GENERAL)

#else

typedef int ofa_mve_dots_is_empty;

#endif
