#include "ofa_affine.h"

#define SHIFT 22

/* Saturation of a >> 22, in an instruction where there is one. */
#if defined(__ARM_FEATURE_SAT) && __ARM_FEATURE_SAT
#define SIGNED8(to, a) __asm__("ssat %0, #8, %1, asr %2" : "=r"(to) : "r"(a), "I"(SHIFT))
#define UNSIGNED8(to, a) __asm__("usat %0, #8, %1, asr %2" : "=r"(to) : "r"(a), "I"(SHIFT))
#else
static inline int32_t limited(int32_t value, int32_t span)
{
    value &= ~(value >> 31);
    value -= span;
    return (value & (value >> 31)) + span;
}
#define SIGNED8(to, a) ((to) = limited(((a) >> SHIFT) + 128, 255) - 128)
#define UNSIGNED8(to, a) ((to) = limited((a) >> SHIFT, 255))
#endif

/* One code: the upper bits of the factors exactly, of the lower ones what they carry. */
#define ONE(i) \
    do { \
        const int32_t u = first[i], v = second[i]; \
        const int32_t low = u * a_low + v * b_low; \
        int32_t value = (int32_t)(start + (uint32_t)(u * a) + (uint32_t)(v * b) + (uint32_t)(low >> 8)); \
        if (with_sign) { \
            value = (int32_t)((uint32_t)value + offset - (dead_zone & (uint32_t)(value >> 31))); \
        } \
        if (clamped) { \
            UNSIGNED8(value, value); \
            value -= span; \
            value = (value & (value >> 31)) + top; \
        } else { \
            SIGNED8(value, value); \
        } \
        output[i] = (int8_t)value; \
    } while (0)

static inline __attribute__((always_inline)) void add(const ofa_affine_layer *layer, const int8_t *first,
                                                      const int8_t *second, int8_t *output, int clamped, int with_sign)
{
    const int32_t a = layer->first >> 8, a_low = layer->first & 255;
    const int32_t b = layer->second >> 8, b_low = layer->second & 255;
    const int32_t top = layer->clamp_max;
    const int32_t span = top - layer->clamp_min;
    const uint32_t offset = (uint32_t)layer->offset - (clamped ? 0 : 128u << SHIFT);
    const uint32_t start = with_sign ? (uint32_t)layer->base : offset;
    const uint32_t dead_zone = (uint32_t)layer->dead_zone;
    for (const int8_t *const end = first + (layer->count & ~3); first != end; first += 4, second += 4, output += 4) {
        ONE(0);
        ONE(1);
        ONE(2);
        ONE(3);
    }
    for (const int8_t *const end = first + (layer->count & 3); first != end; ++first, ++second, ++output) {
        ONE(0);
    }
}

#define DEFINE(name, clamped, with_sign) \
    void name(const ofa_affine_layer *layer, const int8_t *first, const int8_t *second, int8_t *output) \
    { \
        add(layer, first, second, output, clamped, with_sign); \
    }

DEFINE(ofa_add_affine, 0, 0)
DEFINE(ofa_add_affine_clamped, 1, 0)
DEFINE(ofa_add_affine_signed, 0, 1)
DEFINE(ofa_add_affine_signed_clamped, 1, 1)
