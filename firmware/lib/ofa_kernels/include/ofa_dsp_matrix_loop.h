/* Bodies of functions for any number of taps: blocks of four pixels in a loop, and single pixels. */
#ifndef OFA_DSP_MATRIX_LOOP_H
#define OFA_DSP_MATRIX_LOOP_H

#include <stdint.h>

#include "ofa_dsp_matrix_block.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Two taps of one pair of output channels; `w` and `x` move on. */
#define OFA_MATRIX_STEP() \
    do { \
        uint32_t raw, even, x0, x1; \
        OFA_LDR_NEXT(raw, w); \
        OFA_SXTB16(even, raw); \
        OFA_LDRD_NEXT(x0, x1, x); \
        OFA_SMLAD(o0, raw, x0); \
        OFA_SMLAD(o1, raw, x1); \
        OFA_SMLAD(e0, even, x0); \
        OFA_SMLAD(e1, even, x1); \
        OFA_LDRD_NEXT(x0, x1, x); \
        OFA_SMLAD(o2, raw, x0); \
        OFA_SMLAD(o3, raw, x1); \
        OFA_SMLAD(e2, even, x0); \
        OFA_SMLAD(e3, even, x1); \
    } while (0)

/* A channel's sum, scaled by 256, to its code. */
#define OFA_MATRIX_FINISH(value) \
    do { \
        if (dead_zone) { \
            OFA_MATRIX_SCALE_SIGNED(value, m, c, d); \
        } else { \
            OFA_MATRIX_SCALE(value, m, c); \
        } \
        value = (uint32_t)((int32_t)(value) >> shift); \
        OFA_SSAT8(value, value, 1); \
    } while (0)

#define OFA_MATRIX_SCALES() \
    do { \
        OFA_LDRD_NEXT(m, c, w); \
        if (dead_zone && own) { \
            OFA_LDRD_NEXT(d, shift, w); \
        } else if (dead_zone) { \
            OFA_LDR_NEXT(d, w); \
        } else if (own) { \
            OFA_LDR_NEXT(shift, w); \
        } \
    } while (0)

/* The body of blocks in a loop: any number of words of taps, shifts in the stream. The flags are literals, and so is
 * `sums`: the number of output channels of blocks that add, else 0.
 */
static inline __attribute__((always_inline)) void
ofa_matrix_looped(const ofa_matrix_layer *layer, const ofa_matrix_quad *quad, ofa_word *wide, int dead_zone, int low,
                  int high, int odd, int sums)
{
    enum { own = 1 };
    /* Volatile, so that it is read at the end of a turn and takes no register from the sums. */
    const ofa_word *volatile wide_end =
        ofa_matrix_gather(wide, quad, layer->rows, layer->columns, layer->column, layer->words);
    const uint32_t first = (uint32_t)(wide_end - wide) / 8 % 4;
    ofa_matrix_cursor cursor = ofa_matrix_cursor_of(quad, layer->outputs);
    ofa_matrix_adder adder;
    if (sums) {
        adder = ofa_matrix_adder_of(layer, quad, sums);
    }
    const ofa_word *w = layer->weights;
    OFA_BARRIER();
again:;
    uint32_t e0, e1, e2, e3, o0, o1, o2, o3;
    {
        const ofa_word *x = wide;
        OFA_LDRD_NEXT(e0, o0, w);
        e1 = e2 = e3 = e0;
        o1 = o2 = o3 = o0;
        /* Sixteen taps a turn; the first turn takes what is left over. */
        switch (first) {
            do {
            case 0:
                OFA_MATRIX_STEP();
                OFA_MATRIX_STEP();
                /* fall through */
            case 3:
                OFA_MATRIX_STEP();
                OFA_MATRIX_STEP();
                /* fall through */
            case 2:
                OFA_MATRIX_STEP();
                OFA_MATRIX_STEP();
                /* fall through */
            default:
                OFA_MATRIX_STEP();
                OFA_MATRIX_STEP();
            } while (x != wide_end);
        }
    }
    o0 -= e0;
    o1 -= e1;
    o2 -= e2;
    o3 -= e3;
    e0 <<= 8;
    e1 <<= 8;
    e2 <<= 8;
    e3 <<= 8;
    uint32_t m, c, d = 0, shift;
    OFA_MATRIX_SCALES();
    OFA_MATRIX_FINISH(e0);
    OFA_MATRIX_FINISH(e1);
    OFA_MATRIX_FINISH(e2);
    OFA_MATRIX_FINISH(e3);
    const int last = odd && (sums ? adder.at + 1 == adder.end : cursor.at + 1 == cursor.end);
    if (last && sums) {
        OFA_MATRIX_ADD_LAST(adder, sums, e0, e1, e2, e3);
    }
    if (!last) {
        OFA_MATRIX_SCALES();
        OFA_MATRIX_FINISH(o0);
        OFA_MATRIX_FINISH(o1);
        OFA_MATRIX_FINISH(o2);
        OFA_MATRIX_FINISH(o3);
        if (sums) {
            OFA_MATRIX_ADD(adder, sums, e0, e1, e2, e3, o0, o1, o2, o3);
        }
        OFA_MATRIX_BYTES(e0, o0);
        OFA_MATRIX_BYTES(e1, o1);
        OFA_MATRIX_BYTES(e2, o2);
        OFA_MATRIX_BYTES(e3, o3);
    }
    if (low) {
        const uint32_t limit = OFA_MATRIX_LOW(layer);
        OFA_MATRIX_MAX8(e0, limit);
        OFA_MATRIX_MAX8(e1, limit);
        OFA_MATRIX_MAX8(e2, limit);
        OFA_MATRIX_MAX8(e3, limit);
    }
    if (high) {
        const uint32_t limit = OFA_MATRIX_HIGH(layer);
        OFA_MATRIX_MIN8(e0, limit);
        OFA_MATRIX_MIN8(e1, limit);
        OFA_MATRIX_MIN8(e2, limit);
        OFA_MATRIX_MIN8(e3, limit);
    }
    if (last && sums) {
        OFA_MATRIX_STORE_LAST(adder, sums, e0, e1, e2, e3);
        return;
    }
    if (last) {
        ofa_matrix_store_last(&cursor, e0, e1, e2, e3);
        return;
    }
    if (sums) {
        OFA_MATRIX_STORE_SUMS(adder, sums, e0, e1, e2, e3, again);
        return;
    }
    OFA_MATRIX_STORE(cursor, e0, e1, e2, e3, again);
}

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

/* The body of functions for a single pixel of a pointwise layer; `own`: every channel has its shift in the stream. */
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
        uint32_t e0, o0, m, c, d = 0, shift = points->shift;
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
        OFA_MATRIX_SCALES();
        OFA_MATRIX_FINISH(e0);
        OFA_MATRIX_SINGLE_STORE(e0);
        if (output == end) {
            return;
        }
        OFA_MATRIX_SCALES();
        OFA_MATRIX_FINISH(o0);
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
