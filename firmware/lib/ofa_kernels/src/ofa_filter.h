/* What the kernels with weights share: where a kernel window meets the input, padding, and storing results.
 * Private to the library.
 */
#ifndef OFA_FILTER_H
#define OFA_FILTER_H

#include "ofa_kernels.h"
#include "ofa_requantize.h"

/* Keeps a hot loop in a function of its own, where it has all registers. */
#define OFA_NOINLINE __attribute__((noinline))
/* For what is small, or shrinks where it is used. */
#define OFA_INLINE inline __attribute__((always_inline))

/* The part first .. last - 1 of a kernel's extent that lies inside the input, 0 <= first < last <= extent. */
typedef struct {
    int32_t first;
    int32_t last;
} ofa_span;

/* One position of a kernel of height x width elements over the input. */
typedef struct {
    ofa_span rows;
    ofa_span columns;
    int32_t height;
    int32_t width;
    int32_t depth; /* taps of a kernel element */
} ofa_window;

/* Span of a kernel of `extent` elements whose element 0 lies on input index `start` (negative: in the padding). */
static inline ofa_span ofa_clip(int32_t start, int32_t extent, int32_t input)
{
    ofa_span span = {0, extent};
    if (start < 0) {
        span.first = -start;
    }
    if (start + extent > input) {
        span.last = input - start;
    }
    return span;
}

/* Whether no part of the window lies in the padding. */
static inline int ofa_is_inside(const ofa_window *window)
{
    return window->rows.last - window->rows.first == window->height &&
           window->columns.last - window->columns.first == window->width;
}

/* Adds to acc[0 .. 3] what the taps outside the input contribute: the input zero point times their weights.
 * `weights` is the first tap of the block of four channels.
 */
void ofa_add_padding(int32_t acc[4], const ofa_window *window, const int8_t *weights, int32_t zero_point);

/* What a filter needs to turn accumulators into codes, copied from its descriptor once per call. */
typedef struct {
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t low;    /* clamp_min */
    int32_t offset; /* output_zero_point - clamp_min */
    int32_t span;   /* clamp_max - clamp_min */
} ofa_requantizer;

static inline ofa_requantizer ofa_requantizer_of(const ofa_filter *filter)
{
    const int32_t low = filter->clamp_min;
    const ofa_requantizer result = {
        filter->bias, filter->multiplier, filter->shift, low, filter->output_zero_point - low, filter->clamp_max - low,
    };
    return result;
}

/* Requantizes acc[j] + bias[channel + j] and stores it to output[channel + j], j < 4 and channel + j < channels. */
static OFA_INLINE void ofa_store(const ofa_requantizer *r, int32_t channel, int32_t channels, const int32_t acc[4],
                                 int8_t *output)
{
    const int32_t end = channel + 4 < channels ? channel + 4 : channels;
    for (; channel < end; ++channel) {
        const int32_t value = ofa_scale(*acc++ + r->bias[channel], r->multiplier[channel], r->shift[channel]);
        output[channel] = (int8_t)ofa_clamp(value, r->offset, r->low, r->span);
    }
}

#endif
