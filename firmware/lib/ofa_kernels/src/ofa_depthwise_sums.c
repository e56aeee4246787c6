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

/* Element i of a row of the window at four places. */
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

#define OFA_ROW_7(stride)                                                                                              \
    do {                                                                                                               \
        OFA_ROW_5(stride);                                                                                             \
        OFA_TAP(5, stride);                                                                                            \
        OFA_TAP(6, stride);                                                                                            \
    } while (0)

/* Defines a function whose windows are `width` elements wide. */
#define OFA_WIDE_SUMS(width, stride)                                                                                   \
    void ofa_depthwise_##width##_##stride(const ofa_sliding *window, const uint8_t *x, const int32_t *rows,            \
                                          const int8_t *weights, int32_t *sums, int32_t groups)                        \
    {                                                                                                                  \
        const int32_t *const end = rows + window->kernel_height;                                                       \
        for (; groups > 0; --groups) {                                                                                 \
            const int8_t *weight = weights;                                                                            \
            int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;                                                            \
            for (const int32_t *row = rows; row != end; ++row) {                                                       \
                const uint8_t *const at = x + *row;                                                                    \
                OFA_ROW_##width(stride);                                                                               \
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

OFA_WIDE_SUMS(5, 1)
OFA_WIDE_SUMS(5, 2)
OFA_WIDE_SUMS(7, 1)
OFA_WIDE_SUMS(7, 2)

/* Defines a function for windows of 3 x 3 elements. */
#define OFA_SQUARE_SUMS(stride)                                                                                        \
    void ofa_depthwise_3x3_##stride(const ofa_sliding *window, const uint8_t *x, const int32_t *rows,                  \
                                    const int8_t *weights, int32_t *sums, int32_t groups)                              \
    {                                                                                                                  \
        (void)window;                                                                                                  \
        for (; groups > 0; --groups) {                                                                                 \
            const int8_t *weight = weights;                                                                            \
            const uint8_t *at = x + rows[0];                                                                           \
            int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;                                                            \
            OFA_ROW_3(stride);                                                                                         \
            weight += 3;                                                                                               \
            at = x + rows[1];                                                                                          \
            OFA_ROW_3(stride);                                                                                         \
            weight += 3;                                                                                               \
            at = x + rows[2];                                                                                          \
            OFA_ROW_3(stride);                                                                                         \
            sums[0] = sum0;                                                                                            \
            sums[1] = sum1;                                                                                            \
            sums[2] = sum2;                                                                                            \
            sums[3] = sum3;                                                                                            \
            sums += 4;                                                                                                 \
            x += 4 * (stride);                                                                                         \
        }                                                                                                              \
    }

OFA_SQUARE_SUMS(1)
OFA_SQUARE_SUMS(2)
