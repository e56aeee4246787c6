/* Runs a generated debug model on an emulated core: images are linked in, records of int32 index, int32 bytes,
 * uint32 instructions and the tensor leave by semihosting.
 */
#include <stdint.h>

#include "emulated_start.h"
#include "ofa_model.h"

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
    for (int32_t image = 0; image < test_image_count; ++image) {
        int8_t *input = ofa_model_input();
        for (int32_t i = 0; i < OFA_MODEL_INPUT_BYTES; ++i) {
            input[i] = test_images[image * OFA_MODEL_INPUT_BYTES + i];
        }
        layer_start = now();
        ofa_model_run();
    }
    return 0;
}
