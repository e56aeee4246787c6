#include "ofa_portable.h"
#include "ofa_requantize.h"
#include "ofa_thumb.h"

typedef int32_t high_multiply(int32_t x, int32_t multiplier);

static inline __attribute__((always_inline)) int8_t uniform(const int32_t *record, int32_t sum, int32_t shift,
                                                            high_multiply *high)
{
    return (int8_t)ofa_saturate((record[2] + high(sum + record[0], record[1])) >> shift);
}

/* What codes are limited to: the highest, and how far below zero the lowest and the whole range lie. */
typedef struct {
    int32_t minus_low, minus_span, top;
} limit;

static inline limit limits_of(const ofa_rounding *rounding)
{
    return (limit){-rounding->clamp_min, rounding->clamp_min - rounding->clamp_max, rounding->clamp_max};
}

static inline int32_t limited(int32_t code, limit to)
{
    code = ofa_add_held(code, to.minus_low);
    code &= ~(code >> 31);
    code = ofa_add_held(code, to.minus_span);
    code &= code >> 31;
    return ofa_add_held(code, to.top);
}

static inline __attribute__((always_inline)) int8_t channel(const int32_t *record, int32_t sum, limit limits,
                                                            high_multiply *high)
{
    const int32_t biased = sum + record[0], last = record[3];
    const int32_t offset = record[2] - ((biased >> 31) & (last >> 8));
    return (int8_t)limited((offset + high(biased, record[1])) >> (last & 0xff), limits);
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
    const limit limits = limits_of(rounding);
    do {
        *output++ = channel(record, *sums++, limits, ofa_high);
        record += 4;
    } while (--count);
}

void ofa_spread_channels(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                         int32_t step, int32_t count)
{
    const limit limits = limits_of(rounding);
    const int32_t constants[4] = {record[0], record[1], record[2], record[3]};
    do {
        *output = channel(constants, *sums++, limits, ofa_high);
        output += step;
    } while (--count);
}

#if OFA_NO_LONG_MULTIPLY

void ofa_store_uniform_short(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                             int32_t count)
{
    const int32_t shift = rounding->shift;
    const int32_t *const end = sums + count;
    do {
        *output++ = uniform(record, *sums++, shift, ofa_high_short);
        record += 3;
    } while (sums != end);
}

void ofa_store_channels_short(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                              int32_t count)
{
    const limit limits = limits_of(rounding);
    const int32_t *const end = sums + count;
    do {
        *output++ = channel(record, *sums++, limits, ofa_high_short);
        record += 4;
    } while (sums != end);
}

void ofa_spread_uniform_short(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                              int32_t step, int32_t count)
{
    const int32_t shift = rounding->shift, bias = record[0], offset = record[2];
    const ofa_pieces multiplier = ofa_pieces_of(record[1]);
    const int32_t *const end = sums + count;
    do {
        const int32_t high = ofa_high_pieces(ofa_add_held(*sums++, bias), multiplier);
        *output = (int8_t)ofa_saturate(ofa_add_held(high, offset) >> shift);
        output = ofa_step_held(output, step);
    } while (sums != end);
}

void ofa_spread_channels_short(const ofa_rounding *rounding, const int32_t *record, const int32_t *sums, int8_t *output,
                               int32_t step, int32_t count)
{
    const limit limits = limits_of(rounding);
    const int32_t shift = record[3] & 0xff, dead_zone = record[3] >> 8, bias = record[0], offset = record[2];
    const ofa_pieces multiplier = ofa_pieces_of(record[1]);
    const int32_t *const end = sums + count;
    do {
        const int32_t biased = ofa_add_held(*sums++, bias);
        const int32_t high = ofa_high_pieces(biased, multiplier) - ((biased >> 31) & dead_zone);
        *output = (int8_t)limited(ofa_add_held(high, offset) >> shift, limits);
        output = ofa_step_held(output, step);
    } while (sums != end);
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
