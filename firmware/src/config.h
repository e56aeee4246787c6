/* Sizes and names of the firmware, each in one place; the build may override them with -D. */
#ifndef OFA_CONFIG_H
#define OFA_CONFIG_H

#define OFA_PROTOCOL_VERSION 2
#define OFA_FIRMWARE_VERSION "0.1.0"

/* Longest request in characters, its line feed not counted. It is the only buffer of the protocol. */
#ifndef OFA_LINE_BYTES
#define OFA_LINE_BYTES 256
#endif

/* Most bytes that one line carries: they, at most one character more in 254, and the words around fill a line. */
#define OFA_PAYLOAD_BYTES ((OFA_LINE_BYTES - 34 - OFA_LINE_BYTES / 254) / 4 * 4)

/* Most requests that may wait for their answers. They wait on the line, not here: a request is read, obeyed and answered
 * faster than the next one arrives. */
#ifndef OFA_WINDOW
#define OFA_WINDOW 8
#endif

/* Bytes kept for the stack; the linker script takes the same figure. */
#ifndef OFA_STACK_BYTES
#define OFA_STACK_BYTES 2048
#endif

/* Name of the board, as the host knows it. */
#ifndef OFA_BOARD
#define OFA_BOARD "unnamed"
#endif

/* What decides what the compiler makes of the sources, as the build gives it: "-O2,-mcpu=cortex-m7". */
#ifndef OFA_FLAGS
#define OFA_FLAGS "unknown"
#endif

/* Speed of a UART at the start; a USB port ignores it. */
#ifndef OFA_BAUD
#define OFA_BAUD 115200
#endif

/* How long another speed holds without a sound line. The host relies on it (ofa_mcu/devices/link.py). */
#ifndef OFA_BAUD_HOLD_MS
#define OFA_BAUD_HOLD_MS 2000
#endif

#endif
