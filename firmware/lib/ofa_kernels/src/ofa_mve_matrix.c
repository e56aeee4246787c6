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
        layer->dots(&layer->dense, input, depth, pixels, output);
        return;
    }
    const int32_t last = (pixels - 1) / block * block;
    for (int32_t done = 0; done <= last; done += block) {
        const int32_t first = backward ? last - done : done;
        const int32_t count = pixels - first < block ? pixels - first : block;
        copy_vectors(scratch, input + first * depth, count * depth);
        layer->dots(&layer->dense, scratch, depth, count, output + first * outputs);
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

/* The window whose first row and column are y and x, with parts of it outside the input. */
static __attribute__((noinline)) void gather_border(const ofa_mve_conv2d_layer *layer, const int8_t *input, int32_t y,
                                                    int32_t x, int8_t *to)
{
    const int32_t channels = layer->input_channels, width = layer->input_width;
    const int32_t row_bytes = layer->kernel_width * channels;
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

void ofa_mve_conv2d(const ofa_mve_conv2d_layer *layer, const int8_t *input, int8_t *output, int8_t *scratch)
{
    const int32_t channels = layer->input_channels, height = layer->input_height, width = layer->input_width;
    const int32_t rows = layer->kernel_height, row_bytes = layer->kernel_width * channels;
    const int32_t row_vectors = (row_bytes + 15) >> 4, input_row = width * channels;
    const int32_t stride = 16 * layer->dense.vectors;
    const int32_t last_x = width - layer->kernel_width, last_y = height - rows;
    int8_t *to = scratch;
    int32_t waiting = 0;
    for (int32_t oy = 0, y = -layer->pad_top; oy < layer->output_height; ++oy, y += layer->stride_height) {
        for (int32_t ox = 0, x = -layer->pad_left; ox < layer->output_width; ++ox, x += layer->stride_width) {
            if (x >= 0 && x <= last_x && y >= 0 && y <= last_y) {
                const int8_t *from = input + y * input_row + x * channels;
                int8_t *part = to;
                int32_t left = rows;
                do {
                    /* What goes beyond a row is written over by the next row, the next window, or meets zeros. */
                    if (row_vectors == 1) {
                        vstrbq_s8(part, vldrbq_s8(from));
                    } else {
                        copy_vectors(part, from, row_bytes);
                    }
                    part += row_bytes;
                    from += input_row;
                } while (--left);
            } else {
                gather_border(layer, input, y, x, to);
            }
            to += stride;
            if (++waiting == layer->block || (oy == layer->output_height - 1 && ox == layer->output_width - 1)) {
                layer->dots(&layer->dense, scratch, stride, waiting, output);
                output += waiting * layer->dense.outputs;
                to = scratch;
                waiting = 0;
            }
        }
    }
}

#else

typedef int ofa_mve_matrix_is_empty;

#endif
