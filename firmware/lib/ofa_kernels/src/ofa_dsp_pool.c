#include "ofa_dsp.h"
#include "ofa_requantize.h"
#include "ofa_window.h"

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* sum + bytes 0 and 2 (1 and 3) of a, sign extended, by halfwords; the larger of four signed bytes each */
#define SXTAB16(sum, a) __asm__ volatile("sxtab16 %0, %0, %1" : "+r"(sum) : "r"(a))
#define SXTAB16_ROR8(sum, a) __asm__ volatile("sxtab16 %0, %0, %1, ror #8" : "+r"(sum) : "r"(a))
#define SMAX8(to, a) \
    do { \
        uint32_t difference; \
        __asm__ volatile("ssub8 %0, %2, %1\n\tsel %1, %2, %1" : "=&r"(difference), "+r"(to) : "r"(a)); \
    } while (0)

#else

static inline uint32_t sxtab16(uint32_t sum, uint32_t a)
{
    return ((sum + a) & 0xffffu) | ((sum & 0xffff0000u) + (a & 0xffff0000u));
}
static inline uint32_t smax8(uint32_t a, uint32_t b)
{
    uint32_t result = 0;
    for (int shift = 0; shift < 32; shift += 8) {
        const int8_t x = (int8_t)(uint8_t)(a >> shift), y = (int8_t)(uint8_t)(b >> shift);
        result |= (uint32_t)(uint8_t)(x > y ? x : y) << shift;
    }
    return result;
}
#define SXTAB16(sum, a) ((sum) = sxtab16(sum, ofa_sxtb16(a)))
#define SXTAB16_ROR8(sum, a) ((sum) = sxtab16(sum, ofa_sxtb16((a) >> 8 | (a) << 24)))
#define SMAX8(to, a) ((to) = smax8(to, a))

#endif

#define WORD(place) (*(const ofa_loose_word *)(const void *)(place))

/* Sums of up to 255 codes each, by halfwords: channels 0 and 2, channels 1 and 3. */
typedef struct {
    uint32_t even, odd;
} quad;

static OFA_INLINE quad add_row(quad sum, const int8_t *x, int32_t pixels, int32_t step)
{
    for (; pixels >= 2; pixels -= 2, x += 2 * step) {
        const uint32_t a = WORD(x), b = WORD(x + step);
        SXTAB16(sum.even, a);
        SXTAB16_ROR8(sum.odd, a);
        SXTAB16(sum.even, b);
        SXTAB16_ROR8(sum.odd, b);
    }
    if (pixels) {
        const uint32_t a = WORD(x);
        SXTAB16(sum.even, a);
        SXTAB16_ROR8(sum.odd, a);
    }
    return sum;
}

static OFA_INLINE int32_t low_half(uint32_t a)
{
    return (int16_t)(uint16_t)a;
}

static OFA_INLINE int32_t high_half(uint32_t a)
{
    return (int32_t)a >> 16;
}

static OFA_INLINE void flush(int32_t sums[4], quad *sum)
{
    sums[0] += low_half(sum->even);
    sums[1] += low_half(sum->odd);
    sums[2] += high_half(sum->even);
    sums[3] += high_half(sum->odd);
    sum->even = 0;
    sum->odd = 0;
}

/* Four channels summed over rows of up to 255 pixels each. */
static OFA_INLINE void sum_window(int32_t sums[4], const int8_t *x, int32_t rows, int32_t columns, int32_t row_bytes,
                                  int32_t channels)
{
    quad sum = {0, 0};
    int32_t room = 255;
    sums[0] = sums[1] = sums[2] = sums[3] = 0;
    for (; rows > 0; --rows, x += row_bytes) {
        if (room < columns) {
            flush(sums, &sum);
            room = 255;
        }
        room -= columns;
        sum = add_row(sum, x, columns, channels);
    }
    flush(sums, &sum);
}

static OFA_NOINLINE void average_pixel(const ofa_pool_layer *layer, const int8_t *window, int32_t rows,
                                       int32_t columns, int8_t *output)
{
    const ofa_divisor divisor = ofa_divisor_of(rows * columns);
    const int32_t low = layer->clamp_min;
    const int32_t span = layer->clamp_max - low;
    const int32_t channels = layer->channels;
    const int32_t row_bytes = layer->input_width * channels;
    for (const int8_t *const end = window + channels; window != end; window += 4, output += 4) {
        int32_t sums[4];
        sum_window(sums, window, rows, columns, row_bytes, channels);
        output[0] = ofa_average(sums[0], &divisor, low, span);
        output[1] = ofa_average(sums[1], &divisor, low, span);
        output[2] = ofa_average(sums[2], &divisor, low, span);
        output[3] = ofa_average(sums[3], &divisor, low, span);
    }
}

static OFA_NOINLINE void max_pixel(const ofa_pool_layer *layer, const int8_t *window, int32_t rows, int32_t columns,
                                   int8_t *output)
{
    const int32_t channels = layer->channels;
    const int32_t rest = (layer->input_width - columns) * channels;
    const uint32_t low = (uint8_t)layer->clamp_min * 0x01010101u;
    /* The smaller of two codes is the complement of the larger of their complements. */
    const uint32_t not_high = (uint8_t)~(uint8_t)layer->clamp_max * 0x01010101u;
    for (const int8_t *const end = window + channels; window != end; window += 4, output += 4) {
        const int8_t *x = window;
        uint32_t largest = low;
        for (int32_t i = rows; i > 0; --i, x += rest) {
            for (int32_t j = columns; j > 0; --j, x += channels) {
                const uint32_t codes = WORD(x);
                SMAX8(largest, codes);
            }
        }
        uint32_t complement = ~largest;
        SMAX8(complement, not_high);
        *(ofa_loose_word *)(void *)output = ~complement;
    }
}

void ofa_dsp_average_pool(const ofa_pool_layer *layer, const int8_t *input, int8_t *output)
{
#define PIXEL(window, rows, columns) \
    average_pixel(layer, window, rows, columns, output); \
    output += layer->channels
    OFA_FOR_WINDOWS(layer, input, PIXEL);
#undef PIXEL
}

void ofa_dsp_max_pool(const ofa_pool_layer *layer, const int8_t *input, int8_t *output)
{
#define PIXEL(window, rows, columns) \
    max_pixel(layer, window, rows, columns, output); \
    output += layer->channels
    OFA_FOR_WINDOWS(layer, input, PIXEL);
#undef PIXEL
}

void ofa_dsp_mean(const ofa_mean_layer *layer, const int8_t *input, int8_t *output)
{
    const int32_t channels = layer->channels;
    const int32_t base = -layer->pixels * layer->input_zero_point;
    const int32_t offset = layer->output_zero_point - INT8_MIN;
    for (const int8_t *const end = input + channels; input != end; input += 4) {
        int32_t sums[4] = {0, 0, 0, 0};
        const int8_t *x = input;
        for (int32_t left = layer->pixels; left > 0; left -= 255, x += 255 * channels) {
            quad sum = {0, 0};
            sum = add_row(sum, x, left < 255 ? left : 255, channels);
            flush(sums, &sum);
        }
        for (int32_t i = 0; i < 4; ++i) {
            const int32_t value = ofa_scale(sums[i] + base, layer->multiplier, layer->shift);
            *output++ = (int8_t)ofa_clamp(value, offset, INT8_MIN, UINT8_MAX);
        }
    }
}
