#include "ofa_dot.h"

/* Matrix product: output[pixels][channels] from input[pixels][taps]. */
static OFA_NOINLINE void product(const ofa_filter *filter, const int8_t *input, int32_t pixels, int32_t taps,
                                 int8_t *output, int32_t channels)
{
    const ofa_requantizer requantizer = ofa_requantizer_of(filter);
    for (; pixels > 0; --pixels) {
        const int8_t *weights = filter->weights;
        for (int32_t channel = 0; channel < channels; channel += 4) {
            int32_t acc[4];
            ofa_dot4(acc, input, weights, taps, 1, 0, 0);
            ofa_store(&requantizer, channel, channels, acc, output);
            weights += 4 * taps;
        }
        input += taps;
        output += channels;
    }
}

void ofa_pointwise(const ofa_pointwise_layer *layer, const int8_t *input, int8_t *output)
{
    product(&layer->filter, input, layer->pixels, layer->input_channels, output, layer->output_channels);
}

void ofa_fully_connected(const ofa_fully_connected_layer *layer, const int8_t *input, int8_t *output)
{
    product(&layer->filter, input, 1, layer->inputs, output, layer->outputs);
}
