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

#ifdef __cplusplus
}
#endif

#endif
