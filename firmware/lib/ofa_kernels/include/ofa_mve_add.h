/* Sums of two tensors in the affine form of ofa_affine.h for M-profile vectors (Cortex-M55, Cortex-M85). */
#ifndef OFA_MVE_ADD_H
#define OFA_MVE_ADD_H

#include "ofa_affine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* For clamps to all of int8, and for any clamps; without a dead zone, and with any. Overlaps as there. */
ofa_affine_kernel ofa_mve_add, ofa_mve_add_clamped;
ofa_affine_kernel ofa_mve_add_signed, ofa_mve_add_signed_clamped;

#ifdef __cplusplus
}
#endif

#endif
