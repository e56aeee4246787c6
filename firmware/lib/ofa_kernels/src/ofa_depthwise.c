#include "ofa_copy.h"
#include "ofa_portable.h"

/* Some channels of one input row, whose pixels are `step` bytes apart, to rows of channels, `pitch` bytes each. */
static OFA_NOINLINE void spread_row(uint8_t *to, int32_t pitch, const int8_t *from, int32_t step, int32_t width,
                                    int32_t channels)
{
    for (; channels > 0; --channels) {
        const int8_t *code = from++;
        uint8_t *at = to;
        int32_t left = width;
        for (; left > 3; left -= 4) {
            at[0] = (uint8_t)code[0] ^ 128u;
            at[1] = (uint8_t)code[step] ^ 128u;
            at[2] = (uint8_t)code[2 * step] ^ 128u;
            at[3] = (uint8_t)code[3 * step] ^ 128u;
            at += 4;
            code += 4 * step;
        }
        for (; left > 0; --left) {
            *at++ = (uint8_t)*code ^ 128u;
            code += step;
        }
        to += pitch;
    }
}

static OFA_NOINLINE void fill_codes(uint8_t *to, int32_t count, uint8_t padding)
{
    for (; count > 3; count -= 4) {
        to[0] = padding;
        to[1] = padding;
        to[2] = padding;
        to[3] = padding;
        to += 4;
        OFA_KEEP_LOOP(to);
    }
    for (; count > 0; --count) {
        *to++ = padding;
        OFA_KEEP_LOOP(to);
    }
}

/* Columns of a row that the windows pass. */
static int32_t used_width(const ofa_depthwise_layer *layer)
{
    const int32_t width = layer->pitch - layer->window.pad_left;
    return width < layer->window.input_width ? width : layer->window.input_width;
}

/* Where the output covers the input and not all channels are read at once, a channel must not be written over others:
 * the input is moved down to a whole number of pixels above the output.
 */
static const int8_t *moved_input(const ofa_depthwise_layer *layer, const int8_t *input, const int8_t *output)
{
    const ofa_sliding *window = &layer->window;
    const uint32_t depth = window->input_channels;
    const uintptr_t above = (uintptr_t)input - (uintptr_t)output;
    if (layer->block >= depth || above >= (uint32_t)(window->output_height * window->output_width) * depth) {
        return input;
    }
    const uint32_t apart = (uint32_t)above % depth;
    if (apart != 0) {
        int8_t *to = (int8_t *)(uintptr_t)(input - apart);
        const int8_t *from = input;
        for (uint32_t left = (uint32_t)(window->input_height * window->input_width) * depth; left > 0; --left) {
            *to++ = *from++;
            OFA_KEEP_LOOP(to);
        }
    }
    return input - apart;
}

void ofa_depthwise(const ofa_depthwise_layer *layer, const int8_t *input, int8_t *output, uint8_t *scratch)
{
    const ofa_sliding *window = &layer->window;
    const ofa_rounding *rounding = &layer->rounding;
    const int32_t depth = window->input_channels, channels = window->output_channels;
    const int32_t pitch = layer->pitch, slot_bytes = layer->block * pitch, height = window->kernel_height;
    const int32_t ring = window->dilation_height * (height - 1) + 1, ring_bytes = ring * slot_bytes;
    const int32_t groups = (window->output_width + 3) >> 2, area = height * window->kernel_width;
    const int32_t width = used_width(layer);
    int32_t *rows = (int32_t *)(void *)scratch;
    int32_t *sums = rows + height;
    uint8_t *base = scratch + 4 * (height + 4 * groups);
    const int8_t *weights = layer->weights;
    const int32_t *record = rounding->records;
    input = moved_input(layer, input, output);
    fill_codes(base, ring_bytes, layer->padding);
    for (int32_t rest = depth; rest > 0; rest -= layer->block) {
        const int32_t block = rest < layer->block ? rest : layer->block, outputs = block * layer->multiplier;
        /* The ring's slot of the window's first row, and the next row to be read with its slot. */
        int32_t top = -(int32_t)window->pad_top, slot = 0, next = top, next_slot = 0;
        int8_t *to_row = output;
        for (int32_t y = window->output_height; y > 0; --y) {
            for (; next < top + ring; ++next) {
                uint8_t *to = base + next_slot;
                if (next >= 0 && next < window->input_height) {
                    const int8_t *from = input + next * window->input_width * depth;
                    spread_row(to + window->pad_left, pitch, from, depth, width, block);
                } else {
                    fill_codes(to, block * pitch, layer->padding);
                }
                next_slot += slot_bytes;
                next_slot = next_slot < ring_bytes ? next_slot : 0;
            }
            for (int32_t row = 0, at = slot; row < height; ++row) {
                rows[row] = at;
                at += window->dilation_height * slot_bytes;
                at = at < ring_bytes ? at : at - ring_bytes;
            }
            const int8_t *weight = weights;
            const int32_t *constants = record;
            const uint8_t *x = base;
            int8_t *to = to_row;
            for (int32_t left = outputs, same = layer->multiplier; left > 0; --left) {
                layer->sums(window, x, rows, weight, sums, groups);
                rounding->spread(rounding, constants, sums, to++, channels, window->output_width);
                weight += area;
                constants += rounding->words;
                if (--same == 0) {
                    same = layer->multiplier;
                    x += pitch;
                }
            }
            to_row += window->output_width * channels;
            top += window->stride_height;
            for (int32_t step = window->stride_height; step > 0; --step) {
                slot += slot_bytes;
                slot = slot < ring_bytes ? slot : 0;
            }
        }
        weights += outputs * area;
        record += outputs * rounding->words;
        input += block;
        output += outputs;
    }
}

void ofa_depthwise_planes(const ofa_depthwise_layer *layer, const int8_t *input, int8_t *output, uint8_t *scratch)
{
    const ofa_sliding *window = &layer->window;
    const ofa_rounding *rounding = &layer->rounding;
    const int32_t depth = window->input_channels, channels = window->output_channels;
    const int32_t pitch = layer->pitch, row_bytes = layer->block * pitch, height = window->kernel_height;
    const int32_t groups = (window->output_width + 3) >> 2, area = height * window->kernel_width;
    const int32_t extent = window->dilation_height * (height - 1) + 1;
    const int32_t path = window->stride_height * (window->output_height - 1) + extent;
    const int32_t width = used_width(layer), input_row = window->input_width * depth;
    int32_t *rows = (int32_t *)(void *)scratch;
    int32_t *sums = rows + height;
    uint8_t *base = scratch + 4 * (height + 4 * groups);
    uint8_t *inside = base + window->pad_top * row_bytes + window->pad_left;
    int32_t real = path - window->pad_top;
    real = real < window->input_height ? real : window->input_height;
    const int8_t *weights = layer->weights;
    const int32_t *record = rounding->records;
    input = moved_input(layer, input, output);
    fill_codes(base, path * row_bytes, layer->padding);
    for (int32_t row = 0, at = 0; row < height; ++row) {
        rows[row] = at;
        at += window->dilation_height * row_bytes;
    }
    for (int32_t rest = depth; rest > 0; rest -= layer->block) {
        int32_t block = rest < layer->block ? rest : layer->block;
        const int8_t *from = input;
        uint8_t *to = inside;
        for (int32_t left = real; left > 0; --left) {
            spread_row(to, pitch, from, depth, width, block);
            to += row_bytes;
            from += input_row;
        }
        input += block;
        for (const uint8_t *plane = base; block > 0; --block) {
            for (int32_t same = layer->multiplier; same > 0; --same) {
                const uint8_t *x = plane;
                int8_t *to_row = output++;
                for (int32_t y = window->output_height; y > 0; --y) {
                    layer->sums(window, x, rows, weights, sums, groups);
                    rounding->spread(rounding, record, sums, to_row, channels, window->output_width);
                    x += window->stride_height * row_bytes;
                    to_row += window->output_width * channels;
                }
                weights += area;
                record += rounding->words;
            }
            plane += pitch;
        }
    }
}
