#include "ofa_affine.h"
#include "ofa_dsp.h"

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* sum + a * (low or high half of b) / 65536; saturation of a >> shift to 0 .. 255; saturating sum of unsigned bytes */
#define SMLAWB(to, a, b, sum) __asm__ volatile("smlawb %0, %1, %2, %3" : "=r"(to) : "r"(a), "r"(b), "r"(sum))
#define SMLAWT(to, a, b, sum) __asm__ volatile("smlawt %0, %1, %2, %3" : "=r"(to) : "r"(a), "r"(b), "r"(sum))
#define USAT8(to, a, shift) __asm__ volatile("usat %0, #8, %1, asr %2" : "=r"(to) : "r"(a), "I"(shift))
#define UQADD8(to, a, b) __asm__ volatile("uqadd8 %0, %1, %2" : "=r"(to) : "r"(a), "r"(b))

#else

static inline uint32_t smlaw(uint32_t a, int32_t half, uint32_t sum)
{
    return sum + (uint32_t)(int32_t)(((int64_t)(int32_t)a * half) >> 16);
}
static inline uint32_t usat8(uint32_t a, int shift)
{
    const int32_t value = (int32_t)a >> shift;
    return (uint32_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}
#define SMLAWB(to, a, b, sum) ((to) = smlaw(a, ofa_half(b, 0), sum))
#define SMLAWT(to, a, b, sum) ((to) = smlaw(a, ofa_half(b, 1), sum))
#define USAT8(to, a, shift) ((to) = usat8(a, shift))
/* of the lowest byte, all that is used here */
#define UQADD8(to, a, b) ((to) = (a) + (b) > 255 ? 255 : (a) + (b))

#endif

#define SHIFT 22

/* One code from its sum. */
#define STORE(place, value) \
    do { \
        if (with_sign) { \
            value += offset - (dead_zone & (uint32_t)((int32_t)(value) >> 31)); \
        } \
        if (clamped) { \
            USAT8(value, value, SHIFT); \
            UQADD8(value, value, excess); \
            value += back; \
        } else { \
            OFA_SSAT8(value, value, SHIFT); \
        } \
        (place) = (int8_t)value; \
    } while (0)

/* Codes i .. i + 3. Factors are scaled by 2^8 and codes by 2^8, so the product's high 32 of 48 bits are wanted. */
#define FOUR(i) \
    do { \
        uint32_t u, v, p, q, even; \
        OFA_LDR_NEXT(u, x); \
        OFA_LDR_NEXT(v, y); \
        OFA_AND_LSL8(p, mask, u); \
        OFA_AND_LSL8(q, mask, v); \
        OFA_AND(u, mask, u); \
        OFA_AND(v, mask, v); \
        SMLAWB(even, a, p, start); \
        SMLAWB(even, b, q, even); \
        STORE(output[i], even); \
        SMLAWB(even, a, u, start); \
        SMLAWB(even, b, v, even); \
        STORE(output[(i) + 1], even); \
        SMLAWT(p, a, p, start); \
        SMLAWT(p, b, q, p); \
        STORE(output[(i) + 2], p); \
        SMLAWT(u, a, u, start); \
        SMLAWT(u, b, v, u); \
        STORE(output[(i) + 3], u); \
    } while (0)

static inline __attribute__((always_inline)) void add(const ofa_affine_layer *layer, const int8_t *first,
                                                      const int8_t *second, int8_t *output, int clamped, int with_sign)
{
    uint32_t mask = 0xff00ff00u;
    uint32_t a = (uint32_t)layer->first;
    uint32_t b = (uint32_t)layer->second;
    uint32_t offset = (uint32_t)layer->offset;
    const uint32_t excess = 255u - (uint32_t)(layer->clamp_max - layer->clamp_min);
    const uint32_t back = (uint32_t)(int32_t)layer->clamp_min - excess;
    if (!clamped) {
        offset -= 128u << SHIFT;
    }
    const uint32_t dead_zone = (uint32_t)layer->dead_zone;
    uint32_t start = with_sign ? (uint32_t)layer->base : offset;
    OFA_OPAQUE(mask);
    OFA_OPAQUE(a);
    OFA_OPAQUE(b);
    OFA_OPAQUE(start);
    const ofa_word *x = (const ofa_word *)(const void *)first;
    const ofa_word *y = (const ofa_word *)(const void *)second;
    for (const ofa_word *const end = x + (layer->count >> 4) * 4; x != end; output += 16) {
        FOUR(0);
        FOUR(4);
        FOUR(8);
        FOUR(12);
    }
    for (const ofa_word *const end = x + ((layer->count >> 2) & 3); x != end; output += 4) {
        FOUR(0);
    }
    const int8_t *s = (const int8_t *)x;
    const int8_t *t = (const int8_t *)y;
    for (int32_t left = layer->count & 3; left > 0; --left) {
        uint32_t value = (uint32_t)(int32_t)*s++ << 8;
        const uint32_t other = (uint32_t)(int32_t)*t++ << 8;
        SMLAWB(value, a, value, start);
        SMLAWB(value, b, other, value);
        STORE(*output, value);
        ++output;
    }
}

#define DEFINE(name, clamped, with_sign) \
    void name(const ofa_affine_layer *layer, const int8_t *first, const int8_t *second, int8_t *output) \
    { \
        add(layer, first, second, output, clamped, with_sign); \
    }

DEFINE(ofa_dsp_add, 0, 0)
DEFINE(ofa_dsp_add_clamped, 1, 0)
DEFINE(ofa_dsp_add_signed, 0, 1)
DEFINE(ofa_dsp_add_signed_clamped, 1, 1)
