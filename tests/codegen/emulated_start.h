/* Start-up, output and an instruction counter of test programs on emulated cores; include it once, define main(). */
#include <stdint.h>

extern uint32_t _data_load[], _data_start[], _data_end[], _bss_start[], _bss_end[];

void Reset_Handler(void);
int main(void);

/* A 32-bit timer that counts instructions up, where the machine has one: an STM32's TIM2 under `-icount shift=0`. */
#ifdef TEST_STM32_TIMER
#define TIM2 ((volatile uint32_t *)0x40000000)
static uint32_t now(void)
{
    return TIM2[0x24 / 4];
}
static void start_timer(void)
{
    TIM2[0x2c / 4] = 0xffffffffu;
    TIM2[0x28 / 4] = 0;
    TIM2[0x14 / 4] = 1;
    TIM2[0] = 1;
}
#else
/* SysTick counts 24 bits down; a layer must end within one turn of it. */
#define SYSTICK ((volatile uint32_t *)0xe000e010)
static uint32_t now(void)
{
    return (0xffffffu - SYSTICK[2]) << 8;
}
static void start_timer(void)
{
    SYSTICK[1] = 0xffffffu;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5;
}
#endif

static int32_t semihost(int32_t operation, const void *argument)
{
    register int32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static int32_t standard_output;

static void put(const void *data, uint32_t bytes)
{
    const uintptr_t arguments[3] = {(uintptr_t)standard_output, (uintptr_t)data, bytes};
    semihost(0x05, arguments);
}

static void open_output(void)
{
    static const char console[] = ":tt";
    const uintptr_t open[3] = {(uintptr_t)console, 4, 3};
    standard_output = semihost(0x01, open);
}

static void leave(uint32_t code)
{
    const uint32_t arguments[2] = {0x20026, code};
    for (;;) {
        semihost(0x20, arguments);
    }
}

static void fault(void)
{
    leave(9);
}

void Reset_Handler(void)
{
    /* Floating point and vector unit on. */
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20;
    __asm__ volatile("dsb\n isb");
    uint32_t *load = _data_load;
    for (uint32_t *word = _data_start; word != _data_end; ++word) {
        *word = *load++;
    }
    for (uint32_t *word = _bss_start; word != _bss_end; ++word) {
        *word = 0;
    }
    main();
    leave(0);
}

extern uint32_t _stack_top[];
typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    (handler)(uintptr_t)_stack_top, Reset_Handler, fault, fault, fault, fault, fault,
};
