#include "ofa_window.h"

static OFA_NOINLINE void average_pixel(const ofa_pool_layer *layer, const int8_t *window, int32_t rows,
                                       int32_t columns, int8_t *output)
{
    const ofa_divisor divisor = ofa_divisor_of(rows * columns);
    const int32_t low = layer->clamp_min;
    const int32_t span = layer->clamp_max - low;
    const int32_t channels = layer->channels;
    const int32_t rest = (layer->input_width - columns) * channels;
    for (const int8_t *const end = window + channels; window != end; ++window) {
        const int8_t *x = window;
        int32_t sum = 0;
        for (int32_t i = rows; i > 0; --i, x += rest) {
            for (int32_t j = columns; j > 0; --j, x += channels) {
                sum += *x;
            }
        }
        *output++ = ofa_average(sum, &divisor, low, span);
    }
}

static OFA_NOINLINE void max_pixel(const ofa_pool_layer *layer, const int8_t *window, int32_t rows, int32_t columns,
                                   int8_t *output)
{
    const int32_t low = layer->clamp_min;
    const int32_t high = layer->clamp_max;
    const int32_t channels = layer->channels;
    const int32_t rest = (layer->input_width - columns) * channels;
    for (const int8_t *const end = window + channels; window != end; ++window) {
        const int8_t *x = window;
        int32_t largest = low;
        for (int32_t i = rows; i > 0; --i, x += rest) {
            for (int32_t j = columns; j > 0; --j, x += channels) {
                const int32_t above = *x - largest;
                largest += above & ~(above >> 31);
            }
        }
        largest -= high;
        *output++ = (int8_t)((largest & (largest >> 31)) + high);
    }
}

void ofa_average_pool(const ofa_pool_layer *layer, const int8_t *input, int8_t *output)
{
#define PIXEL(window, rows, columns) \
    average_pixel(layer, window, rows, columns, output); \
    output += layer->channels
    OFA_FOR_WINDOWS(layer, input, PIXEL);
#undef PIXEL
}

void ofa_max_pool(const ofa_pool_layer *layer, const int8_t *input, int8_t *output)
{
#define PIXEL(window, rows, columns) \
    max_pixel(layer, window, rows, columns, output); \
    output += layer->channels
    OFA_FOR_WINDOWS(layer, input, PIXEL);
#undef PIXEL
}
