/* Runs a generated debug model on an emulated core: images are linked in, all inputs side by side; records of int32
 * index, int32 bytes, uint32 instructions and the tensor leave by semihosting. Behind the layers come the outputs as the
 * caller sees them, with index -1.
 */
#include <stdint.h>

#include "emulated_start.h"
#include "ofa_model.h"

/* A program that only looks like a model is asked for nothing but what it observes. */
#ifndef OFA_MODEL_INPUTS
#define OFA_MODEL_INPUTS 0
#define OFA_MODEL_OUTPUTS 0
#define ofa_model_input_at(index) ofa_model_input()
#define ofa_model_input_bytes_at(index) 0
#define ofa_model_output_at(index) ofa_model_output()
#define ofa_model_output_bytes_at(index) 0
#endif

extern const int8_t test_images[];
extern const int32_t test_image_count;

static uint32_t layer_start;

__attribute__((noinline)) void ofa_model_observe(int index, const int8_t *data, int32_t bytes)
{
    const uint32_t record[3] = {(uint32_t)index, (uint32_t)bytes, now() - layer_start};
    put(record, sizeof record);
    put(data, (uint32_t)bytes);
    layer_start = now();
}

int main(void)
{
    open_output();
    start_timer();
    /* The second of two records with nothing between them tells what observing takes. */
    ofa_model_observe(-1, 0, 0);
    ofa_model_observe(-1, 0, 0);
    const int8_t *next = test_images;
    for (int32_t image = 0; image < test_image_count; ++image) {
        for (int index = 0; index < OFA_MODEL_INPUTS; ++index) {
            int8_t *input = ofa_model_input_at(index);
            for (int32_t i = 0; i < ofa_model_input_bytes_at(index); ++i) {
                input[i] = *next++;
            }
        }
        layer_start = now();
        ofa_model_run();
        for (int index = 0; index < OFA_MODEL_OUTPUTS; ++index) {
            ofa_model_observe(-1, ofa_model_output_at(index), ofa_model_output_bytes_at(index));
        }
    }
    return 0;
}
