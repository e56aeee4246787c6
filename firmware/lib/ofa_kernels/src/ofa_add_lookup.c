#include "ofa_affine.h"

#define ONE(i) (output[i] = codes[((uint32_t)a[(uint8_t)first[i]] + (uint32_t)b[(uint8_t)second[i]]) >> 22])

void ofa_add_lookup(const ofa_lookup_layer *layer, const int8_t *first, const int8_t *second, int8_t *output)
{
    const int32_t *const a = layer->first;
    const int32_t *const b = layer->second;
    const int8_t *const codes = layer->codes;
    for (const int8_t *const end = first + (layer->count & ~3); first != end; first += 4, second += 4, output += 4) {
        ONE(0);
        ONE(1);
        ONE(2);
        ONE(3);
    }
    for (const int8_t *const end = first + (layer->count & 3); first != end; ++first, ++second, ++output) {
        ONE(0);
    }
}
