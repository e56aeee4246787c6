#include "ofa_operators.h"

void ofa_table(const int8_t table[256], int32_t count, const int8_t *input, int8_t *output)
{
    for (const int8_t *const end = input + (count & ~3); input != end; input += 4, output += 4) {
        output[0] = table[(uint8_t)input[0]];
        output[1] = table[(uint8_t)input[1]];
        output[2] = table[(uint8_t)input[2]];
        output[3] = table[(uint8_t)input[3]];
    }
    for (const int8_t *const end = input + (count & 3); input != end; ++input, ++output) {
        *output = table[(uint8_t)*input];
    }
}
