/* What the kernels with weights share: where a kernel window meets the input, padding, and storing results.
 * Private to the library.
 */
#ifndef OFA_FILTER_H
#define OFA_FILTER_H

#include "ofa_kernels.h"

/* Keeps a hot loop in a function of its own, where it has all registers. */
#define OFA_NOINLINE __attribute__((noinline))

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

/* Requantizes acc[j] + bias[channel + j] and stores it to output[j], j < 4 and channel + j < channels. */
void ofa_store(const ofa_filter *filter, int32_t channel, int32_t channels, const int32_t acc[4], int8_t *output);

#endif
