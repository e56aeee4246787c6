#include "ofa_dot.h"

#include "ofa_thumb.h"

#if OFA_THUMB_1
#define OFA_TAP(i) OFA_THUMB_DOT(OFA_THUMB_UNSIGNED, i)
#define OFA_RAW_TAP(i) OFA_THUMB_DOT(OFA_THUMB_SIGNED, i)
#else
/* Sums are signed so that the compiler keeps to the order written, which takes the fewest registers. */
#define OFA_TAP(i)                                                                                                     \
    do {                                                                                                               \
        const int32_t value = x[(i)];                                                                                  \
        sum0 += value * weights[4 * (i)];                                                                              \
        sum1 += value * weights[4 * (i) + 1];                                                                          \
        sum2 += value * weights[4 * (i) + 2];                                                                          \
        sum3 += value * weights[4 * (i) + 3];                                                                          \
    } while (0)
#define OFA_RAW_TAP(i) OFA_TAP(i)
#endif

#define OFA_DOT4(tap)                                                                                                  \
    do {                                                                                                               \
        int32_t sum0 = start, sum1 = start, sum2 = start, sum3 = start;                                                \
        for (const void *const end = x + (taps & ~3); x != end; weights += 16) {                                       \
            tap(0);                                                                                                    \
            tap(1);                                                                                                    \
            tap(2);                                                                                                    \
            tap(3);                                                                                                    \
            x += 4;                                                                                                    \
        }                                                                                                              \
        for (const void *const end = x + (taps & 3); x != end; weights += 4) {                                         \
            tap(0);                                                                                                    \
            x += 1;                                                                                                    \
        }                                                                                                              \
        sums[0] = sum0;                                                                                                \
        sums[1] = sum1;                                                                                                \
        sums[2] = sum2;                                                                                                \
        sums[3] = sum3;                                                                                                \
    } while (0)

void ofa_dot4(int32_t sums[4], const uint8_t *x, const uint8_t *weights, int32_t taps, int32_t start)
{
    OFA_DOT4(OFA_TAP);
}

void ofa_dot4_raw(int32_t sums[4], const int8_t *x, const uint8_t *weights, int32_t taps, int32_t start)
{
    OFA_DOT4(OFA_RAW_TAP);
}

#define OFA_PAIR(i)                                                                                                    \
    do {                                                                                                               \
        const int32_t a = x[2 * (i)], b = x[2 * (i) + 1];                                                              \
        int32_t weight = weights[4 * (i)];                                                                             \
        a0 += a * weight;                                                                                              \
        b0 += b * weight;                                                                                              \
        weight = weights[4 * (i) + 1];                                                                                 \
        a1 += a * weight;                                                                                              \
        b1 += b * weight;                                                                                              \
        weight = weights[4 * (i) + 2];                                                                                 \
        a2 += a * weight;                                                                                              \
        b2 += b * weight;                                                                                              \
        weight = weights[4 * (i) + 3];                                                                                 \
        a3 += a * weight;                                                                                              \
        b3 += b * weight;                                                                                              \
    } while (0)

void ofa_dot4_pair(int32_t *sums, const uint8_t *x, const uint8_t *weights, int32_t taps, const int32_t starts[2])
{
    int32_t a0 = starts[0], a1 = a0, a2 = a0, a3 = a0;
    int32_t b0 = starts[1], b1 = b0, b2 = b0, b3 = b0;
    const uint8_t *end = x + 2 * (taps & ~3);
    while (x != end) {
        OFA_PAIR(0);
        OFA_PAIR(1);
        OFA_PAIR(2);
        OFA_PAIR(3);
        x += 8;
        weights += 16;
    }
    end = x + 2 * (taps & 3);
    while (x != end) {
        OFA_PAIR(0);
        x += 2;
        weights += 4;
    }
    sums[0] = a0;
    sums[1] = a1;
    sums[2] = a2;
    sums[3] = a3;
    sums += OFA_PAIR_CHANNELS;
    sums[0] = b0;
    sums[1] = b1;
    sums[2] = b2;
    sums[3] = b3;
}
