/* Runs kernels on records from stdin, every buffer in an allocation of exactly its size, and writes outputs to stdout.
 *
 * A record, int32 in host order: kernel number; number of fields, the fields in the order of the descriptor; then
 * weights, bias, multiplier, shift, first input, second input, each as bytes and data; output bytes; where to put the
 * output (0 apart, 1 in the first input, 2 in the second). A kernel number below zero ends the program.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ofa_kernels.h"

enum { POINTWISE, CONV2D, DEPTHWISE, FULLY_CONNECTED, ADD, MEAN };

static int32_t f[24];
static int next_field;

static void get(void *data, size_t bytes)
{
    if (bytes && fread(data, 1, bytes, stdin) != bytes) {
        exit(3);
    }
}

static int32_t get_int(void)
{
    int32_t value;
    get(&value, sizeof value);
    return value;
}

static void *get_buffer(void)
{
    const int32_t bytes = get_int();
    void *data = malloc((size_t)bytes);
    get(data, (size_t)bytes);
    return data;
}

#define NEXT(type) ((type)f[next_field++])

int main(void)
{
    for (;;) {
        const int32_t kind = get_int();
        if (kind < 0) {
            return 0;
        }
        const int32_t count = get_int();
        get(f, (size_t)count * sizeof f[0]);
        next_field = 0;
        int8_t *weights = get_buffer();
        int32_t *bias = get_buffer();
        int32_t *multiplier = get_buffer();
        int8_t *shift = get_buffer();
        int8_t *first = get_buffer();
        int8_t *second = get_buffer();
        const int32_t bytes = get_int();
        const int32_t place = get_int();
        int8_t *output = place == 0 ? malloc((size_t)bytes) : place == 1 ? first : second;
        ofa_filter filter = {weights, bias, multiplier, shift, 0, 0, 0, 0};
        if (kind <= FULLY_CONNECTED) {
            filter.input_zero_point = NEXT(int8_t);
            filter.output_zero_point = NEXT(int8_t);
            filter.clamp_min = NEXT(int8_t);
            filter.clamp_max = NEXT(int8_t);
        }
        switch (kind) {
        case POINTWISE: {
            ofa_pointwise_layer layer = {.filter = filter};
            layer.pixels = NEXT(int32_t);
            layer.input_channels = NEXT(uint16_t);
            layer.output_channels = NEXT(uint16_t);
            ofa_pointwise(&layer, first, output);
            break;
        }
        case CONV2D: {
            ofa_conv2d_layer layer = {.filter = filter};
            layer.input_height = NEXT(uint16_t);
            layer.input_width = NEXT(uint16_t);
            layer.input_channels = NEXT(uint16_t);
            layer.output_height = NEXT(uint16_t);
            layer.output_width = NEXT(uint16_t);
            layer.output_channels = NEXT(uint16_t);
            layer.kernel_height = NEXT(uint8_t);
            layer.kernel_width = NEXT(uint8_t);
            layer.stride_height = NEXT(uint8_t);
            layer.stride_width = NEXT(uint8_t);
            layer.pad_top = NEXT(uint8_t);
            layer.pad_left = NEXT(uint8_t);
            ofa_conv2d(&layer, first, output);
            break;
        }
        case DEPTHWISE: {
            ofa_depthwise_layer layer = {.filter = filter};
            layer.input_height = NEXT(uint16_t);
            layer.input_width = NEXT(uint16_t);
            layer.output_height = NEXT(uint16_t);
            layer.output_width = NEXT(uint16_t);
            layer.channels = NEXT(uint16_t);
            layer.kernel_height = NEXT(uint8_t);
            layer.kernel_width = NEXT(uint8_t);
            layer.stride_height = NEXT(uint8_t);
            layer.stride_width = NEXT(uint8_t);
            layer.pad_top = NEXT(uint8_t);
            layer.pad_left = NEXT(uint8_t);
            ofa_depthwise(&layer, first, output);
            break;
        }
        case FULLY_CONNECTED: {
            ofa_fully_connected_layer layer = {.filter = filter};
            layer.inputs = NEXT(int32_t);
            layer.outputs = NEXT(int32_t);
            ofa_fully_connected(&layer, first, output);
            break;
        }
        case ADD: {
            ofa_add_layer layer;
            layer.count = NEXT(int32_t);
            layer.first_multiplier = NEXT(int32_t);
            layer.second_multiplier = NEXT(int32_t);
            layer.output_multiplier = NEXT(int32_t);
            layer.first_zero_point = NEXT(int8_t);
            layer.first_shift = NEXT(int8_t);
            layer.second_zero_point = NEXT(int8_t);
            layer.second_shift = NEXT(int8_t);
            layer.output_zero_point = NEXT(int8_t);
            layer.output_shift = NEXT(int8_t);
            layer.clamp_min = NEXT(int8_t);
            layer.clamp_max = NEXT(int8_t);
            ofa_add(&layer, first, second, output);
            break;
        }
        case MEAN: {
            ofa_mean_layer layer = {0};
            layer.pixels = NEXT(int32_t);
            layer.multiplier = NEXT(int32_t);
            layer.channels = NEXT(uint16_t);
            layer.shift = NEXT(int8_t);
            layer.input_zero_point = NEXT(int8_t);
            layer.output_zero_point = NEXT(int8_t);
            layer.rescale = NEXT(int8_t);
            ofa_mean(&layer, first, output);
            break;
        }
        default:
            return 4;
        }
        if (next_field != count) {
            return 5;
        }
        fwrite(output, 1, (size_t)bytes, stdout);
        fflush(stdout);
        if (place == 0) {
            free(output);
        }
        free(weights);
        free(bias);
        free(multiplier);
        free(shift);
        free(first);
        free(second);
    }
}
