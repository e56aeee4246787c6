/* Exact int8 operators beside filters and sums for M-profile vectors (Cortex-M55, Cortex-M85).
 *
 * Input is read up to 15 bytes past its end, 7 bytes for averages and means; nothing is written beside the output.
 * Overlaps as for the functions of the same names in ofa_operators.h and ofa_kernels.h.
 */
#ifndef OFA_MVE_OPERATORS_H
#define OFA_MVE_OPERATORS_H

#include "ofa_operators.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Averages of up to 255 codes, rounded half away from zero; largest codes. */
void ofa_mve_average_pool(const ofa_pool_layer *layer, const int8_t *input, int8_t *output);
void ofa_mve_max_pool(const ofa_pool_layer *layer, const int8_t *input, int8_t *output);

/* Mean over pixels like ofa_mean with rescaling. */
void ofa_mve_mean(const ofa_mean_layer *layer, const int8_t *input, int8_t *output);

/* output[i] = table[(uint8_t)input[i]] */
void ofa_mve_table(const int8_t table[256], int32_t count, const int8_t *input, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
