#include "ofa_portable.h"
#include "ofa_thumb.h"

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

/* A row of windows at four places, from `at` on, with the weights from number k on. */
#if OFA_THUMB_1
#define OFA_ROW_3(at, k, stride)                                                                                       \
    OFA_THUMB_ROW(at, OFA_THUMB_TAP(k, 0, stride) OFA_THUMB_TAP(k + 1, 1, stride) OFA_THUMB_TAP(k + 2, 2, stride))
#define OFA_ROW_5(at, k, stride)                                                                                       \
    OFA_THUMB_ROW(at, OFA_THUMB_TAP(k, 0, stride) OFA_THUMB_TAP(k + 1, 1, stride) OFA_THUMB_TAP(k + 2, 2, stride)      \
                          OFA_THUMB_TAP(k + 3, 3, stride) OFA_THUMB_TAP(k + 4, 4, stride))
#define OFA_ROW_7(at, k, stride)                                                                                       \
    OFA_THUMB_ROW(at, OFA_THUMB_TAP(k, 0, stride) OFA_THUMB_TAP(k + 1, 1, stride) OFA_THUMB_TAP(k + 2, 2, stride)      \
                          OFA_THUMB_TAP(k + 3, 3, stride) OFA_THUMB_TAP(k + 4, 4, stride)                              \
                              OFA_THUMB_TAP(k + 5, 5, stride) OFA_THUMB_TAP(k + 6, 6, stride))
#else
#define OFA_TAP(at, k, i, stride)                                                                                      \
    do {                                                                                                               \
        const int32_t value = weight[(k) + (i)];                                                                       \
        sum0 += value * (at)[(i)];                                                                                     \
        sum1 += value * (at)[(i) + (stride)];                                                                          \
        sum2 += value * (at)[(i) + 2 * (stride)];                                                                      \
        sum3 += value * (at)[(i) + 3 * (stride)];                                                                      \
    } while (0)

#define OFA_ROW_3(at, k, stride)                                                                                       \
    do {                                                                                                               \
        OFA_TAP(at, k, 0, stride);                                                                                     \
        OFA_TAP(at, k, 1, stride);                                                                                     \
        OFA_TAP(at, k, 2, stride);                                                                                     \
    } while (0)

#define OFA_ROW_5(at, k, stride)                                                                                       \
    do {                                                                                                               \
        OFA_ROW_3(at, k, stride);                                                                                      \
        OFA_TAP(at, k, 3, stride);                                                                                     \
        OFA_TAP(at, k, 4, stride);                                                                                     \
    } while (0)

#define OFA_ROW_7(at, k, stride)                                                                                       \
    do {                                                                                                               \
        OFA_ROW_5(at, k, stride);                                                                                      \
        OFA_TAP(at, k, 5, stride);                                                                                     \
        OFA_TAP(at, k, 6, stride);                                                                                     \
    } while (0)
#endif

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
                OFA_ROW_##width(at, 0, stride);                                                                        \
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
                                    const int8_t *weight, int32_t *sums, int32_t groups)                               \
    {                                                                                                                  \
        const uint8_t *row0 = x + rows[0], *row1 = x + rows[1], *row2 = x + rows[2];                                   \
        (void)window;                                                                                                  \
        for (; groups > 0; --groups) {                                                                                 \
            int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;                                                            \
            OFA_ROW_3(row0, 0, stride);                                                                                \
            OFA_ROW_3(row1, 3, stride);                                                                                \
            OFA_ROW_3(row2, 6, stride);                                                                                \
            sums[0] = sum0;                                                                                            \
            sums[1] = sum1;                                                                                            \
            sums[2] = sum2;                                                                                            \
            sums[3] = sum3;                                                                                            \
            sums += 4;                                                                                                 \
            row0 += 4 * (stride);                                                                                      \
            row1 += 4 * (stride);                                                                                      \
            row2 += 4 * (stride);                                                                                      \
        }                                                                                                              \
    }

OFA_SQUARE_SUMS(1)
OFA_SQUARE_SUMS(2)
