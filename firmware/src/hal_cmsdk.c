/* Bare metal on the emulated boards: a CMSDK UART at OFA_UART_BASE, SysTick at OFA_SYSTICK_HZ, start-up, faults.
 *
 * The linker script puts the stack at the lowest address of the RAM, so that an overflow leaves the RAM and ends in
 * the fault handler instead of spoiling the model's arena. Some machines read zeros there without a fault; the memory
 * protection unit makes them fault.
 */
#include "hal.h"

#include <string.h>

#include "config.h"
#include "protocol.h"

#if !defined(OFA_UART_BASE) || !defined(OFA_SYSTICK_HZ)
#error "the board manifest must give OFA_UART_BASE and OFA_SYSTICK_HZ"
#endif

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Arm CMSDK APB UART, Cortex-M System Design Kit Technical Reference Manual */
#define UART_DATA REGISTER(OFA_UART_BASE + 0x00u)
#define UART_STATE REGISTER(OFA_UART_BASE + 0x04u)
#define UART_CTRL REGISTER(OFA_UART_BASE + 0x08u)
#define UART_INTCLEAR REGISTER(OFA_UART_BASE + 0x0Cu)
#define UART_BAUDDIV REGISTER(OFA_UART_BASE + 0x10u)
#define UART_TX_FULL 1u
#define UART_RX_FULL 2u
#define UART_TX_RX_ENABLE 3u
#define UART_RX_INTERRUPT_ENABLE 8u
#define UART_RX_INTERRUPT 2u

/* System control space, Armv7-M and Armv8-M Architecture Reference Manuals */
#define SYST_CSR REGISTER(0xE000E010u)
#define SYST_RVR REGISTER(0xE000E014u)
#define SYST_CVR REGISTER(0xE000E018u)
#define SYST_PERIOD (1u << 24)
#define SYST_STOPPED 4u /* but on the core's clock already: changing the clock while it starts spoils QEMU's count */
#define SYST_RUNNING 7u
#define NVIC_ISER(n) REGISTER(0xE000E100u + 4u * (n))
#define NVIC_ICER(n) REGISTER(0xE000E180u + 4u * (n))
#define NVIC_ICPR(n) REGISTER(0xE000E280u + 4u * (n))
#define NVIC_WORDS 3u
#define MPU_TYPE REGISTER(0xE000ED90u)
#define MPU_CTRL REGISTER(0xE000ED94u)
#define MPU_RBAR REGISTER(0xE000ED9Cu)
#define MPU_RASR REGISTER(0xE000EDA0u)
#define MPU_ENABLE_WITH_DEFAULT_MAP 5u
#define MPU_REGION_0 (1u << 4)
#define MPU_NO_ACCESS_4_KB (1u << 28 | 11u << 1 | 1u)
#define GUARD_BYTES 4096u
#define CPACR REGISTER(0xE000ED88u)
#define CPACR_FPU_AND_MVE (0xFu << 20)

#define STACK_PAINT 0xC5A51C5Au

extern uint32_t _stack_start[], _stack_end[];
extern uint8_t _sidata[], _sdata[], _edata[], _sbss[], _ebss[];

int main(void);
void Reset_Handler(void);

static volatile uint32_t systick_wraps;

/* ---- serial line ----------------------------------------------------------------------------------------------- */

void ofa_hal_init(void)
{
    UART_BAUDDIV = OFA_SYSTICK_HZ / OFA_BAUD;
    UART_CTRL = UART_TX_RX_ENABLE | UART_RX_INTERRUPT_ENABLE;
    (void)UART_DATA; /* tells QEMU to look for input at once, not at its next poll a second later */
}

/* Halts the core until the UART wants it, so that an idle emulator takes no time from the computer: input then comes
 * nearly twice as fast. The interrupt, whatever its number, wakes the core but is never taken. */
static void sleep(void)
{
    __asm volatile("cpsid i" ::: "memory");
    for (uint32_t n = 0; n < NVIC_WORDS; n++) {
        NVIC_ISER(n) = 0xFFFFFFFFu;
    }
    __asm volatile("dsb\n\twfi" ::: "memory");
    UART_INTCLEAR = UART_RX_INTERRUPT;
    for (uint32_t n = 0; n < NVIC_WORDS; n++) {
        NVIC_ICER(n) = 0xFFFFFFFFu;
        NVIC_ICPR(n) = 0xFFFFFFFFu;
    }
    __asm volatile("dsb\n\tcpsie i\n\tisb" ::: "memory");
}

uint8_t ofa_hal_read(void)
{
    while (!(UART_STATE & UART_RX_FULL)) {
        sleep();
    }
    return (uint8_t)UART_DATA;
}

void ofa_hal_write(uint8_t byte)
{
    while (UART_STATE & UART_TX_FULL) {
    }
    UART_DATA = byte;
}

void ofa_hal_flush(void)
{
}

uint32_t ofa_hal_baud(void)
{
    return 0; /* bytes pass as they come */
}

void ofa_hal_set_baud(uint32_t baud)
{
    (void)baud;
}

void ofa_hal_keep_baud(void)
{
}

/* ---- counter: 24 bits of SysTick, carried on by its interrupt ---------------------------------------------------- */

static void systick_handler(void)
{
    systick_wraps++;
}

void ofa_hal_counter_start(void)
{
    SYST_CSR = SYST_STOPPED;
    systick_wraps = 0;
    SYST_RVR = SYST_PERIOD - 1u;
    SYST_CVR = 0; /* the next tick reloads it: every count begins alike */
    SYST_CSR = SYST_RUNNING;
}

uint64_t ofa_hal_counter_stop(void)
{
    SYST_CSR = SYST_STOPPED;
    __asm volatile("dsb\n\tisb" ::: "memory"); /* an interrupt that is due comes before the next line */
    uint32_t down = SYST_CVR;
    return (uint64_t)systick_wraps * SYST_PERIOD + ((SYST_PERIOD - down) & (SYST_PERIOD - 1u));
}

const char *ofa_hal_counter_name(void)
{
    return "virtual"; /* SysTick in virtual time: says to the host that this is an emulator */
}

uint32_t ofa_hal_counter_hz(void)
{
    return OFA_SYSTICK_HZ;
}

uint32_t ofa_hal_core_hz(void)
{
    return 0; /* an emulator has no cycles */
}

const char *ofa_hal_core_hz_basis(void)
{
    return "unknown";
}

const char *ofa_hal_caches(void)
{
    return "none"; /* nor has it caches, whatever the core */
}

void ofa_hal_mark(int running)
{
    (void)running;
}

/* ---- stack ------------------------------------------------------------------------------------------------------ */

uint32_t ofa_hal_stack_used(void)
{
    const volatile uint32_t *word = _stack_start;
    while (word < _stack_end && *word == STACK_PAINT) {
        word++;
    }
    return (uint32_t)((uintptr_t)_stack_end - (uintptr_t)word);
}

static void guard_stack(void)
{
#if __ARM_ARCH < 8
    if (MPU_TYPE) {
        MPU_RBAR = ((uint32_t)(uintptr_t)_stack_start - GUARD_BYTES) | MPU_REGION_0;
        MPU_RASR = MPU_NO_ACCESS_4_KB;
        MPU_CTRL = MPU_ENABLE_WITH_DEFAULT_MAP;
        __asm volatile("dsb\n\tisb" ::: "memory");
    }
#endif
}

/* ---- start and faults --------------------------------------------------------------------------------------------- */

void Reset_Handler(void)
{
    uint32_t *sp;
    __asm volatile("mov %0, sp" : "=r"(sp));
    for (volatile uint32_t *word = _stack_start; word < sp; word++) {
        *word = STACK_PAINT;
    }
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    CPACR |= CPACR_FPU_AND_MVE;
    __asm volatile("dsb\n\tisb" ::: "memory");
#endif
    memcpy(_sdata, _sidata, (size_t)(_edata - _sdata));
    memset(_sbss, 0, (size_t)(_ebss - _sbss));
    guard_stack();
    (void)main();
    for (;;) {
    }
}

/* Answers every line with the address of the instruction that failed. `frame` is the stack pointer of the fault. */
__attribute__((noreturn, used)) static void report_fault(const uint32_t *frame)
{
    int readable = frame >= _stack_start && frame + 8 <= _stack_end;
    uint32_t address = readable ? frame[6] : 0;
    for (;;) {
        if (readable) {
            ofa_protocol_alarm("fault", address);
        } else {
            ofa_protocol_alarm("stack", (unsigned long)(uintptr_t)frame);
        }
        do { /* no interrupt can wake a sleeping core from here */
            while (!(UART_STATE & UART_RX_FULL)) {
            }
        } while (UART_DATA != '\n');
    }
}

#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
/* Forgets that registers of the floating-point unit are still to be saved (FPCCR.LSPACT): that would be on the old stack,
 * in the middle of the new one. */
#define FORGET_LAZY_STATE \
    "ldr r1, =0xE000EF34\n\t" \
    "ldr r2, [r1]\n\t" \
    "bic r2, r2, #1\n\t" \
    "str r2, [r1]\n\t" \
    "dsb\n\t" \
    "isb\n\t"
#else
#define FORGET_LAZY_STATE
#endif

/* The stack may be what broke: begin a new one. */
__attribute__((naked)) static void fault_handler(void)
{
    __asm volatile("mrs r0, msp\n\t" FORGET_LAZY_STATE
                   "ldr r1, =_stack_end\n\t"
                   "mov sp, r1\n\t"
                   "ldr r2, =report_fault\n\t"
                   "bx r2\n\t"
                   ".ltorg");
}

typedef union {
    void (*handler)(void);
    void *pointer;
} vector_t;

__attribute__((section(".isr_vector"), used)) static const vector_t vectors[16] = {
    {.pointer = _stack_end},
    {.handler = Reset_Handler},
    {.handler = fault_handler}, /* NMI */
    {.handler = fault_handler}, /* HardFault */
    {.handler = fault_handler}, /* MemManage */
    {.handler = fault_handler}, /* BusFault */
    {.handler = fault_handler}, /* UsageFault */
    {.handler = fault_handler}, /* SecureFault */
    {.handler = fault_handler},
    {.handler = fault_handler},
    {.handler = fault_handler},
    {.handler = fault_handler}, /* SVCall */
    {.handler = fault_handler}, /* DebugMonitor */
    {.handler = fault_handler},
    {.handler = fault_handler}, /* PendSV */
    {.handler = systick_handler},
};
