/* Runs a generated debug model on QEMU's `virt` machine with a 32-bit RISC-V core: images are linked in, and every tensor
 * leaves through the UART as little-endian int32 index, int32 bytes, and its codes.
 */
#include <stddef.h>
#include <stdint.h>

#include "ofa_model.h"

#define UART (*(volatile uint8_t *)0x10000000)
#define FINISHER (*(volatile uint32_t *)0x00100000)

extern const int8_t test_images[];
extern const int32_t test_image_count;
void run_all(void);

__asm__(".section .text.start\n.globl _start\n_start: la sp, _stack_end\n call run_all\n1: j 1b\n.previous");

/* The compiler calls these, and there is no library. */
void *memcpy(void *to, const void *from, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        ((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    }
    return to;
}

void *memset(void *to, int value, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        ((volatile uint8_t *)to)[i] = (uint8_t)value;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    if ((uintptr_t)to <= (uintptr_t)from) {
        return memcpy(to, from, count);
    }
    while (count--) {
        ((volatile uint8_t *)to)[count] = ((const uint8_t *)from)[count];
    }
    return to;
}

static void put(const void *data, int32_t bytes)
{
    for (int32_t i = 0; i < bytes; ++i) {
        UART = ((const uint8_t *)data)[i];
    }
}

void ofa_model_observe(int index, const int8_t *data, int32_t bytes)
{
    const int32_t record[2] = {index, bytes};
    put(record, sizeof record);
    put(data, bytes);
}

void run_all(void)
{
    const int8_t *next = test_images;
    for (int32_t image = 0; image < test_image_count; ++image) {
        int8_t *input = ofa_model_input();
        for (int32_t i = 0; i < OFA_MODEL_INPUT_BYTES; ++i) {
            input[i] = *next++;
        }
        ofa_model_run();
    }
    FINISHER = 0x5555;
}
