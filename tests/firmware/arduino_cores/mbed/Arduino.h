/* arduino/ArduinoCore-mbed with ArduinoCore-API: what they declare of the names that the firmware uses, and macros that
 * could meet others. Levels and modes of pins are enumerations, and a pin may be a PinName.
 */
#ifndef Arduino_h
#define Arduino_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PI 3.1415926535897932384626433832795
#define SERIAL 0x0
#define constrain(amt, low, high) ((amt) < (low) ? (low) : ((amt) > (high) ? (high) : (amt)))
#define sq(x) ((x) * (x))
#define bit(b) (1UL << (b))
#define abs(x) ((x) > 0 ? (x) : -(x))
#define interrupts() __enable_irq()

typedef enum { P0_0 = 0, P1_11 = 43 } PinName;

extern "C" {
typedef enum { LOW = 0, HIGH = 1, CHANGE = 2, FALLING = 3, RISING = 4 } PinStatus;
typedef enum { INPUT = 0x0, OUTPUT = 0x1, INPUT_PULLUP = 0x2, INPUT_PULLDOWN = 0x3 } PinMode;
typedef uint8_t pin_size_t;
typedef bool boolean;
typedef uint8_t byte;
typedef uint16_t word;

int main() __attribute__((weak));
void init(void);
void yield(void);
void setup(void);
void loop(void);
unsigned long millis(void);
unsigned long micros(void);
void pinMode(pin_size_t pinNumber, PinMode pinMode);
void digitalWrite(pin_size_t pinNumber, PinStatus status);
}

#define word(...) makeWord(__VA_ARGS__)

void pinMode(PinName pinNumber, PinMode pinMode);
void digitalWrite(PinName pinNumber, PinStatus status);

namespace arduino {

class Print {
public:
    virtual size_t write(uint8_t) = 0;
    size_t write(const char *text);
    virtual size_t write(const uint8_t *buffer, size_t size);
};

class HardwareSerial : public Print {
public:
    virtual void begin(unsigned long) = 0;
    virtual void begin(unsigned long baudrate, uint16_t config) = 0;
    virtual void end() = 0;
    virtual int read(void) = 0;
    virtual void flush(void) = 0;
    using Print::write;
    virtual operator bool() = 0;
};

class USBSerial : public HardwareSerial {
public:
    void begin(unsigned long);
    void begin(unsigned long baudrate, uint16_t config);
    void end();
    int read(void);
    void flush(void);
    size_t write(uint8_t c);
    size_t write(const uint8_t *buf, size_t size);
    using Print::write;
    operator bool();
    uint32_t baud();
    bool dtr();
};

} // namespace arduino

using namespace arduino;

extern arduino::USBSerial _SerialUSB;
#define Serial _SerialUSB

#endif
