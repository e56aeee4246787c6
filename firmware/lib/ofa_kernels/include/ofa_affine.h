/* Sums of two tensors in an affine form that the generator proved for all pairs of codes. */
#ifndef OFA_AFFINE_H
#define OFA_AFFINE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* code = clamp_min + min(max((sum + offset - (sum < 0 ? dead_zone : 0)) >> 22, 0), clamp_max - clamp_min) with
 * sum = base + first * a / 256 + second * b / 256, where a and b are codes and both quotients, or their sum, are rounded
 * down: the result is the same for all pairs of codes.
 */
typedef struct {
    int32_t count;  /* elements, >= 0 */
    int32_t first;  /* factors */
    int32_t second;
    int32_t base;   /* 0 without dead zone */
    int32_t offset; /* sums with it, and with 128 << 22 less, stay within 32 bits */
    int32_t dead_zone;
    int8_t clamp_min;
    int8_t clamp_max;
} ofa_affine_layer;

/* output[count] from first[count] and second[count]. The output may overlap either input from that input's start on
 * downwards: where it starts at the same address or below.
 */
typedef void ofa_affine_kernel(const ofa_affine_layer *layer, const int8_t *first, const int8_t *second,
                               int8_t *output);

/* For clamps to all of int8, and for any clamps; without a dead zone, and with any. */
ofa_affine_kernel ofa_add_affine, ofa_add_affine_clamped;
ofa_affine_kernel ofa_add_affine_signed, ofa_add_affine_signed_clamped;

/* The same with the DSP extension, for tensors at multiples of four. */
ofa_affine_kernel ofa_dsp_add, ofa_dsp_add_clamped;
ofa_affine_kernel ofa_dsp_add_signed, ofa_dsp_add_signed_clamped;

/* The same by tables, for cores where multiplications and clamps are dear. */
typedef struct {
    int32_t count;
    const int32_t *first;  /* [256] what codes 0 .. 127, -128 .. -1 of the first input add, with the base */
    const int32_t *second; /* [256] and of the second */
    const int8_t *codes;   /* [1024] output codes of what has 0 .. 511, -512 .. -1 for its highest ten bits */
    int32_t offset;
    int32_t dead_zone;
} ofa_lookup_layer;

/* Overlaps as above. Without a dead zone the offset is in the table of the first input. */
void ofa_add_lookup(const ofa_lookup_layer *layer, const int8_t *first, const int8_t *second, int8_t *output);
void ofa_add_lookup_signed(const ofa_lookup_layer *layer, const int8_t *first, const int8_t *second, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
