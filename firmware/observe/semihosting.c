/* The two files of `observe.h` through an emulator's semihosting (Arm's "Semihosting for AArch32 and AArch64"), and the
 * start of a program that knows no board.
 */
#include "observe.h"

enum { SYS_OPEN = 0x01, SYS_CLOSE = 0x02, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT_EXTENDED = 0x20 };
enum { MODE_READ_BINARY = 1, MODE_WRITE_BINARY = 5 };
enum { APPLICATION_EXIT = 0x20026, FAULT = 9 };

extern uint32_t _data_load[], _data_start[], _data_end[], _bss_start[], _bss_end[], _stack_top[];

void Reset_Handler(void);

static int32_t inputs, tensors;

static int32_t semihost(int32_t operation, const void *argument)
{
    register int32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static int32_t open_file(const char *name, uint32_t length, uint32_t mode)
{
    const uintptr_t arguments[3] = {(uintptr_t)name, mode, length};
    return semihost(SYS_OPEN, arguments);
}

int ofa_files_open(void)
{
    static const char inputs_name[] = "inputs.bin";
    static const char tensors_name[] = "tensors.bin";
    inputs = open_file(inputs_name, sizeof inputs_name - 1, MODE_READ_BINARY);
    tensors = open_file(tensors_name, sizeof tensors_name - 1, MODE_WRITE_BINARY);
    return inputs != -1 && tensors != -1;
}

/* Both answer with the number of bytes that were not read or written. */
int ofa_files_read(void *data, uint32_t bytes)
{
    const uintptr_t arguments[3] = {(uintptr_t)inputs, (uintptr_t)data, bytes};
    return semihost(SYS_READ, arguments) == 0;
}

int ofa_files_write(const void *data, uint32_t bytes)
{
    const uintptr_t arguments[3] = {(uintptr_t)tensors, (uintptr_t)data, bytes};
    return semihost(SYS_WRITE, arguments) == 0;
}

int ofa_files_close(void)
{
    const uintptr_t argument = (uintptr_t)tensors;
    return semihost(SYS_CLOSE, &argument) == 0;
}

static void leave(uint32_t code)
{
    const uint32_t arguments[2] = {APPLICATION_EXIT, code};
    for (;;) {
        semihost(SYS_EXIT_EXTENDED, arguments);
    }
}

static void fault(void)
{
    leave(FAULT);
}

void Reset_Handler(void)
{
    /* Floating point and vector unit on; a core without them has nothing there. */
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20;
    __asm__ volatile("dsb\n isb");
    uint32_t *load = _data_load;
    for (uint32_t *word = _data_start; word != _data_end; ++word) {
        *word = *load++;
    }
    for (uint32_t *word = _bss_start; word != _bss_end; ++word) {
        *word = 0;
    }
    leave((uint32_t)ofa_observe_all());
}

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    (handler)(uintptr_t)_stack_top, Reset_Handler, fault, fault, fault, fault, fault,
};
