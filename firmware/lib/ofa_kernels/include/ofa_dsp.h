/* Single instructions of the DSP extension (ARMv7E-M, ARMv8-M with DSP), and what generated kernels share.
 *
 * Every macro is one instruction in one `asm volatile`: the compiler keeps their order and allocates registers, nothing
 * more. Without the extension the macros are C of the same meaning, so that generated kernels can be tested anywhere.
 * Operands are uint32_t; a word holds two signed halfwords, low and high.
 */
#ifndef OFA_DSP_H
#define OFA_DSP_H

#include <stdint.h>

#include "ofa_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Words and pairs of words at multiples of four; words anywhere, which no instruction but LDR and STR may touch. */
typedef uint32_t __attribute__((may_alias)) ofa_word;
typedef struct {
    uint32_t first, second;
} __attribute__((aligned(4), may_alias)) ofa_pair;
typedef uint32_t __attribute__((may_alias, aligned(1))) ofa_loose_word;

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* sum + low(a) * low(b) + high(a) * high(b), to the sum itself or to another register */
#define OFA_SMLAD(sum, a, b) __asm__ volatile("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b))
#define OFA_SMLAD_TO(to, a, b, sum) __asm__ volatile("smlad %0, %1, %2, %3" : "=r"(to) : "r"(a), "r"(b), "r"(sum))
/* bytes 0 and 2, bytes 1 and 3, sign extended */
#define OFA_SXTB16(to, a) __asm__ volatile("sxtb16 %0, %1" : "=r"(to) : "r"(a))
#define OFA_SXTB16_ROR8(to, a) __asm__ volatile("sxtb16 %0, %1, ror #8" : "=r"(to) : "r"(a))
/* two words at a place the compiler addresses; at a pointer that moves on; one word at a pointer that moves on */
#define OFA_LDRD(first, second, place) \
    __asm__ volatile("ldrd %0, %1, %2" : "=&r"(first), "=&r"(second) : "m"(*(const ofa_pair *)(place)))
#define OFA_LDR(to, place) __asm__ volatile("ldr %0, %1" : "=r"(to) : "m"(*(const ofa_word *)(place)))
#define OFA_STRD(place, first, second) \
    __asm__ volatile("strd %1, %2, %0" : "=m"(*(ofa_pair *)(place)) : "r"(first), "r"(second))
#define OFA_LDRD_NEXT(first, second, pointer) \
    __asm__ volatile("ldrd %0, %1, [%2], #8" : "=&r"(first), "=&r"(second), "+r"(pointer))
#define OFA_LDR_NEXT(to, pointer) __asm__ volatile("ldr %0, [%1], #4" : "=&r"(to), "+r"(pointer))
#define OFA_STRD_NEXT(first, second, pointer) \
    __asm__ volatile("strd %1, %2, [%0], #8" : "+r"(pointer) : "r"(first), "r"(second) : "memory")
/* sum + one half of a * one half of b, T the high and B the low one */
#define OFA_SMLAXY(xy, to, a, b, sum) __asm__ volatile("smla" xy " %0, %1, %2, %3" : "=r"(to) : "r"(a), "r"(b), "r"(sum))
#define OFA_SMLABB_TO(to, a, b, sum) OFA_SMLAXY("bb", to, a, b, sum)
#define OFA_SMLABT_TO(to, a, b, sum) OFA_SMLAXY("bt", to, a, b, sum)
#define OFA_SMLATB_TO(to, a, b, sum) OFA_SMLAXY("tb", to, a, b, sum)
#define OFA_SMLATT_TO(to, a, b, sum) OFA_SMLAXY("tt", to, a, b, sum)
/* halves of two words in one: low and low, high and high; mask & a, shifted to the left or not */
#define OFA_PKHBT(to, a, b) __asm__ volatile("pkhbt %0, %1, %2, lsl #16" : "=r"(to) : "r"(a), "r"(b))
#define OFA_PKHTB(to, a, b) __asm__ volatile("pkhtb %0, %1, %2, asr #16" : "=r"(to) : "r"(b), "r"(a))
#define OFA_AND(to, mask, a) __asm__ volatile("and %0, %1, %2" : "=r"(to) : "r"(mask), "r"(a))
#define OFA_AND_LSL8(to, mask, a) __asm__ volatile("and %0, %1, %2, lsl #8" : "=r"(to) : "r"(mask), "r"(a))
/* sum + high word of a * b; saturation of a >> shift to int8 */
#define OFA_SMMLA(to, a, b, sum) __asm__ volatile("smmla %0, %1, %2, %3" : "=r"(to) : "r"(a), "r"(b), "r"(sum))
#define OFA_SSAT8(to, a, shift) __asm__ volatile("ssat %0, #8, %1, asr %2" : "=r"(to) : "r"(a), "I"(shift))
/* Memory was written behind the compiler's back; a value it must not compute anew. */
#define OFA_BARRIER() __asm__ volatile("" : : : "memory")
#define OFA_OPAQUE(value) __asm__ volatile("" : "+r"(value))

#else

static inline int32_t ofa_half(uint32_t a, int high)
{
    return (int16_t)(uint16_t)(high ? a >> 16 : a);
}
static inline uint32_t ofa_smlad(uint32_t a, uint32_t b, uint32_t sum)
{
    return sum + (uint32_t)(ofa_half(a, 0) * ofa_half(b, 0)) + (uint32_t)(ofa_half(a, 1) * ofa_half(b, 1));
}
static inline uint32_t ofa_sxtb16(uint32_t a)
{
    return (uint32_t)(uint16_t)(int8_t)(uint8_t)a | (uint32_t)(uint16_t)(int8_t)(uint8_t)(a >> 16) << 16;
}
static inline uint32_t ofa_smmla(uint32_t a, uint32_t b, uint32_t sum)
{
    return (uint32_t)((((int64_t)(int32_t)a * (int32_t)b) + (int64_t)((uint64_t)sum << 32)) >> 32);
}
static inline uint32_t ofa_ssat8(uint32_t a, int shift)
{
    const int32_t value = (int32_t)a >> shift;
    return (uint32_t)(value < -128 ? -128 : value > 127 ? 127 : value);
}
static inline uint32_t ofa_smla(uint32_t a, int a_high, uint32_t b, int b_high, uint32_t sum)
{
    return sum + (uint32_t)(ofa_half(a, a_high) * ofa_half(b, b_high));
}
#define OFA_SMLABB_TO(to, a, b, sum) ((to) = ofa_smla(a, 0, b, 0, sum))
#define OFA_SMLABT_TO(to, a, b, sum) ((to) = ofa_smla(a, 0, b, 1, sum))
#define OFA_SMLATB_TO(to, a, b, sum) ((to) = ofa_smla(a, 1, b, 0, sum))
#define OFA_SMLATT_TO(to, a, b, sum) ((to) = ofa_smla(a, 1, b, 1, sum))
#define OFA_PKHBT(to, a, b) ((to) = ((a) & 0xffffu) | (b) << 16)
#define OFA_PKHTB(to, a, b) ((to) = (a) >> 16 | ((b) & 0xffff0000u))
#define OFA_AND(to, mask, a) ((to) = (mask) & (a))
#define OFA_AND_LSL8(to, mask, a) ((to) = (mask) & (a) << 8)
#define OFA_SMLAD(sum, a, b) ((sum) = ofa_smlad(a, b, sum))
#define OFA_SMLAD_TO(to, a, b, sum) ((to) = ofa_smlad(a, b, sum))
#define OFA_SXTB16(to, a) ((to) = ofa_sxtb16(a))
#define OFA_SXTB16_ROR8(to, a) ((to) = ofa_sxtb16((a) >> 8 | (a) << 24))
#define OFA_LDRD(first_, second_, place) \
    ((first_) = ((const ofa_pair *)(place))->first, (second_) = ((const ofa_pair *)(place))->second)
#define OFA_LDR(to, place) ((to) = *(const ofa_word *)(place))
#define OFA_STRD(place, first_, second_) \
    (((ofa_pair *)(place))->first = (first_), ((ofa_pair *)(place))->second = (second_))
#define OFA_LDRD_NEXT(first, second, pointer) ((first) = *(pointer)++, (second) = *(pointer)++)
#define OFA_LDR_NEXT(to, pointer) ((to) = *(pointer)++)
#define OFA_STRD_NEXT(first, second, pointer) (*(pointer)++ = (first), *(pointer)++ = (second))
#define OFA_SMMLA(to, a, b, sum) ((to) = ofa_smmla(a, b, sum))
#define OFA_SSAT8(to, a, shift) ((to) = ofa_ssat8(a, shift))
#define OFA_BARRIER() ((void)0)
#define OFA_OPAQUE(value) ((void)0)

#endif

#define OFA_SMLABB(sum, a, b) OFA_SMLABB_TO(sum, a, b, sum)
#define OFA_SMLABT(sum, a, b) OFA_SMLABT_TO(sum, a, b, sum)
#define OFA_SMLATB(sum, a, b) OFA_SMLATB_TO(sum, a, b, sum)
#define OFA_SMLATT(sum, a, b) OFA_SMLATT_TO(sum, a, b, sum)

/* Four channels of two pixels, a and b, times 256: a word of both pixels for every channel. a, b, c and d change. */
#define OFA_PLANES(p0, p1, p2, p3, a, b, mask, c, d) \
    do { \
        OFA_AND_LSL8(c, mask, a); \
        OFA_AND(a, mask, a); \
        OFA_AND_LSL8(d, mask, b); \
        OFA_AND(b, mask, b); \
        OFA_PKHBT(p0, c, d); \
        OFA_PKHTB(p2, c, d); \
        OFA_PKHBT(p1, a, b); \
        OFA_PKHTB(p3, a, b); \
    } while (0)

/* `channels` codes of four pixels `stride` bytes apart, widened to halfwords. By four channels k: the pairs (k, k + 2)
 * of each pixel, then the pairs (k + 1, k + 3). `channels` is a multiple of four and above 0.
 */
static inline __attribute__((always_inline)) ofa_word *
ofa_widen(ofa_word *to, const int8_t *from, uint32_t channels, uint32_t stride)
{
    const int8_t *const end = from + channels;
    do {
        uint32_t a = *(const ofa_loose_word *)from;
        uint32_t b = *(const ofa_loose_word *)(from + stride);
        uint32_t c = *(const ofa_loose_word *)(from + 2 * stride);
        uint32_t d = *(const ofa_loose_word *)(from + 3 * stride);
        uint32_t even_a, even_b, even_c, even_d;
        from += 4;
        OFA_SXTB16(even_a, a);
        OFA_SXTB16(even_b, b);
        OFA_SXTB16(even_c, c);
        OFA_SXTB16(even_d, d);
        OFA_STRD_NEXT(even_a, even_b, to);
        OFA_STRD_NEXT(even_c, even_d, to);
        OFA_SXTB16_ROR8(a, a);
        OFA_SXTB16_ROR8(b, b);
        OFA_SXTB16_ROR8(c, c);
        OFA_SXTB16_ROR8(d, d);
        OFA_STRD_NEXT(a, b, to);
        OFA_STRD_NEXT(c, d, to);
    } while (from != end);
    return to;
}

/* One output code of a pair from its sum, scaled by 256: saturated sum of `c` and the high word of sum * m. */
#define OFA_STORE(to, value, m, c, shift) \
    do { \
        OFA_SMMLA(value, value, m, c); \
        OFA_SSAT8(value, value, shift); \
        (to) = (int8_t)(value); \
    } while (0)

/* The same for a layer without activation: sums below 0 are rounded the other way, by `d`. */
#define OFA_STORE_SIGNED(to, value, m, c, d, shift) \
    do { \
        const uint32_t nudge = (c) - ((d) & (uint32_t)((int32_t)(value) >> 31)); \
        OFA_SMMLA(value, value, m, nudge); \
        OFA_SSAT8(value, value, shift); \
        (to) = (int8_t)(value); \
    } while (0)

/* Pointwise convolution by blocks of four pixels, input channels a multiple of four, output channels of two, at least
 * four pixels. The stream of weights holds for every pair of output channels: both biases, the odd one times 256 plus
 * the even one; a word for every pair of input channels as `ofa_widen` orders them, with a halfword of
 * 256 * (odd weight) + (even weight) for each; then for either channel multiplier, offset and, in a layer without
 * activation, what is taken off the offset for sums below 0. Sums are below 2^23.
 */
typedef struct ofa_dsp_pointwise_layer ofa_dsp_pointwise_layer;

/* All output channels of four pixels. */
typedef void ofa_dsp_block(const ofa_dsp_pointwise_layer *layer, const int8_t *input, int8_t *output,
                           ofa_word *scratch);

struct ofa_dsp_pointwise_layer {
    ofa_dsp_block *block;
    const uint32_t *weights; /* the stream */
    int32_t pixels;
    uint16_t input_channels;
    uint16_t output_channels;
    uint32_t shift; /* of ofa_dsp_deep_block and ofa_dsp_deep_block_linear: bits to drop, less one */
};

/* `scratch` is what `block` works in: nothing for generated ones, 8 * input_channels bytes for those below. */
void ofa_dsp_pointwise(const ofa_dsp_pointwise_layer *layer, const int8_t *input, int8_t *output, ofa_word *scratch);

/* Any number of input channels, in a loop; with activation and without. */
ofa_dsp_block ofa_dsp_deep_block, ofa_dsp_deep_block_linear;

/* Depthwise convolution with a square kernel, four channels at a time in a ring of rows of halfwords. The table holds
 * for every channel its bias times 256, multiplier, offset, what is taken off that for sums below 0, and its weights:
 * rows of words with two taps or one, the rows 0 .. k - 1 and then 0 .. k - 2 again.
 */
typedef void ofa_dsp_widen(ofa_word *to, const int8_t *from);
typedef void ofa_dsp_row(int8_t *output, const ofa_word *ring, const ofa_word *table, uint32_t first);

typedef struct {
    ofa_dsp_widen *widen;
    ofa_dsp_row *row;
    const uint32_t *table;
    uint32_t padding;      /* the word that stands for pixels outside */
    int32_t input_row;     /* bytes of a row */
    int32_t output_row;
    uint16_t input_height;
    uint16_t output_height;
    uint16_t groups;       /* of four channels */
    uint16_t group_words;  /* of the table */
    uint16_t row_words;    /* of a row of a channel in the ring */
    uint16_t lead_words;   /* of these on the left of the first pixel */
    uint8_t kernel;
    uint8_t stride;
    uint8_t pad_top;
    uint8_t weight_words;  /* of a row of weights */
} ofa_dsp_depthwise_layer;

/* `ring` takes 16 * kernel * row_words bytes. */
void ofa_dsp_depthwise(const ofa_dsp_depthwise_layer *layer, const int8_t *input, int8_t *output, ofa_word *ring);

#ifdef __cplusplus
}
#endif

#endif
