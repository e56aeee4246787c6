#include "ofa_portable.h"
#include "ofa_requantize.h"

void ofa_store_uniform(const ofa_rounding *rounding, const int32_t *record, int32_t record_step, const int32_t *sums,
                       int8_t *output, int32_t output_step, int32_t count)
{
    const int32_t shift = rounding->shift;
    do {
        const int32_t sum = *sums++ + record[0];
        *output = (int8_t)ofa_saturate((record[2] + ofa_high(sum, record[1])) >> shift);
        record += record_step;
        output += output_step;
    } while (--count);
}

void ofa_store_channels(const ofa_rounding *rounding, const int32_t *record, int32_t record_step, const int32_t *sums,
                        int8_t *output, int32_t output_step, int32_t count)
{
    const int32_t low = rounding->clamp_min;
    const int32_t span = rounding->clamp_max - low;
    do {
        const int32_t sum = *sums++ + record[0];
        const int32_t last = record[3];
        const int32_t scaled = record[2] - ((sum >> 31) & (last >> 8)) + ofa_high(sum, record[1]);
        *output = (int8_t)ofa_clamp(scaled >> (last & 0xff), -low, low, span);
        record += record_step;
        output += output_step;
    } while (--count);
}

void ofa_store_general(const ofa_rounding *rounding, const int32_t *record, int32_t record_step, const int32_t *sums,
                       int8_t *output, int32_t output_step, int32_t count)
{
    const int32_t low = rounding->clamp_min;
    const int32_t offset = rounding->zero_point - low;
    const int32_t span = rounding->clamp_max - low;
    do {
        const int32_t value = ofa_scale(*sums++ + record[0], record[1], record[2]);
        *output = (int8_t)ofa_clamp(value, offset, low, span);
        record += record_step;
        output += output_step;
    } while (--count);
}
