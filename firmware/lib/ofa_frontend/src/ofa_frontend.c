#include "ofa_frontend.h"

#include "ofa_frontend_private.h"

#define SPECTRUM_SHIFT 2
#define MEL_BITS 12
#define MEL_SHIFT 9
#define LOG_FLOOR_BITS 14
#define LOG_BITS 8
#define LOG_CENTRE (32 << LOG_BITS)
#define OUTPUT_SHIFT 20

/* Power of bin k = 1 .. 127 of the real transform, from two bins of the complex one; below 2^50. */
static uint64_t power_of(const int32_t *real, const int32_t *imaginary, int32_t k)
{
    const ofa_turn turn = turn_at(ofa_frontend_split, k - 1);
    const int32_t a = real[k] >> 2, ai = imaginary[k] >> 2;
    const int32_t b = real[POINTS - k] >> 2, bi = imaginary[POINTS - k] >> 2;
    const int32_t right = (turned_real(ai + bi, b - a, turn) + ((a + b) >> 2)) >> SPECTRUM_SHIFT;
    const int32_t up = (turned_imaginary(ai + bi, b - a, turn) + ((ai - bi) >> 2)) >> SPECTRUM_SHIFT;
    return (uint64_t)((int64_t)right * right + (int64_t)up * up);
}

/* log2 of 2^14 <= energy < 2^54 in steps of 1/256, less LOG_CENTRE. */
static int16_t log_of(uint64_t energy)
{
    const uint32_t high = (uint32_t)(energy >> 32);
    const int32_t exponent = high ? 63 - __builtin_clz(high) : 31 - __builtin_clz((uint32_t)energy);
    const uint32_t mantissa = (uint32_t)((energy << 2) >> (exponent - 14)) & 0xffff;
    const uint32_t low = ofa_frontend_log2[mantissa >> 10], above = ofa_frontend_log2[(mantissa >> 10) + 1];
    const uint32_t fraction = low + (((above - low) * (mantissa & 0x3ff)) >> 10);
    return (int16_t)(exponent * (1 << LOG_BITS) + (int32_t)((fraction + 64) >> 7) - LOG_CENTRE);
}

/* Logarithms of the mel energies. A bin between the centres of two filters belongs to both, in shares that sum to one. */
static void mel_logs(const int32_t *real, const int32_t *imaginary, int16_t *logs)
{
    uint64_t rising_before = 0;
    int32_t k = 1;
    for (int32_t interval = 0; interval <= FILTERS; ++interval) {
        uint64_t all = 0, rising = 0;
        for (const int32_t end = ofa_frontend_ends[interval]; k < end; ++k) {
            const uint64_t power = power_of(real, imaginary, k);
            all += power;
            rising += power * ofa_frontend_rising[k - 1];
        }
        if (interval > 0) {
            const uint64_t energy = rising_before + (all << MEL_BITS) - rising;
            *logs++ = log_of((energy >> MEL_SHIFT) + (1u << LOG_FLOOR_BITS));
        }
        rising_before = rising;
    }
}

static int8_t code_of(const int16_t *cosines, const int16_t *logs, int32_t sum)
{
    for (int32_t i = 0; i < FILTERS; ++i) {
        sum += cosines[i] * logs[i];
    }
    sum = (sum >> OUTPUT_SHIFT) - 128;
    return (int8_t)(sum < -128 ? -128 : sum > 127 ? 127 : sum);
}

void ofa_frontend_begin(ofa_frontend *frontend, const int16_t *samples)
{
    if (samples) {
        memcpy(frontend->history, samples, sizeof frontend->history);
    } else {
        memset(frontend->history, 0, sizeof frontend->history);
    }
}

void ofa_frontend_push(ofa_frontend *frontend, const int16_t *samples, int32_t *scratch, int8_t *column)
{
    int16_t logs[FILTERS];
    ofa_frontend_transform(frontend->history, samples, scratch);
    memcpy(frontend->history, samples + OFA_FRONTEND_HOP - OFA_FRONTEND_OVERLAP, sizeof frontend->history);
    mel_logs(scratch, scratch + POINTS, logs);
    for (int32_t i = 0; i < OFA_FRONTEND_COEFFICIENTS; ++i) {
        column[i] = code_of(ofa_frontend_cosines + i * FILTERS, logs, ofa_frontend_offsets[i]);
    }
}

void ofa_frontend_append(int8_t *columns, int32_t count, const int8_t *column)
{
    const uint32_t kept = (uint32_t)(count - 1) * OFA_FRONTEND_COEFFICIENTS;
    memmove(columns, columns + OFA_FRONTEND_COEFFICIENTS, kept);
    memcpy(columns + kept, column, OFA_FRONTEND_COEFFICIENTS);
}
