/* Sums of two tensors in the affine form, eight codes at a time: those at even places in one vector, at odd ones in one. */
#include "ofa_mve_add.h"

#include "ofa_mve_vectors.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)

/* Codes that need to be saturated. */
OFA_MVE_INLINE int32x4_t finished(int32x4_t first, int32x4_t second, int32_t base, int32_t offset, int32_t dead_zone,
                                  const int with_sign)
{
    int32x4_t sums = vaddq_s32(first, second);
    if (with_sign) {
        sums = vaddq_n_s32(sums, base);
        sums = vsubq_s32(sums, vandq_s32(vshrq_n_s32(sums, 31), vdupq_n_s32(dead_zone)));
    }
    return vshrq_n_s32(vaddq_n_s32(sums, offset), 22);
}

/* Eight codes, one in every 16 bits. They move to the highest byte, so that the high half of a product is the quotient
 * by 256.
 */
OFA_MVE_INLINE int16x8_t eight(const ofa_affine_layer *layer, uint16x8_t first, uint16x8_t second, int32x4_t a,
                               int32x4_t b, int32_t offset, const int clamped, const int with_sign)
{
    const uint32x4_t x = vreinterpretq_u32_u16(first), y = vreinterpretq_u32_u16(second);
    const int32x4_t even = finished(vmulhq_s32(vreinterpretq_s32_u32(vshlq_n_u32(x, 24)), a),
                                    vmulhq_s32(vreinterpretq_s32_u32(vshlq_n_u32(y, 24)), b), layer->base, offset,
                                    layer->dead_zone, with_sign);
    const int32x4_t odd = finished(vmulhq_s32(vreinterpretq_s32_u32(vbicq_n_u32(vshlq_n_u32(x, 8), 0xff00)), a),
                                   vmulhq_s32(vreinterpretq_s32_u32(vbicq_n_u32(vshlq_n_u32(y, 8), 0xff00)), b),
                                   layer->base, offset, layer->dead_zone, with_sign);
    int16x8_t codes = vuninitializedq_s16();
    codes = vqmovnbq_s32(codes, even);
    codes = vqmovntq_s32(codes, odd);
    int8x16_t narrow = vqmovnbq_s16(vuninitializedq_s8(), codes);
    if (clamped) {
        narrow = vmaxq_s8(narrow, vdupq_n_s8(layer->clamp_min));
        narrow = vminq_s8(narrow, vdupq_n_s8(layer->clamp_max));
    }
    return vreinterpretq_s16_s8(narrow);
}

OFA_MVE_INLINE void add(const ofa_affine_layer *layer, const int8_t *first, const int8_t *second, int8_t *output,
                        const int clamped, const int with_sign)
{
    const int32x4_t a = vdupq_n_s32(layer->first), b = vdupq_n_s32(layer->second);
    const int32_t offset = (int32_t)((uint32_t)layer->offset + (uint32_t)layer->clamp_min * (1u << 22));
    for (int32_t left = layer->count >> 3; left > 0; --left) {
        const uint16x8_t x = vldrbq_u16((const uint8_t *)first), y = vldrbq_u16((const uint8_t *)second);
        vstrbq_s16(output, eight(layer, x, y, a, b, offset, clamped, with_sign));
        first += 8;
        second += 8;
        output += 8;
    }
    if (layer->count & 7) {
        const mve_pred16_t live = vctp16q((uint32_t)layer->count & 7);
        const uint16x8_t x = vldrbq_z_u16((const uint8_t *)first, live);
        const uint16x8_t y = vldrbq_z_u16((const uint8_t *)second, live);
        vstrbq_p_s16(output, eight(layer, x, y, a, b, offset, clamped, with_sign), live);
    }
}

#define DEFINE(name, clamped, with_sign) \
    void name(const ofa_affine_layer *layer, const int8_t *first, const int8_t *second, int8_t *output) \
    { \
        add(layer, first, second, output, clamped, with_sign); \
    }

DEFINE(ofa_mve_add, 0, 0)
DEFINE(ofa_mve_add_clamped, 1, 0)
DEFINE(ofa_mve_add_signed, 0, 1)
DEFINE(ofa_mve_add_signed_clamped, 1, 1)

#else

typedef int ofa_mve_add_is_empty;

#endif
