#include "ofa_dot.h"
#include "ofa_filter.h"

static OFA_NOINLINE void dot(int32_t acc[4], const int8_t *x, const int8_t *weights, int32_t taps)
{
    ofa_dot4(acc, x, weights, taps, 1, 0, 0);
}

/* One row of the matrix product: output[channels] from input[taps]. */
static void row_product(const ofa_filter *filter, const int8_t *input, int32_t taps, int8_t *output, int32_t channels)
{
    const int8_t *weights = filter->weights;
    for (int32_t channel = 0; channel < channels; channel += 4) {
        int32_t acc[4];
        dot(acc, input, weights, taps);
        ofa_store(filter, channel, channels, acc, output + channel);
        weights += 4 * taps;
    }
}

void ofa_pointwise(const ofa_pointwise_layer *layer, const int8_t *input, int8_t *output)
{
    const int32_t taps = layer->input_channels;
    const int32_t channels = layer->output_channels;
    for (int32_t pixel = layer->pixels; pixel > 0; --pixel) {
        row_product(&layer->filter, input, taps, output, channels);
        input += taps;
        output += channels;
    }
}

void ofa_fully_connected(const ofa_fully_connected_layer *layer, const int8_t *input, int8_t *output)
{
    row_product(&layer->filter, input, layer->inputs, output, layer->outputs);
}
