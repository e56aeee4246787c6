/* TensorFlow Lite's fixed-point scaling, free of data dependent branches. Private to the library. */
#ifndef OFA_REQUANTIZE_H
#define OFA_REQUANTIZE_H

#include <stdint.h>

/* Cores without a 32 x 32 -> 64 bit multiplication (ARMv6-M, ARMv8-M baseline) build products from 16-bit halves. */
#if !defined(OFA_NO_LONG_MULTIPLY)
#if (defined(__ARM_ARCH_6M__) && __ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
#define OFA_NO_LONG_MULTIPLY 1
#else
#define OFA_NO_LONG_MULTIPLY 0
#endif
#endif

/* floor((x * multiplier + 2^30) / 2^31) for multiplier >= 0: gemmlowp's doubling high multiplication, rounded to
 * nearest. Its saturation needs two INT32_MIN and cannot occur.
 */
static inline int32_t ofa_high_multiply(int32_t x, int32_t multiplier)
{
#if OFA_NO_LONG_MULTIPLY
    const int32_t x_high = x >> 16;
    const uint32_t x_low = (uint16_t)x;
    const int32_t m_high = multiplier >> 16;
    const uint32_t m_low = (uint16_t)multiplier;
    /* x * multiplier = 2^32 * x_high * m_high + 2^16 * (middle + x_high * m_low) + (low 16 bits, which cannot matter). */
    const uint32_t middle = x_low * (uint32_t)m_high + ((x_low * m_low) >> 16);
    const int32_t upper = x_high * (int32_t)m_low + (int32_t)(uint16_t)middle;
    const int32_t high = x_high * m_high + (int32_t)(middle >> 16) + (upper >> 16);
    return 2 * high + (int32_t)((((uint32_t)(uint16_t)upper >> 14) + 1u) >> 1);
#else
    return (int32_t)(((int64_t)x * multiplier + (1 << 30)) >> 31);
#endif
}

/* x * multiplier * 2^(shift - 31) with double rounding, shift -31 .. 30, |x| << max(shift, 0) < 2^31.
 * The only branch is on `shift`, a constant of the layer.
 */
static inline int32_t ofa_scale(int32_t x, int32_t multiplier, int32_t shift)
{
    if (__builtin_expect(shift < 0, 1)) {
        /* To nearest, ties away from zero, in two steps that cannot overflow: halves round up after -1 for negatives. */
        const int32_t y = ofa_high_multiply(x, multiplier);
        return (((y + (y >> 31)) >> (-shift - 1)) + 1) >> 1;
    }
    return ofa_high_multiply((int32_t)((uint32_t)x << shift), multiplier);
}

/* floor(256 * x * multiplier / 2^32) for |x| < 2^23 and 0 <= multiplier < 2^31; 0 for any x where multiplier is 0. */
static inline int32_t ofa_high(int32_t x, int32_t multiplier)
{
#if OFA_NO_LONG_MULTIPLY
    const int32_t x_high = x >> 8;
    const uint32_t x_low = (uint8_t)x;
    const int32_t m_high = multiplier >> 16;
    const uint32_t m_low = (uint16_t)multiplier;
    /* 256 * x = 2^16 * x_high + 256 * x_low. */
    const int32_t upper = x_high * (int32_t)m_low;
    const uint32_t lower = 256 * x_low * (uint32_t)m_high + ((x_low * m_low) >> 8);
    return x_high * m_high + (upper >> 16) + (int32_t)(((uint32_t)(uint16_t)upper + lower) >> 16);
#else
    return (int32_t)(((int64_t)(int32_t)((uint32_t)x * 256u) * multiplier) >> 32);
#endif
}

#if OFA_NO_LONG_MULTIPLY

/* Eleven bits of a multiplier and twice ten, from the lowest. */
typedef struct {
    int32_t low, middle, high;
} ofa_pieces;

static inline ofa_pieces ofa_pieces_of(int32_t multiplier)
{
    const uint32_t m = (uint32_t)multiplier;
    return (ofa_pieces){(int32_t)(m & 0x7ffu), (int32_t)((m >> 11) & 0x3ffu), (int32_t)(m >> 21)};
}

/* ofa_high for |x| < 2^20 where the multiplier is not 0. */
static inline int32_t ofa_high_pieces(int32_t x, ofa_pieces multiplier)
{
    const int32_t high = (((x * multiplier.low) >> 11) + x * multiplier.middle) >> 10;
    return (high + x * multiplier.high) >> 3;
}

static inline int32_t ofa_high_short(int32_t x, int32_t multiplier)
{
    return ofa_high_pieces(x, ofa_pieces_of(multiplier));
}

#endif

/* The nearest code. */
static inline int32_t ofa_saturate(int32_t value)
{
#if defined(__ARM_FEATURE_SAT)
    return (int32_t)__builtin_arm_ssat(value, 8);
#else
    value += 128;
    value &= ~(value >> 31);
    value -= 255;
    return (value & (value >> 31)) + 127;
#endif
}

/* value + offset + low limited to low .. low + span; value + offset must not overflow. */
static inline int32_t ofa_clamp(int32_t value, int32_t offset, int32_t low, int32_t span)
{
    int32_t above = value + offset;
    above &= ~(above >> 31);
    int32_t excess = above - span;
    excess &= excess >> 31;
    return excess + (span + low);
}

#endif
