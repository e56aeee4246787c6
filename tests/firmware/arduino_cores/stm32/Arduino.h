/* stm32duino/Arduino_Core_STM32: what it declares of the names that the firmware uses, and macros that could meet others.
 * Serial is a UART, with USBCON and USBD_USE_CDC a USB port.
 */
#ifndef Arduino_h
#define Arduino_h

#include <stddef.h>
#include <stdint.h>

#define INPUT 0x0
#define OUTPUT 0x1
#define LOW 0x0
#define HIGH 0x1
#define CHANGE 0x2
#define DEFAULT 1
#define SERIAL 0x0
#define PI 3.1415926535897932384626433832795
#define B0 0
#define PB12 28
#define constrain(amt, low, high) ((amt) < (low) ? (low) : ((amt) > (high) ? (high) : (amt)))
#define sq(x) ((x) * (x))
#define bit(b) (1UL << (b))
#define word(...) makeWord(__VA_ARGS__)
#define interrupts() __enable_irq()

typedef unsigned int word;
typedef bool boolean __attribute__((deprecated));
typedef uint8_t byte;

extern "C" {
extern uint32_t SystemCoreClock;
extern void setup(void);
extern void loop(void);
void yield(void);
extern uint32_t millis(void);
extern uint32_t micros(void);
extern void pinMode(uint32_t dwPin, uint32_t dwMode);
extern void digitalWrite(uint32_t dwPin, uint32_t dwVal);
}

#ifndef F_CPU
#define F_CPU SystemCoreClock
#endif

class Stream {
public:
    virtual int read() = 0;
    virtual void flush() = 0;
    virtual size_t write(uint8_t) = 0;
    size_t write(const char *text);
    size_t write(const uint8_t *buffer, size_t size);
};

class HardwareSerial : public Stream {
public:
    void begin(unsigned long baud);
    void begin(unsigned long, uint8_t);
    void end();
    virtual int read(void);
    virtual void flush(void);
    virtual size_t write(uint8_t);
    size_t write(unsigned long n);
    size_t write(long n);
    size_t write(unsigned int n);
    size_t write(int n);
    using Stream::write;
};

class USBSerial : public Stream {
public:
    void begin(void);
    void begin(uint32_t);
    void begin(uint32_t, uint8_t);
    void end(void);
    virtual int read(void);
    virtual void flush(void);
    virtual size_t write(uint8_t);
    using Stream::write;
    bool dtr();
};

extern HardwareSerial Serial2;
extern USBSerial SerialUSB;

#if defined(USBCON) && defined(USBD_USE_CDC)
#define Serial SerialUSB
#else
#define Serial Serial2
#endif

#endif
