#include "ofa_copy.h"
#include "ofa_operators.h"

void ofa_fill(int8_t value, int32_t count, int8_t *output)
{
    const uint32_t word = (uint8_t)value * 0x01010101u;
    for (; count >= 16; count -= 16) {
        ((ofa_copied_word *)(void *)output)[0] = word;
        ((ofa_copied_word *)(void *)output)[1] = word;
        ((ofa_copied_word *)(void *)output)[2] = word;
        ((ofa_copied_word *)(void *)output)[3] = word;
        output += 16;
        OFA_KEEP_LOOP(output);
    }
    for (; count > 0; --count) {
        *output++ = value;
        OFA_KEEP_LOOP(output);
    }
}
