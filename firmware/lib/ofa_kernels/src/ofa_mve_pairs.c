/* Dot products of two pixels at a time: every vector of weights is loaded once for both.
 *
 * The loops are assembly because eight sums need all even registers, the link register among them. r1: weights and
 * constants; r3: output of the first pixel; r5: how far the last four outputs start early; r7: quads; r9: zero point;
 * r11: middle of the buffer; sums of the first pixel: r0 r2 r4 r6, of the second: r8 r10 r12 lr. Everything else is on
 * the stack.
 */
#include "ofa_mve.h"

#include "ofa_mve_vectors.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)

/* What the loops keep in memory. The first pixel of a pair is the one at the lower address. */
typedef struct {
    const int8_t *input;
    int32_t input_step; /* from pair to pair */
    int32_t input_apart; /* from the first pixel to the second */
    int32_t pitch;
    int8_t *output;
    int32_t output_step;
    int32_t output_apart; /* times 65536 */
    const int8_t *stream;
    int32_t quads;
    int32_t early;
    int32_t pairs;
    int32_t zero_point;
} state;

/* One vector of the weights of four outputs, times vectors of both pixels. */
#define FOUR(add, first, second, weights) \
    "vldrb.8 " weights ", [r1], #16\n\t" \
    "vmladav" add ".s8 r0, " first ", " weights "\n\t" \
    "vmladav" add ".s8 r8, " second ", " weights "\n\t" \
    "vldrb.8 " weights ", [r1], #16\n\t" \
    "vmladav" add ".s8 r2, " first ", " weights "\n\t" \
    "vmladav" add ".s8 r10, " second ", " weights "\n\t" \
    "vldrb.8 " weights ", [r1], #16\n\t" \
    "vmladav" add ".s8 r4, " first ", " weights "\n\t" \
    "vmladav" add ".s8 r12, " second ", " weights "\n\t" \
    "vldrb.8 " weights ", [r1], #16\n\t" \
    "vmladav" add ".s8 r6, " first ", " weights "\n\t" \
    "vmladav" add ".s8 lr, " second ", " weights "\n\t"
#define STORED(add, first, second) \
    "vldrb.8 q0, [r11, #" first "]\n\t" \
    "vldrb.8 q1, [r11, #" second "]\n\t" FOUR(add, "q0", "q1", "q2")

#define LANES(to, a, b, c, d) \
    "vmov " to "[2], " to "[0], " a ", " c "\n\t" \
    "vmov " to "[3], " to "[1], " b ", " d "\n\t"

/* Ties of sums below zero round away from zero. */
#define AWAY(sums, free) \
    "vshr.s32 " free ", " sums ", #31\n\t" \
    "vadd.i32 " sums ", " sums ", " free "\n\t"
#define NOT_AWAY(sums, free)

/* Codes of both pixels, which take turns in the lanes. */
#define CODES_TOGETHER(away) \
    LANES("q4", "r0", "r2", "r4", "r6") \
    LANES("q5", "r8", "r10", "r12", "lr") \
    "vldrw.32 q6, [r1], #16\n\t" \
    "vadd.i32 q4, q4, q6\n\t" \
    "vadd.i32 q5, q5, q6\n\t" \
    "vldrw.32 q6, [r1], #16\n\t" \
    "vqrdmulh.s32 q4, q4, q6\n\t" \
    "vqrdmulh.s32 q5, q5, q6\n\t" \
    away("q4", "q6") \
    away("q5", "q6") \
    "vldrb.s32 q6, [r1], #4\n\t" \
    "vrshl.s32 q4, q4, q6\n\t" \
    "vrshl.s32 q5, q5, q6\n\t" \
    "vqmovnb.s32 q4, q4\n\t" \
    "vqmovnt.s32 q4, q5\n\t" \
    "vqadd.s16 q4, q4, r9\n\t" \
    "vqmovnb.s16 q4, q4\n\t" \
    "vstrb.16 q4, [r3, q7]\n\t" \
    "adds r3, #4\n\t"

/* One after the other, where two registers are left; the second pixel's go where the quad's first sum was. */
#define CODES_OF(away, a, b, c, d, last) \
    LANES("q6", a, b, c, d) \
    "vldrw.32 q7, [r1], #16\n\t" \
    "vadd.i32 q6, q6, q7\n\t" \
    "vldrw.32 q7, [r1], #16\n\t" \
    "vqrdmulh.s32 q6, q6, q7\n\t" \
    away("q6", "q7") \
    "vldrb.s32 q7, [r1], #" last "\n\t" \
    "vrshl.s32 q6, q6, q7\n\t" \
    "vadd.i32 q6, q6, r9\n\t" \
    "vqmovnb.s32 q6, q6\n\t" \
    "vqmovnb.s16 q6, q6\n\t"
#define CODES_APART(away) \
    CODES_OF(away, "r0", "r2", "r4", "r6", "-32") \
    "ldr r0, %[output_apart]\n\t" \
    "vstrb.32 q6, [r3], #4\n\t" \
    "add r4, r3, r0, lsr #16\n\t" \
    CODES_OF(away, "r8", "r10", "r12", "lr", "4") \
    "vstrb.32 q6, [r4, #-4]\n\t"

#define LOAD(first, second) \
    "vldrb.8 " first ", [r0]\n\t" \
    "vldrb.8 " second ", [r2]\n\t"
#define STORE(first, second) \
    "vstrb.8 q0, [r11, #" first "]\n\t" \
    "vstrb.8 q1, [r11, #" second "]\n\t"
#define ONWARD \
    "add r0, r4\n\t" \
    "add r2, r4\n\t"

#define LOADS_1 LOAD("q0", "q1")
#define LOADS_2 LOAD("q0", "q2") ONWARD LOAD("q1", "q3")
#define LOADS_3 LOAD("q0", "q3") ONWARD LOAD("q1", "q4") ONWARD LOAD("q2", "q5")
#define COPY(first, second) LOAD("q0", "q1") STORE(first, second)
#define LOADS_4 COPY("-64", "0") ONWARD COPY("-48", "16") ONWARD COPY("-32", "32") ONWARD COPY("-16", "48")
#define LOADS_5 \
    COPY("-80", "0") ONWARD COPY("-64", "16") ONWARD COPY("-48", "32") ONWARD COPY("-32", "48") ONWARD \
    COPY("-16", "64")
#define LOADS_6 \
    COPY("-96", "0") ONWARD COPY("-80", "16") ONWARD COPY("-64", "32") ONWARD COPY("-48", "48") ONWARD \
    COPY("-32", "64") ONWARD COPY("-16", "80")

#define SUMS_1 FOUR("", "q0", "q1", "q6")
#define SUMS_2 FOUR("", "q0", "q2", "q6") FOUR("a", "q1", "q3", "q6")
#define SUMS_3 FOUR("", "q0", "q3", "q7") FOUR("a", "q1", "q4", "q7") FOUR("a", "q2", "q5", "q7")
#define SUMS_4 STORED("", "-64", "0") STORED("a", "-48", "16") STORED("a", "-32", "32") STORED("a", "-16", "48")
#define SUMS_5 \
    STORED("", "-80", "0") STORED("a", "-64", "16") STORED("a", "-48", "32") STORED("a", "-32", "48") \
    STORED("a", "-16", "64")
#define SUMS_6 \
    STORED("", "-96", "0") STORED("a", "-80", "16") STORED("a", "-64", "32") STORED("a", "-48", "48") \
    STORED("a", "-32", "64") STORED("a", "-16", "80")

#define CODES_1 CODES_TOGETHER
#define CODES_2 CODES_TOGETHER
#define CODES_3 CODES_APART
#define CODES_4 CODES_TOGETHER
#define CODES_5 CODES_TOGETHER
#define CODES_6 CODES_TOGETHER

/* All pairs. */
#define LOOP(vectors, away) \
    "ldr r9, %[zero_point]\n\t" \
    "mov r11, %[buffer]\n\t" \
    /* the places of the outputs in turns: 0, apart, 1, apart + 1, ... */ \
    "movs r0, #0\n\t" \
    "vidup.u32 q7, r0, #1\n\t" \
    "movs r0, #1\n\t" \
    "movt r0, #1\n\t" \
    "vmul.i32 q7, q7, r0\n\t" \
    "ldr r0, %[output_apart]\n\t" \
    "vadd.i32 q7, q7, r0\n\t" \
    "1:\n\t" \
    "ldr r0, %[input]\n\t" \
    "ldr r2, %[input_step]\n\t" \
    "ldr r4, %[input_apart]\n\t" \
    "add r2, r0\n\t" \
    "str r2, %[input]\n\t" \
    "add r2, r0, r4\n\t" \
    "ldr r4, %[pitch]\n\t" \
    LOADS_##vectors \
    "ldr r3, %[output]\n\t" \
    "ldr r4, %[output_step]\n\t" \
    "add r4, r3\n\t" \
    "str r4, %[output]\n\t" \
    "ldr r1, %[stream]\n\t" \
    "ldr r5, %[early]\n\t" \
    "ldr r7, %[quads]\n\t" \
    "2:\n\t" \
    SUMS_##vectors \
    CODES_##vectors(away) \
    "subs r7, #1\n\t" \
    "bne 2b\n\t" \
    "cbz r5, 3f\n\t" \
    "subs r3, r3, r5\n\t" \
    "movs r5, #0\n\t" \
    "movs r7, #1\n\t" \
    "b 2b\n\t" \
    "3:\n\t" \
    "ldr r0, %[pairs]\n\t" \
    "subs r0, #1\n\t" \
    "str r0, %[pairs]\n\t" \
    "bne 1b\n\t"

#define DEFINE_LOOP(vectors, name, away) \
    static __attribute__((noinline)) void loop_##vectors##_##name(const state *given, int8_t *middle) \
    { \
        state s = *given; \
        __asm__ volatile(LOOP(vectors, away) \
                         : [input] "+m"(s.input), [output] "+m"(s.output), [pairs] "+m"(s.pairs) \
                         : [input_step] "m"(s.input_step), [input_apart] "m"(s.input_apart), [pitch] "m"(s.pitch), \
                           [output_step] "m"(s.output_step), [output_apart] "m"(s.output_apart), \
                           [stream] "m"(s.stream), [quads] "m"(s.quads), [early] "m"(s.early), \
                           [zero_point] "m"(s.zero_point), [buffer] "r"(middle) \
                         : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r12", "lr", \
                           "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory"); \
    }

typedef void loop(const state *given, int8_t *middle);

OFA_MVE_INLINE void pairs_of(loop *run, const ofa_mve_dense *dense, const int8_t *input, int32_t stride, int32_t pixels,
                             int8_t *output, int32_t pitch, const int vectors)
{
    int8_t buffer[vectors > 3 ? 32 * vectors : 4]; /* for pixels that do not fit the registers */
    int8_t *const middle = vectors > 3 ? buffer + 16 * vectors : buffer;
    const int32_t outputs = dense->outputs, rest = outputs & 3;
    const int32_t down = stride < 0;
    state s = {
        .input = down ? input + stride : input,
        .input_step = 2 * stride,
        .input_apart = down ? -stride : stride,
        .pitch = pitch,
        .output = down ? output - outputs : output,
        .output_step = down ? -2 * outputs : 2 * outputs,
        .output_apart = (int32_t)((uint32_t)outputs << 16),
        .stream = dense->stream,
        .quads = outputs >> 2,
        .early = rest ? 4 - rest : 0,
        .pairs = pixels >> 1,
        .zero_point = dense->zero_point,
    };
    if (s.pairs > 0) {
        run(&s, middle);
    }
    if (pixels & 1) {
        /* The last pixel twice. */
        s.input = input + (pixels - 1) * stride;
        s.output = output + (pixels - 1) * (down ? -outputs : outputs);
        s.input_apart = 0;
        s.output_apart = 0;
        s.pairs = 1;
        run(&s, middle);
    }
}

#define DEFINE_MODE(vectors, name, away) \
    DEFINE_LOOP(vectors, name, away) \
    void ofa_mve_pairs_##vectors##_##name(const ofa_mve_dense *dense, const int8_t *input, int32_t stride, \
                                          int32_t pixels, int8_t *output, int32_t pitch) \
    { \
        pairs_of(loop_##vectors##_##name, dense, input, stride, pixels, output, pitch, vectors); \
    }
#define DEFINE(vectors) \
    DEFINE_MODE(vectors, plain, NOT_AWAY) \
    DEFINE_MODE(vectors, signed, AWAY)

DEFINE(1)
DEFINE(2)
DEFINE(3)
DEFINE(4)
DEFINE(5)
DEFINE(6)

#else

typedef int ofa_mve_pairs_is_empty;

#endif
