/* What block functions of ofa_dsp_matrix.h are made of: gathering windows, scaling sums, storing codes. */
#ifndef OFA_DSP_MATRIX_BLOCK_H
#define OFA_DSP_MATRIX_BLOCK_H

#include <stdint.h>
#include <string.h>

#include "ofa_dsp_matrix.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef int16_t __attribute__((may_alias)) ofa_matrix_half_word;

/* Where the codes of four pixels go: the next two channels of pixel 0, distances less two, the end of pixel 0. */
typedef struct {
    int8_t *at;
    intptr_t next, third;
    const int8_t *end;
} ofa_matrix_cursor;

static inline ofa_matrix_cursor ofa_matrix_cursor_of(const ofa_matrix_quad *quad, int32_t outputs)
{
    const ofa_matrix_cursor cursor = {quad->output, quad->output_next - 2, quad->output_third - 2,
                                      quad->output + outputs};
    return cursor;
}

/* The same of blocks that add: see ofa_matrix_sum_layer. `from` is where the codes to be added lie. Distances between
 * pixels are literals, so blocks have four pixels side by side.
 */
typedef struct {
    uint32_t factor, offset;
    uint32_t other_factor;
    const int8_t *from;
    int8_t *at;
    const int8_t *end;
} ofa_matrix_adder;

static inline ofa_matrix_adder ofa_matrix_adder_of(const ofa_matrix_layer *layer, const ofa_matrix_quad *quad,
                                                   int32_t outputs)
{
    const ofa_matrix_sum_layer *const sum = (const ofa_matrix_sum_layer *)(const void *)layer;
    const ofa_matrix_adder adder = {
        (uint32_t)sum->factor, (uint32_t)sum->offset,      (uint32_t)sum->other_factor, quad->output + sum->other,
        quad->output,          quad->output + outputs};
    return adder;
}

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* the flags of four differences of bytes; bytes of a where the flag says not negative, else bytes of b */
#define OFA_MATRIX_SSUB8(unused, a, b) __asm__ volatile("ssub8 %0, %1, %2" : "=r"(unused) : "r"(a), "r"(b))
#define OFA_MATRIX_SEL(to, a, b) __asm__ volatile("sel %0, %1, %2" : "=r"(to) : "r"(a), "r"(b))
#define OFA_MATRIX_MAX8(value, limit) \
    do { \
        uint32_t unused; \
        OFA_MATRIX_SSUB8(unused, value, limit); \
        OFA_MATRIX_SEL(value, value, limit); \
    } while (0)
#define OFA_MATRIX_MIN8(value, limit) \
    do { \
        uint32_t unused; \
        OFA_MATRIX_SSUB8(unused, limit, value); \
        OFA_MATRIX_SEL(value, value, limit); \
    } while (0)
/* the low byte of `high` becomes byte 1 of `low` */
#define OFA_MATRIX_BYTES(low, high) __asm__("bfi %0, %1, #8, #8" : "+r"(low) : "r"(high))
#define OFA_MATRIX_STRH_NEXT(value, pointer) \
    __asm__ volatile("strh %1, [%0], #2" : "+r"(pointer) : "r"(value) : "memory")
#define OFA_MATRIX_STRH_AT(value, pointer, distance) \
    __asm__ volatile("strh %0, [%1, %2]" : : "r"(value), "r"(pointer), "r"(distance) : "memory")
/* four codes anywhere */
#define OFA_MATRIX_LOOSE_NEXT(to, pointer) __asm__ volatile("ldr %0, [%1], #4" : "=&r"(to), "+r"(pointer))

/* a * b + sum; one code, at a pointer that moves on or anywhere; two codes anywhere */
#define OFA_MATRIX_MLA(to, a, b, sum) __asm__ volatile("mla %0, %1, %2, %3" : "=r"(to) : "r"(a), "r"(b), "r"(sum))
#define OFA_MATRIX_LDRSB_NEXT(to, pointer) __asm__ volatile("ldrsb %0, [%1], #1" : "=&r"(to), "+r"(pointer))
#define OFA_MATRIX_LDRSB(to, place) __asm__ volatile("ldrsb %0, %1" : "=r"(to) : "m"(*(const int8_t *)(place)))
#define OFA_MATRIX_STRH(value, place) \
    __asm__ volatile("strh %1, %0" : "=m"(*(ofa_matrix_half_word *)(void *)(place)) : "r"(value))
#define OFA_MATRIX_SUM(value, code) \
    do { \
        OFA_MATRIX_MLA(value, code, other_factor, value); \
        OFA_SSAT8(value, value, 22); \
    } while (0)
#define OFA_MATRIX_SCALE_ALL(adder, e0, e1, e2, e3, o0, o1, o2, o3) \
    do { \
        uint32_t factor, offset; \
        OFA_LDRD(factor, offset, &(adder).factor); \
        OFA_MATRIX_MLA(e0, e0, factor, offset); \
        OFA_MATRIX_MLA(e1, e1, factor, offset); \
        OFA_MATRIX_MLA(e2, e2, factor, offset); \
        OFA_MATRIX_MLA(e3, e3, factor, offset); \
        OFA_MATRIX_MLA(o0, o0, factor, offset); \
        OFA_MATRIX_MLA(o1, o1, factor, offset); \
        OFA_MATRIX_MLA(o2, o2, factor, offset); \
        OFA_MATRIX_MLA(o3, o3, factor, offset); \
    } while (0)
/* Codes of two channels of four pixels to sums, not clamped. First all are scaled, so that few registers are needed;
 * loads follow each other, which takes less time on some cores.
 */
#define OFA_MATRIX_ADD(adder, outputs, e0, e1, e2, e3, o0, o1, o2, o3) \
    do { \
        OFA_MATRIX_SCALE_ALL(adder, e0, e1, e2, e3, o0, o1, o2, o3); \
        uint32_t other_factor, code0, code1, code2; \
        const int8_t *from; \
        OFA_LDRD(other_factor, from, &(adder).other_factor); \
        OFA_MATRIX_LDRSB(code0, from + 3 * (outputs)); \
        OFA_MATRIX_LDRSB(code1, from + 3 * (outputs) + 1); \
        OFA_MATRIX_LDRSB(code2, from + 2 * (outputs)); \
        OFA_MATRIX_SUM(e3, code0); \
        OFA_MATRIX_SUM(o3, code1); \
        OFA_MATRIX_SUM(e2, code2); \
        OFA_MATRIX_LDRSB(code0, from + 2 * (outputs) + 1); \
        OFA_MATRIX_LDRSB(code1, from + (outputs)); \
        OFA_MATRIX_LDRSB(code2, from + (outputs) + 1); \
        OFA_MATRIX_SUM(o2, code0); \
        OFA_MATRIX_SUM(e1, code1); \
        OFA_MATRIX_SUM(o1, code2); \
        OFA_MATRIX_LDRSB_NEXT(code0, from); \
        OFA_MATRIX_LDRSB_NEXT(code1, from); \
        (adder).from = from; \
        OFA_MATRIX_SUM(e0, code0); \
        OFA_MATRIX_SUM(o0, code1); \
    } while (0)
#define OFA_MATRIX_STORE_SUMS(adder, outputs, c0, c1, c2, c3, again) \
    do { \
        int8_t *to; \
        const int8_t *to_end; \
        __asm__ volatile("ldrd %0, %1, %2" : "=&r"(to), "=&r"(to_end) : "m"((adder).at), "m"((adder).end)); \
        OFA_MATRIX_STRH(c1, to + (outputs)); \
        OFA_MATRIX_STRH(c2, to + 2 * (outputs)); \
        OFA_MATRIX_STRH(c3, to + 3 * (outputs)); \
        OFA_MATRIX_STRH_NEXT(c0, to); \
        (adder).at = to; \
        if (to != to_end) { \
            goto again; \
        } \
    } while (0)

/* Two channels of four pixels. Jumps to `again` while there are more; control falls through where there are none. */
#define OFA_MATRIX_STORE(cursor, c0, c1, c2, c3, again) \
    do { \
        int8_t *to; \
        int32_t next; \
        __asm__ volatile("ldrd %0, %1, %2" : "=&r"(to), "=&r"(next) : "m"(cursor)); \
        OFA_MATRIX_STRH_NEXT(c0, to); \
        OFA_MATRIX_STRH_AT(c1, to, next); \
        int32_t third; \
        const int8_t *to_end; \
        __asm__ volatile("ldrd %0, %1, %2" : "=&r"(third), "=&r"(to_end) : "m"((cursor).third), "m"((cursor).end)); \
        (cursor).at = to; \
        int8_t *behind = to + third; \
        OFA_MATRIX_STRH_NEXT(c2, behind); \
        OFA_MATRIX_STRH_AT(c3, behind, next); \
        if (to != to_end) { \
            goto again; \
        } \
    } while (0)

#else

/* Of the two low bytes of either word the larger ones, or the smaller ones. */
static inline uint32_t ofa_matrix_extreme8(uint32_t a, uint32_t b, int larger)
{
    uint32_t bytes = 0;
    for (int at = 0; at < 16; at += 8) {
        const int8_t x = (int8_t)(uint8_t)(a >> at), y = (int8_t)(uint8_t)(b >> at);
        bytes |= (uint32_t)(uint8_t)((x < y) == larger ? y : x) << at;
    }
    return bytes;
}
static inline uint32_t ofa_matrix_loose_load(const int8_t *from)
{
    uint32_t word;
    memcpy(&word, from, sizeof word);
    return word;
}
static inline void ofa_matrix_store_bytes(int8_t *to, uint32_t codes)
{
    to[0] = (int8_t)(uint8_t)codes;
    to[1] = (int8_t)(uint8_t)(codes >> 8);
}
#define OFA_MATRIX_MAX8(value, limit) ((value) = ofa_matrix_extreme8(value, limit, 1))
#define OFA_MATRIX_MIN8(value, limit) ((value) = ofa_matrix_extreme8(value, limit, 0))
#define OFA_MATRIX_BYTES(low, high) ((low) = ((low) & 0xffu) | ((high) & 0xffu) << 8)
#define OFA_MATRIX_LOOSE_NEXT(to, pointer) ((to) = ofa_matrix_loose_load(pointer), (pointer) += 4)
#define OFA_MATRIX_ADD(adder, outputs, e0, e1, e2, e3, o0, o1, o2, o3) \
    do { \
        OFA_MATRIX_ADD_LAST(adder, outputs, e0, e1, e2, e3); \
        (adder).from += 1; \
        OFA_MATRIX_ADD_LAST(adder, outputs, o0, o1, o2, o3); \
        (adder).from += 1; \
    } while (0)
#define OFA_MATRIX_STORE_SUMS(adder, outputs, c0, c1, c2, c3, again) \
    do { \
        ofa_matrix_store_bytes((adder).at, c0); \
        ofa_matrix_store_bytes((adder).at + (outputs), c1); \
        ofa_matrix_store_bytes((adder).at + 2 * (outputs), c2); \
        ofa_matrix_store_bytes((adder).at + 3 * (outputs), c3); \
        (adder).at += 2; \
        if ((adder).at != (adder).end) { \
            goto again; \
        } \
    } while (0)
#define OFA_MATRIX_STORE(cursor, c0, c1, c2, c3, again) \
    do { \
        int8_t *const behind = (cursor).at + (cursor).third + 2; \
        ofa_matrix_store_bytes((cursor).at, c0); \
        ofa_matrix_store_bytes((cursor).at + (cursor).next + 2, c1); \
        ofa_matrix_store_bytes(behind, c2); \
        ofa_matrix_store_bytes(behind + (cursor).next + 2, c3); \
        (cursor).at += 2; \
        if ((cursor).at != (cursor).end) { \
            goto again; \
        } \
    } while (0)

#endif

/* A code to its sum with another one. */
static inline uint32_t ofa_matrix_sum(uint32_t value, int8_t code, uint32_t factor, uint32_t other_factor,
                                      uint32_t offset)
{
    value = value * factor + offset + (uint32_t)(int32_t)code * other_factor;
    OFA_SSAT8(value, value, 22);
    return value;
}

/* One channel of four pixels. */
#define OFA_MATRIX_ADD_LAST(adder, outputs, c0, c1, c2, c3) \
    do { \
        const uint32_t factor = (adder).factor, offset = (adder).offset, other_factor = (adder).other_factor; \
        const int8_t *const from = (adder).from; \
        c0 = ofa_matrix_sum(c0, from[0], factor, other_factor, offset); \
        c1 = ofa_matrix_sum(c1, from[outputs], factor, other_factor, offset); \
        c2 = ofa_matrix_sum(c2, from[2 * (outputs)], factor, other_factor, offset); \
        c3 = ofa_matrix_sum(c3, from[3 * (outputs)], factor, other_factor, offset); \
    } while (0)
#define OFA_MATRIX_STORE_LAST(adder, outputs, c0, c1, c2, c3) \
    do { \
        int8_t *const to = (adder).at; \
        to[0] = (int8_t)(uint8_t)(c0); \
        to[outputs] = (int8_t)(uint8_t)(c1); \
        to[2 * (outputs)] = (int8_t)(uint8_t)(c2); \
        to[3 * (outputs)] = (int8_t)(uint8_t)(c3); \
    } while (0)

/* The last channel of an odd number. */
static inline void ofa_matrix_store_last(const ofa_matrix_cursor *cursor, uint32_t c0, uint32_t c1, uint32_t c2,
                                         uint32_t c3)
{
    int8_t *const behind = cursor->at + cursor->third + 2;
    cursor->at[0] = (int8_t)(uint8_t)c0;
    cursor->at[cursor->next + 2] = (int8_t)(uint8_t)c1;
    behind[0] = (int8_t)(uint8_t)c2;
    behind[cursor->next + 2] = (int8_t)(uint8_t)c3;
}

/* The least and the largest code of the layer, in bytes 0 and 1. */
#define OFA_MATRIX_LOW(layer) ((uint8_t)(layer)->low * 0x0101u)
#define OFA_MATRIX_HIGH(layer) ((uint8_t)(layer)->high * 0x0101u)

/* A sum scaled by 256 becomes what is left to be shifted; `d` is taken off the offset of negative sums. */
#define OFA_MATRIX_SCALE(value, m, c) OFA_SMMLA(value, value, m, c)
#define OFA_MATRIX_SCALE_SIGNED(value, m, c, d) \
    do { \
        const uint32_t nudged = (c) - ((d) & (uint32_t)((int32_t)(value) >> 31)); \
        OFA_SMMLA(value, value, m, nudged); \
    } while (0)

/* Four codes of each of four pixels to two pairs of taps of each; a, b, c and d move on. */
#define OFA_MATRIX_WORD(to, a, b, c, d) \
    do { \
        uint32_t wa, wb, wc, wd, ea, eb; \
        OFA_MATRIX_LOOSE_NEXT(wa, a); \
        OFA_MATRIX_LOOSE_NEXT(wb, b); \
        OFA_SXTB16(ea, wa); \
        OFA_SXTB16(eb, wb); \
        OFA_STRD_NEXT(ea, eb, to); \
        OFA_MATRIX_LOOSE_NEXT(wc, c); \
        OFA_MATRIX_LOOSE_NEXT(wd, d); \
        OFA_SXTB16(ea, wc); \
        OFA_SXTB16(eb, wd); \
        OFA_STRD_NEXT(ea, eb, to); \
        OFA_SXTB16_ROR8(wa, wa); \
        OFA_SXTB16_ROR8(wb, wb); \
        OFA_STRD_NEXT(wa, wb, to); \
        OFA_SXTB16_ROR8(wc, wc); \
        OFA_SXTB16_ROR8(wd, wd); \
        OFA_STRD_NEXT(wc, wd, to); \
    } while (0)

/* One code of each of four pixels to the first or the second tap of a pair of each. */
#define OFA_MATRIX_CODE(to, tap, a, b, c, d, at) \
    do { \
        ofa_matrix_half_word *const half = (ofa_matrix_half_word *)(void *)(to) + (tap); \
        half[0] = (a)[at]; \
        half[2] = (b)[at]; \
        half[4] = (c)[at]; \
        half[6] = (d)[at]; \
    } while (0)

/* Windows of four pixels: `rows` times `columns` runs of 4 * `words` codes; `words` is above 0. */
static inline __attribute__((always_inline)) ofa_word *
ofa_matrix_gather(ofa_word *to, const ofa_matrix_quad *quad, int32_t rows, int32_t columns, int32_t column,
                  int32_t words)
{
    const int8_t *a = quad->input;
    const int8_t *b = a + quad->input_next, *c = a + quad->input_third;
    const int8_t *d = c + quad->input_next;
    const int32_t to_column = column - 4 * words;
    const int32_t to_row = quad->row - (columns - 1) * column - 4 * words;
    int32_t left = columns;
    for (int32_t runs = rows * columns;;) {
        const int8_t *const end = a + 4 * words;
        if (words & 1) {
            OFA_MATRIX_WORD(to, a, b, c, d);
        }
        while (a != end) {
            OFA_MATRIX_WORD(to, a, b, c, d);
            OFA_MATRIX_WORD(to, a, b, c, d);
        }
        if (--runs == 0) {
            break;
        }
        int32_t step = to_column;
        if (--left == 0) {
            step = to_row;
            left = columns;
        }
        a += step;
        b += step;
        c += step;
        d += step;
    }
    return to;
}

#ifdef __cplusplus
}
#endif

#endif
