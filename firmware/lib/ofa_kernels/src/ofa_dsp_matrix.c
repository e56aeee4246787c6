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

/* The pixels that blocks of four leave over. */
static void rest_of_points(const ofa_matrix_points_layer *layer, ofa_matrix_quad quad, ofa_word *wide, int backward)
{
    int32_t rest = layer->pixels & 3;
    if (!layer->single) {
        take(&quad, rest, layer->depth, layer->matrix.outputs);
        layer->matrix.block(&layer->matrix, &quad, wide);
        return;
    }
    int32_t input_step = layer->depth;
    int32_t output_step = layer->matrix.outputs;
    if (backward) {
        quad.input += (rest - 1) * input_step;
        quad.output += (rest - 1) * output_step;
        input_step = -input_step;
        output_step = -output_step;
    }
    for (; rest > 0; --rest) {
        layer->single(&layer->matrix, &quad, wide);
        quad.input += input_step;
        quad.output += output_step;
    }
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
            rest_of_points(layer, quad, wide, 1);
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
        rest_of_points(layer, quad, wide, 0);
    }
}

/* Words by words, so that up to three bytes more are read and written; the compiler must not make calls of these loops.
 */
static inline int8_t *copy(int8_t *to, const int8_t *from, int32_t count)
{
    int8_t *const end = to + count;
    for (; count > 4; count -= 8) {
        const uint32_t first = *(const ofa_loose_word *)from;
        const uint32_t second = *(const ofa_loose_word *)(from + 4);
        *(ofa_loose_word *)to = first;
        *(ofa_loose_word *)(to + 4) = second;
        from += 8;
        to += 8;
        OFA_OPAQUE(to);
    }
    if (count > 0) {
        *(ofa_loose_word *)to = *(const ofa_loose_word *)from;
    }
    return end;
}

static inline int8_t *fill(int8_t *to, uint32_t word, int32_t count)
{
    int8_t *const end = to + count;
    for (; count > 0; count -= 4) {
        *(ofa_loose_word *)to = word;
        to += 4;
        OFA_OPAQUE(to);
    }
    return end;
}

/* Parts of rows of the input, y and every `step` behind: `bytes` from `left` of each, with padding outside. */
static __attribute__((noinline)) void padded_rows(const ofa_matrix_window_layer *layer, const int8_t *input,
                                                  int8_t *to, int32_t y, int32_t step, int32_t count, int32_t left,
                                                  int32_t bytes)
{
    const int32_t width = layer->input_width * layer->depth;
    const uint32_t zero = (uint8_t)layer->matrix.zero_point * 0x01010101u;
    const int32_t before = left < 0 ? (-left < bytes ? -left : bytes) : 0;
    const int32_t start = left < 0 ? 0 : left;
    int32_t inside = width - start;
    inside = inside < bytes - before ? inside : bytes - before;
    inside = inside < 0 ? 0 : inside;
    for (; count > 0; --count) {
        if (y < 0 || y >= layer->input_height) {
            to = fill(to, zero, bytes);
        } else {
            to = fill(to, zero, before);
            to = copy(to, input + y * width + start, inside);
            to = fill(to, zero, bytes - before - inside);
        }
        y += step;
    }
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
    ofa_matrix_block *const block = layer->matrix.block;
    int32_t top = -(int32_t)layer->pad_top;
    ofa_matrix_quad quad;
    quad.output = output;
    for (int32_t rows = layer->output_height; rows > 0; --rows) {
        const int8_t *const window_row = input + top * input_row;
        const int32_t inside = top >= 0 && top + layer->extent_height <= layer->input_height;
        /* From here on no four windows lie within the row. */
        const int32_t limit = inside ? input_row - patch_row : -1;
        int32_t left = -(int32_t)(layer->pad_left * depth);
        int32_t pixels = layer->output_width;
        take(&quad, 4, step, outputs);
        do {
            if (left >= 0 && left <= limit && pixels >= 4) {
                quad.input = window_row + left;
                quad.row = layer->dilation_height * input_row;
                do {
                    block(&layer->matrix, &quad, wide);
                    quad.input += 4 * step;
                    quad.output += 4 * outputs;
                    left += 4 * step;
                    pixels -= 4;
                } while (left <= limit && pixels >= 4);
            } else {
                const int32_t count = pixels < 4 ? pixels : 4;
                take(&quad, count, step, outputs);
                if (inside && left >= 0 && left + (count - 1) * step + extent <= input_row) {
                    quad.input = window_row + left;
                    quad.row = layer->dilation_height * input_row;
                } else {
                    padded_rows(layer, input, patch, top, layer->dilation_height, layer->kernel_height, left,
                                patch_row);
                    quad.input = patch;
                    quad.row = patch_row;
                }
                block(&layer->matrix, &quad, wide);
                quad.output += count * outputs;
                left += 4 * step;
                pixels -= 4;
            }
        } while (pixels > 0);
        top += layer->stride_height;
    }
}

/* A row of the output from padded rows; where the row after it starts. */
static inline int8_t *row_of_band(const ofa_matrix_window_layer *layer, ofa_matrix_quad *quad, const int8_t *rows,
                                  int8_t *output, ofa_word *wide)
{
    const int32_t outputs = layer->matrix.outputs;
    const int32_t step = layer->stride_width * layer->depth;
    int32_t pixels = layer->output_width;
    quad->input = rows;
    quad->output = output;
    take(quad, 4, step, outputs);
    for (; pixels >= 4; pixels -= 4) {
        layer->matrix.block(&layer->matrix, quad, wide);
        quad->input += 4 * step;
        quad->output += 4 * outputs;
    }
    if (pixels > 0) {
        take(quad, pixels, step, outputs);
        layer->matrix.block(&layer->matrix, quad, wide);
        quad->output += pixels * outputs;
    }
    return quad->output;
}

/* Four rows of the output, pixel by pixel of each. */
static inline int8_t *four_rows_of_band(const ofa_matrix_window_layer *layer, ofa_matrix_quad *quad,
                                        const int8_t *rows, int8_t *output, ofa_word *wide, int32_t row)
{
    const int32_t outputs = layer->matrix.outputs;
    const int32_t step = layer->stride_width * layer->depth;
    const int32_t width = layer->output_width;
    quad->input = rows;
    quad->output = output;
    quad->input_next = row;
    quad->input_third = 2 * row;
    quad->output_next = width * outputs;
    quad->output_third = 2 * width * outputs;
    for (int32_t pixels = width; pixels > 0; --pixels) {
        layer->matrix.block(&layer->matrix, quad, wide);
        quad->input += step;
        quad->output += outputs;
    }
    return output + 4 * width * outputs;
}

void ofa_matrix_band(const ofa_matrix_window_layer *layer, const int8_t *input, int8_t *output, ofa_word *wide,
                     int8_t *rows)
{
    const int32_t stride = layer->stride_height;
    const int32_t row =
        ((layer->output_width - 1) * layer->stride_width + layer->extent_width) * layer->depth;
    int32_t top = -(int32_t)layer->pad_top;
    int32_t remaining = layer->output_height;
    int32_t kept = 0;
    ofa_matrix_quad quad;
    quad.row = layer->dilation_height * row;
    while (remaining > 0) {
        int32_t count = remaining < layer->band ? remaining : layer->band;
        padded_rows(layer, input, rows + kept * row, top + kept, 1, (count - 1) * stride + layer->extent_height - kept,
                    -(int32_t)(layer->pad_left * layer->depth), row);
        remaining -= count;
        top += count * stride;
        const int8_t *from = rows;
        for (; count >= 4 && (layer->output_width & 3); count -= 4) {
            output = four_rows_of_band(layer, &quad, from, output, wide, stride * row);
            from += 4 * stride * row;
        }
        for (; count > 0; --count) {
            output = row_of_band(layer, &quad, from, output, wide);
            from += stride * row;
        }
        if (remaining > 0) {
            /* The rows that the next band has in common with this one. */
            kept = layer->extent_height - stride;
            kept = kept < 0 ? 0 : kept;
            copy(rows, from, kept * row);
        }
    }
}
