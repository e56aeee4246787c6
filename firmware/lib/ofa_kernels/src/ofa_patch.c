#include "ofa_patch.h"

#include "ofa_gather.h"

typedef int32_t gather_function(uint8_t *to, const int8_t *from, int32_t count);

/* A row of the window, inside the input or not, whose elements are apart. `left` is the column of the first. */
static int32_t gather_apart(const ofa_sliding *window, const int8_t *row, int32_t left, uint8_t *to, int32_t step,
                            int32_t padding, gather_function *gather)
{
    const int32_t depth = window->input_channels;
    int32_t sum = 0;
    for (int32_t elements = window->kernel_width; elements > 0; --elements) {
        if (left >= 0 && left < window->input_width) {
            sum += gather(to, row + left * depth, depth);
        } else {
            ofa_gather_constant(to, depth, step, padding);
            sum += depth * padding;
        }
        to += step * depth;
        left += window->dilation_width;
    }
    return sum;
}

int32_t ofa_patch(const ofa_sliding *window, const int8_t *input, int32_t top, int32_t left, uint8_t *to, int32_t step,
                  int32_t padding)
{
    gather_function *const gather = step == 1 ? ofa_gather : ofa_gather_alternate;
    const int32_t depth = window->input_channels, width = window->input_width, extent = window->kernel_width;
    const int32_t pitch = width * depth, taps = extent * depth;
    /* Taps of a row before the input, inside it and behind it. */
    int32_t before = left < 0 ? -left : 0;
    before = (before < extent ? before : extent) * depth;
    int32_t inside = (width - left < extent ? width - left : extent) * depth - before;
    inside = inside > 0 ? inside : 0;
    const int32_t behind = taps - before - inside;
    const int8_t *row = input + top * pitch;
    int32_t sum = 0;
    for (int32_t rows = window->kernel_height; rows > 0; --rows) {
        if (top < 0 || top >= window->input_height) {
            ofa_gather_constant(to, taps, step, padding);
            sum += taps * padding;
        } else if (window->dilation_width != 1) {
            sum += gather_apart(window, row, left, to, step, padding, gather);
        } else if (inside == taps) {
            sum += gather(to, row + left * depth, taps);
        } else {
            ofa_gather_constant(to, before, step, padding);
            ofa_gather_constant(to + step * (before + inside), behind, step, padding);
            sum += gather(to + step * before, row + left * depth + before, inside) + (taps - inside) * padding;
        }
        to += step * taps;
        row += window->dilation_height * pitch;
        top += window->dilation_height;
    }
    return sum;
}
