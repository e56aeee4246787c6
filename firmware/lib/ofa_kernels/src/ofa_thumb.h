/* Products for cores that have nothing but Thumb-1: compilers run out of their eight registers, this does not.
 * Private to the library.
 */
#ifndef OFA_THUMB_H
#define OFA_THUMB_H

#include <stdint.h>

#if defined(__thumb__) && !defined(__thumb2__)
#define OFA_THUMB_1 1
#else
#define OFA_THUMB_1 0
#endif

/* Keeps a constant in a register where the compiler would make up others from it. */
#if OFA_THUMB_1
#define OFA_HOLD(constant) __asm__("" : "+l"(constant))
#else
#define OFA_HOLD(constant) (void)0
#endif

/* value + constant, the latter in one of the registers that little else can use. */
static inline int32_t ofa_add_held(int32_t value, int32_t constant)
{
#if OFA_THUMB_1
    __asm__("add %0, %1" : "+l"(value) : "h"(constant));
    return value;
#else
    return value + constant;
#endif
}

static inline int8_t *ofa_step_held(int8_t *pointer, int32_t step)
{
#if OFA_THUMB_1
    __asm__("add %0, %1" : "+l"(pointer) : "h"(step));
    return pointer;
#else
    return pointer + step;
#endif
}

#if OFA_THUMB_1

/* To a sum the value [v] times the byte at `offset` from a pointer. */
#define OFA_THUMB_PRODUCT(pointer, offset, sum)                                                                        \
    "ldrb %[t], [" pointer ", #(" offset ")]\n\t"                                                                      \
    "muls %[t], %[v], %[t]\n\t"                                                                                        \
    "adds " sum ", " sum ", %[t]\n\t"

#define OFA_THUMB_SIGNED(pointer, offset)                                                                              \
    "movs %[v], #(" offset ")\n\t"                                                                                     \
    "ldrsb %[v], [" pointer ", %[v]]\n\t"

#define OFA_THUMB_UNSIGNED(pointer, offset) "ldrb %[v], [" pointer ", #(" offset ")]\n\t"

#define OFA_THUMB_SUMS                                                                                                 \
    [s0] "+l"(sum0), [s1] "+l"(sum1), [s2] "+l"(sum2), [s3] "+l"(sum3), [v] "=&l"(ofa_value), [t] "=&l"(ofa_product)

/* Adds x[i] times weights[4 * i + j] to sum j; `load` is how to read x[i]. */
#define OFA_THUMB_DOT(load, i)                                                                                         \
    do {                                                                                                               \
        int32_t ofa_value, ofa_product;                                                                                \
        __asm__ volatile(".syntax unified\n\t"                                                                         \
                         load("%[x]", #i)                                                                              \
                         OFA_THUMB_PRODUCT("%[w]", "4*" #i, "%[s0]")                                                   \
                         OFA_THUMB_PRODUCT("%[w]", "4*" #i "+1", "%[s1]")                                              \
                         OFA_THUMB_PRODUCT("%[w]", "4*" #i "+2", "%[s2]")                                              \
                         OFA_THUMB_PRODUCT("%[w]", "4*" #i "+3", "%[s3]")                                              \
                         : OFA_THUMB_SUMS                                                                              \
                         : [x] "l"(x), [w] "l"(weights)                                                                \
                         : "cc", "memory");                                                                            \
    } while (0)

/* weight[k] times row[i + j * stride] to sum j. */
#define OFA_THUMB_TAP(k, i, stride)                                                                                    \
    OFA_THUMB_SIGNED("%[w]", #k)                                                                                       \
    OFA_THUMB_PRODUCT("%[x]", #i, "%[s0]")                                                                             \
    OFA_THUMB_PRODUCT("%[x]", #i "+" #stride, "%[s1]")                                                                 \
    OFA_THUMB_PRODUCT("%[x]", #i "+2*" #stride, "%[s2]")                                                               \
    OFA_THUMB_PRODUCT("%[x]", #i "+3*" #stride, "%[s3]")

/* The taps of one row of a window. */
#define OFA_THUMB_ROW(first, taps)                                                                                     \
    do {                                                                                                               \
        int32_t ofa_value, ofa_product;                                                                                \
        const uint8_t *ofa_row;                                                                                        \
        __asm__ volatile(".syntax unified\n\t"                                                                         \
                         "mov %[x], %[row]\n\t" taps                                                                   \
                         : OFA_THUMB_SUMS, [x] "=&l"(ofa_row)                                                          \
                         : [row] "h"(first), [w] "l"(weight)                                                           \
                         : "cc", "memory");                                                                            \
    } while (0)

#endif

#endif
