/* Boards with an Arduino core: Serial, and the best counter that moves.
 *
 * The counter is the core's cycle counter (DWT) where there is one, else micros(). Interrupts stay on, so a count holds
 * the few cycles that the framework's own timer takes.
 */
#include <Arduino.h>

#include "config.h"
#include "hal.h"
#include "protocol.h"

#if defined(__ARM_ARCH_7M__) || defined(__ARM_ARCH_7EM__) || defined(__ARM_ARCH_8M_MAIN__) || \
    defined(__ARM_ARCH_8_1M_MAIN__)
#define MAY_HAVE_DWT 1
#else
#define MAY_HAVE_DWT 0
#endif

static const uint32_t STACK_PAINT = 0xC5A51C5Au;
static const uint32_t STACK_WORDS = OFA_STACK_BYTES / sizeof(uint32_t);

static bool counts_cycles;
static uint32_t counter_begin;
static volatile uint32_t *stack_bottom;
static uint32_t speed;
static uint32_t speed_kept; /* milliseconds */

/* ---- serial line ----------------------------------------------------------------------------------------------- */

/* What tells a USB port from a UART in every Arduino core: it knows whether a terminal is ready at the other end. */
template <typename Port> static auto has_speed(Port &port, int) -> decltype(port.dtr(), bool())
{
    (void)port;
    return false;
}

template <typename Port> static bool has_speed(Port &, long)
{
    return true;
}

uint32_t ofa_hal_baud(void)
{
    return has_speed(Serial, 0) ? speed : 0;
}

void ofa_hal_set_baud(uint32_t baud)
{
    Serial.flush();
    Serial.end();
    Serial.begin(baud);
    speed = baud;
    ofa_hal_keep_baud();
}

void ofa_hal_keep_baud(void)
{
    speed_kept = (uint32_t)millis();
}

uint8_t ofa_hal_read(void)
{
    for (;;) {
        if (speed != OFA_BAUD && (uint32_t)millis() - speed_kept > OFA_BAUD_HOLD_MS) {
            ofa_hal_set_baud(OFA_BAUD);
        }
        int byte = Serial.read();
        if (byte >= 0) {
            return (uint8_t)byte;
        }
        yield();
    }
}

void ofa_hal_write(uint8_t byte)
{
    Serial.write(byte);
}

void ofa_hal_flush(void)
{
    Serial.flush();
}

/* ---- counter ---------------------------------------------------------------------------------------------------- */

#if MAY_HAVE_DWT
/* Debug registers, Armv7-M Architecture Reference Manual, C1.8 */
static volatile uint32_t &DEBUG_DEMCR = *(volatile uint32_t *)0xE000EDFCu;
static volatile uint32_t &CYCLE_CTRL = *(volatile uint32_t *)0xE0001000u;
static volatile uint32_t &CYCLE_COUNT = *(volatile uint32_t *)0xE0001004u;
static volatile uint32_t &CYCLE_LOCK = *(volatile uint32_t *)0xE0001FB0u;

static uint32_t cycles(void)
{
    return CYCLE_COUNT;
}

/* Switches the cycle counter on; whether it then moves. */
static bool start_cycles(void)
{
    DEBUG_DEMCR |= 1u << 24;
    CYCLE_LOCK = 0xC5ACCE55u;
    CYCLE_CTRL |= 1u;
    uint32_t before = CYCLE_COUNT;
    for (volatile int i = 0; i < 100; i++) {
    }
    return CYCLE_COUNT != before;
}
#else
static uint32_t cycles(void)
{
    return 0;
}

static bool start_cycles(void)
{
    return false;
}
#endif

static uint32_t now(void)
{
    return counts_cycles ? cycles() : (uint32_t)micros();
}

void ofa_hal_counter_start(void)
{
    counter_begin = now();
}

uint64_t ofa_hal_counter_stop(void)
{
    return (uint32_t)(now() - counter_begin);
}

const char *ofa_hal_counter_name(void)
{
    return counts_cycles ? "dwt" : "micros";
}

uint32_t ofa_hal_counter_hz(void)
{
    return counts_cycles ? ofa_hal_core_hz() : 1000000u;
}

uint32_t ofa_hal_core_hz(void)
{
#ifdef F_CPU
    return (uint32_t)F_CPU;
#else
    return 0;
#endif
}

/* ---- stack: the OFA_STACK_BYTES below the caller of loop() are painted once ---------------------------------------- */

__attribute__((noinline)) static void paint_stack(void)
{
    volatile uint32_t *here = (volatile uint32_t *)__builtin_frame_address(0);
    stack_bottom = here - STACK_WORDS;
    for (volatile uint32_t *word = stack_bottom; word < here - 32; word++) {
        *word = STACK_PAINT;
    }
}

uint32_t ofa_hal_stack_used(void)
{
    uint32_t untouched = 0;
    while (untouched < STACK_WORDS && stack_bottom[untouched] == STACK_PAINT) {
        untouched++;
    }
    return (STACK_WORDS - untouched) * sizeof(uint32_t);
}

/* ---- start ------------------------------------------------------------------------------------------------------ */

void ofa_hal_init(void)
{
    Serial.begin(OFA_BAUD);
    speed = OFA_BAUD;
    counts_cycles = start_cycles();
    paint_stack();
}

void setup()
{
    ofa_hal_init();
}

void loop()
{
    ofa_protocol_step();
}
