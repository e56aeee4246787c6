/* Pooling windows and averages. Private to the library. */
#ifndef OFA_WINDOW_H
#define OFA_WINDOW_H

#include "ofa_filter.h"
#include "ofa_operators.h"

/* Calls PIXEL(first element, rows, columns) for every output pixel. */
#define OFA_FOR_WINDOWS(layer, input, PIXEL) \
    do { \
        const int32_t channels_ = (layer)->channels; \
        const int32_t row_bytes_ = (layer)->input_width * channels_; \
        int32_t top_ = -(layer)->pad_top; \
        for (int32_t y_ = (layer)->output_height; y_ > 0; --y_, top_ += (layer)->stride_height) { \
            const ofa_span rows_ = ofa_clip(top_, (layer)->kernel_height, (layer)->input_height); \
            const int8_t *const line_ = (input) + (top_ + rows_.first) * row_bytes_; \
            int32_t left_ = -(layer)->pad_left; \
            for (int32_t x_ = (layer)->output_width; x_ > 0; --x_, left_ += (layer)->stride_width) { \
                const ofa_span columns_ = ofa_clip(left_, (layer)->kernel_width, (layer)->input_width); \
                PIXEL(line_ + (left_ + columns_.first) * channels_, rows_.last - rows_.first, \
                      columns_.last - columns_.first); \
            } \
        } \
    } while (0)

/* Averages of `count` codes, by a reciprocal where that is exact: with v = |sum| + count / 2 < 129 * count and
 * r = ceil(2^24 / count), v * r < 2^32 and floor(v * r / 2^24) = floor(v / count), since v * (count - 1) < 2^24.
 */
typedef struct {
    uint32_t count;
    uint32_t half;
    uint32_t reciprocal; /* 0: divide */
} ofa_divisor;

#define OFA_LARGEST_RECIPROCAL 255

static inline ofa_divisor ofa_divisor_of(int32_t count)
{
    const uint32_t n = (uint32_t)count;
    const ofa_divisor result = {n, n / 2, n <= OFA_LARGEST_RECIPROCAL ? ((1u << 24) + n - 1) / n : 0};
    return result;
}

/* sum / count, rounded half away from zero, in low .. low + span */
static inline int8_t ofa_average(int32_t sum, const ofa_divisor *d, int32_t low, int32_t span)
{
    const int32_t sign = sum >> 31;
    const uint32_t value = (uint32_t)((sum ^ sign) - sign) + d->half;
    const uint32_t magnitude = d->reciprocal ? (value * d->reciprocal) >> 24 : value / d->count;
    int32_t above = ((int32_t)magnitude ^ sign) - sign - low;
    above &= ~(above >> 31);
    above -= span;
    return (int8_t)((above & (above >> 31)) + span + low);
}

#endif
