#include "ofa_patch.h"
#include "ofa_rows.h"

void ofa_conv2d(const ofa_conv2d_layer *layer, const int8_t *input, int8_t *output, uint8_t *scratch)
{
    const ofa_sliding *window = &layer->window;
    const int32_t taps = window->kernel_height * window->kernel_width * window->input_channels;
    int32_t top = -(int32_t)window->pad_top;
    for (int32_t y = window->output_height; y > 0; --y) {
        int32_t left = -(int32_t)window->pad_left;
        for (int32_t x = window->output_width; x > 0; --x) {
            const int32_t sum = ofa_patch(window, input, top, left, scratch, 1, layer->padding);
            ofa_row(&layer->rounding, layer->weights, window->output_channels, scratch, taps, sum, output);
            left += window->stride_width;
            output += window->output_channels;
        }
        top += window->stride_height;
    }
}

void ofa_conv2d_pairs(const ofa_conv2d_layer *layer, const int8_t *input, int8_t *output, uint8_t *scratch)
{
    const ofa_sliding *window = &layer->window;
    const int32_t taps = window->kernel_height * window->kernel_width * window->input_channels;
    int32_t top = -(int32_t)window->pad_top;
    for (int32_t y = window->output_height; y > 0; --y) {
        int32_t left = -(int32_t)window->pad_left;
        int32_t x = window->output_width;
        for (; x > 1; x -= 2) {
            int32_t sums[2];
            sums[0] = ofa_patch(window, input, top, left, scratch, 2, layer->padding);
            left += window->stride_width;
            sums[1] = ofa_patch(window, input, top, left, scratch + 1, 2, layer->padding);
            left += window->stride_width;
            ofa_row_pair(&layer->rounding, layer->weights, window->output_channels, scratch, taps, sums, output);
            output += 2 * window->output_channels;
        }
        if (x > 0) {
            const int32_t sum = ofa_patch(window, input, top, left, scratch, 1, layer->padding);
            ofa_row(&layer->rounding, layer->weights, window->output_channels, scratch, taps, sum, output);
            output += window->output_channels;
        }
        top += window->stride_height;
    }
}
