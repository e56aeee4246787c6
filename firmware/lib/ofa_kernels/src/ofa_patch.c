#include "ofa_patch.h"

#include "ofa_gather.h"

/* Writes `count` padding taps; returns their sum. */
static int32_t fill(uint8_t *to, int32_t count, int32_t step, int32_t padding)
{
    ofa_gather_constant(to, count, step, padding);
    return count * padding;
}

static int32_t gather(uint8_t *to, const int8_t *from, int32_t count, int32_t step)
{
    return step == 1 ? ofa_gather(to, from, count) : ofa_gather_alternate(to, from, count);
}

/* One row of the window. `row` is the input row, `left` the input column under the first element. */
static int32_t gather_row(const ofa_sliding *window, const int8_t *row, int32_t left, uint8_t *to, int32_t step,
                          int32_t padding)
{
    const int32_t depth = window->input_channels, width = window->input_width, extent = window->kernel_width;
    const int32_t dilation = window->dilation_width;
    int32_t sum = 0;
    if (dilation == 1) {
        /* Elements before the input, inside it and behind it. */
        int32_t first = left < 0 ? -left : 0;
        int32_t last = width - left < extent ? width - left : extent;
        first = first < extent ? first : extent;
        last = last > first ? last : first;
        if (first > 0) {
            sum += fill(to, first * depth, step, padding);
            to += step * first * depth;
        }
        if (last > first) {
            sum += gather(to, row + (left + first) * depth, (last - first) * depth, step);
            to += step * (last - first) * depth;
        }
        if (extent > last) {
            sum += fill(to, (extent - last) * depth, step, padding);
        }
        return sum;
    }
    for (int32_t element = 0; element < extent; ++element) {
        if (left >= 0 && left < width) {
            sum += gather(to, row + left * depth, depth, step);
        } else {
            sum += fill(to, depth, step, padding);
        }
        to += step * depth;
        left += dilation;
    }
    return sum;
}

int32_t ofa_patch(const ofa_sliding *window, const int8_t *input, int32_t top, int32_t left, uint8_t *to, int32_t step,
                  int32_t padding)
{
    const int32_t taps = window->kernel_width * window->input_channels;
    const int32_t pitch = window->input_width * window->input_channels;
    int32_t sum = 0;
    for (int32_t rows = window->kernel_height; rows > 0; --rows) {
        if (top >= 0 && top < window->input_height) {
            sum += gather_row(window, input + top * pitch, left, to, step, padding);
        } else {
            sum += fill(to, taps, step, padding);
        }
        to += step * taps;
        top += window->dilation_height;
    }
    return sum;
}
