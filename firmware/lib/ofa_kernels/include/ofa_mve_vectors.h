/* What the kernels for M-profile vectors (Cortex-M55, Cortex-M85) share; nothing without that extension. */
#ifndef OFA_MVE_VECTORS_H
#define OFA_MVE_VECTORS_H

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)

#include <arm_mve.h>
#include <stdint.h>

/* What a layer's requantization needs beside scaling and saturation: sums below zero give codes above the clamp, so
 * their ties must round away from zero; codes are clamped more tightly than int8 does; shifts to the left and none.
 */
#define OFA_MVE_PLAIN 0
#define OFA_MVE_SIGNED 1
#define OFA_MVE_CLAMPED 2
#define OFA_MVE_GENERAL 7
#define OFA_MVE_ANY_SHIFT 4

#define OFA_MVE_INLINE static inline __attribute__((always_inline))

/* Four registers as one vector; the first register of the instruction goes to its lower lane. */
OFA_MVE_INLINE int32x4_t ofa_mve_lanes(int32_t a, int32_t b, int32_t c, int32_t d)
{
    int32x4_t lanes;
    __asm__("vmov %q0[2], %q0[0], %1, %2" : "=w"(lanes) : "r"(a), "r"(c));
    __asm__("vmov %q0[3], %q0[1], %1, %2" : "+w"(lanes) : "r"(b), "r"(d));
    return lanes;
}

/* 16 codes at a pointer that moves on by `step`. */
#define OFA_MVE_LOAD_NEXT(to, pointer, step) \
    __asm__ volatile("vldrb.8 %q0, [%1], %2" : "=w"(to), "+r"(pointer) : "i"(step) : "memory")
/* Four words; four bytes widened to words. */
#define OFA_MVE_LOAD_WORDS_NEXT(to, pointer) \
    __asm__ volatile("vldrw.32 %q0, [%1], #16" : "=w"(to), "+r"(pointer) : : "memory")
#define OFA_MVE_LOAD_BYTES_NEXT(to, pointer) \
    __asm__ volatile("vldrb.s32 %q0, [%1], #4" : "=w"(to), "+l"(pointer) : : "memory")

/* Codes in the low byte of every lane, once the zero point is added. */
OFA_MVE_INLINE int32x4_t ofa_mve_narrow(int32x4_t codes, int32_t low, int32_t high, const int mode)
{
    if (mode & OFA_MVE_CLAMPED) {
        return vminq_s32(vmaxq_s32(codes, vdupq_n_s32(low)), vdupq_n_s32(high));
    }
    __asm__("vqmovnb.s32 %q0, %q0" : "+w"(codes));
    __asm__("vqmovnb.s16 %q0, %q0" : "+w"(codes));
    return codes;
}

/* Sums of four channels times `multiplier` times 2^-31, rounded to nearest, for the rounding shift that follows; shifts
 * to the left are carried out already. Unless any shift is allowed, `shift` is not used.
 */
OFA_MVE_INLINE int32x4_t ofa_mve_scaled(int32x4_t sums, int32x4_t multiplier, int32x4_t shift, const int mode)
{
    if (mode & OFA_MVE_ANY_SHIFT) {
        const int32x4_t none = vdupq_n_s32(0);
        const int32x4_t scaled = vqrdmulhq_s32(vshlq_s32(sums, vmaxq_s32(shift, none)), multiplier);
        return vqaddq_s32(scaled, vshrq_n_s32(vandq_s32(scaled, vminq_s32(shift, none)), 31));
    }
    const int32x4_t scaled = vqrdmulhq_s32(sums, multiplier);
    return mode & OFA_MVE_SIGNED ? vaddq_s32(scaled, vshrq_n_s32(scaled, 31)) : scaled;
}

/* Their codes. */
OFA_MVE_INLINE int32x4_t ofa_mve_codes(int32x4_t scaled, int32x4_t shift, int32_t zero_point, int32_t low, int32_t high,
                                       const int mode)
{
    if (mode & OFA_MVE_ANY_SHIFT) {
        const int32x4_t right = vminq_s32(shift, vdupq_n_s32(0));
        return ofa_mve_narrow(vqaddq_n_s32(vrshlq_s32(scaled, right), zero_point), low, high, mode);
    }
    return ofa_mve_narrow(vaddq_n_s32(vrshlq_s32(scaled, shift), zero_point), low, high, mode);
}

/* Codes of one channel at four places; as above. In plain and clamped mode shifts are not below -24. */
OFA_MVE_INLINE int32x4_t ofa_mve_channel_codes(int32x4_t sums, int32x4_t multiplier, int32_t shift, int32_t zero_point,
                                               int32_t low, int32_t high, const int mode)
{
    if (mode & OFA_MVE_ANY_SHIFT) {
        const int32x4_t shifts = vdupq_n_s32(shift);
        return ofa_mve_codes(ofa_mve_scaled(sums, multiplier, shifts, mode), shifts, zero_point, low, high, mode);
    }
    if (mode & OFA_MVE_SIGNED) {
        const int32x4_t scaled = ofa_mve_scaled(sums, multiplier, multiplier, mode);
        return ofa_mve_narrow(vaddq_n_s32(vrshlq_n_s32(scaled, shift), zero_point), low, high, mode);
    }
    /* The zero point joins before the shift. */
    const int32x4_t scaled = vqrdmlashq_n_s32(sums, multiplier, zero_point * (1 << -shift));
    return ofa_mve_narrow(vrshlq_n_s32(scaled, shift), low, high, mode);
}

#endif

#endif
