/* Convolutions as dot products: pixels as they lie, copied ahead of the output, or gathered window by window. */
#include "ofa_mve.h"

#include "ofa_mve_vectors.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)

/* Whole vectors from `from` to `to`, `bytes` rounded up. */
OFA_MVE_INLINE void copy_vectors(int8_t *to, const int8_t *from, int32_t bytes)
{
    int32_t vectors = (bytes + 15) >> 4;
    do {
        vstrbq_s8(to, vldrbq_s8(from));
        from += 16;
        to += 16;
    } while (--vectors);
}

void ofa_mve_pointwise(const ofa_mve_pointwise_layer *layer, const int8_t *input, int8_t *output, int8_t *scratch,
                       int32_t backward)
{
    const int32_t depth = layer->depth, outputs = layer->dense.outputs, pixels = layer->pixels, block = layer->block;
    if (block == 0) {
        if (backward) {
            layer->dots(&layer->dense, input + (pixels - 1) * depth, -depth, pixels, output + (pixels - 1) * outputs,
                        16);
        } else {
            layer->dots(&layer->dense, input, depth, pixels, output, 16);
        }
        return;
    }
    const int32_t last = (pixels - 1) / block * block;
    for (int32_t done = 0; done <= last; done += block) {
        const int32_t first = backward ? last - done : done;
        const int32_t count = pixels - first < block ? pixels - first : block;
        copy_vectors(scratch, input + first * depth, count * depth);
        layer->dots(&layer->dense, scratch, depth, count, output + first * outputs, 16);
    }
}

/* `bytes` > 0 codes, and none beside them. */
OFA_MVE_INLINE void copy_codes(int8_t *to, const int8_t *from, int32_t bytes)
{
    do {
        const mve_pred16_t live = vctp8q((uint32_t)bytes);
        vstrbq_p_s8(to, vldrbq_z_s8(from, live), live);
        to += 16;
        from += 16;
        bytes -= 16;
    } while (bytes > 0);
}

/* The window whose first row and column are y and x, with parts of it outside the input; its rows `row_bytes` apart. */
static __attribute__((noinline)) void gather_border(const ofa_mve_conv2d_layer *layer, const int8_t *input, int32_t y,
                                                    int32_t x, int8_t *to, int32_t row_bytes)
{
    const int32_t channels = layer->input_channels, width = layer->input_width;
    const int32_t first = x < 0 ? -x : 0;
    const int32_t end = width - x < layer->kernel_width ? width - x : layer->kernel_width;
    int8_t *fill = to;
    for (int32_t vectors = layer->dense.vectors; vectors > 0; --vectors) {
        vstrbq_s8(fill, vdupq_n_s8(layer->input_zero_point));
        fill += 16;
    }
    for (int32_t row = 0; row < layer->kernel_height; ++row, to += row_bytes) {
        if (y + row >= 0 && y + row < layer->input_height && end > first) {
            copy_codes(to + first * channels, input + ((y + row) * width + x + first) * channels,
                       (end - first) * channels);
        }
    }
}

/* A window inside the input. What goes beyond a row is written over by the next row, the next window, or meets zeros. */
OFA_MVE_INLINE void gather_inside(int8_t *to, const int8_t *from, int32_t rows, int32_t row_bytes, int32_t input_row)
{
    if (row_bytes <= 16) {
        do {
            vstrbq_s8(to, vldrbq_s8(from));
            to += row_bytes;
            from += input_row;
        } while (--rows);
        return;
    }
    do {
        copy_vectors(to, from, row_bytes);
        to += row_bytes;
        from += input_row;
    } while (--rows);
}

/* The same where a row of a window is one vector: every row becomes one. */
static __attribute__((noinline)) void gather_rows(const ofa_mve_conv2d_layer *layer, const int8_t *input, int32_t y,
                                                  int32_t x, int8_t *to)
{
    const int32_t channels = layer->input_channels, width = layer->input_width;
    const int32_t first = x < 0 ? -x : 0;
    const int32_t end = width - x < layer->kernel_width ? width - x : layer->kernel_width;
    const int8x16_t padding = vdupq_n_s8(layer->input_zero_point);
    const mve_pred16_t live =
        first < end ? vctp8q((uint32_t)(end * channels)) & ~vctp8q((uint32_t)(first * channels)) : 0;
    const int8_t *from = input + (y * width + x) * channels;
    int32_t left = layer->kernel_height;
    do {
        int8x16_t row = padding;
        if ((uint32_t)y < layer->input_height) {
            row = vpselq_s8(vldrbq_z_s8(from, live), padding, live);
        }
        vstrbq_s8(to, row);
        from += width * channels;
        ++y;
        to += 16;
    } while (--left);
}

/* Windows of one row of outputs from the input's row y on, where a row of a window is one vector. */
OFA_MVE_INLINE void row_of_windows(const ofa_mve_conv2d_layer *layer, const int8_t *input, int32_t y, int8_t *output,
                                   int8_t *scratch)
{
    const int32_t channels = layer->input_channels, input_row = layer->input_width * channels;
    const int32_t last_x = layer->input_width - layer->kernel_width;
    const int32_t step = 16 * layer->dense.vectors, outputs = layer->dense.outputs, stride = layer->stride_width;
    const int32_t inside = y >= 0 && y <= layer->input_height - layer->kernel_height;
    int32_t x = -layer->pad_left;
    int32_t left = layer->output_width;
    while (left > 0) {
        int32_t count = 0;
        if (inside && x >= 0 && x <= last_x) {
            const int32_t alike = (last_x - x) / stride + 1;
            count = alike < left ? alike : left;
            layer->dots(&layer->dense, input + y * input_row + x * channels, stride * channels, count, output,
                        input_row);
            x += count * stride;
        } else {
            int8_t *to = scratch;
            do {
                gather_rows(layer, input, y, x, to);
                to += step;
                x += stride;
                ++count;
            } while (count < left && count < layer->block && !(inside && x >= 0 && x <= last_x));
            layer->dots(&layer->dense, scratch, step, count, output, 16);
        }
        output += count * outputs;
        left -= count;
    }
}

void ofa_mve_conv2d(const ofa_mve_conv2d_layer *layer, const int8_t *input, int8_t *output, int8_t *scratch)
{
    const int32_t channels = layer->input_channels, input_row = layer->input_width * channels;
    const int32_t rows = layer->kernel_height, row_bytes = layer->kernel_width * channels;
    const int32_t step = 16 * layer->dense.vectors, across = layer->stride_width * channels;
    const int32_t last_x = layer->input_width - layer->kernel_width, last_y = layer->input_height - rows;
    const int32_t block = layer->block, outputs = layer->dense.outputs;
    const int8_t *const end = scratch + block * step;
    int8_t *to = scratch;
    for (int32_t oy = 0, y = -layer->pad_top; oy < layer->output_height; ++oy, y += layer->stride_height) {
        if (layer->rows) {
            row_of_windows(layer, input, y, output, scratch);
            output += layer->output_width * outputs;
            continue;
        }
        int32_t x = -layer->pad_left;
        int32_t left = layer->output_width;
        while (left > 0) {
            /* Windows alike: those inside the input, or one that is not. */
            int32_t count = 1;
            const int32_t inside = x >= 0 && x <= last_x && y >= 0 && y <= last_y;
            if (inside) {
                const int8_t *from = input + y * input_row + x * channels;
                const int32_t alike = (last_x - x) / layer->stride_width + 1;
                const int32_t room = (end - to) / step;
                count = alike < left ? alike : left;
                count = count < room ? count : room;
                int32_t more = count;
                do {
                    gather_inside(to, from, rows, row_bytes, input_row);
                    to += step;
                    from += across;
                } while (--more);
            } else {
                gather_border(layer, input, y, x, to, row_bytes);
                to += step;
            }
            x += count * layer->stride_width;
            left -= count;
            if (to >= end || (left == 0 && oy == layer->output_height - 1)) {
                const int32_t ready = (to - scratch) / step;
                layer->dots(&layer->dense, scratch, step, ready, output, 16);
                output += ready * outputs;
                to = scratch;
            }
        }
    }
}

#else

typedef int ofa_mve_matrix_is_empty;

#endif
