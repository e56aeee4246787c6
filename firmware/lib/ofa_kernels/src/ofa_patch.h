/* The taps of one output pixel. Private to the library. */
#ifndef OFA_PATCH_H
#define OFA_PATCH_H

#include "ofa_portable.h"

/* Gathers the window whose first element lies on input row `top` and column `left`, which may be outside, as
 * to[step * i], step 1 or 2; elements outside the input are `padding`. Returns the sum of all taps.
 */
int32_t ofa_patch(const ofa_sliding *window, const int8_t *input, int32_t top, int32_t left, uint8_t *to, int32_t step,
                  int32_t padding);

#endif
