/* Convolutions for cores with the DSP extension: two output channels of four pixels at a time.
 *
 * A block function gathers the windows of four pixels, widened to halfwords, then computes all their output channels.
 * Of the pair of channels (even, odd) a halfword of weights holds 256 * odd + even: one SMLAD of the word accumulates
 * A = 256 * O + E and one of its sign extended low bytes E; A - E is 256 * O, as requantization wants it. Sums are
 * below 2^23.
 *
 * The stream of weights holds for every pair of output channels: the even bias; 256 * odd bias + even bias; a word of
 * weights for every pair of taps; then for either channel multiplier, offset, what is taken off the offset for sums
 * below 0 where such codes survive, and the shift less one where channels have shifts of their own. Without its last
 * channel an odd layer has nothing after the scales of the even one.
 */
#ifndef OFA_DSP_MATRIX_H
#define OFA_DSP_MATRIX_H

#include <stdint.h>
#include <string.h>

#include "ofa_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Four pixels: pixel 1 lies `next` bytes behind pixel 0, pixel 2 `third` bytes, pixel 3 the sum of both. Fewer than
 * four pixels are four of which some are the same. `row` is the distance of the rows of a window.
 */
typedef struct {
    const int8_t *input;
    int8_t *output;
    int32_t row;
    int32_t input_next, input_third;
    int32_t output_next, output_third;
} ofa_matrix_quad;

typedef int16_t __attribute__((may_alias)) ofa_matrix_half_word;

typedef struct ofa_matrix_layer ofa_matrix_layer;
typedef void ofa_matrix_block(const ofa_matrix_layer *layer, const ofa_matrix_quad *quad, ofa_word *wide);

/* A window consists of `rows` times `columns` runs of 4 * `words` codes, columns `column` bytes apart: what blocks in a
 * loop need. Codes are clamped to `low` .. `high` where the block was made for it.
 */
struct ofa_matrix_layer {
    ofa_matrix_block *block;
    const uint32_t *weights;
    uint16_t outputs;
    uint16_t words;
    uint16_t column;
    uint8_t rows, columns;
    int8_t low, high;
    int8_t zero_point; /* of the input, for windows that reach out of it */
};

/* Pointwise: `depth` codes of every pixel, `left` of them behind the last whole word. `single` computes the last pixel
 * where that is the only one left over by blocks of four; 0: it is computed four times. `shift` is that of all
 * channels, less one, where the stream holds none.
 */
typedef struct {
    ofa_matrix_layer matrix;
    ofa_matrix_block *single;
    int32_t pixels;
    uint16_t depth;
    uint8_t left;
    uint8_t shift;
} ofa_matrix_points_layer;

/* The output may start up to where the input does if outputs <= depth, and with `backward` may end where the input does
 * if outputs >= depth. `wide` is what blocks in a loop work in: 8 bytes for every tap.
 */
void ofa_matrix_points(const ofa_matrix_points_layer *layer, const int8_t *input, int8_t *output, ofa_word *wide,
                       int backward);

/* Windows of any shape; extents are those from the first to the last tap. */
typedef struct {
    ofa_matrix_layer matrix;
    uint16_t input_height, input_width, depth;
    uint16_t output_height, output_width;
    uint16_t extent_height, extent_width;
    uint16_t stride_height, stride_width;
    uint16_t pad_top, pad_left;
    uint16_t kernel_height, dilation_height;
    uint16_t band; /* rows of the output that ofa_matrix_band computes together */
} ofa_matrix_window_layer;

/* Windows are read from the input; those that reach out of it are put together in `patch`, which takes
 * kernel_height * (3 * stride_width + extent_width) * depth + 4 bytes.
 */
void ofa_matrix_direct(const ofa_matrix_window_layer *layer, const int8_t *input, int8_t *output, ofa_word *wide,
                       int8_t *patch);

/* Windows are read from a padded copy of the rows that `band` output rows need, which takes
 * ((band - 1) * stride_height + extent_height) rows of ((output_width - 1) * stride_width + extent_width) * depth
 * bytes, and 4 bytes. Four pixels are above each other where that leaves fewer pixels over.
 */
void ofa_matrix_band(const ofa_matrix_window_layer *layer, const int8_t *input, int8_t *output, ofa_word *wide,
                     int8_t *rows);

/* Where the codes of four pixels go: the next two channels of pixel 0, distances less two, the end of pixel 0. */
typedef struct {
    int8_t *at;
    intptr_t next, third;
    const int8_t *end;
} ofa_matrix_cursor;

static inline ofa_matrix_cursor ofa_matrix_cursor_of(const ofa_matrix_quad *quad, int32_t outputs)
{
    const ofa_matrix_cursor cursor = {quad->output, quad->output_next - 2, quad->output_third - 2,
                                      quad->output + outputs};
    return cursor;
}

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* the flags of four differences of bytes; bytes of a where the flag says not negative, else bytes of b */
#define OFA_MATRIX_SSUB8(unused, a, b) __asm__ volatile("ssub8 %0, %1, %2" : "=r"(unused) : "r"(a), "r"(b))
#define OFA_MATRIX_SEL(to, a, b) __asm__ volatile("sel %0, %1, %2" : "=r"(to) : "r"(a), "r"(b))
#define OFA_MATRIX_MAX8(value, limit) \
    do { \
        uint32_t unused; \
        OFA_MATRIX_SSUB8(unused, value, limit); \
        OFA_MATRIX_SEL(value, value, limit); \
    } while (0)
#define OFA_MATRIX_MIN8(value, limit) \
    do { \
        uint32_t unused; \
        OFA_MATRIX_SSUB8(unused, limit, value); \
        OFA_MATRIX_SEL(value, value, limit); \
    } while (0)
/* the low byte of `high` becomes byte 1 of `low` */
#define OFA_MATRIX_BYTES(low, high) __asm__("bfi %0, %1, #8, #8" : "+r"(low) : "r"(high))
#define OFA_MATRIX_STRH_NEXT(value, pointer) \
    __asm__ volatile("strh %1, [%0], #2" : "+r"(pointer) : "r"(value) : "memory")
#define OFA_MATRIX_STRH_AT(value, pointer, distance) \
    __asm__ volatile("strh %0, [%1, %2]" : : "r"(value), "r"(pointer), "r"(distance) : "memory")
/* four codes anywhere */
#define OFA_MATRIX_LOOSE_NEXT(to, pointer) __asm__ volatile("ldr %0, [%1], #4" : "=&r"(to), "+r"(pointer))

/* Two channels of four pixels. Jumps to `again` while there are more; control falls through where there are none. */
#define OFA_MATRIX_STORE(cursor, c0, c1, c2, c3, again) \
    do { \
        int8_t *to; \
        int32_t next; \
        __asm__ volatile("ldrd %0, %1, %2" : "=&r"(to), "=&r"(next) : "m"(cursor)); \
        OFA_MATRIX_STRH_NEXT(c0, to); \
        OFA_MATRIX_STRH_AT(c1, to, next); \
        int32_t third; \
        const int8_t *to_end; \
        __asm__ volatile("ldrd %0, %1, %2" : "=&r"(third), "=&r"(to_end) : "m"((cursor).third), "m"((cursor).end)); \
        (cursor).at = to; \
        int8_t *behind = to + third; \
        OFA_MATRIX_STRH_NEXT(c2, behind); \
        OFA_MATRIX_STRH_AT(c3, behind, next); \
        if (to != to_end) { \
            goto again; \
        } \
    } while (0)

#else

/* Of the two low bytes of either word the larger ones, or the smaller ones. */
static inline uint32_t ofa_matrix_extreme8(uint32_t a, uint32_t b, int larger)
{
    uint32_t bytes = 0;
    for (int at = 0; at < 16; at += 8) {
        const int8_t x = (int8_t)(uint8_t)(a >> at), y = (int8_t)(uint8_t)(b >> at);
        bytes |= (uint32_t)(uint8_t)((x < y) == larger ? y : x) << at;
    }
    return bytes;
}
static inline uint32_t ofa_matrix_loose_load(const int8_t *from)
{
    uint32_t word;
    memcpy(&word, from, sizeof word);
    return word;
}
static inline void ofa_matrix_store_bytes(int8_t *to, uint32_t codes)
{
    to[0] = (int8_t)(uint8_t)codes;
    to[1] = (int8_t)(uint8_t)(codes >> 8);
}
#define OFA_MATRIX_MAX8(value, limit) ((value) = ofa_matrix_extreme8(value, limit, 1))
#define OFA_MATRIX_MIN8(value, limit) ((value) = ofa_matrix_extreme8(value, limit, 0))
#define OFA_MATRIX_BYTES(low, high) ((low) = ((low) & 0xffu) | ((high) & 0xffu) << 8)
#define OFA_MATRIX_LOOSE_NEXT(to, pointer) ((to) = ofa_matrix_loose_load(pointer), (pointer) += 4)
#define OFA_MATRIX_STORE(cursor, c0, c1, c2, c3, again) \
    do { \
        int8_t *const behind = (cursor).at + (cursor).third + 2; \
        ofa_matrix_store_bytes((cursor).at, c0); \
        ofa_matrix_store_bytes((cursor).at + (cursor).next + 2, c1); \
        ofa_matrix_store_bytes(behind, c2); \
        ofa_matrix_store_bytes(behind + (cursor).next + 2, c3); \
        (cursor).at += 2; \
        if ((cursor).at != (cursor).end) { \
            goto again; \
        } \
    } while (0)

#endif

/* The last channel of an odd number. */
static inline void ofa_matrix_store_last(const ofa_matrix_cursor *cursor, uint32_t c0, uint32_t c1, uint32_t c2,
                                         uint32_t c3)
{
    int8_t *const behind = cursor->at + cursor->third + 2;
    cursor->at[0] = (int8_t)(uint8_t)c0;
    cursor->at[cursor->next + 2] = (int8_t)(uint8_t)c1;
    behind[0] = (int8_t)(uint8_t)c2;
    behind[cursor->next + 2] = (int8_t)(uint8_t)c3;
}

/* The least and the largest code of the layer, in bytes 0 and 1. */
#define OFA_MATRIX_LOW(layer) ((uint8_t)(layer)->low * 0x0101u)
#define OFA_MATRIX_HIGH(layer) ((uint8_t)(layer)->high * 0x0101u)

/* A sum scaled by 256 becomes what is left to be shifted; `d` is taken off the offset of negative sums. */
#define OFA_MATRIX_SCALE(value, m, c) OFA_SMMLA(value, value, m, c)
#define OFA_MATRIX_SCALE_SIGNED(value, m, c, d) \
    do { \
        const uint32_t nudged = (c) - ((d) & (uint32_t)((int32_t)(value) >> 31)); \
        OFA_SMMLA(value, value, m, nudged); \
    } while (0)

/* Four codes of each of four pixels to two pairs of taps of each; a, b, c and d move on. */
#define OFA_MATRIX_WORD(to, a, b, c, d) \
    do { \
        uint32_t wa, wb, wc, wd, ea, eb; \
        OFA_MATRIX_LOOSE_NEXT(wa, a); \
        OFA_MATRIX_LOOSE_NEXT(wb, b); \
        OFA_SXTB16(ea, wa); \
        OFA_SXTB16(eb, wb); \
        OFA_STRD_NEXT(ea, eb, to); \
        OFA_MATRIX_LOOSE_NEXT(wc, c); \
        OFA_MATRIX_LOOSE_NEXT(wd, d); \
        OFA_SXTB16(ea, wc); \
        OFA_SXTB16(eb, wd); \
        OFA_STRD_NEXT(ea, eb, to); \
        OFA_SXTB16_ROR8(wa, wa); \
        OFA_SXTB16_ROR8(wb, wb); \
        OFA_STRD_NEXT(wa, wb, to); \
        OFA_SXTB16_ROR8(wc, wc); \
        OFA_SXTB16_ROR8(wd, wd); \
        OFA_STRD_NEXT(wc, wd, to); \
    } while (0)

/* One code of each of four pixels to the first or the second tap of a pair of each. */
#define OFA_MATRIX_CODE(to, tap, a, b, c, d, at) \
    do { \
        ofa_matrix_half_word *const half = (ofa_matrix_half_word *)(void *)(to) + (tap); \
        half[0] = (a)[at]; \
        half[2] = (b)[at]; \
        half[4] = (c)[at]; \
        half[6] = (d)[at]; \
    } while (0)

/* Windows of four pixels: `rows` times `columns` runs of 4 * `words` codes; `words` is above 0. */
static inline __attribute__((always_inline)) ofa_word *
ofa_matrix_gather(ofa_word *to, const ofa_matrix_quad *quad, int32_t rows, int32_t columns, int32_t column,
                  int32_t words)
{
    const int8_t *start = quad->input;
    const int32_t next = quad->input_next, third = quad->input_third;
    for (; rows > 0; --rows) {
        for (int32_t j = 0; j < columns; ++j) {
            const int8_t *a = start + j * column;
            const int8_t *b = a + next, *c = a + third;
            const int8_t *d = c + next;
            const int8_t *const end = a + 4 * words;
            if (words & 1) {
                OFA_MATRIX_WORD(to, a, b, c, d);
            }
            while (a != end) {
                OFA_MATRIX_WORD(to, a, b, c, d);
                OFA_MATRIX_WORD(to, a, b, c, d);
            }
        }
        start += quad->row;
    }
    return to;
}

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

/* The body of blocks in a loop: any number of words of taps, shifts in the stream. The flags are literals. */
static inline __attribute__((always_inline)) void
ofa_matrix_looped(const ofa_matrix_layer *layer, const ofa_matrix_quad *quad, ofa_word *wide, int dead_zone, int low,
                  int high, int odd)
{
    enum { own = 1 };
    /* Volatile, so that it is read at the end of a turn and takes no register from the sums. */
    const ofa_word *volatile wide_end =
        ofa_matrix_gather(wide, quad, layer->rows, layer->columns, layer->column, layer->words);
    const uint32_t first = (uint32_t)(wide_end - wide) / 8 % 4;
    ofa_matrix_cursor cursor = ofa_matrix_cursor_of(quad, layer->outputs);
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
    const int last = odd && cursor.at + 1 == cursor.end;
    if (!last) {
        OFA_MATRIX_SCALES();
        OFA_MATRIX_FINISH(o0);
        OFA_MATRIX_FINISH(o1);
        OFA_MATRIX_FINISH(o2);
        OFA_MATRIX_FINISH(o3);
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
    if (last) {
        ofa_matrix_store_last(&cursor, e0, e1, e2, e3);
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

/* Clamps and stores one code. */
#define OFA_MATRIX_SINGLE_STORE(value) \
    do { \
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
                  int low, int high)
{
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
