/* Tables and products shared by the parts of the front-end. */
#ifndef OFA_FRONTEND_PRIVATE_H
#define OFA_FRONTEND_PRIVATE_H

#include <stdint.h>
#include <string.h>

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP
#define OFA_FRONTEND_DSP 1
#else
#define OFA_FRONTEND_DSP 0
#endif

/* Cores without a 32 x 32 -> 64 bit multiplication build products from 16-bit halves. */
#if !defined(OFA_NO_LONG_MULTIPLY)
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
#define OFA_NO_LONG_MULTIPLY 1
#else
#define OFA_NO_LONG_MULTIPLY 0
#endif
#endif

#define BINS 127
#define FILTERS 40
#define POINTS 256 /* complex */

extern const int16_t ofa_frontend_window[241];  /* Q15, the first half and the middle */
extern const int16_t ofa_frontend_twiddles[];   /* cosine and sine of 2 pi k / 256, Q14, k = 0 .. 190 */
extern const int16_t ofa_frontend_split[];      /* of 2 pi k / 512, k = 1 .. 127 */
extern const uint16_t ofa_frontend_rising[];    /* share of a bin in the filter it rises in, Q12 */
extern const uint8_t ofa_frontend_ends[];       /* one more than the last bin of each interval between centres */
extern const uint16_t ofa_frontend_log2[];      /* log2(1 + i / 64), Q15 */
extern const int16_t ofa_frontend_cosines[];    /* 10 rows of the cosine transform, scaled to bytes */
extern const int32_t ofa_frontend_offsets[];

/* The transform of 512 real samples as 256 complex numbers: window, then four stages; scratch is real[256] followed by
 * imaginary[256].
 */
void ofa_frontend_transform(const int16_t *history, const int16_t *samples, int32_t *scratch);

/* (real + i imaginary) * exp(-i angle) / 4, each product rounded down. */
#if OFA_FRONTEND_DSP

typedef int32_t ofa_turn; /* cosine below, sine above */

static inline ofa_turn turn_at(const int16_t *table, int32_t index)
{
    ofa_turn turn;
    memcpy(&turn, table + 2 * index, sizeof turn);
    return turn;
}

static inline int32_t times_cosine(int32_t x, ofa_turn turn)
{
    int32_t product;
    __asm__("smulwb %0, %1, %2" : "=r"(product) : "r"(x), "r"(turn));
    return product;
}

static inline int32_t times_sine(int32_t x, ofa_turn turn)
{
    int32_t product;
    __asm__("smulwt %0, %1, %2" : "=r"(product) : "r"(x), "r"(turn));
    return product;
}

static inline int32_t turned_real(int32_t real, int32_t imaginary, ofa_turn turn)
{
    int32_t sum;
    __asm__("smlawt %0, %1, %2, %3" : "=r"(sum) : "r"(imaginary), "r"(turn), "r"(times_cosine(real, turn)));
    return sum;
}

static inline int32_t turned_imaginary(int32_t real, int32_t imaginary, ofa_turn turn)
{
    return times_cosine(imaginary, turn) - times_sine(real, turn);
}

#else

typedef struct {
    int32_t cosine, sine;
} ofa_turn;

static inline ofa_turn turn_at(const int16_t *table, int32_t index)
{
    const ofa_turn turn = {table[2 * index], table[2 * index + 1]};
    return turn;
}

/* floor(x * factor / 2^16), |factor| <= 2^14 */
static inline int32_t times(int32_t x, int32_t factor)
{
#if OFA_NO_LONG_MULTIPLY
    return (x >> 16) * factor + (((x & 0xffff) * factor) >> 16);
#else
    return (int32_t)(((int64_t)x * factor) >> 16);
#endif
}

static inline int32_t turned_real(int32_t real, int32_t imaginary, ofa_turn turn)
{
    return times(real, turn.cosine) + times(imaginary, turn.sine);
}

static inline int32_t turned_imaginary(int32_t real, int32_t imaginary, ofa_turn turn)
{
    return times(imaginary, turn.cosine) - times(real, turn.sine);
}

#endif

#endif
