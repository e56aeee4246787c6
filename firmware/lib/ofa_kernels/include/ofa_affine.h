/* Sums of two tensors in an affine form that the generator proved for all pairs of codes. */
#ifndef OFA_AFFINE_H
#define OFA_AFFINE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* code = clamp_min + min(max((offset + first * a / 256 + second * b / 256) >> 22, 0), clamp_max - clamp_min), where a
 * and b are codes and both quotients, or their sum, are rounded down. It is the same for all pairs of codes.
 */
typedef struct {
    int32_t count;  /* elements, >= 0 */
    int32_t first;  /* factors */
    int32_t second;
    int32_t offset; /* sums with it, and with 128 << 22 less, stay within 32 bits */
    int8_t clamp_min;
    int8_t clamp_max;
} ofa_affine_layer;

/* output[count] from first[count] and second[count]. The output may overlap either input from that input's start on
 * downwards: where it starts at the same address or below.
 */
typedef void ofa_affine_kernel(const ofa_affine_layer *layer, const int8_t *first, const int8_t *second,
                               int8_t *output);

/* For clamps to all of int8, and for any clamps. */
ofa_affine_kernel ofa_add_affine, ofa_add_affine_clamped;

/* The same with the DSP extension, for tensors at multiples of four. */
ofa_affine_kernel ofa_dsp_add, ofa_dsp_add_clamped;

/* The same by tables, for cores where multiplications and clamps are dear. */
typedef struct {
    int32_t count;
    const int32_t *first;  /* [256] what codes 0 .. 127, -128 .. -1 of the first input add, with the offset */
    const int32_t *second; /* [256] and of the second */
    const int8_t *codes;   /* [1024] output codes of sums whose highest ten bits are 0 .. 511, -512 .. -1 */
} ofa_lookup_layer;

/* Overlaps as above. */
void ofa_add_lookup(const ofa_lookup_layer *layer, const int8_t *first, const int8_t *second, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
