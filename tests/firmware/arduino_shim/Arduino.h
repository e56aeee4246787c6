/* The few names of the Arduino API that the firmware uses, over standard input and output: to compile on a computer. */
#ifndef ARDUINO_SHIM_H
#define ARDUINO_SHIM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#define F_CPU 123000000UL

class SerialShim {
public:
    void begin(unsigned long) {}
    int read()
    {
        uint8_t byte;
        if (::read(0, &byte, 1) != 1) {
            exit(0); /* the host is gone */
        }
        return byte;
    }
    void write(uint8_t byte) { putchar(byte); }
    void flush() { fflush(stdout); }
};

inline SerialShim Serial;

static inline void yield() {}

#ifdef MADE_UP_MICROS
extern "C" unsigned long made_up_micros;
static inline unsigned long micros() { return made_up_micros; }
#else
static inline unsigned long micros()
{
    timeval now;
    gettimeofday(&now, 0);
    return (unsigned long)(now.tv_sec * 1000000ull + now.tv_usec);
}
#endif

void setup();
void loop();

#endif
