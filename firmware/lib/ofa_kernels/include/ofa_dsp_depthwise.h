/* Depthwise convolution for the DSP extension: four channels at a time, taken apart into planes of halfwords.
 *
 * A plane holds padded rows of one channel: two pixels in a word, the earlier one in the low half, codes times 256;
 * padding is the input's zero point times 256. Strips of rows are split and swept one after the other; rows that two
 * strips share move to the planes' start. The table holds for every channel its bias times 256, multiplier, offset,
 * then where they are wanted what is taken off the offset for sums below 0, the shift, the largest code, the smallest
 * code; then its weights, rows of words with two taps or one.
 */
#ifndef OFA_DSP_DEPTHWISE_H
#define OFA_DSP_DEPTHWISE_H

#include "ofa_dsp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ofa_dsp_planes_layer ofa_dsp_planes_layer;

/* Rows of the input into planes. */
typedef void ofa_dsp_split_rows(ofa_word *planes, const int8_t *input, uint32_t rows,
                                const ofa_dsp_planes_layer *layer);

/* Outputs of `channels` channels, 1..4, in `units` units of rows. */
typedef void ofa_dsp_sweep_rows(int8_t *output, const ofa_word *planes, const ofa_word *table, uint32_t units,
                                uint32_t channels, const ofa_dsp_planes_layer *layer);

struct ofa_dsp_planes_layer {
    ofa_dsp_split_rows *split;
    ofa_dsp_sweep_rows *sweep;
    const uint32_t *table;
    uint32_t padding;      /* the zero point times 256 in both halves */
    int32_t input_row;     /* bytes of a row */
    int32_t output_row;
    uint16_t input_height; /* rows that the outputs depend on */
    uint16_t output_height;
    uint16_t channels;
    uint16_t strip;        /* rows of outputs of a strip; not one more than a multiple of unit, if that is 2 */
    uint16_t row_words;    /* from a row of a plane to the next */
    uint16_t used_words;   /* of a row of a plane */
    uint16_t lead_words;   /* of these left of the first word with a pixel */
    uint16_t plane_words;  /* from a plane to the next, which may lie between its rows */
    uint16_t span_words;   /* from a plane's first word to its end */
    uint16_t channel_words; /* of the table */
    uint8_t kernel;        /* rows of taps, not below the stride */
    uint8_t stride;        /* from row to row */
    uint8_t pad_top;
    uint8_t unit;          /* rows of outputs that are swept together, 1 or 2 */
};

/* A layer whose functions know neither its widths nor its channels; `planes.sweep` gets a pointer to this. */
typedef struct {
    ofa_dsp_planes_layer planes;
    int32_t whole_bytes;   /* of the outputs of a row that whole blocks compute */
    int32_t skip_words;    /* from the words where the last block of a unit of rows stands to those of the next unit */
    uint16_t quads;        /* pixels of a row in fours */
    uint8_t left;          /* 1: one pixel in front of these shares its word with padding */
    uint8_t rest_pixels;   /* pixels after these */
    uint32_t rest;         /* columns of outputs after the whole blocks */
} ofa_dsp_shared_layer;

/* Splits rows of any such layer. */
ofa_dsp_split_rows ofa_dsp_split_any;

/* `planes` takes 4 * (3 * plane_words + span_words) bytes. The output may cover the input if that starts so far above
 * it that the outputs of a strip end at or below the input rows not read yet; where the distance is not whole pixels,
 * the input moves first.
 */
void ofa_dsp_depthwise_planes(const ofa_dsp_planes_layer *layer, const int8_t *input, int8_t *output,
                              ofa_word *planes);

/* Four channels of two pixels, a the earlier one, times 256: a word of both pixels for every channel, 0 and 1 from the
 * low halves, 2 and 3 from the high ones. low and high are registers in between; p1 may be low, p3 high.
 */
#define OFA_PART(p0, p1, p2, p3, a, b, mask, low, high) \
    do { \
        OFA_PKHBT(low, a, b); \
        OFA_PKHTB(high, a, b); \
        OFA_AND_LSL8(p0, mask, low); \
        OFA_AND(p1, mask, low); \
        OFA_AND_LSL8(p2, mask, high); \
        OFA_AND(p3, mask, high); \
    } while (0)

/* One or two words at a pointer that then moves on by `bytes`. */
#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP
#define OFA_LDRD_STEP(first, second, pointer, bytes) \
    __asm__ volatile("ldrd %0, %1, [%2], %3" : "=&r"(first), "=&r"(second), "+r"(pointer) : "I"(bytes))
#define OFA_LDR_STEP(to, pointer, bytes) \
    __asm__ volatile("ldr %0, [%1], %2" : "=&r"(to), "+r"(pointer) : "I"(bytes))
#else
#define OFA_LDRD_STEP(first, second, pointer, bytes) \
    ((first) = (pointer)[0], (second) = (pointer)[1], (pointer) += (bytes) / 4)
#define OFA_LDR_STEP(to, pointer, bytes) ((to) = *(pointer), (pointer) += (bytes) / 4)
#endif

/* The larger, the smaller of two codes in their low bytes; a >> shift, a register; value where a is negative, or 0. */
#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP
#define OFA_MAX8(to, a, b) \
    __asm__ volatile("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(to) : "r"(a), "r"(b) : "cc")
#define OFA_MIN8(to, a, b) \
    __asm__ volatile("ssub8 %0, %2, %1\n\tsel %0, %1, %2" : "=&r"(to) : "r"(a), "r"(b) : "cc")
#define OFA_ASR_BY(to, a, shift) __asm__ volatile("asr %0, %1, %2" : "=r"(to) : "r"(a), "r"(shift))
#define OFA_SIGN_AND(to, a, value) __asm__ volatile("and %0, %1, %2, asr #31" : "=r"(to) : "r"(a), "r"(value))
#else
static inline int ofa_is_above(uint32_t a, uint32_t b)
{
    return (int8_t)(uint8_t)a > (int8_t)(uint8_t)b;
}
#define OFA_MAX8(to, a, b) ((to) = ofa_is_above(a, b) ? (a) : (b))
#define OFA_MIN8(to, a, b) ((to) = ofa_is_above(a, b) ? (b) : (a))
#define OFA_ASR_BY(to, a, shift) ((to) = (uint32_t)((int32_t)(a) >> (shift)))
#define OFA_SIGN_AND(to, a, value) ((to) = (a) & (uint32_t)((int32_t)(value) >> 31))
#endif

#ifdef __cplusplus
}
#endif

#endif
