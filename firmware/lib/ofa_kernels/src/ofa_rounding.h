/* Right shifts with their constants ready, and the scaled codes of sums. Private to the library. */
#ifndef OFA_ROUNDING_H
#define OFA_ROUNDING_H

#include <stdint.h>

/* Constants of a right shift by -shift, rounded to nearest with ties away from zero, shift -31 .. 0. */
typedef struct {
    int32_t bits;
    int32_t half;  /* half of the last place, 0 where nothing is shifted out */
    int32_t below; /* -1, or 0 where nothing is shifted out */
} ofa_rounding;

static inline ofa_rounding ofa_rounding_of(int32_t shift)
{
    const uint32_t place = 1u << -shift;
    const ofa_rounding result = {-shift, (int32_t)(place >> 1), shift >> 31};
    return result;
}

/* |y| < 2^30 */
static inline int32_t ofa_round_shift(int32_t y, ofa_rounding r)
{
    return (y + ((y >> 31) & r.below) + r.half) >> r.bits;
}

/* High multiplication of (code << 20), |code| <= 255. The product has 39 bits, and its halves show that nothing of
 * them is lost: floor((code * 2^20 * m + 2^30) / 2^31) = code * m_high * 2^5 + floor((code * m_low + 2^10) / 2^11).
 */
static inline int32_t ofa_scaled_code(int32_t code, int32_t m_high, int32_t m_low)
{
    return code * m_high * 32 + ((code * m_low + 1024) >> 11);
}

#endif
