/* The few names of the Arduino API that the firmware uses, over standard input and output: to compile on a computer. */
#ifndef ARDUINO_SHIM_H
#define ARDUINO_SHIM_H

#include <stdint.h>

#define F_CPU 123000000UL

/* A UART, or with SHIM_USB a USB port. The speed of a UART is that of its terminal, unless standard input is the master's
 * end of one: then the speed is the host's. */
class SerialShim {
public:
    void begin(unsigned long baud);
    void end();
    int read();
    void write(uint8_t byte);
    void flush();
#ifdef SHIM_USB
    bool dtr() { return true; }
#endif
};

extern SerialShim Serial;

static inline void yield() {}

unsigned long micros();
unsigned long millis();

void setup();
void loop();

#endif
