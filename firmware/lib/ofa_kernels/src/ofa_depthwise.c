#include "ofa_filter.h"

/* acc[j] = the part of the window inside the input of channel j, j < 4. `step` is the number of channels, `input_gap`
 * and `weight_gap` lead from the end of one row of the window to the start of the next, in bytes.
 */
static OFA_NOINLINE void window_product(int32_t acc[4], const int8_t *x, const int8_t *weights,
                                        const ofa_window *window, int32_t step, int32_t input_row)
{
    const int32_t taps = window->columns.last - window->columns.first;
    const int32_t input_gap = input_row - taps * step;
    const int32_t weight_gap = 4 * (window->width - taps);
    int32_t acc0 = 0, acc1 = 0, acc2 = 0, acc3 = 0;
    for (int32_t row = window->rows.last - window->rows.first; row > 0; --row) {
        const int8_t *end = weights + 4 * taps;
        while (weights != end) {
            acc0 += x[0] * weights[0];
            acc1 += x[1] * weights[1];
            acc2 += x[2] * weights[2];
            acc3 += x[3] * weights[3];
            x += step;
            weights += 4;
        }
        x += input_gap;
        weights += weight_gap;
    }
    acc[0] = acc0;
    acc[1] = acc1;
    acc[2] = acc2;
    acc[3] = acc3;
}

/* The same for one channel, for the last block where the channels are no multiple of four. */
static OFA_NOINLINE int32_t channel_product(const int8_t *x, const int8_t *weights, const ofa_window *window,
                                            int32_t step, int32_t input_row)
{
    const int32_t taps = window->columns.last - window->columns.first;
    const int32_t input_gap = input_row - taps * step;
    const int32_t weight_gap = 4 * (window->width - taps);
    int32_t acc = 0;
    for (int32_t row = window->rows.last - window->rows.first; row > 0; --row) {
        for (int32_t tap = taps; tap > 0; --tap) {
            acc += x[0] * weights[0];
            x += step;
            weights += 4;
        }
        x += input_gap;
        weights += weight_gap;
    }
    return acc;
}

/* All channels of one output pixel. `input` is the input element under the first tap inside. */
static OFA_NOINLINE void output_pixel(const ofa_depthwise_layer *layer, const ofa_window *window, const int8_t *input,
                                      int8_t *output)
{
    const int32_t channels = layer->channels;
    const int32_t input_row = layer->input_width * channels;
    const int32_t skipped = 4 * (window->rows.first * window->width + window->columns.first);
    const int32_t block = 4 * window->height * window->width;
    const int inside = ofa_is_inside(window);
    const ofa_requantizer requantizer = ofa_requantizer_of(&layer->filter);
    const int8_t *weights = layer->filter.weights;
    for (int32_t channel = 0; channel < channels; channel += 4) {
        int32_t acc[4];
        if (channel + 4 <= channels) {
            window_product(acc, input + channel, weights + skipped, window, channels, input_row);
        } else {
            acc[1] = acc[2] = acc[3] = 0;
            for (int32_t j = 0; channel + j < channels; ++j) {
                acc[j] = channel_product(input + channel + j, weights + skipped + j, window, channels, input_row);
            }
        }
        if (!inside) {
            ofa_add_padding(acc, window, weights, layer->filter.input_zero_point);
        }
        ofa_store(&requantizer, channel, channels, acc, output);
        weights += block;
    }
}

void ofa_depthwise(const ofa_depthwise_layer *layer, const int8_t *input, int8_t *output)
{
    ofa_window window;
    window.height = layer->kernel_height;
    window.width = layer->kernel_width;
    window.depth = 1;
    for (int32_t y = 0; y < layer->output_height; ++y) {
        const int32_t top = y * layer->stride_height - layer->pad_top;
        window.rows = ofa_clip(top, window.height, layer->input_height);
        const int8_t *row = input + (top + window.rows.first) * layer->input_width * layer->channels;
        for (int32_t x = 0; x < layer->output_width; ++x) {
            const int32_t left = x * layer->stride_width - layer->pad_left;
            window.columns = ofa_clip(left, window.width, layer->input_width);
            output_pixel(layer, &window, row + (left + window.columns.first) * layer->channels, output);
            output += layer->channels;
        }
    }
}
