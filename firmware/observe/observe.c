/* Runs a generated debug model on the inputs of a file and writes every tensor to another.
 *
 * The inputs lie one after the other. Each tensor is a record: int32 number of the layer, int32 bytes, the bytes. After
 * the last layer of an input comes a record with number -1, the output as the caller of the model sees it.
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

int ofa_observe_all(void)
{
    if (!ofa_files_open()) {
        return 1;
    }
    while (ofa_files_read(ofa_model_input(), OFA_MODEL_INPUT_BYTES)) {
        ofa_model_run();
        put(-1, ofa_model_output(), OFA_MODEL_OUTPUT_BYTES);
    }
    return !ofa_files_close() || failed;
}
