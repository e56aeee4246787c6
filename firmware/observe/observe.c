/* Runs a generated debug model on the inputs of a file and writes every tensor to another.
 *
 * The inputs lie one after the other. Each tensor is a record: int32 number of the layer, int32 bytes, the bytes. After
 * the last layer come records with number -1, one for each output as the caller of the model sees it.
 */
#include "observe.h"

#include "ofa_model.h"

static int failed;

static void put(int32_t index, const int8_t *data, int32_t bytes)
{
    const int32_t header[2] = {index, bytes};
    if (!ofa_files_write(header, sizeof header) || !ofa_files_write(data, (uint32_t)bytes)) {
        failed = 1;
    }
}

void ofa_model_observe(int index, const int8_t *data, int32_t bytes)
{
    put((int32_t)index, data, bytes);
}

/* 0 at the end of the file. */
static int load(void)
{
    for (int index = 0; index < OFA_MODEL_INPUTS; index++) {
        if (!ofa_files_read(ofa_model_input_at(index), (uint32_t)ofa_model_input_bytes_at(index))) {
            return 0;
        }
    }
    return 1;
}

int ofa_observe_all(void)
{
    if (!ofa_files_open()) {
        return 1;
    }
    while (load()) {
        ofa_model_run();
        for (int index = 0; index < OFA_MODEL_OUTPUTS; index++) {
            put(-1, ofa_model_output_at(index), ofa_model_output_bytes_at(index));
        }
    }
    return !ofa_files_close() || failed;
}
