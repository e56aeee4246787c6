/* Dot products of pixels with the weights of four outputs at a time. */
#include "ofa_mve.h"

#include "ofa_mve_vectors.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)

/* The last four outputs start early, so that they end where all outputs do. Where there are fewer than four, only so many
 * codes are stored.
 */

/* The pixel stays in registers, constants pass by. */
OFA_MVE_INLINE void pixels_of(const ofa_mve_dense *dense, const int8_t *input, int32_t stride, int32_t pixels,
                              int8_t *output, int32_t pitch, const int vectors, const int mode)
{
    const int32_t outputs = dense->outputs;
    const int32_t next = stride < 0 ? -outputs : outputs;
    const int32_t whole = outputs >> 2, rest = outputs & 3;
    const int32_t zero_point = dense->zero_point;
    const int32_t low = dense->clamp_min, high = dense->clamp_max;
    int8_t spare[4];
    do {
        const int8_t *stream = dense->stream;
        int8x16_t x[6];
#pragma GCC unroll 6
        for (int v = 0; v < vectors; ++v) {
            x[v] = vldrbq_s8(input + pitch * v);
        }
        int8_t *to = output;
        int32_t quads = whole;
        int32_t last = rest;
        if (quads == 0) {
            to = spare;
            quads = 1;
            last = 0;
        }
        for (;;) {
            do {
                int8x16_t w;
                int32_t a = 0, b = 0, c = 0, d = 0;
#pragma GCC unroll 6
                for (int v = 0; v < vectors; ++v) {
                    OFA_MVE_LOAD_NEXT(w, stream, 16);
                    a = v ? vmladavaq_s8(a, x[v], w) : vmladavq_s8(x[v], w);
                    OFA_MVE_LOAD_NEXT(w, stream, 16);
                    b = v ? vmladavaq_s8(b, x[v], w) : vmladavq_s8(x[v], w);
                    OFA_MVE_LOAD_NEXT(w, stream, 16);
                    c = v ? vmladavaq_s8(c, x[v], w) : vmladavq_s8(x[v], w);
                    OFA_MVE_LOAD_NEXT(w, stream, 16);
                    d = v ? vmladavaq_s8(d, x[v], w) : vmladavq_s8(x[v], w);
                }
                int32x4_t bias, multiplier, shift;
                OFA_MVE_LOAD_WORDS_NEXT(bias, stream);
                int32x4_t sums = vaddq_s32(ofa_mve_lanes(a, b, c, d), bias);
                OFA_MVE_LOAD_WORDS_NEXT(multiplier, stream);
                if (mode & OFA_MVE_ANY_SHIFT) {
                    OFA_MVE_LOAD_BYTES_NEXT(shift, stream);
                    sums = ofa_mve_scaled(sums, multiplier, shift, mode);
                } else {
                    sums = ofa_mve_scaled(sums, multiplier, bias, mode);
                    OFA_MVE_LOAD_BYTES_NEXT(shift, stream);
                }
                vstrbq_s32(to, ofa_mve_codes(sums, shift, zero_point, low, high, mode));
                to += 4;
            } while (--quads);
            if (last == 0) {
                break;
            }
            to -= 4 - rest;
            quads = 1;
            last = 0;
        }
        if (outputs < 4) {
            vstrbq_p_s32(output, vldrbq_s32(spare), vctp32q((uint32_t)outputs));
        }
        input += stride;
        output += next;
    } while (--pixels);
}

/* One vector of each of four outputs' weights stays in registers, pixels pass by. */
OFA_MVE_INLINE void outputs_of(const ofa_mve_dense *dense, const int8_t *input, int32_t stride, int32_t pixels,
                               int8_t *output, const int mode)
{
    const int8_t *stream = dense->stream;
    const int32_t outputs = dense->outputs;
    const int32_t zero_point = dense->zero_point;
    const int32_t low = dense->clamp_min, high = dense->clamp_max;
    for (int32_t o = 0; o < outputs; o += 4) {
        const int8x16_t w0 = vldrbq_s8(stream);
        const int8x16_t w1 = vldrbq_s8(stream + 16);
        const int8x16_t w2 = vldrbq_s8(stream + 32);
        const int8x16_t w3 = vldrbq_s8(stream + 48);
        const int32x4_t bias = vldrwq_s32((const int32_t *)(const void *)(stream + 64));
        const int32x4_t multiplier = vldrwq_s32((const int32_t *)(const void *)(stream + 80));
        const int32x4_t shift = vldrbq_s32(stream + 96);
        const int8_t *from = input;
        int8_t *to = output + (o + 4 <= outputs ? o : outputs - 4);
        int32_t left = pixels;
        stream += 100;
        do {
            const int8x16_t x = vldrbq_s8(from);
            from += stride;
            const int32x4_t sums =
                ofa_mve_lanes(vmladavq_s8(x, w0), vmladavq_s8(x, w1), vmladavq_s8(x, w2), vmladavq_s8(x, w3));
            const int32x4_t scaled = ofa_mve_scaled(vaddq_s32(sums, bias), multiplier, shift, mode);
            vstrbq_s32(to, ofa_mve_codes(scaled, shift, zero_point, low, high, mode));
            to += outputs;
        } while (--left);
    }
}

/* Any number of vectors from two on. */
OFA_MVE_INLINE void products_of(const ofa_mve_dense *dense, const int8_t *input, int32_t stride, int32_t pixels,
                                int8_t *output, const int mode)
{
    const int8_t *stream = dense->stream;
    const int32_t outputs = dense->outputs;
    const int32_t rest = dense->vectors - 1;
    const int32_t zero_point = dense->zero_point;
    const int32_t low = dense->clamp_min, high = dense->clamp_max;
    for (int32_t o = 0; o < outputs; o += 4) {
        const int8_t *const constants = stream + 64 * dense->vectors;
        const int32x4_t bias = vldrwq_s32((const int32_t *)(const void *)constants);
        const int32x4_t multiplier = vldrwq_s32((const int32_t *)(const void *)(constants + 16));
        const int32x4_t shift = vldrbq_s32(constants + 32);
        const int8_t *first = input;
        int8_t *to = output + (o + 4 <= outputs || outputs < 4 ? o : outputs - 4);
        int32_t left = pixels;
        do {
            const int8_t *from = first;
            const int8_t *w = stream;
            int32_t more = rest;
            int8x16_t x, w0;
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
            const int32x4_t sums = vaddq_s32(ofa_mve_lanes(a, b, c, d), bias);
            const int32x4_t scaled = ofa_mve_scaled(sums, multiplier, shift, mode);
            const int32x4_t codes = ofa_mve_codes(scaled, shift, zero_point, low, high, mode);
            if (outputs < 4) {
                vstrbq_p_s32(to, codes, vctp32q((uint32_t)outputs));
            } else {
                vstrbq_s32(to, codes);
            }
            to += outputs;
            first += stride;
        } while (--left);
        stream = constants + 36;
    }
}

#define OFA_MVE_PIXELS(vectors, name, mode) \
    void ofa_mve_pixels_##vectors##_##name(const ofa_mve_dense *dense, const int8_t *input, int32_t stride, \
                                           int32_t pixels, int8_t *output, int32_t pitch) \
    { \
        pixels_of(dense, input, stride, pixels, output, pitch, vectors, mode); \
    }
#define OFA_MVE_DOTS(function, name, mode) \
    void ofa_mve_##function##_##name(const ofa_mve_dense *dense, const int8_t *input, int32_t stride, \
                                     int32_t pixels, int8_t *output, int32_t pitch) \
    { \
        (void)pitch; \
        function##_of(dense, input, stride, pixels, output, mode); \
    }
#define OFA_MVE_MODE(name, mode) \
    OFA_MVE_PIXELS(1, name, mode) \
    OFA_MVE_PIXELS(2, name, mode) \
    OFA_MVE_PIXELS(3, name, mode) \
    OFA_MVE_PIXELS(4, name, mode) \
    OFA_MVE_PIXELS(5, name, mode) \
    OFA_MVE_PIXELS(6, name, mode) \
    OFA_MVE_DOTS(outputs, name, mode) \
    OFA_MVE_DOTS(products, name, mode)

OFA_MVE_MODE(plain, OFA_MVE_PLAIN)
OFA_MVE_MODE(signed, OFA_MVE_SIGNED)
OFA_MVE_MODE(clamped, OFA_MVE_CLAMPED)
OFA_MVE_MODE(general, OFA_MVE_GENERAL)

#else

typedef int ofa_mve_dots_is_empty;

#endif
