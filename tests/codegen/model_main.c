/* Feeds images from stdin to a generated debug model; writes every observed tensor, then the output, to stdout. */
#include <stdio.h>

#include "ofa_model.h"

void ofa_model_observe(int index, const int8_t *data, int32_t bytes)
{
    const int32_t header[2] = {index, bytes};
    fwrite(header, sizeof header[0], 2, stdout);
    fwrite(data, 1, (size_t)bytes, stdout);
}

int main(void)
{
    while (fread(ofa_model_input(), 1, OFA_MODEL_INPUT_BYTES, stdin) == OFA_MODEL_INPUT_BYTES) {
        ofa_model_run();
        fwrite(ofa_model_output(), 1, OFA_MODEL_OUTPUT_BYTES, stdout);
    }
    return 0;
}
