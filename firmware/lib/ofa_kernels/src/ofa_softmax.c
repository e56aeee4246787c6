#include "ofa_operators.h"
#include "ofa_requantize.h"

/* Exponentials lose so many bits before they are summed. */
#define EXCESS_BITS 12

/* x * 2^bits, cut off at the ends of 32 bits */
static inline int32_t saturating_shift(int32_t x, int32_t bits)
{
    const int32_t shifted = (int32_t)((uint32_t)x << bits);
    const int32_t limit = INT32_MAX ^ (x >> 31);
    return shifted >> bits == x ? shifted : limit;
}

/* 1 / (1 + x), 0 <= x < 1, no integer bits on either side: three steps of Newton's for half of it. */
static int32_t reciprocal_of_one_plus(int32_t x)
{
    const int32_t half = (int32_t)(((uint32_t)x + (uint32_t)INT32_MAX + 1u) >> 1);
    int32_t y = 1515870810 + ofa_high_multiply(-1010580540, half); /* 48/17 - 32/17 * half */
    for (int32_t step = 0; step < 3; ++step) {
        const int32_t error = (1 << 29) - ofa_high_multiply(half, y);
        y += saturating_shift(ofa_high_multiply(error, y), 2);
    }
    return saturating_shift(y, 1);
}

static void softmax_row(const int32_t *exponentials, int32_t depth, const int8_t *input, int8_t *output)
{
    int32_t largest = INT8_MIN;
    for (int32_t i = 0; i < depth; ++i) {
        const int32_t above = input[i] - largest;
        largest += above & ~(above >> 31);
    }
    uint32_t sum = 0;
    for (int32_t i = 0; i < depth; ++i) {
        sum += ((uint32_t)exponentials[largest - input[i]] + (1u << (EXCESS_BITS - 1))) >> EXCESS_BITS;
    }
    const int32_t zeros = __builtin_clz(sum);
    const int32_t reciprocal = reciprocal_of_one_plus((int32_t)((sum << zeros) - 0x80000000u));
    /* The result is product / 2^(35 - zeros) to nearest; from a shift of 32 on that is 0. */
    const int32_t shift = 35 - zeros;
    const uint32_t kept = shift < 32 ? UINT32_MAX : 0;
    const int32_t bits = shift < 32 ? shift : 31;
    const uint32_t half = 1u << (bits - 1);
    for (int32_t i = 0; i < depth; ++i) {
        const int32_t product = ofa_high_multiply(exponentials[largest - input[i]], reciprocal);
        const int32_t value = (int32_t)((((uint32_t)product + half) >> bits) & kept) - 255;
        output[i] = (int8_t)((value & (value >> 31)) + INT8_MAX);
    }
}

void ofa_softmax(const ofa_softmax_layer *layer, const int8_t *input, int8_t *output)
{
    const int32_t depth = layer->depth;
    for (int32_t row = layer->rows; row > 0; --row) {
        softmax_row(layer->exponentials, depth, input, output);
        input += depth;
        output += depth;
    }
}
