/* Depthwise convolution with windows of 3 x 3, 5 x 5 and 7 x 7, sixteen channels at a time.
 *
 * As many padded rows of sixteen channels as a window has lie in a ring. Products of two taps are summed up in 16 bits and
 * then in 32: channels 4k, 4k + 2, 4k + 1 and 4k + 3 in q0 .. q3. The sum of two products is from -2^15 + 256 to 2^15, the
 * latter only with weights of -128; where there are such, 1 is taken off before it is widened.
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
#define FIRST(place) \
    "vldrb.8 q4, [" place "]\n\t" \
    "vldrb.8 q5, [r1], #16\n\t" \
    "vmullb.s8 q6, q4, q5\n\t" \
    "vmullt.s8 q4, q4, q5\n\t"
#define SECOND(place, less) \
    "vldrb.8 q5, [" place "]\n\t" \
    "vldrb.8 q7, [r1]\n\t" \
    "vmullb.s8 q7, q5, q7\n\t" \
    "vadd.i16 q6, q6, q7\n\t" \
    "vldrb.8 q7, [r1], #16\n\t" \
    "vmullt.s8 q7, q5, q7\n\t" \
    "vadd.i16 q4, q4, q7\n\t" less WIDEN
#define LESS_NONE
#define LESS_ONE \
    "vadd.i16 q6, q6, r7\n\t" \
    "vadd.i16 q4, q4, r7\n\t"

/* All taps of a window; of 3 x 3, whose rows are at r2, r3 and r4; of larger ones, r4 bytes behind the rows that r2 points
 * to the places of.
 */
#define WINDOW_3(less) \
    FIRST("r2") SECOND("r2, #16", less) FIRST("r2, #32") SECOND("r3", less) FIRST("r3, #16") SECOND("r3, #32", less) \
    FIRST("r4") SECOND("r4, #16", less) FIRST("r4, #32") WIDEN \
    "add r2, r0\n\t" \
    "add r3, r0\n\t" \
    "add r4, r0\n\t"
#define NEXT_ROW(place) \
    "ldr r3, [r2, #" place "]\n\t" \
    "add r3, r4\n\t"
#define EVEN_5(place, less) \
    NEXT_ROW(place) FIRST("r3") SECOND("r3, #16", less) FIRST("r3, #32") SECOND("r3, #48", less) FIRST("r3, #64")
#define ODD_5(place, less) \
    NEXT_ROW(place) SECOND("r3", less) FIRST("r3, #16") SECOND("r3, #32", less) FIRST("r3, #48") SECOND("r3, #64", less)
#define WINDOW_5(less) \
    EVEN_5("0", less) ODD_5("4", less) EVEN_5("8", less) ODD_5("12", less) EVEN_5("16", less) WIDEN \
    "add r4, r0\n\t"
#define EVEN_7(place, less) EVEN_5(place, less) SECOND("r3, #80", less) FIRST("r3, #96")
#define ODD_7(place, less) ODD_5(place, less) FIRST("r3, #80") SECOND("r3, #96", less)
#define WINDOW_7(less) \
    EVEN_7("0", less) ODD_7("4", less) EVEN_7("8", less) ODD_7("12", less) EVEN_7("16", less) ODD_7("20", less) \
    EVEN_7("24", less) WIDEN \
    "add r4, r0\n\t"

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

#define ROW(window, scale, clamp) \
    "vmsr p0, r9\n\t" \
    "mvn r7, #0\n\t" \
    "1:\n\t" \
    "mov r1, r6\n\t" \
    "vldrw.32 q0, [r1], #16\n\t" \
    "vldrw.32 q1, [r1], #16\n\t" \
    "vldrw.32 q2, [r1], #16\n\t" \
    "vldrw.32 q3, [r1], #16\n\t" \
    window \
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

/* A row of outputs: r2 r3 r4 as the windows need them; r5 output; r6 constants; r0 bytes from window to window; r7 -1; r9
 * which channels there are; r8 and r10 the clamp; r11 outputs; r12 zero point; lr channels.
 */
typedef struct {
    int32_t step;
    const void *places[3];
    int8_t *output;
    const int8_t *constants;
    int32_t low;
    uint32_t live;
    int32_t high;
    int32_t count;
    int32_t zero_point;
    int32_t channels;
} row_state;

#define DEFINE_ROW(size, name, less, scale, clamp) \
    static __attribute__((noinline)) void row_##size##_##name(const row_state *s) \
    { \
        register const row_state *from __asm__("r0") = s; \
        __asm__ volatile("ldmia r0, {r0, r2, r3, r4, r5, r6, r8, r9, r10, r11, r12, lr}\n\t" \
                         ROW(WINDOW_##size(less), scale, clamp) \
                         : "+r"(from) \
                         : \
                         : "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr", "q0", "q1", \
                           "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory"); \
    }

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
                           row *run, const int size)
{
    const int32_t channels = layer->channels, width = layer->input_width, height = layer->input_height;
    const int32_t ring_row = 16 * (layer->pad_left + width + layer->pad_right);
    const int8_t *constants = layer->weights;
    int8_t *rows[7];
    rows[0] = ring;
#pragma GCC unroll 7
    for (int i = 1; i < size; ++i) {
        rows[i] = rows[i - 1] + ring_row;
    }
    feed_code(ring, layer->input_zero_point, size * ring_row >> 4);
    for (int32_t first = 0; first < channels; first += 16) {
        row_state s;
        s.step = 16 * layer->stride_width;
        s.output = output + first;
        s.constants = constants;
        s.low = layer->clamp_min;
        s.live = vctp8q((uint32_t)(channels - first));
        s.high = layer->clamp_max;
        s.zero_point = layer->zero_point;
        s.channels = channels;
        const int8_t *from = input + first;
        int32_t y = -layer->pad_top;
        int32_t wanted = size;
        int32_t left = layer->output_height;
        do {
            do {
                int8_t *const next = rows[0];
#pragma GCC unroll 7
                for (int i = 1; i < size; ++i) {
                    rows[i - 1] = rows[i];
                }
                rows[size - 1] = next;
                if (y >= 0 && y < height) {
                    feed_pixels(next + 16 * layer->pad_left, from, width, channels);
                    from += width * channels;
                } else {
                    feed_code(next + 16 * layer->pad_left, layer->input_zero_point, width);
                }
                ++y;
            } while (--wanted);
            s.places[0] = size == 3 ? (const void *)rows[0] : (const void *)rows;
            s.places[1] = size == 3 ? rows[1] : 0;
            s.places[2] = size == 3 ? rows[2] : 0;
            s.count = layer->output_width;
            run(&s);
            s.output += layer->output_width * channels;
            wanted = layer->stride_height;
        } while (--left);
        constants += 16 * size * size + 64 + 4 * 20;
    }
}

#define DEFINE(size, name, less, scale, clamp) \
    DEFINE_ROW(size, name, less, scale, clamp) \
    void ofa_mve_depthwise_blocks_##size##_##name(const ofa_mve_depthwise_layer *layer, const int8_t *input, \
                                                  int8_t *output, int8_t *scratch) \
    { \
        blocks(layer, input, output, scratch, row_##size##_##name, size); \
    }
#define DEFINE_SIZE(size) \
    DEFINE(size, plain, LESS_NONE, SCALE_PLAIN, CLAMP_NONE) \
    DEFINE(size, signed, LESS_NONE, SCALE_SIGNED, CLAMP_NONE) \
    DEFINE(size, general, LESS_NONE, SCALE_GENERAL, CLAMP_BOTH) \
    DEFINE(size, wide, LESS_ONE, SCALE_GENERAL, CLAMP_BOTH)

DEFINE_SIZE(3)
DEFINE_SIZE(5)
DEFINE_SIZE(7)

#else

typedef int ofa_mve_depthwise_blocks_is_empty;

#endif
