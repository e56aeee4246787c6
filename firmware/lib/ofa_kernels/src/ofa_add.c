#include "ofa_kernels.h"
#include "ofa_requantize.h"
#include "ofa_rounding.h"

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
    const ofa_rounding first_rounding = ofa_rounding_of(layer->first_shift);
    const ofa_rounding second_rounding = ofa_rounding_of(layer->second_shift);
    const ofa_rounding output_rounding = ofa_rounding_of(layer->output_shift);
    const int32_t count = layer->count;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t a = ofa_scaled_code(first[i] - first_zero, first_high, first_low);
        const int32_t b = ofa_scaled_code(second[i] - second_zero, second_high, second_low);
        const int32_t sum = ofa_round_shift(a, first_rounding) + ofa_round_shift(b, second_rounding);
        const int32_t value = ofa_round_shift(ofa_high_multiply(sum, multiplier), output_rounding);
        output[i] = (int8_t)ofa_clamp(value, offset, low, span);
    }
}
