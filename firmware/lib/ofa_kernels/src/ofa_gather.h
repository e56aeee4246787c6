/* Input codes offset by 128, in the order dot products read them. Private to the library. */
#ifndef OFA_GATHER_H
#define OFA_GATHER_H

#include <stdint.h>

/* to[i] = from[i] + 128, i < count; returns the sum of to[0 .. count - 1]. */
int32_t ofa_gather(uint8_t *to, const int8_t *from, int32_t count);

/* The same with to[2 * i]. */
int32_t ofa_gather_alternate(uint8_t *to, const int8_t *from, int32_t count);

/* to[step * i] = value, i < count. */
void ofa_gather_constant(uint8_t *to, int32_t count, int32_t step, int32_t value);

#endif
