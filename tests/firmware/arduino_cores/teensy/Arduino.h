/* PaulStoffregen/cores, teensy4: what it declares of the names that the firmware uses, and macros that could meet others.
 */
#ifndef Arduino_h
#define Arduino_h

#include <stddef.h>
#include <stdint.h>

#define INPUT 0
#define OUTPUT 1
#define LOW 0
#define HIGH 1
#define PI 3.1415926535897932384626433832795
#define SERIAL 0
#define B0 0
#define ARM_DEMCR (*(volatile uint32_t *)0xE000EDFC)
#define ARM_DWT_CTRL (*(volatile uint32_t *)0xE0001000)
#define ARM_DWT_CYCCNT (*(volatile uint32_t *)0xE0001004)
#define abs(x) ({ \
  typeof(x) _x = (x); \
  (_x > 0) ? _x : -_x; \
})
#define round(x) ({ \
  typeof(x) _x = (x); \
  (_x>=0) ? (long)(_x+0.5) : (long)(_x-0.5); \
})
#define bit(b) (1UL << (b))
#define interrupts() __enable_irq()
#define word(...) makeWord(__VA_ARGS__)

typedef unsigned int word;
typedef uint8_t byte;
typedef bool boolean;

extern "C" {
extern volatile uint32_t F_CPU_ACTUAL;
extern volatile uint32_t systick_millis_count;
void setup(void);
void loop(void);
void yield(void);
static inline uint32_t millis(void) __attribute__((always_inline, unused));
static inline uint32_t millis(void)
{
    return systick_millis_count;
}
uint32_t micros(void);
void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t val);
int usb_serial_getchar(void);
int usb_serial_putchar(uint8_t c);
void usb_serial_flush_output(void);
}

class Stream {
public:
    virtual size_t write(uint8_t b) = 0;
    size_t write(const char *text);
    virtual size_t write(const uint8_t *buffer, size_t size);
};

class usb_serial_class : public Stream {
public:
    constexpr usb_serial_class() {}
    void begin(long) {}
    void end() {}
    virtual int read() { return usb_serial_getchar(); }
    virtual void flush() { usb_serial_flush_output(); }
    virtual size_t write(uint8_t c) { return (size_t)usb_serial_putchar(c); }
    size_t write(unsigned long n) { return write((uint8_t)n); }
    size_t write(long n) { return write((uint8_t)n); }
    size_t write(unsigned int n) { return write((uint8_t)n); }
    size_t write(int n) { return write((uint8_t)n); }
    using Stream::write;
    uint32_t baud(void);
    uint8_t dtr(void);
};

extern usb_serial_class Serial;

#endif
