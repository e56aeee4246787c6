#include "ofa_filter.h"

void ofa_add_padding(int32_t acc[4], const ofa_window *window, const int8_t *weights, int32_t zero_point)
{
    const int32_t row = window->width * window->depth;
    const int32_t inside = (window->columns.last - window->columns.first) * window->depth;
    int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    /* Runs of taps outside, in memory order: the rows above and what is left of the first row inside; what lies
     * between the insides of two rows; what is right of the last row inside and the rows below.
     */
    int32_t taps = window->rows.first * row + window->columns.first * window->depth;
    for (int32_t y = window->rows.first; y <= window->rows.last; ++y) {
        for (; taps > 0; --taps) {
            sum0 += weights[0];
            sum1 += weights[1];
            sum2 += weights[2];
            sum3 += weights[3];
            weights += 4;
        }
        weights += 4 * inside;
        taps = row - inside;
        if (y + 1 == window->rows.last) {
            taps = (window->height - y) * row - window->columns.last * window->depth;
        }
    }
    acc[0] += zero_point * sum0;
    acc[1] += zero_point * sum1;
    acc[2] += zero_point * sum2;
    acc[3] += zero_point * sum3;
}
