#include "ofa_dsp_dense.h"

#include "ofa_dsp.h"
#include "ofa_filter.h"
#include "ofa_requantize.h"

/* A pair of channels: `both` sums 256 times the odd one's products plus the even one's, `even` the even one's. */
typedef struct {
    uint32_t both, even;
} pair;

#define MULTIPLY(p, word, x) \
    do { \
        OFA_SMLAD((p).both, word, x); \
        OFA_SXTB16(word, word); \
        OFA_SMLAD((p).even, word, x); \
    } while (0)

/* Four inputs with two pairs of channels, and with one. */
#define STEP4(p, q) \
    do { \
        uint32_t a, b, x, y; \
        OFA_LDR_NEXT(y, input); \
        OFA_LDRD_NEXT(a, b, weights); \
        OFA_SXTB16(x, y); \
        OFA_SXTB16_ROR8(y, y); \
        MULTIPLY(p, a, x); \
        MULTIPLY(q, b, x); \
        OFA_LDRD_NEXT(a, b, weights); \
        MULTIPLY(p, a, y); \
        MULTIPLY(q, b, y); \
    } while (0)
#define STEP2(p) \
    do { \
        uint32_t a, b, x, y; \
        OFA_LDR_NEXT(y, input); \
        OFA_LDRD_NEXT(a, b, weights); \
        OFA_SXTB16(x, y); \
        OFA_SXTB16_ROR8(y, y); \
        MULTIPLY(p, a, x); \
        MULTIPLY(p, b, y); \
    } while (0)

/* Adds the products of `quads` times four inputs; `weights` moves on. */
static OFA_INLINE const ofa_word *four_channels(pair *first, pair *second, const ofa_word *weights,
                                                const ofa_word *input, int32_t quads)
{
    pair p = *first, q = *second;
    for (const ofa_word *const end = input + (quads & ~1); input != end;) {
        STEP4(p, q);
        STEP4(p, q);
    }
    if (quads & 1) {
        STEP4(p, q);
    }
    *first = p;
    *second = q;
    return weights;
}

static OFA_INLINE const ofa_word *two_channels(pair *first, const ofa_word *weights, const ofa_word *input,
                                               int32_t quads)
{
    pair p = *first;
    for (const ofa_word *const end = input + quads; input != end;) {
        STEP2(p);
    }
    *first = p;
    return weights;
}

static OFA_INLINE uint32_t code_of(uint32_t sum, const ofa_word *scales)
{
    const uint32_t offset = scales[1] - (scales[2] & (uint32_t)((int32_t)sum >> 31));
    uint32_t value;
    OFA_SMMLA(value, sum, scales[0], offset);
    value = (uint32_t)((int32_t)value >> scales[3]);
    OFA_SSAT8(value, value, 1);
    return value;
}

static OFA_INLINE int8_t clamped(uint32_t code, const ofa_dsp_dense_layer *layer)
{
    const int32_t low = (int32_t)code < layer->clamp_min ? layer->clamp_min : (int32_t)code;
    return (int8_t)(low > layer->clamp_max ? layer->clamp_max : low);
}

/* Both codes of a pair; the second only if it is there. Sums are scaled by 256. */
static OFA_INLINE void store_pair(const ofa_dsp_dense_layer *layer, pair p, const ofa_word *scales, int8_t *output,
                                  int32_t channels)
{
    output[0] = clamped(code_of(p.even << 8, scales), layer);
    if (channels > 1) {
        output[1] = clamped(code_of(p.both - p.even, scales + 4), layer);
    }
}

void ofa_dsp_dense(const ofa_dsp_dense_layer *layer, const int8_t *input, int8_t *output)
{
    const ofa_word *weights = layer->weights;
    const ofa_word *scales = layer->scales;
    const ofa_word *const x = (const ofa_word *)(const void *)input;
    int32_t channels = layer->outputs;
    for (; channels > 2; channels -= 4) {
        pair p = {weights[0], weights[1]}, q = {weights[2], weights[3]};
        weights = four_channels(&p, &q, weights + 4, x, layer->quads);
        store_pair(layer, p, scales, output, 2);
        store_pair(layer, q, scales + 8, output + 2, channels - 2);
        scales += 16;
        output += 4;
    }
    if (channels > 0) {
        pair p = {weights[0], weights[1]};
        two_channels(&p, weights + 2, x, layer->quads);
        store_pair(layer, p, scales, output, channels);
    }
}

/* Inputs whose products the odd sum's 24 bits hold for any weights: 4 * 128 * 127 * 128 < 2^23. */
#define CHUNK 128

typedef struct {
    int32_t odd, even;
} sums;

static OFA_INLINE void add_pair(sums *total, pair p)
{
    total->odd += (int32_t)(p.both - p.even) >> 8;
    total->even += (int32_t)p.even;
}

static OFA_INLINE int8_t general_code(const ofa_dsp_dense_layer *layer, int32_t sum, const ofa_word *scales)
{
    const int32_t low = layer->clamp_min;
    const int32_t value = ofa_scale(sum, (int32_t)scales[0], (int32_t)scales[1]);
    return (int8_t)ofa_clamp(value, layer->output_zero_point - low, low, layer->clamp_max - low);
}

static OFA_NOINLINE void store_general(const ofa_dsp_dense_layer *layer, const sums *total, const ofa_word *scales,
                                       int8_t *output, int32_t channels)
{
    output[0] = general_code(layer, total->even, scales);
    if (channels > 1) {
        output[1] = general_code(layer, total->odd, scales + 2);
    }
}

void ofa_dsp_dense_general(const ofa_dsp_dense_layer *layer, const int8_t *input, int8_t *output)
{
    const ofa_word *weights = layer->weights;
    const ofa_word *scales = layer->scales;
    int32_t channels = layer->outputs;
    for (; channels > 0; channels -= 4) {
        const ofa_word *x = (const ofa_word *)(const void *)input;
        const int four = channels > 2;
        sums first = {(int32_t)weights[0], (int32_t)weights[1]}, second = {0, 0};
        weights += 2;
        if (four) {
            second.odd = (int32_t)weights[0];
            second.even = (int32_t)weights[1];
            weights += 2;
        }
        for (int32_t left = layer->quads; left > 0; left -= CHUNK, x += CHUNK) {
            const int32_t quads = left < CHUNK ? left : CHUNK;
            pair p = {0, 0}, q = {0, 0};
            weights = four ? four_channels(&p, &q, weights, x, quads) : two_channels(&p, weights, x, quads);
            add_pair(&first, p);
            add_pair(&second, q);
        }
        store_general(layer, &first, scales, output, channels);
        if (four) {
            store_general(layer, &second, scales + 4, output + 2, channels - 2);
        }
        scales += 8;
        output += 4;
    }
}
