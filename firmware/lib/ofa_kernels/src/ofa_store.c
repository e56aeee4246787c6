#include "ofa_portable.h"
#include "ofa_requantize.h"

typedef int32_t high_multiply(int32_t x, int32_t multiplier);

static inline __attribute__((always_inline)) int8_t uniform(const int32_t *record, int32_t sum, int32_t shift,
                                                            high_multiply *high)
{
    return (int8_t)ofa_saturate((record[2] + high(sum + record[0], record[1])) >> shift);
}

static inline __attribute__((always_inline)) int8_t channel(const int32_t *record, int32_t sum, int32_t low,
                                                            int32_t span, high_multiply *high)
{
    const int32_t biased = sum + record[0], last = record[3];
    const int32_t offset = record[2] - ((biased >> 31) & (last >> 8));
    return (int8_t)ofa_clamp((offset + high(biased, record[1])) >> (last & 0xff), -low, low, span);
}

static inline __attribute__((always_inline)) int8_t general(const int32_t *record, int32_t sum, int32_t offset,
                                                            int32_t low, int32_t span)
{
    return (int8_t)ofa_clamp(ofa_scale(sum + record[0], record[1], record[2]), offset, low, span);
}

void ofa_store_uniform(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                       int32_t count)
{
    const int32_t shift = rounding->shift;
    do {
        *output++ = uniform(record, *sums++, shift, ofa_high);
        record += 3;
    } while (--count);
}

void ofa_spread_uniform(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                        int32_t step, int32_t count)
{
    const int32_t shift = rounding->shift;
    const int32_t constants[3] = {record[0], record[1], record[2]};
    do {
        *output = uniform(constants, *sums++, shift, ofa_high);
        output += step;
    } while (--count);
}

void ofa_store_channels(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                        int32_t count)
{
    const int32_t low = rounding->clamp_min;
    const int32_t span = rounding->clamp_max - low;
    do {
        *output++ = channel(record, *sums++, low, span, ofa_high);
        record += 4;
    } while (--count);
}

void ofa_spread_channels(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                         int32_t step, int32_t count)
{
    const int32_t low = rounding->clamp_min;
    const int32_t span = rounding->clamp_max - low;
    const int32_t constants[4] = {record[0], record[1], record[2], record[3]};
    do {
        *output = channel(constants, *sums++, low, span, ofa_high);
        output += step;
    } while (--count);
}

#if OFA_NO_LONG_MULTIPLY

void ofa_store_uniform_short(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                             int32_t count)
{
    const int32_t shift = rounding->shift;
    do {
        *output++ = uniform(record, *sums++, shift, ofa_high_short);
        record += 3;
    } while (--count);
}

void ofa_spread_uniform_short(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                              int32_t step, int32_t count)
{
    const int32_t shift = rounding->shift;
    const int32_t constants[3] = {record[0], record[1], record[2]};
    do {
        *output = uniform(constants, *sums++, shift, ofa_high_short);
        output += step;
    } while (--count);
}

void ofa_store_channels_short(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                              int32_t count)
{
    const int32_t low = rounding->clamp_min;
    const int32_t span = rounding->clamp_max - low;
    do {
        *output++ = channel(record, *sums++, low, span, ofa_high_short);
        record += 4;
    } while (--count);
}

void ofa_spread_channels_short(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                               int32_t step, int32_t count)
{
    const int32_t low = rounding->clamp_min;
    const int32_t span = rounding->clamp_max - low;
    const int32_t constants[4] = {record[0], record[1], record[2], record[3]};
    do {
        *output = channel(constants, *sums++, low, span, ofa_high_short);
        output += step;
    } while (--count);
}

#endif

void ofa_store_general(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                       int32_t count)
{
    const int32_t low = rounding->clamp_min;
    const int32_t span = rounding->clamp_max - low;
    const int32_t offset = rounding->zero_point - low;
    do {
        *output++ = general(record, *sums++, offset, low, span);
        record += 3;
    } while (--count);
}

void ofa_spread_general(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                        int32_t step, int32_t count)
{
    const int32_t low = rounding->clamp_min;
    const int32_t span = rounding->clamp_max - low;
    const int32_t offset = rounding->zero_point - low;
    const int32_t constants[3] = {record[0], record[1], record[2]};
    do {
        *output = general(constants, *sums++, offset, low, span);
        output += step;
    } while (--count);
}
