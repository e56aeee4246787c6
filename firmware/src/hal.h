/* What the protocol needs from a board. One file implements it for a family of boards. */
#ifndef OFA_HAL_H
#define OFA_HAL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Prepares the serial line, the counter and the stack paint. Called once, before everything else. */
void ofa_hal_init(void);

/* The next byte from the host; waits for it. */
uint8_t ofa_hal_read(void);

/* Sends one byte to the host; may buffer it until ofa_hal_flush. */
void ofa_hal_write(uint8_t byte);

/* Sends what is buffered. */
void ofa_hal_flush(void);

/* Speed of the serial port in baud, 0 where it has none, such as a USB port of the chip's own or an emulator's. */
uint32_t ofa_hal_baud(void);

/* Changes the speed once everything is sent. Called only where the port has one. After OFA_BAUD_HOLD_MS without
 * ofa_hal_keep_baud the next ofa_hal_read changes it back to OFA_BAUD. */
void ofa_hal_set_baud(uint32_t baud);
void ofa_hal_keep_baud(void);

/* Restarts the counter, so that equal work gives equal counts. */
void ofa_hal_counter_start(void);

/* Stops the counter: its ticks since ofa_hal_counter_start. */
uint64_t ofa_hal_counter_stop(void);

/* What counts ("dwt", "cycles", "micros"; "virtual" in an emulator, which the host relies on) and how many ticks it makes in a second. */
const char *ofa_hal_counter_name(void);
uint32_t ofa_hal_counter_hz(void);

/* Clock of the core in Hz, 0 where it is not known; and whether that was "measured", is "declared" by the framework, or
 * "unknown". */
uint32_t ofa_hal_core_hz(void);
const char *ofa_hal_core_hz_basis(void);

/* Which caches of the core are on: "I+D", "I", "D", "off", or "none" where the core has none. */
const char *ofa_hal_caches(void);

/* Raises (1) or lowers (0) the pin that shows a power meter when the model runs; nothing where there is no such pin. */
void ofa_hal_mark(int running);

/* Most bytes of stack in use since the start, interrupts included. */
uint32_t ofa_hal_stack_used(void);

#ifdef __cplusplus
}
#endif

#endif
