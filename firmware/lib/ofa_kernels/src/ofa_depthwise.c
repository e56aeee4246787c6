#include "ofa_gather.h"
#include "ofa_portable.h"

/* One input row to rows of channels, `pitch` bytes each. */
static void spread_row(uint8_t *to, int32_t pitch, const int8_t *from, int32_t width, int32_t channels)
{
    for (int32_t channel = 0; channel < channels; ++channel) {
        const int8_t *code = from + channel;
        uint8_t *at = to;
        int32_t left = width;
        for (; left > 1; left -= 2) {
            at[0] = (uint8_t)*code ^ 128u;
            code += channels;
            at[1] = (uint8_t)*code ^ 128u;
            code += channels;
            at += 2;
        }
        if (left > 0) {
            *at = (uint8_t)*code ^ 128u;
        }
        to += pitch;
    }
}

void ofa_depthwise(const ofa_depthwise_layer *layer, const int8_t *input, int8_t *output, uint8_t *scratch)
{
    const ofa_sliding *window = &layer->window;
    const ofa_rounding *rounding = &layer->rounding;
    const int32_t depth = window->input_channels, channels = window->output_channels;
    const int32_t pitch = layer->pitch, slot_bytes = depth * pitch, height = window->kernel_height;
    const int32_t ring = window->dilation_height * (height - 1) + 1, ring_bytes = ring * slot_bytes;
    const int32_t groups = (window->output_width + 3) >> 2, area = height * window->kernel_width;
    int32_t *rows = (int32_t *)(void *)scratch;
    int32_t *sums = rows + height;
    uint8_t *base = scratch + 4 * (height + 4 * groups);
    int32_t width = pitch - window->pad_left;
    width = width < window->input_width ? width : window->input_width;
    /* The ring's slot of the window's first row, and the next row to be read with its slot. */
    int32_t top = -(int32_t)window->pad_top, slot = 0, next = top, next_slot = 0;
    ofa_gather_constant(base, ring_bytes, 1, layer->padding);
    for (int32_t y = window->output_height; y > 0; --y) {
        for (; next < top + ring; ++next) {
            uint8_t *to = base + next_slot;
            if (next >= 0 && next < window->input_height) {
                spread_row(to + window->pad_left, pitch, input + next * window->input_width * depth, width, depth);
            } else {
                ofa_gather_constant(to, slot_bytes, 1, layer->padding);
            }
            next_slot += slot_bytes;
            next_slot = next_slot < ring_bytes ? next_slot : 0;
        }
        for (int32_t row = 0, at = slot; row < height; ++row) {
            rows[row] = at;
            at += window->dilation_height * slot_bytes;
            at = at < ring_bytes ? at : at - ring_bytes;
        }
        const int8_t *weights = layer->weights;
        const int32_t *record = rounding->records;
        const uint8_t *x = base;
        int32_t left = layer->multiplier;
        for (int32_t channel = 0; channel < channels; ++channel) {
            layer->sums(window, x, rows, weights, sums, groups);
            rounding->spread(rounding, record, sums, output + channel, channels, window->output_width);
            weights += area;
            record += rounding->words;
            if (--left == 0) {
                left = layer->multiplier;
                x += pitch;
            }
        }
        output += window->output_width * channels;
        top += window->stride_height;
        for (int32_t step = window->stride_height; step > 0; --step) {
            slot += slot_bytes;
            slot = slot < ring_bytes ? slot : 0;
        }
    }
}
