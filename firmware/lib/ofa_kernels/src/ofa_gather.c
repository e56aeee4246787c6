#include "ofa_gather.h"

#include "ofa_thumb.h"

#define OFA_CODE(i)                                                                                                    \
    do {                                                                                                               \
        const uint32_t code = (uint8_t)from[(i)] ^ flip;                                                               \
        to[STEP * (i)] = (uint8_t)code;                                                                                \
        sum += (int32_t)code;                                                                                          \
    } while (0)

#define OFA_GATHER                                                                                                     \
    do {                                                                                                               \
        uint32_t flip = 128;                                                                                           \
        OFA_HOLD(flip);                                                                                                \
        int32_t sum = 0;                                                                                               \
        for (int32_t quads = count >> 2; quads > 0; --quads) {                                                         \
            OFA_CODE(0);                                                                                               \
            OFA_CODE(1);                                                                                               \
            OFA_CODE(2);                                                                                               \
            OFA_CODE(3);                                                                                               \
            from += 4;                                                                                                 \
            to += 4 * STEP;                                                                                            \
        }                                                                                                              \
        for (count &= 3; count > 0; --count) {                                                                         \
            OFA_CODE(0);                                                                                               \
            from += 1;                                                                                                 \
            to += STEP;                                                                                                \
        }                                                                                                              \
        return sum;                                                                                                    \
    } while (0)

int32_t ofa_gather(uint8_t *to, const int8_t *from, int32_t count)
{
#define STEP 1
    OFA_GATHER;
#undef STEP
}

int32_t ofa_gather_alternate(uint8_t *to, const int8_t *from, int32_t count)
{
#define STEP 2
    OFA_GATHER;
#undef STEP
}

void ofa_gather_constant(uint8_t *to, int32_t count, int32_t step, int32_t value)
{
    for (; count > 0; --count) {
        *to = (uint8_t)value;
        to += step;
    }
}
