#include "ofa_affine.h"
#include "ofa_filter.h"

#define ONE(i) \
    do { \
        uint32_t sum = (uint32_t)a[(uint8_t)first[i]] + (uint32_t)b[(uint8_t)second[i]]; \
        if (with_sign) { \
            sum += offset - (dead_zone & (uint32_t)((int32_t)sum >> 31)); \
        } \
        output[i] = codes[sum >> 22]; \
    } while (0)

static OFA_INLINE void add(const ofa_lookup_layer *layer, const int8_t *first, const int8_t *second, int8_t *output,
                           int with_sign)
{
    const int32_t *const a = layer->first;
    const int32_t *const b = layer->second;
    const int8_t *const codes = layer->codes;
    const uint32_t offset = (uint32_t)layer->offset;
    const uint32_t dead_zone = (uint32_t)layer->dead_zone;
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

void ofa_add_lookup(const ofa_lookup_layer *layer, const int8_t *first, const int8_t *second, int8_t *output)
{
    add(layer, first, second, output, 0);
}

void ofa_add_lookup_signed(const ofa_lookup_layer *layer, const int8_t *first, const int8_t *second, int8_t *output)
{
    add(layer, first, second, output, 1);
}
