#include "ofa_dsp_matrix.h"

/* The first `count` of four pixels, one to four; the others are copies of these. */
static inline void take(ofa_matrix_quad *quad, int32_t count, int32_t input_step, int32_t output_step)
{
    const int32_t next = count > 2;
    const int32_t third = count >> 1;
    quad->input_next = next ? input_step : 0;
    quad->output_next = next ? output_step : 0;
    quad->input_third = third * input_step;
    quad->output_third = third * output_step;
}

void ofa_matrix_points(const ofa_matrix_points_layer *layer, const int8_t *input, int8_t *output, ofa_word *wide,
                       int backward)
{
    const int32_t depth = layer->depth;
    const int32_t outputs = layer->matrix.outputs;
    ofa_matrix_block *const block = layer->matrix.block;
    const int32_t rest = layer->pixels & 3;
    int32_t blocks = layer->pixels >> 2;
    int32_t input_step = 4 * depth;
    int32_t output_step = 4 * outputs;
    ofa_matrix_quad quad;
    quad.row = 0;
    quad.input = input;
    quad.output = output;
    if (backward) {
        quad.input += blocks * input_step;
        quad.output += blocks * output_step;
        if (rest) {
            take(&quad, rest, depth, outputs);
            block(&layer->matrix, &quad, wide);
        }
        quad.input -= input_step;
        quad.output -= output_step;
        input_step = -input_step;
        output_step = -output_step;
    }
    take(&quad, 4, depth, outputs);
    for (; blocks > 0; --blocks) {
        block(&layer->matrix, &quad, wide);
        quad.input += input_step;
        quad.output += output_step;
    }
    if (rest && !backward) {
        take(&quad, rest, depth, outputs);
        block(&layer->matrix, &quad, wide);
    }
}

/* Words by words; the compiler must not make calls of these loops. */
static inline int8_t *copy(int8_t *to, const int8_t *from, int32_t count)
{
    for (; count >= 8; count -= 8) {
        const uint32_t first = *(const ofa_loose_word *)from;
        const uint32_t second = *(const ofa_loose_word *)(from + 4);
        *(ofa_loose_word *)to = first;
        *(ofa_loose_word *)(to + 4) = second;
        from += 8;
        to += 8;
        OFA_OPAQUE(to);
    }
    for (; count > 0; --count) {
        *to++ = *from++;
        OFA_OPAQUE(to);
    }
    return to;
}

static inline int8_t *fill(int8_t *to, int32_t value, int32_t count)
{
    const uint32_t word = (uint8_t)value * 0x01010101u;
    for (; count >= 8; count -= 8) {
        *(ofa_loose_word *)to = word;
        *(ofa_loose_word *)(to + 4) = word;
        to += 8;
        OFA_OPAQUE(to);
    }
    for (; count > 0; --count) {
        *to++ = (int8_t)value;
        OFA_OPAQUE(to);
    }
    return to;
}

/* Part of row y, `bytes` from `left` of the row, with padding outside of the input. */
static __attribute__((noinline)) int8_t *padded_row(const ofa_matrix_window_layer *layer, const int8_t *input,
                                                    int8_t *to, int32_t y, int32_t left, int32_t bytes)
{
    const int32_t width = layer->input_width * layer->depth;
    const int32_t zero = layer->matrix.zero_point;
    if (y < 0 || y >= layer->input_height) {
        return fill(to, zero, bytes);
    }
    if (left < 0) {
        const int32_t before = -left < bytes ? -left : bytes;
        to = fill(to, zero, before);
        bytes -= before;
        left = 0;
    }
    int32_t inside = width - left;
    inside = inside < 0 ? 0 : inside < bytes ? inside : bytes;
    to = copy(to, input + y * width + left, inside);
    return fill(to, zero, bytes - inside);
}

void ofa_matrix_direct(const ofa_matrix_window_layer *layer, const int8_t *input, int8_t *output, ofa_word *wide,
                       int8_t *patch)
{
    const int32_t depth = layer->depth;
    const int32_t outputs = layer->matrix.outputs;
    const int32_t input_row = layer->input_width * depth;
    const int32_t step = layer->stride_width * depth;
    const int32_t extent = layer->extent_width * depth;
    const int32_t patch_row = 3 * step + extent;
    int32_t top = -(int32_t)layer->pad_top;
    ofa_matrix_quad quad;
    quad.output = output;
    for (int32_t rows = layer->output_height; rows > 0; --rows) {
        const int8_t *const window_row = input + top * input_row;
        const int32_t row_inside = top >= 0 && top + layer->extent_height <= layer->input_height;
        int32_t left = -(int32_t)(layer->pad_left * depth);
        int32_t pixels = layer->output_width;
        take(&quad, 4, step, outputs);
        do {
            int32_t count = 4;
            if (pixels < 4) {
                count = pixels;
                take(&quad, count, step, outputs);
            }
            if (row_inside && left >= 0 && left + (count - 1) * step + extent <= input_row) {
                quad.input = window_row + left;
                quad.row = layer->dilation_height * input_row;
            } else {
                int8_t *to = patch;
                for (int32_t i = 0; i < layer->kernel_height; ++i) {
                    to = padded_row(layer, input, to, top + i * layer->dilation_height, left, patch_row);
                }
                quad.input = patch;
                quad.row = patch_row;
            }
            layer->matrix.block(&layer->matrix, &quad, wide);
            quad.output += count * outputs;
            left += 4 * step;
            pixels -= 4;
        } while (pixels > 0);
        top += layer->stride_height;
    }
}

void ofa_matrix_band(const ofa_matrix_window_layer *layer, const int8_t *input, int8_t *output, ofa_word *wide,
                     int8_t *rows)
{
    const int32_t outputs = layer->matrix.outputs;
    const int32_t stride = layer->stride_height;
    const int32_t width = layer->output_width;
    const int32_t step = layer->stride_width * layer->depth;
    const int32_t row = (width - 1) * step + layer->extent_width * layer->depth;
    const int32_t left = -(int32_t)(layer->pad_left * layer->depth);
    int32_t top = -(int32_t)layer->pad_top;
    int32_t kept = 0;
    ofa_matrix_quad quad;
    quad.row = layer->dilation_height * row;
    int32_t remaining = layer->output_height;
    while (remaining > 0) {
        int32_t count = remaining < layer->band ? remaining : layer->band;
        const int32_t needed = (count - 1) * stride + layer->extent_height;
        int8_t *to = rows + kept * row;
        for (int32_t i = kept; i < needed; ++i) {
            to = padded_row(layer, input, to, top + i, left, row);
        }
        remaining -= count;
        top += count * stride;
        const int8_t *from = rows;
        if (width & 3) {
            for (; count >= 4; count -= 4) {
                quad.input_next = stride * row;
                quad.input_third = 2 * stride * row;
                quad.output_next = width * outputs;
                quad.output_third = 2 * width * outputs;
                quad.input = from;
                quad.output = output;
                for (int32_t pixels = width; pixels > 0; --pixels) {
                    layer->matrix.block(&layer->matrix, &quad, wide);
                    quad.input += step;
                    quad.output += outputs;
                }
                from += 4 * stride * row;
                output += 4 * width * outputs;
            }
        }
        for (; count > 0; --count) {
            quad.input = from;
            quad.output = output;
            take(&quad, 4, step, outputs);
            int32_t pixels = width;
            for (; pixels >= 4; pixels -= 4) {
                layer->matrix.block(&layer->matrix, &quad, wide);
                quad.input += 4 * step;
                quad.output += 4 * outputs;
            }
            if (pixels > 0) {
                take(&quad, pixels, step, outputs);
                layer->matrix.block(&layer->matrix, &quad, wide);
            }
            from += stride * row;
            output += width * outputs;
        }
        /* The rows that the next band has in common with this one. */
        kept = layer->extent_height - stride;
        kept = kept < 0 ? 0 : kept;
        if (remaining > 0) {
            copy(rows, from, kept * row);
        }
    }
}
