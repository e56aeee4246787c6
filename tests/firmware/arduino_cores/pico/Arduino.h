/* earlephilhower/arduino-pico with ArduinoCore-API: what they declare of the names that the firmware uses, and macros
 * that could meet others. Levels and modes of pins are enumerations.
 */
#ifndef Arduino_h
#define Arduino_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PI 3.1415926535897932384626433832795
#define SERIAL 0x0
#define sq(x) ((x) * (x))
#define bit(b) (1UL << (b))
#define NOT_AN_INTERRUPT (-1)

extern "C" {
typedef enum { LOW = 0, HIGH = 1, CHANGE = 2, FALLING = 3, RISING = 4 } PinStatus;
typedef enum { INPUT = 0x0, OUTPUT = 0x1, INPUT_PULLUP = 0x2, INPUT_PULLDOWN = 0x3, OUTPUT_2MA = 0x4 } PinMode;
typedef uint8_t pin_size_t;
typedef bool boolean;
typedef uint8_t byte;
typedef uint16_t word;

void interrupts();
void noInterrupts();
void yield(void);
void setup(void);
void loop(void);
unsigned long millis();
unsigned long micros(void);
void pinMode(pin_size_t pinNumber, PinMode pinMode);
void digitalWrite(pin_size_t pinNumber, PinStatus status);
}

#define word(...) makeWord(__VA_ARGS__)

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

} // namespace arduino

class SerialUSB : public arduino::HardwareSerial {
public:
    void begin(unsigned long baud = 115200) override;
    void begin(unsigned long baud, uint16_t config) override;
    void end() override;
    virtual int read() override;
    virtual void flush() override;
    virtual size_t write(uint8_t c) override;
    virtual size_t write(const uint8_t *p, size_t len) override;
    using Print::write;
    operator bool() override;
    bool dtr();
};

extern SerialUSB Serial;

class RP2040 {
public:
    uint32_t getCycleCount();
};

extern RP2040 rp2040;

#endif
