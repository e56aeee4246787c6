/* Sums of two tensors in an affine form that the generator proved for all pairs of codes; DSP extension.
 *
 * code = clamp_min + min(max((offset + first * a / 256 + second * b / 256) >> shift, 0), clamp_max - clamp_min), with
 * quotients rounded down. The functions are named after the shift. Those with `clamped` obey clamp_min and clamp_max,
 * the others take them for -128 and 127.
 */
#ifndef OFA_DSP_ADD_H
#define OFA_DSP_ADD_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t count;  /* elements, >= 0 */
    int32_t first;  /* factor a */
    int32_t second; /* factor b */
    int32_t offset; /* the sum stays within 32 bits for all codes */
    int8_t clamp_min;
    int8_t clamp_max;
} ofa_affine_layer;

/* output[count] from first[count] and second[count], all at multiples of four. The output may be equal to either input,
 * and may overlap either if it starts below it.
 */
void ofa_dsp_add_22(const ofa_affine_layer *layer, const int8_t *first, const int8_t *second, int8_t *output);
void ofa_dsp_add_20(const ofa_affine_layer *layer, const int8_t *first, const int8_t *second, int8_t *output);
void ofa_dsp_add_clamped_22(const ofa_affine_layer *layer, const int8_t *first, const int8_t *second, int8_t *output);
void ofa_dsp_add_clamped_20(const ofa_affine_layer *layer, const int8_t *first, const int8_t *second, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
