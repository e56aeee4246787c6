/* The loops over tensors that broadcast. Private to the library. */
#ifndef OFA_BROADCAST_H
#define OFA_BROADCAST_H

#include "ofa_operators.h"

/* Calls RUN(a, b, to) for every innermost run of the shape; a, b and to point to its first elements. */
#define OFA_FOR_RUNS(shape, first, second, output, RUN) \
    do { \
        const int8_t *a0 = (first), *b0 = (second); \
        int8_t *to = (output); \
        for (int32_t i = (shape)->counts[0]; i > 0; --i, a0 += (shape)->first[0], b0 += (shape)->second[0]) { \
            const int8_t *a1 = a0, *b1 = b0; \
            for (int32_t j = (shape)->counts[1]; j > 0; --j, a1 += (shape)->first[1], b1 += (shape)->second[1]) { \
                const int8_t *a2 = a1, *b2 = b1; \
                for (int32_t k = (shape)->counts[2]; k > 0; --k) { \
                    RUN(a2, b2, to); \
                    a2 += (shape)->first[2]; \
                    b2 += (shape)->second[2]; \
                    to += (shape)->counts[3]; \
                } \
            } \
        } \
    } while (0)

#endif
