/* The few names of the Arduino API that the firmware uses, over standard input and output: to compile on a computer. */
#ifndef ARDUINO_SHIM_H
#define ARDUINO_SHIM_H

#include <stdint.h>

#ifndef F_CPU
#define F_CPU 123000000UL
#endif

/* A counter of cycles, for OFA_CYCLES, as some cores have one; the core runs at SHIM_HZ. */
#ifndef SHIM_HZ
#define SHIM_HZ F_CPU
#endif

struct CoreShim {
    uint32_t getCycleCount();
};

extern CoreShim ESP;

/* A UART, or with SHIM_USB or Espressif's macro a USB port, which with the latter tells nothing. The speed of a UART is that of its terminal, unless standard input is the master's
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
#ifdef ARDUINO_USB_CDC_ON_BOOT
protected:
    bool dtr;
#endif
};

extern SerialShim Serial;

static inline void yield() {}

#ifdef ARDUINO_ARCH_ESP32
static inline void disableCore0WDT() {}
#endif

/* What becomes of the pins is written to the file that SHIM_PINS names in the environment: nanoseconds, pin, level. Names
 * are those of other cores. */
enum { LOW, HIGH, OUTPUT, PB0 = 16, PB12 = 28, PG14 = 110 };

void pinMode(int pin, int mode);
void digitalWrite(int pin, int level);

unsigned long micros();
unsigned long millis();

void setup();
void loop();

#endif
