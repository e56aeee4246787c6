/* The body of functions for any number of taps: blocks of four pixels in a loop. */
#ifndef OFA_DSP_MATRIX_LOOP_H
#define OFA_DSP_MATRIX_LOOP_H

#include <stdint.h>

#include "ofa_dsp_matrix_block.h"
#include "ofa_dsp_matrix_single.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Two taps of one pair of output channels; `w` and `x` move on. The first ones start from the biases. */
#define OFA_MATRIX_FIRST_STEP() \
    do { \
        uint32_t raw, even, x0, x1; \
        OFA_LDR_NEXT(raw, w); \
        OFA_SXTB16(even, raw); \
        OFA_LDRD_NEXT(x0, x1, x); \
        OFA_SMLAD_TO(o0, raw, x0, bias_o); \
        OFA_SMLAD_TO(o1, raw, x1, bias_o); \
        OFA_SMLAD_TO(e0, even, x0, bias_e); \
        OFA_SMLAD_TO(e1, even, x1, bias_e); \
        OFA_LDRD_NEXT(x0, x1, x); \
        OFA_SMLAD_TO(o2, raw, x0, bias_o); \
        OFA_SMLAD_TO(o3, raw, x1, bias_o); \
        OFA_SMLAD_TO(e2, even, x0, bias_e); \
        OFA_SMLAD_TO(e3, even, x1, bias_e); \
    } while (0)
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

/* A channel's sum, scaled by 256, to its code: `shift` is that of all channels or, with `own`, one less in `asr`. */
#define OFA_MATRIX_FINISH(value, has_dead_zone) \
    do { \
        if (has_dead_zone) { \
            OFA_MATRIX_SCALE_SIGNED(value, m, c, d); \
        } else { \
            OFA_MATRIX_SCALE(value, m, c); \
        } \
        if (own) { \
            value = (uint32_t)((int32_t)(value) >> asr); \
            OFA_SSAT8(value, value, 1); \
        } else { \
            OFA_SSAT8(value, value, shift); \
        } \
    } while (0)
#define OFA_MATRIX_FINISH_ALL(v0, v1, v2, v3, has_dead_zone) \
    do { \
        OFA_MATRIX_SCALES(has_dead_zone); \
        OFA_MATRIX_FINISH(v0, has_dead_zone); \
        OFA_MATRIX_FINISH(v1, has_dead_zone); \
        OFA_MATRIX_FINISH(v2, has_dead_zone); \
        OFA_MATRIX_FINISH(v3, has_dead_zone); \
    } while (0)

#define OFA_MATRIX_SCALES(has_dead_zone) \
    do { \
        OFA_LDRD_NEXT(m, c, w); \
        if ((has_dead_zone) && own) { \
            OFA_LDRD_NEXT(d, asr, w); \
        } else if (has_dead_zone) { \
            OFA_LDR_NEXT(d, w); \
        } else if (own) { \
            OFA_LDR_NEXT(asr, w); \
        } \
    } while (0)

/* What is added to the codes of a block in a loop: see ofa_matrix_sum_layer. */
typedef struct {
    uint32_t factor, offset;
    uint32_t other_factor;
    int32_t other;
} ofa_matrix_addition;

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* Codes of two channels of four pixels side by side, `apart` bytes apart, to sums, not clamped. */
#define OFA_MATRIX_ADD_APART(addition, at, apart, e0, e1, e2, e3, o0, o1, o2, o3) \
    do { \
        OFA_MATRIX_SCALE_ALL(addition, e0, e1, e2, e3, o0, o1, o2, o3); \
        uint32_t other_factor, other, code0, code1; \
        OFA_LDRD(other_factor, other, &(addition).other_factor); \
        const int8_t *from = (at) + (int32_t)other; \
        OFA_MATRIX_LDRSB(code0, from); \
        OFA_MATRIX_LDRSB(code1, from + 1); \
        from += (apart); \
        OFA_MATRIX_SUM(e0, code0); \
        OFA_MATRIX_SUM(o0, code1); \
        OFA_MATRIX_LDRSB(code0, from); \
        OFA_MATRIX_LDRSB(code1, from + 1); \
        from += (apart); \
        OFA_MATRIX_SUM(e1, code0); \
        OFA_MATRIX_SUM(o1, code1); \
        OFA_MATRIX_LDRSB(code0, from); \
        OFA_MATRIX_LDRSB(code1, from + 1); \
        from += (apart); \
        OFA_MATRIX_SUM(e2, code0); \
        OFA_MATRIX_SUM(o2, code1); \
        OFA_MATRIX_LDRSB(code0, from); \
        OFA_MATRIX_LDRSB(code1, from + 1); \
        OFA_MATRIX_SUM(e3, code0); \
        OFA_MATRIX_SUM(o3, code1); \
    } while (0)

#else

#define OFA_MATRIX_ADD_APART(addition, at, apart, e0, e1, e2, e3, o0, o1, o2, o3) \
    do { \
        OFA_MATRIX_ADD_LAST_APART(addition, at, apart, e0, e1, e2, e3); \
        OFA_MATRIX_ADD_LAST_APART(addition, (at) + 1, apart, o0, o1, o2, o3); \
    } while (0)

#endif

/* One channel of four pixels. */
#define OFA_MATRIX_ADD_LAST_APART(addition, at, apart, c0, c1, c2, c3) \
    do { \
        const uint32_t factor = (addition).factor, offset = (addition).offset; \
        const uint32_t other_factor = (addition).other_factor; \
        const int8_t *const from = (at) + (addition).other; \
        c0 = ofa_matrix_sum(c0, from[0], factor, other_factor, offset); \
        c1 = ofa_matrix_sum(c1, from[apart], factor, other_factor, offset); \
        c2 = ofa_matrix_sum(c2, from[2 * (apart)], factor, other_factor, offset); \
        c3 = ofa_matrix_sum(c3, from[3 * (apart)], factor, other_factor, offset); \
    } while (0)

/* Four words of codes are clamped. */
#define OFA_MATRIX_CLAMP(instruction, limit_of, v0, v1, v2, v3) \
    do { \
        const uint32_t limit = limit_of(layer); \
        instruction(v0, limit); \
        instruction(v1, limit); \
        instruction(v2, limit); \
        instruction(v3, limit); \
    } while (0)

/* The body of blocks in a loop: any number of words of taps. All but the pointers are literals: `shift` is that of all
 * channels, 0 where the stream holds one for each; `merged` makes one function of all modes, which then are the flags
 * of the layer and not the literals, and which reads dead zones where there is any flag or a sum; `adds` makes sums.
 */
static inline __attribute__((always_inline)) void
ofa_matrix_looped(const ofa_matrix_layer *layer, const ofa_matrix_quad *quad, ofa_word *wide, int shift, int merged,
                  int dead_zone, int low, int high, int odd, int adds)
{
    const int own = shift == 0;
    /* Volatile, so that they are read where they are needed and take no register from the sums. */
    const ofa_word *volatile wide_end =
        ofa_matrix_gather(wide, quad, layer->rows, layer->columns, layer->column, layer->words);
    const volatile uint32_t entry = (uint32_t)(wide_end - wide) / 8 % 4;
    const volatile uint32_t flags = layer->flags & OFA_MATRIX_MODES;
    ofa_matrix_cursor cursor = ofa_matrix_cursor_of(quad, layer->outputs);
    ofa_matrix_addition addition;
    if (adds) {
        const ofa_matrix_sum_layer *const sum = (const ofa_matrix_sum_layer *)(const void *)layer;
        addition.factor = (uint32_t)sum->factor;
        addition.offset = (uint32_t)sum->offset;
        addition.other_factor = (uint32_t)sum->other_factor;
        addition.other = sum->other;
    }
    const ofa_word *w = layer->weights;
    OFA_BARRIER();
again:;
    uint32_t e0, e1, e2, e3, o0, o1, o2, o3;
    {
        const ofa_word *x = wide;
        uint32_t bias_e, bias_o;
        OFA_LDRD_NEXT(bias_e, bias_o, w);
        OFA_MATRIX_FIRST_STEP();
        /* Sixteen taps a turn; the first turn takes what is left over of an odd number of steps. */
        switch (entry) {
            do {
                OFA_MATRIX_STEP();
                /* fall through */
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
            case 1:
                OFA_MATRIX_STEP();
            } while (x != wide_end);
            break;
        default:
            __builtin_unreachable();
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
    uint32_t m, c, d = 0, asr = 0;
    (void)d;
    (void)asr;
    if (merged && !adds && !flags) {
        OFA_MATRIX_FINISH_ALL(e0, e1, e2, e3, 0);
        OFA_MATRIX_FINISH_ALL(o0, o1, o2, o3, 0);
        OFA_MATRIX_BYTES(e0, o0);
        OFA_MATRIX_BYTES(e1, o1);
        OFA_MATRIX_BYTES(e2, o2);
        OFA_MATRIX_BYTES(e3, o3);
        OFA_MATRIX_STORE(cursor, e0, e1, e2, e3, again);
        return;
    }
    OFA_MATRIX_FINISH_ALL(e0, e1, e2, e3, merged || dead_zone);
    const int last = (merged ? flags & OFA_MATRIX_ODD : (uint32_t)odd) && cursor.at + 1 == cursor.end;
    if (last) {
        if (adds) {
            OFA_MATRIX_ADD_LAST_APART(addition, cursor.at, cursor.next + 2, e0, e1, e2, e3);
        }
    } else {
        OFA_MATRIX_FINISH_ALL(o0, o1, o2, o3, merged || dead_zone);
        if (adds) {
            OFA_MATRIX_ADD_APART(addition, cursor.at, cursor.next + 2, e0, e1, e2, e3, o0, o1, o2, o3);
        }
        OFA_MATRIX_BYTES(e0, o0);
        OFA_MATRIX_BYTES(e1, o1);
        OFA_MATRIX_BYTES(e2, o2);
        OFA_MATRIX_BYTES(e3, o3);
    }
    const int clamped = merged && (flags & OFA_MATRIX_CLAMPED);
    if (clamped || (!merged && low)) {
        OFA_MATRIX_CLAMP(OFA_MATRIX_MAX8, OFA_MATRIX_LOW, e0, e1, e2, e3);
    }
    if (clamped || (!merged && high)) {
        OFA_MATRIX_CLAMP(OFA_MATRIX_MIN8, OFA_MATRIX_HIGH, e0, e1, e2, e3);
    }
    if (last) {
        ofa_matrix_store_last(&cursor, e0, e1, e2, e3);
        return;
    }
    OFA_MATRIX_STORE(cursor, e0, e1, e2, e3, again);
}

#ifdef __cplusplus
}
#endif

#endif
