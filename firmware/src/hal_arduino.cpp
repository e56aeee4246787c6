/* Boards with an Arduino core: Serial, the best counter that moves, and a pin for power meters.
 *
 * The counter is the core's cycle counter: DWT on Arm's cores, the function that the build names by OFA_CYCLES on others;
 * where there is none, micros(). Interrupts stay on, so a count holds the few cycles that the framework's own timer takes.
 */
#include <Arduino.h>

#include "config.h"
#include "hal.h"
#include "protocol.h"

#if defined(__ARM_ARCH_7M__) || defined(__ARM_ARCH_7EM__) || defined(__ARM_ARCH_8M_MAIN__) || \
    defined(__ARM_ARCH_8_1M_MAIN__)
#define HAS_DEBUG_REGISTERS 1
#else
#define HAS_DEBUG_REGISTERS 0
#endif

static const uint32_t STACK_PAINT = 0xC5A51C5Au;
static const uint32_t STACK_WORDS = OFA_STACK_BYTES / sizeof(uint32_t);
static const uint32_t CLOCK_US = 20000; /* for which the clock is measured */
static const uint32_t MOMENT_US = 10;   /* longest time between readings that belong together */

static bool counts_cycles;
static uint32_t core_hz; /* measured; 0 where it was not */
static uint32_t counter_begin;
static volatile uint32_t *stack_bottom;
static uint32_t speed;
static uint32_t speed_kept; /* milliseconds */

/* ---- serial line ----------------------------------------------------------------------------------------------- */

#if defined(ARDUINO_USB_CDC_ON_BOOT) && ARDUINO_USB_CDC_ON_BOOT
/* Espressif's core has a macro for it, and USB ports that tell nothing. */
template <typename Port> static bool has_speed(Port &, int)
{
    return false;
}
#else
/* What tells a USB port from a UART in the other cores: it knows whether a terminal is ready at the other end. */
template <typename Port> static auto has_speed(Port &port, int) -> decltype(port.dtr(), bool())
{
    (void)port;
    return false;
}

template <typename Port> static bool has_speed(Port &, long)
{
    return true;
}
#endif

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

#ifdef OFA_CYCLES
static const char *const CYCLES_NAME = "cycles";

static uint32_t cycles(void)
{
    return (uint32_t)OFA_CYCLES();
}

static void start_cycles(void)
{
}
#elif HAS_DEBUG_REGISTERS
static const char *const CYCLES_NAME = "dwt";

/* Armv7-M Architecture Reference Manual, C1.8 */
static volatile uint32_t &DEBUG_DEMCR = *(volatile uint32_t *)0xE000EDFCu;
static volatile uint32_t &CYCLE_CTRL = *(volatile uint32_t *)0xE0001000u;
static volatile uint32_t &CYCLE_COUNT = *(volatile uint32_t *)0xE0001004u;
static volatile uint32_t &CYCLE_LOCK = *(volatile uint32_t *)0xE0001FB0u;

static uint32_t cycles(void)
{
    return CYCLE_COUNT;
}

static void start_cycles(void)
{
    DEBUG_DEMCR |= 1u << 24;
    CYCLE_LOCK = 0xC5ACCE55u;
    CYCLE_CTRL |= 1u;
}
#else
static const char *const CYCLES_NAME = "";

static uint32_t cycles(void)
{
    return 0;
}

static void start_cycles(void)
{
}
#endif

static bool cycles_move(void)
{
    uint32_t before = cycles();
    for (int i = 0; i < 100; i++) {
        (void)cycles();
    }
    return cycles() != before;
}

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
    return counts_cycles ? CYCLES_NAME : "micros";
}

uint32_t ofa_hal_counter_hz(void)
{
    return counts_cycles ? ofa_hal_core_hz() : 1000000u;
}

/* ---- clock ------------------------------------------------------------------------------------------------------ */

/* What the framework says of the core's clock, in Hz; 0 for nothing. */
static uint32_t declared_hz(void)
{
#ifdef F_CPU
    return (uint32_t)F_CPU;
#else
    return 0;
#endif
}

/* Microseconds and cycles of one moment; as near as may be where interrupts come between again and again. */
static void moment(uint32_t *us, uint32_t *count)
{
    for (int tries = 0; tries < 100; tries++) {
        *us = (uint32_t)micros();
        *count = cycles();
        if ((uint32_t)micros() - *us <= MOMENT_US) {
            return;
        }
    }
}

/* The core's clock by its cycle counter and micros(), from one step of the latter to another: what is declared, where
 * that is as near as micros() may tell. */
static uint32_t measured_hz(void)
{
    uint32_t before = (uint32_t)micros();
    uint32_t begin_us, begin, us, count;
    do {
        moment(&begin_us, &begin);
    } while (begin_us == before);
    do {
        moment(&us, &count);
    } while (us - begin_us < CLOCK_US);
    uint32_t found = (uint32_t)((uint64_t)(count - begin) * 1000000u / (us - begin_us));
    uint32_t declared = declared_hz();
    uint32_t apart = found > declared ? found - declared : declared - found;
    return apart > declared / 200 ? found : declared;
}

uint32_t ofa_hal_core_hz(void)
{
    return core_hz ? core_hz : declared_hz();
}

const char *ofa_hal_core_hz_basis(void)
{
    return core_hz ? "measured" : declared_hz() ? "declared" : "unknown";
}

/* ---- caches ----------------------------------------------------------------------------------------------------- */

const char *ofa_hal_caches(void)
{
#if HAS_DEBUG_REGISTERS
    /* CCR and CLIDR, Armv7-M Architecture Reference Manual, B3.2.8 and B4.8 */
    uint32_t on = *(volatile uint32_t *)0xE000ED14u >> 16 & 3u;
    uint32_t first_level = *(volatile uint32_t *)0xE000ED78u & 7u;
    static const char *const names[4] = {"off", "D", "I", "I+D"};
    return first_level ? names[on] : "none";
#else
    return "none";
#endif
}

/* ---- pin -------------------------------------------------------------------------------------------------------- */

#ifdef OFA_MARKER_PIN
static void prepare_marker(void)
{
    pinMode(OFA_MARKER_PIN, OUTPUT);
    ofa_hal_mark(0);
}

void ofa_hal_mark(int running)
{
    digitalWrite(OFA_MARKER_PIN, running ? HIGH : LOW);
}
#else
static void prepare_marker(void)
{
}

void ofa_hal_mark(int)
{
}
#endif

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

#ifdef ARDUINO_ARCH_ESP32
/* On a chip with one core neither yield() nor an inference leaves the idle task any time, and after five seconds its
 * watchdog writes to the serial line. */
static void stop_watchdog(void)
{
    disableCore0WDT();
}
#else
static void stop_watchdog(void)
{
}
#endif

void ofa_hal_init(void)
{
    stop_watchdog();
    Serial.begin(OFA_BAUD);
    speed = OFA_BAUD;
    start_cycles();
    counts_cycles = cycles_move();
    if (counts_cycles) {
        core_hz = measured_hz();
    }
    prepare_marker();
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
