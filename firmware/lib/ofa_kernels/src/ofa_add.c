#include "ofa_kernels.h"
#include "ofa_requantize.h"

/* Constants of a right shift by -shift, rounded to nearest with ties away from zero, shift -31 .. 0. */
typedef struct {
    int32_t bits;
    int32_t half;  /* half of the last place, 0 where nothing is shifted out */
    int32_t below; /* -1, or 0 where nothing is shifted out */
} rounding;

static inline rounding rounding_of(int32_t shift)
{
    const uint32_t place = 1u << -shift;
    const rounding result = {-shift, (int32_t)(place >> 1), shift >> 31};
    return result;
}

/* |y| < 2^30 */
static inline int32_t round_shift(int32_t y, rounding r)
{
    return (y + ((y >> 31) & r.below) + r.half) >> r.bits;
}

/* High multiplication of (code << 20), |code| <= 255. The product has 39 bits, and its halves show that nothing of
 * them is lost: floor((code * 2^20 * m + 2^30) / 2^31) = code * m_high * 2^5 + floor((code * m_low + 2^10) / 2^11).
 */
static inline int32_t scaled_code(int32_t code, int32_t m_high, int32_t m_low)
{
    return code * m_high * 32 + ((code * m_low + 1024) >> 11);
}

void ofa_add(const ofa_add_layer *layer, const int8_t *first, const int8_t *second, int8_t *output)
{
    const int32_t first_high = layer->first_multiplier >> 16;
    const int32_t first_low = layer->first_multiplier & 0xffff;
    const int32_t second_high = layer->second_multiplier >> 16;
    const int32_t second_low = layer->second_multiplier & 0xffff;
    const int32_t first_zero = layer->first_zero_point;
    const int32_t second_zero = layer->second_zero_point;
    const int32_t multiplier = layer->output_multiplier;
    const int32_t low = layer->clamp_min;
    const int32_t offset = layer->output_zero_point - low;
    const int32_t span = layer->clamp_max - low;
    const rounding first_rounding = rounding_of(layer->first_shift);
    const rounding second_rounding = rounding_of(layer->second_shift);
    const rounding output_rounding = rounding_of(layer->output_shift);
    const int32_t count = layer->count;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t a = scaled_code(first[i] - first_zero, first_high, first_low);
        const int32_t b = scaled_code(second[i] - second_zero, second_high, second_low);
        const int32_t sum = round_shift(a, first_rounding) + round_shift(b, second_rounding);
        const int32_t value = round_shift(ofa_high_multiply(sum, multiplier), output_rounding);
        output[i] = (int8_t)ofa_clamp(value, offset, low, span);
    }
}
