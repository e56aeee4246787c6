#include "ofa_broadcast.h"
#include "ofa_filter.h"
#include "ofa_requantize.h"

static OFA_NOINLINE void mul_run(const ofa_mul_layer *layer, const int8_t *first, const int8_t *second,
                                 int8_t *output)
{
    const int32_t first_zero = layer->first_zero_point;
    const int32_t second_zero = layer->second_zero_point;
    const int32_t multiplier = layer->multiplier;
    const int32_t shift = layer->shift;
    const int32_t low = layer->clamp_min;
    const int32_t offset = layer->output_zero_point - low;
    const int32_t span = layer->clamp_max - low;
    const int32_t first_step = layer->shape.first[3];
    const int32_t second_step = layer->shape.second[3];
    for (int32_t left = layer->shape.counts[3]; left > 0; --left) {
        const int32_t value = ofa_scale((*first - first_zero) * (*second - second_zero), multiplier, shift);
        *output++ = (int8_t)ofa_clamp(value, offset, low, span);
        first += first_step;
        second += second_step;
    }
}

void ofa_mul(const ofa_mul_layer *layer, const int8_t *first, const int8_t *second, int8_t *output)
{
#define RUN(a, b, to) mul_run(layer, a, b, to)
    OFA_FOR_RUNS(&layer->shape, first, second, output, RUN);
#undef RUN
}
