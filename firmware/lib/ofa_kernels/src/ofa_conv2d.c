#include "ofa_dot.h"

/* The part of the window inside the input; strides from one kernel row to the next in bytes. */
static OFA_NOINLINE void window_product(int32_t acc[4], const int8_t *x, const int8_t *weights,
                                        const ofa_window *window, int32_t input_row)
{
    const int32_t taps = (window->columns.last - window->columns.first) * window->depth;
    const int32_t weight_row = 4 * window->width * window->depth;
    ofa_dot4(acc, x, weights, taps, window->rows.last - window->rows.first, input_row, weight_row);
}

/* All output channels of one output pixel. `input` is the input element under the first tap inside. */
static OFA_NOINLINE void output_pixel(const ofa_conv2d_layer *layer, const ofa_window *window, const int8_t *input,
                                      int8_t *output)
{
    const int32_t channels = layer->output_channels;
    const int32_t input_row = layer->input_width * layer->input_channels;
    const int32_t skipped = (window->rows.first * window->width + window->columns.first) * window->depth;
    const int32_t block = 4 * window->height * window->width * window->depth;
    const int inside = ofa_is_inside(window);
    const ofa_requantizer requantizer = ofa_requantizer_of(&layer->filter);
    const int8_t *weights = layer->filter.weights;
    for (int32_t channel = 0; channel < channels; channel += 4) {
        int32_t acc[4];
        window_product(acc, input, weights + 4 * skipped, window, input_row);
        if (!inside) {
            ofa_add_padding(acc, window, weights, layer->filter.input_zero_point);
        }
        ofa_store(&requantizer, channel, channels, acc, output);
        weights += block;
    }
}

void ofa_conv2d(const ofa_conv2d_layer *layer, const int8_t *input, int8_t *output)
{
    ofa_window window;
    window.height = layer->kernel_height;
    window.width = layer->kernel_width;
    window.depth = layer->input_channels;
    for (int32_t y = 0; y < layer->output_height; ++y) {
        const int32_t top = y * layer->stride_height - layer->pad_top;
        window.rows = ofa_clip(top, window.height, layer->input_height);
        const int8_t *row = input + (top + window.rows.first) * layer->input_width * window.depth;
        for (int32_t x = 0; x < layer->output_width; ++x) {
            const int32_t left = x * layer->stride_width - layer->pad_left;
            window.columns = ofa_clip(left, window.width, layer->input_width);
            output_pixel(layer, &window, row + (left + window.columns.first) * window.depth, output);
            output += layer->output_channels;
        }
    }
}
