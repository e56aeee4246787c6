/* The body of functions for single pixels of pointwise layers, which blocks of four leave over. */
#ifndef OFA_DSP_MATRIX_SINGLE_H
#define OFA_DSP_MATRIX_SINGLE_H

#include <stdint.h>

#include "ofa_dsp_matrix_block.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Multiplier, offset, dead zone and shift of a channel. */
#define OFA_MATRIX_SINGLE_SCALES() \
    do { \
        OFA_LDRD_NEXT(m, c, w); \
        if (dead_zone) { \
            OFA_LDR_NEXT(d, w); \
        } \
        if (own) { \
            OFA_LDR_NEXT(asr, w); \
        } \
    } while (0)

/* Two words of weights, which are four taps of a pair of output channels, for a single pixel. */
#define OFA_MATRIX_SINGLE_WORD() \
    do { \
        uint32_t w0, w1, x0, x1, even; \
        OFA_LDRD_NEXT(w0, w1, w); \
        OFA_LDRD_NEXT(x0, x1, x); \
        OFA_SXTB16(even, w0); \
        OFA_SMLAD(o0, w0, x0); \
        OFA_SMLAD(e0, even, x0); \
        OFA_SXTB16(even, w1); \
        OFA_SMLAD(o0, w1, x1); \
        OFA_SMLAD(e0, even, x1); \
    } while (0)

/* A channel's sum, scaled by 256, to its code. */
#define OFA_MATRIX_SINGLE_FINISH(value) \
    do { \
        if (dead_zone) { \
            OFA_MATRIX_SCALE_SIGNED(value, m, c, d); \
        } else { \
            OFA_MATRIX_SCALE(value, m, c); \
        } \
        value = (uint32_t)((int32_t)(value) >> asr); \
        OFA_SSAT8(value, value, 1); \
    } while (0)

/* Adds, clamps and stores one code. */
#define OFA_MATRIX_SINGLE_STORE(value) \
    do { \
        if (adds) { \
            value = ofa_matrix_sum(value, output[sum->other], (uint32_t)sum->factor, (uint32_t)sum->other_factor, \
                                   (uint32_t)sum->offset); \
        } \
        if (low) { \
            const uint32_t limit = OFA_MATRIX_LOW(layer); \
            OFA_MATRIX_MAX8(value, limit); \
        } \
        if (high) { \
            const uint32_t limit = OFA_MATRIX_HIGH(layer); \
            OFA_MATRIX_MIN8(value, limit); \
        } \
        *output++ = (int8_t)(uint8_t)(value); \
    } while (0)

/* The body of functions for a single pixel of a pointwise layer; `own`: every channel has its shift in the stream. The
 * flags are literals, or those of the layer.
 */
static inline __attribute__((always_inline)) void
ofa_matrix_single_of(const ofa_matrix_layer *layer, const ofa_matrix_quad *quad, ofa_word *wide, int own, int dead_zone,
                  int low, int high, int adds)
{
    const ofa_matrix_sum_layer *const sum = (const ofa_matrix_sum_layer *)(const void *)layer;
    const ofa_matrix_points_layer *const points = (const ofa_matrix_points_layer *)(const void *)layer;
    const int8_t *from = quad->input;
    ofa_word *to = wide;
    for (int32_t words = layer->words; words > 0; --words) {
        uint32_t word, even;
        OFA_MATRIX_LOOSE_NEXT(word, from);
        OFA_SXTB16(even, word);
        OFA_SXTB16_ROR8(word, word);
        OFA_STRD_NEXT(even, word, to);
    }
    const ofa_word *const wide_end = to;
    if (points->left) {
        uint32_t pair = (uint32_t)(int32_t)from[0];
        if (points->left > 1) {
            OFA_PKHBT(pair, pair, (uint32_t)(int32_t)from[1]);
        }
        *to = pair;
    }
    OFA_BARRIER();
    const uint32_t first = layer->words % 4;
    const ofa_word *w = layer->weights;
    int8_t *output = quad->output;
    const int8_t *const end = output + layer->outputs;
    for (;;) {
        const ofa_word *x = wide;
        uint32_t e0, o0, m, c, d = 0, asr = points->shift;
        OFA_LDRD_NEXT(e0, o0, w);
        if (x != wide_end) {
            switch (first) {
                do {
                case 0:
                    OFA_MATRIX_SINGLE_WORD();
                    /* fall through */
                case 3:
                    OFA_MATRIX_SINGLE_WORD();
                    /* fall through */
                case 2:
                    OFA_MATRIX_SINGLE_WORD();
                    /* fall through */
                default:
                    OFA_MATRIX_SINGLE_WORD();
                } while (x != wide_end);
            }
        }
        if (points->left) {
            uint32_t w0, x0, even;
            OFA_LDR_NEXT(w0, w);
            OFA_LDR_NEXT(x0, x);
            OFA_SXTB16(even, w0);
            OFA_SMLAD(o0, w0, x0);
            OFA_SMLAD(e0, even, x0);
        }
        o0 -= e0;
        e0 <<= 8;
        OFA_MATRIX_SINGLE_SCALES();
        OFA_MATRIX_SINGLE_FINISH(e0);
        OFA_MATRIX_SINGLE_STORE(e0);
        if (output == end) {
            return;
        }
        OFA_MATRIX_SINGLE_SCALES();
        OFA_MATRIX_SINGLE_FINISH(o0);
        OFA_MATRIX_SINGLE_STORE(o0);
        if (output == end) {
            return;
        }
    }
}

#ifdef __cplusplus
}
#endif

#endif
