/* Sizes and names of the firmware, each in one place; the build may override them with -D. */
#ifndef OFA_CONFIG_H
#define OFA_CONFIG_H

#define OFA_PROTOCOL_VERSION 1
#define OFA_FIRMWARE_VERSION "0.1.0"

/* Longest request in characters, its line feed not counted. It is the only buffer of the protocol. */
#ifndef OFA_LINE_BYTES
#define OFA_LINE_BYTES 256
#endif

/* Most bytes that one `load` carries or one `output` asks for: 4/3 of it, and the words around, fill a line. */
#define OFA_PAYLOAD_BYTES ((OFA_LINE_BYTES - 32) / 4 * 3)

/* Bytes kept for the stack; the linker script takes the same figure. */
#ifndef OFA_STACK_BYTES
#define OFA_STACK_BYTES 2048
#endif

/* Name of the board, as the host knows it. */
#ifndef OFA_BOARD
#define OFA_BOARD "unnamed"
#endif

/* Speed of a UART; a USB port ignores it. */
#ifndef OFA_BAUD
#define OFA_BAUD 115200
#endif

#endif
