/* espressif/arduino-esp32: what it declares of the names that the firmware uses, and macros that could meet others. Serial
 * is a UART, with ARDUINO_USB_CDC_ON_BOOT a USB port: the chip's own (HWCDC) or, without ARDUINO_USB_MODE, TinyUSB's.
 */
#ifndef Arduino_h
#define Arduino_h

#include <stddef.h>
#include <stdint.h>

#define INPUT 0x01
#define OUTPUT 0x03
#define LOW 0x0
#define HIGH 0x1
#define DISABLED 0x00
#define DEFAULT 1
#define PI 3.1415926535897932384626433832795
#define SERIAL 0x0
#define B0 0
#define NOP() asm volatile("nop")
#define sei() portENABLE_INTERRUPTS()
#define interrupts() sei()
#define sq(x) ((x) * (x))
#define bit(b) (1UL << (b))
#define _BV(b) (1UL << (b))
#define word(...) makeWord(__VA_ARGS__)

typedef bool boolean;
typedef uint8_t byte;
typedef unsigned int word;

void setup(void);
void loop(void);

extern "C" {
void yield(void);
unsigned long micros();
unsigned long millis();
void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t val);
void enableCore0WDT();
void disableCore0WDT();
}

class EspClass {
public:
    uint32_t getCycleCount();
};

extern EspClass ESP;

class Stream {
public:
    virtual int read() = 0;
    virtual void flush() = 0;
    virtual size_t write(uint8_t) = 0;
};

class HardwareSerial : public Stream {
public:
    void begin(unsigned long baud, uint32_t config = 0x800001c, int8_t rxPin = -1, int8_t txPin = -1, bool invert = false,
               unsigned long timeout_ms = 20000UL, uint8_t rxfifo_full_thrhd = 112);
    void end(bool fullyTerminate = true);
    int read(void);
    size_t read(uint8_t *buffer, size_t size);
    void flush(void);
    void flush(bool txOnly);
    size_t write(uint8_t);
    size_t write(unsigned long n);
    size_t write(long n);
    size_t write(unsigned int n);
    size_t write(int n);
};

class HWCDC : public Stream {
public:
    void begin(unsigned long baud = 0);
    void end();
    int read(void);
    void flush(void);
    size_t write(uint8_t);
    size_t write(int n);
};

class USBCDC : public Stream {
public:
    void begin(unsigned long baud = 0);
    void end();
    int read(void);
    void flush(void);
    size_t write(uint8_t);
    size_t write(int n);

protected:
    bool dtr;
};

#ifndef ARDUINO_USB_CDC_ON_BOOT
#define ARDUINO_USB_CDC_ON_BOOT 0
#endif
#if !ARDUINO_USB_CDC_ON_BOOT
extern HardwareSerial Serial;
#elif defined(ARDUINO_USB_MODE) && ARDUINO_USB_MODE
extern HWCDC Serial;
#else
extern USBCDC Serial;
#endif

#endif
