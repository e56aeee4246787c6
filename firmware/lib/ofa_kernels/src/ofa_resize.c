#include "ofa_copy.h"
#include "ofa_operators.h"

static OFA_NOINLINE void resize_row(const ofa_resize_layer *layer, const int8_t *row, int8_t *output)
{
    const int32_t channels = layer->channels;
    const int16_t *column = layer->columns;
    for (int32_t x = layer->output_width; x > 0; --x) {
        ofa_copy(output, row + *column++ * channels, channels, (channels & 3) == 0);
        output += channels;
    }
}

static OFA_NOINLINE void repeat_row(int8_t *output, int32_t bytes, int32_t words)
{
    ofa_copy(output, output - bytes, bytes, words);
}

void ofa_resize(const ofa_resize_layer *layer, const int8_t *input, int8_t *output)
{
    const int32_t input_row = layer->input_width * layer->channels;
    const int32_t output_row = layer->output_width * layer->channels;
    int32_t last = -1;
    for (int32_t y = 0; y < layer->output_height; ++y) {
        const int32_t row = layer->rows[y];
        if (row == last) {
            repeat_row(output, output_row, (layer->channels & 3) == 0);
        } else {
            resize_row(layer, input + row * input_row, output);
        }
        last = row;
        output += output_row;
    }
}
