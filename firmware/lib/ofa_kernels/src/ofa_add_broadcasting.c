#include "ofa_broadcast.h"
#include "ofa_filter.h"
#include "ofa_requantize.h"
#include "ofa_rounding.h"

static OFA_NOINLINE void add_run(const ofa_add_broadcast_layer *layer, const int8_t *first, const int8_t *second,
                                 int8_t *output)
{
    const ofa_add_layer *const add = &layer->add;
    const int32_t first_high = add->first_multiplier >> 16;
    const int32_t first_low = add->first_multiplier & 0xffff;
    const int32_t second_high = add->second_multiplier >> 16;
    const int32_t second_low = add->second_multiplier & 0xffff;
    const int32_t first_zero = add->first_zero_point;
    const int32_t second_zero = add->second_zero_point;
    const int32_t multiplier = add->output_multiplier;
    const int32_t low = add->clamp_min;
    const int32_t offset = add->output_zero_point - low;
    const int32_t span = add->clamp_max - low;
    const ofa_rounding first_rounding = ofa_rounding_of(add->first_shift);
    const ofa_rounding second_rounding = ofa_rounding_of(add->second_shift);
    const ofa_rounding output_rounding = ofa_rounding_of(add->output_shift);
    const int32_t first_step = layer->shape.first[3];
    const int32_t second_step = layer->shape.second[3];
    const int32_t sign = layer->sign;
    for (int32_t left = layer->shape.counts[3]; left > 0; --left) {
        const int32_t a = ofa_scaled_code(*first - first_zero, first_high, first_low);
        const int32_t b = ofa_scaled_code(*second - second_zero, second_high, second_low);
        const int32_t sum = ofa_round_shift(a, first_rounding) + sign * ofa_round_shift(b, second_rounding);
        const int32_t value = ofa_round_shift(ofa_high_multiply(sum, multiplier), output_rounding);
        *output++ = (int8_t)ofa_clamp(value, offset, low, span);
        first += first_step;
        second += second_step;
    }
}

void ofa_add_broadcasting(const ofa_add_broadcast_layer *layer, const int8_t *first, const int8_t *second,
                          int8_t *output)
{
#define RUN(a, b, to) add_run(layer, a, b, to)
    OFA_FOR_RUNS(&layer->shape, first, second, output, RUN);
#undef RUN
}
