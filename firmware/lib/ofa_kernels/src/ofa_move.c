#include "ofa_copy.h"
#include "ofa_operators.h"

static OFA_NOINLINE void copy_run(int8_t *to, const int8_t *from, int32_t count, int32_t words)
{
    ofa_copy(to, from, count, words);
}

static OFA_NOINLINE void gather_run(int8_t *to, const int8_t *from, int32_t count, int32_t step)
{
    for (; count >= 4; count -= 4) {
        to[0] = from[0];
        from += step;
        to[1] = from[0];
        from += step;
        to[2] = from[0];
        from += step;
        to[3] = from[0];
        from += step;
        to += 4;
    }
    for (; count > 0; --count) {
        *to++ = *from;
        from += step;
    }
}

void ofa_move(const ofa_move_layer *layer, const int8_t *input, int8_t *output)
{
    const int8_t *from0 = input;
    int8_t *to0 = output;
    for (int32_t i = layer->counts[0]; i > 0; --i, from0 += layer->from[0], to0 += layer->to[0]) {
        const int8_t *from1 = from0;
        int8_t *to1 = to0;
        for (int32_t j = layer->counts[1]; j > 0; --j, from1 += layer->from[1], to1 += layer->to[1]) {
            const int8_t *from2 = from1;
            int8_t *to2 = to1;
            for (int32_t k = layer->counts[2]; k > 0; --k, from2 += layer->from[2], to2 += layer->to[2]) {
                const int8_t *from3 = from2;
                int8_t *to3 = to2;
                for (int32_t l = layer->counts[3]; l > 0; --l, from3 += layer->from[3], to3 += layer->to[3]) {
                    if (layer->input_step == 1) {
                        copy_run(to3, from3, layer->run, layer->words);
                    } else {
                        gather_run(to3, from3, layer->run, layer->input_step);
                    }
                }
            }
        }
    }
}
