/* sandeepmistry/arduino-nRF5: what it declares of the names that the firmware uses, and macros that could meet others. */
#ifndef Arduino_h
#define Arduino_h

#include <stddef.h>
#include <stdint.h>

#define OUTPUT 0x1
#define LOW (0x0)
#define HIGH (0x1)
#define PI 3.1415926535897932384626433832795
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define abs(x) ((x) > 0 ? (x) : -(x))
#define round(x) ((x) >= 0 ? (long)((x) + 0.5) : (long)((x) - 0.5))
#define sq(x) ((x) * (x))
#define bit(b) (1UL << (b))
#define interrupts() __enable_irq()

typedef bool boolean;
typedef uint8_t byte;
typedef uint16_t word;

extern "C" {
void yield(void);
void setup(void);
void loop(void);
extern uint32_t millis(void);
extern uint32_t micros(void);
extern void pinMode(uint32_t dwPin, uint32_t dwMode);
extern void digitalWrite(uint32_t dwPin, uint32_t dwVal);
}

class HardwareSerial {
public:
    virtual void begin(unsigned long);
    virtual void begin(unsigned long baudrate, uint16_t config);
    virtual void end();
    virtual int read(void) = 0;
    virtual void flush(void) = 0;
    virtual size_t write(uint8_t) = 0;
    size_t write(const uint8_t *buffer, size_t size);
};

class Uart : public HardwareSerial {
public:
    void begin(unsigned long baudRate);
    void begin(unsigned long baudrate, uint16_t config);
    void end();
    int read();
    void flush();
    size_t write(const uint8_t data);
    using HardwareSerial::write;
};

extern Uart Serial;

#endif
