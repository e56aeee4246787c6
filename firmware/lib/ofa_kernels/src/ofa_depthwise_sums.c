#include "ofa_portable.h"

void ofa_depthwise_any(const ofa_sliding *window, const uint8_t *x, const int32_t *rows, const int8_t *weights,
                       int32_t *sums, int32_t groups)
{
    const int32_t stride = window->stride_width, dilation = window->dilation_width;
    for (; groups > 0; --groups) {
        const int32_t *row = rows;
        const int8_t *weight = weights;
        int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
        for (int32_t height = window->kernel_height; height > 0; --height) {
            const uint8_t *at = x + *row++;
            for (int32_t width = window->kernel_width; width > 0; --width) {
                const int32_t value = *weight++;
                const uint8_t *code = at;
                sum0 += value * *code;
                code += stride;
                sum1 += value * *code;
                code += stride;
                sum2 += value * *code;
                code += stride;
                sum3 += value * *code;
                at += dilation;
            }
        }
        sums[0] = sum0;
        sums[1] = sum1;
        sums[2] = sum2;
        sums[3] = sum3;
        sums += 4;
        x += 4 * stride;
    }
}

/* Defines the function `name` for windows whose row of taps is `ROW`, which uses OFA_TAP(i, stride). */
#define OFA_DEPTHWISE_SUMS(name, width, stride, ROW)                                                                   \
    void name(const ofa_sliding *window, const uint8_t *x, const int32_t *rows, const int8_t *weights, int32_t *sums,   \
              int32_t groups)                                                                                          \
    {                                                                                                                  \
        const int32_t height = window->kernel_height;                                                                  \
        for (; groups > 0; --groups) {                                                                                 \
            const int8_t *weight = weights;                                                                            \
            int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;                                                            \
            for (int32_t row = 0; row < height; ++row) {                                                               \
                const uint8_t *at = x + rows[row];                                                                     \
                ROW(stride);                                                                                           \
                weight += (width);                                                                                     \
            }                                                                                                          \
            sums[0] = sum0;                                                                                            \
            sums[1] = sum1;                                                                                            \
            sums[2] = sum2;                                                                                            \
            sums[3] = sum3;                                                                                            \
            sums += 4;                                                                                                 \
            x += 4 * (stride);                                                                                         \
        }                                                                                                              \
    }

/* Element i of the window at four places. */
#define OFA_TAP(i, stride)                                                                                             \
    do {                                                                                                               \
        const int32_t value = weight[(i)];                                                                             \
        sum0 += value * at[(i)];                                                                                       \
        sum1 += value * at[(i) + (stride)];                                                                            \
        sum2 += value * at[(i) + 2 * (stride)];                                                                        \
        sum3 += value * at[(i) + 3 * (stride)];                                                                        \
    } while (0)

#define OFA_ROW_3(stride)                                                                                              \
    do {                                                                                                               \
        OFA_TAP(0, stride);                                                                                            \
        OFA_TAP(1, stride);                                                                                            \
        OFA_TAP(2, stride);                                                                                            \
    } while (0)

#define OFA_ROW_5(stride)                                                                                              \
    do {                                                                                                               \
        OFA_ROW_3(stride);                                                                                             \
        OFA_TAP(3, stride);                                                                                            \
        OFA_TAP(4, stride);                                                                                            \
    } while (0)

OFA_DEPTHWISE_SUMS(ofa_depthwise_3_1, 3, 1, OFA_ROW_3)
OFA_DEPTHWISE_SUMS(ofa_depthwise_3_2, 3, 2, OFA_ROW_3)
OFA_DEPTHWISE_SUMS(ofa_depthwise_5_1, 5, 1, OFA_ROW_5)
