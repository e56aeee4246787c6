#include "ofa_dsp_add.h"

#include "ofa_dsp.h"

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* sum + (a * high or low half of b) / 65536 */
#define SMLAWB(to, a, b, sum) __asm__ volatile("smlawb %0, %1, %2, %3" : "=r"(to) : "r"(a), "r"(b), "r"(sum))
#define SMLAWT(to, a, b, sum) __asm__ volatile("smlawt %0, %1, %2, %3" : "=r"(to) : "r"(a), "r"(b), "r"(sum))
#define USAT8(to, a, shift) __asm__ volatile("usat %0, #8, %1, asr %2" : "=r"(to) : "r"(a), "I"(shift))
#define UQADD8(to, a, b) __asm__ volatile("uqadd8 %0, %1, %2" : "=r"(to) : "r"(a), "r"(b))

#else

static inline uint32_t smlaw(uint32_t a, int32_t half, uint32_t sum)
{
    return sum + (uint32_t)(int32_t)((int64_t)(int32_t)a * half >> 16);
}
static inline uint32_t usat8(uint32_t a, int shift)
{
    const int32_t value = (int32_t)a >> shift;
    return (uint32_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}
/* of the lowest byte */
static inline uint32_t uqadd8(uint32_t a, uint32_t b)
{
    const uint32_t sum = a + b;
    return sum > 255 ? 255 : sum;
}
#define SMLAWB(to, a, b, sum) ((to) = smlaw(a, ofa_half(b, 0), sum))
#define SMLAWT(to, a, b, sum) ((to) = smlaw(a, ofa_half(b, 1), sum))
#define USAT8(to, a, shift) ((to) = usat8(a, shift))
#define UQADD8(to, a, b) ((to) = uqadd8(a, b))

#endif

/* One code: the sum to saturate in `value`. */
#define STORE(place, value) \
    do { \
        if (clamped) { \
            USAT8(value, value, shift); \
            UQADD8(value, value, excess); \
            value += back; \
        } else { \
            OFA_SSAT8(value, value, shift); \
        } \
        (place) = (int8_t)value; \
    } while (0)

/* Four codes of words x and y, which change. */
#define FOUR(to, x, y) \
    do { \
        uint32_t p, q; \
        OFA_AND_LSL8(p, mask, x); \
        OFA_AND_LSL8(q, mask, y); \
        OFA_AND(x, mask, x); \
        OFA_AND(y, mask, y); \
        uint32_t even; \
        SMLAWB(even, a, p, offset); \
        SMLAWB(even, b, q, even); \
        SMLAWT(p, a, p, offset); \
        SMLAWT(p, b, q, p); \
        STORE((to)[0], even); \
        SMLAWB(even, a, x, offset); \
        SMLAWB(even, b, y, even); \
        STORE((to)[1], even); \
        STORE((to)[2], p); \
        SMLAWT(x, a, x, offset); \
        SMLAWT(x, b, y, x); \
        STORE((to)[3], x); \
    } while (0)

static inline __attribute__((always_inline)) void add(const ofa_affine_layer *layer, const int8_t *first,
                                                      const int8_t *second, int8_t *output, int shift, int clamped)
{
    uint32_t mask = 0xff00ff00u;
    uint32_t a = (uint32_t)layer->first;
    uint32_t b = (uint32_t)layer->second;
    uint32_t offset = (uint32_t)layer->offset;
    const uint32_t excess = 255u - (uint32_t)(layer->clamp_max - layer->clamp_min);
    const uint32_t back = (uint32_t)(int32_t)layer->clamp_min - excess;
    if (!clamped) {
        offset -= 128u << shift;
    }
    OFA_OPAQUE(mask);
    OFA_OPAQUE(a);
    OFA_OPAQUE(b);
    OFA_OPAQUE(offset);
    const ofa_word *x = (const ofa_word *)(const void *)first;
    const ofa_word *y = (const ofa_word *)(const void *)second;
    uint32_t u, v;
    for (const ofa_word *const end = x + (layer->count >> 4) * 4; x != end;) {
        for (int32_t i = 0; i < 16; i += 4) {
            OFA_LDR_NEXT(u, x);
            OFA_LDR_NEXT(v, y);
            FOUR(output + i, u, v);
        }
        output += 16;
    }
    for (const ofa_word *const end = x + ((layer->count >> 2) & 3); x != end; output += 4) {
        OFA_LDR_NEXT(u, x);
        OFA_LDR_NEXT(v, y);
        FOUR(output, u, v);
    }
    const int8_t *s = (const int8_t *)x;
    const int8_t *t = (const int8_t *)y;
    for (int32_t left = layer->count & 3; left > 0; --left) {
        u = (uint32_t)(int32_t)*s++ << 8;
        v = (uint32_t)(int32_t)*t++ << 8;
        SMLAWB(u, a, u, offset);
        SMLAWB(u, b, v, u);
        STORE(*output, u);
        ++output;
    }
}

#define DEFINE(name, shift, clamped) \
    void name(const ofa_affine_layer *layer, const int8_t *first, const int8_t *second, int8_t *output) \
    { \
        add(layer, first, second, output, shift, clamped); \
    }

DEFINE(ofa_dsp_add_22, 22, 0)
DEFINE(ofa_dsp_add_20, 20, 0)
DEFINE(ofa_dsp_add_clamped_22, 22, 1)
DEFINE(ofa_dsp_add_clamped_20, 20, 1)
