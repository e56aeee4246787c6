/* Copies that the compiler does not turn into calls. Private to the library. */
#ifndef OFA_COPY_H
#define OFA_COPY_H

#include <stdint.h>

#include "ofa_filter.h"

/* Whether words may lie anywhere. */
#if (defined(__ARM_FEATURE_UNALIGNED) && __ARM_FEATURE_UNALIGNED) || !defined(__arm__)
#define OFA_LOOSE_WORDS 1
#else
#define OFA_LOOSE_WORDS 0
#endif

#if OFA_LOOSE_WORDS
typedef uint32_t __attribute__((may_alias, aligned(1))) ofa_copied_word;
#else
typedef uint32_t __attribute__((may_alias)) ofa_copied_word;
#endif

/* A loop whose pointer the compiler cannot follow is not taken for memcpy or memset. */
#define OFA_KEEP_LOOP(pointer) __asm__("" : "+r"(pointer))

/* count bytes; in ascending order, so that `to` may lie below `from` and overlap it. Where words may not lie anywhere,
 * they are used only if the caller says that both pointers are at multiples of four.
 */
static OFA_INLINE void ofa_copy(int8_t *to, const int8_t *from, int32_t count, int32_t words)
{
    if (OFA_LOOSE_WORDS || words) {
        for (; count >= 16; count -= 16) {
            const uint32_t a = ((const ofa_copied_word *)(const void *)from)[0];
            const uint32_t b = ((const ofa_copied_word *)(const void *)from)[1];
            const uint32_t c = ((const ofa_copied_word *)(const void *)from)[2];
            const uint32_t d = ((const ofa_copied_word *)(const void *)from)[3];
            ((ofa_copied_word *)(void *)to)[0] = a;
            ((ofa_copied_word *)(void *)to)[1] = b;
            ((ofa_copied_word *)(void *)to)[2] = c;
            ((ofa_copied_word *)(void *)to)[3] = d;
            from += 16;
            to += 16;
            OFA_KEEP_LOOP(to);
        }
        for (; count >= 4; count -= 4) {
            *(ofa_copied_word *)(void *)to = *(const ofa_copied_word *)(const void *)from;
            from += 4;
            to += 4;
            OFA_KEEP_LOOP(to);
        }
    }
    for (; count > 0; --count) {
        *to++ = *from++;
        OFA_KEEP_LOOP(to);
    }
}

#endif
