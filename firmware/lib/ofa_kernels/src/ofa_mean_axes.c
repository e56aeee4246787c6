#include "ofa_filter.h"
#include "ofa_operators.h"
#include "ofa_requantize.h"

static OFA_NOINLINE int32_t sum_of(const ofa_mean_axes_layer *layer, const int8_t *input)
{
    const int32_t step = layer->summed_steps[1];
    int32_t sum = layer->base;
    for (int32_t i = layer->summed[0]; i > 0; --i, input += layer->summed_steps[0]) {
        const int8_t *x = input;
        for (int32_t j = layer->summed[1]; j > 0; --j, x += step) {
            sum += *x;
        }
    }
    return sum;
}

void ofa_mean_axes(const ofa_mean_axes_layer *layer, const int8_t *input, int8_t *output)
{
    const int32_t offset = layer->output_zero_point - INT8_MIN;
    for (int32_t i = layer->kept[0]; i > 0; --i, input += layer->kept_steps[0]) {
        const int8_t *x = input;
        for (int32_t j = layer->kept[1]; j > 0; --j, x += layer->kept_steps[1]) {
            const int32_t value = ofa_scale(sum_of(layer, x), layer->multiplier, layer->shift);
            *output++ = (int8_t)ofa_clamp(value, offset, INT8_MIN, UINT8_MAX);
        }
    }
}
