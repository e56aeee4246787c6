/* Depthwise convolution with windows of 3 x 3, sixteen channels at a time.
 *
 * Three padded rows of sixteen channels lie in a ring. Products of two taps are summed up in 16 bits, which hold them
 * unless a weight is -128, and then in 32: channels 4k, 4k + 2, 4k + 1 and 4k + 3 in q0 .. q3.
 */
#include "ofa_mve.h"

#include "ofa_mve_vectors.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)

/* 16-bit sums in q6 (even channels) and q4 to the 32-bit ones. */
#define WIDEN \
    "vmovlb.s16 q5, q6\n\t" \
    "vmovlt.s16 q6, q6\n\t" \
    "vadd.i32 q0, q0, q5\n\t" \
    "vadd.i32 q1, q1, q6\n\t" \
    "vmovlb.s16 q5, q4\n\t" \
    "vmovlt.s16 q4, q4\n\t" \
    "vadd.i32 q2, q2, q5\n\t" \
    "vadd.i32 q3, q3, q4\n\t"
#define TAP(place) \
    "vldrb.8 q4, [" place "]\n\t" \
    "vldrb.8 q5, [r1], #16\n\t" \
    "vmullb.s8 q6, q4, q5\n\t" \
    "vmullt.s8 q4, q4, q5\n\t"
#define TAPS(first, second) \
    TAP(first) \
    "vldrb.8 q5, [" second "]\n\t" \
    "vldrb.8 q7, [r1]\n\t" \
    "vmullb.s8 q7, q5, q7\n\t" \
    "vadd.i16 q6, q6, q7\n\t" \
    "vldrb.8 q7, [r1], #16\n\t" \
    "vmullt.s8 q7, q5, q7\n\t" \
    "vadd.i16 q4, q4, q7\n\t" WIDEN

#define SCALE_PLAIN(sums) \
    "vldrw.32 q4, [r1], #16\n\t" \
    "vldrb.s32 q5, [r1], #4\n\t" \
    "vqrdmulh.s32 " sums ", " sums ", q4\n\t" \
    "vrshl.s32 " sums ", " sums ", q5\n\t"
#define SCALE_SIGNED(sums) \
    "vldrw.32 q4, [r1], #16\n\t" \
    "vldrb.s32 q5, [r1], #4\n\t" \
    "vqrdmulh.s32 " sums ", " sums ", q4\n\t" \
    "vshr.s32 q4, " sums ", #31\n\t" \
    "vadd.i32 " sums ", " sums ", q4\n\t" \
    "vrshl.s32 " sums ", " sums ", q5\n\t"
#define SCALE_GENERAL(sums) \
    "vldrw.32 q4, [r1], #16\n\t" \
    "vldrb.s32 q5, [r1], #4\n\t" \
    "vmov.i32 q7, #0\n\t" \
    "vmax.s32 q6, q5, q7\n\t" \
    "vshl.s32 " sums ", " sums ", q6\n\t" \
    "vqrdmulh.s32 " sums ", " sums ", q4\n\t" \
    "vmin.s32 q5, q5, q7\n\t" \
    "vand q6, " sums ", q5\n\t" \
    "vshr.s32 q6, q6, #31\n\t" \
    "vqadd.s32 " sums ", " sums ", q6\n\t" \
    "vrshl.s32 " sums ", " sums ", q5\n\t"
#define CLAMP_NONE
#define CLAMP_BOTH \
    "vdup.8 q4, r8\n\t" \
    "vdup.8 q5, r10\n\t" \
    "vmax.s8 q0, q0, q4\n\t" \
    "vmin.s8 q0, q0, q5\n\t"

#define ROW(scale, clamp) \
    "vmsr p0, r9\n\t" \
    "1:\n\t" \
    "mov r1, r6\n\t" \
    "vldrw.32 q0, [r1], #16\n\t" \
    "vldrw.32 q1, [r1], #16\n\t" \
    "vldrw.32 q2, [r1], #16\n\t" \
    "vldrw.32 q3, [r1], #16\n\t" \
    TAPS("r2", "r2, #16") \
    TAPS("r2, #32", "r3") \
    TAPS("r3, #16", "r3, #32") \
    TAPS("r4", "r4, #16") \
    TAP("r4, #32") WIDEN \
    "add r2, r0\n\t" \
    "add r3, r0\n\t" \
    "add r4, r0\n\t" \
    scale("q0") scale("q1") scale("q2") scale("q3") \
    "vqmovnb.s32 q0, q0\n\t" \
    "vqmovnt.s32 q0, q1\n\t" \
    "vqmovnb.s32 q2, q2\n\t" \
    "vqmovnt.s32 q2, q3\n\t" \
    "vqadd.s16 q0, q0, r12\n\t" \
    "vqadd.s16 q2, q2, r12\n\t" \
    "vqmovnb.s16 q0, q0\n\t" \
    "vqmovnt.s16 q0, q2\n\t" \
    clamp \
    "vpst\n\t" \
    "vstrbt.8 q0, [r5]\n\t" \
    "add r5, lr\n\t" \
    "subs r11, #1\n\t" \
    "bne 1b\n\t"

/* A row of outputs: r2 r3 r4 rows of the ring; r5 output; r6 constants; r0 bytes from window to window; r9 which
 * channels there are; r8 and r10 the clamp; r11 outputs; r12 zero point; lr channels.
 */
typedef struct {
    int32_t step;
    const int8_t *rows[3];
    int8_t *output;
    const int8_t *constants;
    int32_t low;
    uint32_t live;
    int32_t high;
    int32_t count;
    int32_t zero_point;
    int32_t channels;
} row_state;

#define DEFINE_ROW(name, scale, clamp) \
    static __attribute__((noinline)) void row_##name(const row_state *s) \
    { \
        register const row_state *from __asm__("r0") = s; \
        __asm__ volatile("ldmia r0, {r0, r2, r3, r4, r5, r6, r8, r9, r10, r11, r12, lr}\n\t" ROW(scale, clamp) \
                         : "+r"(from) \
                         : \
                         : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "q0", "q1", \
                           "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory"); \
    }

DEFINE_ROW(plain, SCALE_PLAIN, CLAMP_NONE)
DEFINE_ROW(signed, SCALE_SIGNED, CLAMP_NONE)
DEFINE_ROW(general, SCALE_GENERAL, CLAMP_BOTH)

typedef void row(const row_state *s);

/* Sixteen channels of `count` pixels, so many bytes apart. */
OFA_MVE_INLINE void feed_pixels(int8_t *to, const int8_t *from, int32_t count, int32_t apart)
{
    do {
        vstrbq_s8(to, vldrbq_s8(from));
        to += 16;
        from += apart;
    } while (--count);
}

OFA_MVE_INLINE void feed_code(int8_t *to, int8_t code, int32_t count)
{
    const int8x16_t codes = vdupq_n_s8(code);
    do {
        vstrbq_s8(to, codes);
        to += 16;
    } while (--count);
}

OFA_MVE_INLINE void blocks(const ofa_mve_depthwise_layer *layer, const int8_t *input, int8_t *output, int8_t *ring,
                           row *run)
{
    const int32_t channels = layer->channels, width = layer->input_width, height = layer->input_height;
    const int32_t ring_row = 16 * (layer->pad_left + width + layer->pad_right);
    const int8_t *constants = layer->weights;
    feed_code(ring, layer->input_zero_point, 3 * ring_row >> 4);
    for (int32_t first = 0; first < channels; first += 16) {
        row_state s = {
            .step = 16 * layer->stride_width,
            .output = output + first,
            .constants = constants,
            .low = layer->clamp_min,
            .live = vctp8q((uint32_t)(channels - first)),
            .high = layer->clamp_max,
            .zero_point = layer->zero_point,
            .channels = channels,
        };
        int8_t *top = ring, *middle = ring + ring_row, *bottom = middle + ring_row;
        const int8_t *from = input + first;
        int32_t y = -layer->pad_top;
        int32_t wanted = 3;
        int32_t left = layer->output_height;
        do {
            do {
                int8_t *const next = top;
                top = middle;
                middle = bottom;
                bottom = next;
                if (y >= 0 && y < height) {
                    feed_pixels(next + 16 * layer->pad_left, from, width, channels);
                    from += width * channels;
                } else {
                    feed_code(next + 16 * layer->pad_left, layer->input_zero_point, width);
                }
                ++y;
            } while (--wanted);
            s.rows[0] = top;
            s.rows[1] = middle;
            s.rows[2] = bottom;
            s.count = layer->output_width;
            run(&s);
            s.output += layer->output_width * channels;
            wanted = layer->stride_height;
        } while (--left);
        constants += 16 * 9 + 64 + 4 * 20;
    }
}

#define DEFINE(name) \
    void ofa_mve_depthwise_blocks_##name(const ofa_mve_depthwise_layer *layer, const int8_t *input, int8_t *output, \
                                         int8_t *scratch) \
    { \
        blocks(layer, input, output, scratch, row_##name); \
    }

DEFINE(plain)
DEFINE(signed)
DEFINE(general)

#else

typedef int ofa_mve_depthwise_blocks_is_empty;

#endif
