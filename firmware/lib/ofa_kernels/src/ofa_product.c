#include "ofa_dot.h"
#include "ofa_gather.h"
#include "ofa_rows.h"

static int32_t sum_of(const int8_t *x, int32_t taps)
{
    int32_t sum = 0;
    do {
        sum += *x++;
    } while (--taps);
    return sum;
}

void ofa_product(const ofa_product_layer *layer, const int8_t *input, int8_t *output)
{
    const ofa_rounding *rounding = &layer->rounding;
    const int32_t taps = layer->taps;
    for (int32_t rows = layer->rows; rows > 0; --rows) {
        const int32_t start = ofa_start(sum_of(input, taps));
        const uint8_t *weights = layer->weights;
        const int32_t *record = rounding->records;
        for (int32_t channels = layer->outputs; channels > 0; channels -= OFA_ROW_CHANNELS) {
            int32_t sums[OFA_ROW_CHANNELS];
            const int32_t count = channels < OFA_ROW_CHANNELS ? channels : OFA_ROW_CHANNELS;
            for (int32_t channel = 0; channel < count; channel += 4) {
                ofa_dot4_raw(sums + channel, input, weights, taps, start);
                weights += 4 * taps;
            }
            rounding->store(rounding, record, sums, output, count);
            record += OFA_ROW_CHANNELS * rounding->words;
            output += count;
        }
        input += taps;
    }
}

void ofa_product_copied(const ofa_product_layer *layer, const int8_t *input, int8_t *output, uint8_t *scratch,
                        int backward)
{
    const int32_t taps = layer->taps;
    int32_t rows = layer->rows, input_step = taps, output_step = layer->outputs;
    if (backward) {
        input += (rows - 1) * input_step;
        output += (rows - 1) * output_step;
        input_step = -input_step;
        output_step = -output_step;
    }
    for (; rows > 0; --rows) {
        const int32_t sum = ofa_gather(scratch, input, taps);
        ofa_row(&layer->rounding, layer->weights, layer->outputs, scratch, taps, sum, output);
        input += input_step;
        output += output_step;
    }
}

void ofa_product_pairs(const ofa_product_layer *layer, const int8_t *input, int8_t *output, uint8_t *scratch,
                       int backward)
{
    const int32_t taps = layer->taps;
    int32_t rows = layer->rows, input_step = 2 * taps, output_step = 2 * layer->outputs;
    if (backward) {
        input += (rows - 2) * taps;
        output += (rows - 2) * layer->outputs;
        input_step = -input_step;
        output_step = -output_step;
    }
    for (; rows > 1; rows -= 2) {
        int32_t sums[2];
        sums[0] = ofa_gather_alternate(scratch, input, taps);
        sums[1] = ofa_gather_alternate(scratch + 1, input + taps, taps);
        ofa_row_pair(&layer->rounding, layer->weights, layer->outputs, scratch, taps, sums, output);
        input += input_step;
        output += output_step;
    }
    if (rows > 0) {
        if (backward) {
            input += taps;
            output += layer->outputs;
        }
        const int32_t sum = ofa_gather(scratch, input, taps);
        ofa_row(&layer->rounding, layer->weights, layer->outputs, scratch, taps, sum, output);
    }
}
