#include "ofa_rows.h"

#include "ofa_dot.h"

void ofa_row(const ofa_rounding *rounding, const uint8_t *weights, int32_t channels, const uint8_t *x, int32_t taps,
             int32_t sum, int8_t *output)
{
    const int32_t start = ofa_start(sum);
    const int32_t *record = rounding->records;
    for (; channels > 0; channels -= OFA_ROW_CHANNELS) {
        int32_t sums[OFA_ROW_CHANNELS];
        const int32_t count = channels < OFA_ROW_CHANNELS ? channels : OFA_ROW_CHANNELS;
        for (int32_t channel = 0; channel < count; channel += 4) {
            ofa_dot4(sums + channel, x, weights, taps, start);
            weights += 4 * taps;
        }
        rounding->store(rounding, record, sums, output, count);
        record += OFA_ROW_CHANNELS * rounding->words;
        output += OFA_ROW_CHANNELS;
    }
}

void ofa_row_pair(const ofa_rounding *rounding, const uint8_t *weights, int32_t channels, const uint8_t *x,
                  int32_t taps, const int32_t sums[2], int8_t *output)
{
    const int32_t starts[2] = {ofa_start(sums[0]), ofa_start(sums[1])};
    const int32_t *record = rounding->records;
    const int32_t row = channels;
    for (; channels > 0; channels -= OFA_PAIR_CHANNELS) {
        int32_t results[2 * OFA_PAIR_CHANNELS];
        const int32_t count = channels < OFA_PAIR_CHANNELS ? channels : OFA_PAIR_CHANNELS;
        for (int32_t channel = 0; channel < count; channel += 4) {
            ofa_dot4_pair(results + channel, x, weights, taps, starts);
            weights += 4 * taps;
        }
        rounding->store(rounding, record, results, output, count);
        rounding->store(rounding, record, results + OFA_PAIR_CHANNELS, output + row, count);
        record += OFA_PAIR_CHANNELS * rounding->words;
        output += OFA_PAIR_CHANNELS;
    }
}
