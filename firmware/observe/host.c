/* The two files of `observe.h` on a host. */
#include <stdio.h>

#include "observe.h"

static FILE *inputs, *tensors;

int ofa_files_open(void)
{
    inputs = fopen("inputs.bin", "rb");
    tensors = fopen("tensors.bin", "wb");
    return inputs && tensors;
}

int ofa_files_read(void *data, uint32_t bytes)
{
    return fread(data, 1, bytes, inputs) == bytes;
}

int ofa_files_write(const void *data, uint32_t bytes)
{
    return fwrite(data, 1, bytes, tensors) == bytes;
}

int ofa_files_close(void)
{
    return fclose(tensors) == 0;
}

int main(void)
{
    return ofa_observe_all();
}
