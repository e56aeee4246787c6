#include "ofa_kernels.h"
#include "ofa_requantize.h"

void ofa_mean(const ofa_mean_layer *layer, const int8_t *input, int8_t *output)
{
    const int32_t channels = layer->channels;
    const int32_t pixels = layer->pixels;
    for (int32_t channel = 0; channel < channels; ++channel) {
        const int8_t *x = input + channel;
        int32_t sum = 0;
        for (int32_t pixel = pixels; pixel > 0; --pixel) {
            sum += *x;
            x += channels;
        }
        if (layer->rescale) {
            const int32_t centred = sum - pixels * layer->input_zero_point;
            const int32_t value = ofa_scale(centred, layer->multiplier, layer->shift);
            output[channel] = (int8_t)ofa_clamp(value, layer->output_zero_point - INT8_MIN, INT8_MIN, UINT8_MAX);
        } else {
            output[channel] = (int8_t)(sum / pixels);
        }
    }
}
