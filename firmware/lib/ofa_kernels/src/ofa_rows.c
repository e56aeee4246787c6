#include "ofa_rows.h"

#include "ofa_dot.h"

void ofa_row(const ofa_rounding *rounding, const uint8_t *weights, int32_t channels, const uint8_t *x, int32_t taps,
             int32_t sum, int8_t *output)
{
    const int32_t words = rounding->words;
    const int32_t start = ofa_start(sum);
    const int32_t *record = rounding->records;
    while (channels > 0) {
        int32_t sums[4];
        const int32_t count = channels < 4 ? channels : 4;
        ofa_dot4(sums, x, weights, taps, start);
        rounding->store(rounding, record, words, sums, output, 1, count);
        weights += 4 * taps;
        record += 4 * words;
        output += 4;
        channels -= 4;
    }
}

void ofa_row_pair(const ofa_rounding *rounding, const uint8_t *weights, int32_t channels, const uint8_t *x,
                  int32_t taps, const int32_t sums[2], int8_t *output)
{
    const int32_t words = rounding->words;
    const int32_t starts[2] = {ofa_start(sums[0]), ofa_start(sums[1])};
    const int32_t *record = rounding->records;
    const int32_t row = channels;
    while (channels > 0) {
        int32_t results[8];
        const int32_t count = channels < 4 ? channels : 4;
        ofa_dot4_pair(results, x, weights, taps, starts);
        rounding->store(rounding, record, words, results, output, 1, count);
        rounding->store(rounding, record, words, results + 4, output + row, 1, count);
        weights += 4 * taps;
        record += 4 * words;
        output += 4;
        channels -= 4;
    }
}
