/* The few names of the Arduino API that the firmware uses, over standard input and output: to compile on a computer. */
#ifndef ARDUINO_SHIM_H
#define ARDUINO_SHIM_H

#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <termios.h>
#include <unistd.h>

#define F_CPU 123000000UL

/* A UART. Its speed is that of the terminal, unless standard input is the master's end of one: then it is the host's. */
class SerialShim {
public:
    void begin(unsigned long baud)
    {
        termios settings;
        if (isatty(0) && !ptsname(0) && tcgetattr(0, &settings) == 0) {
            cfsetspeed(&settings, (speed_t)baud);
            tcsetattr(0, TCSANOW, &settings);
        }
    }
    void end() { usleep(20000); } /* what was written leaves at the old speed */
    int read()
    {
        if (next == count) {
            pollfd ready = {0, POLLIN, 0};
            if (poll(&ready, 1, 50) == 0) {
                return -1;
            }
            next = 0;
            count = (int)::read(0, received, sizeof received);
            if (count <= 0) {
                exit(0); /* the host is gone */
            }
        }
        return received[next++];
    }
    void write(uint8_t byte) { putchar(byte); }
    void flush() { fflush(stdout); }

private:
    uint8_t received[4096];
    int next = 0;
    int count = 0;
};

inline SerialShim Serial;

static inline void yield() {}

static inline unsigned long micros()
{
    timeval now;
    gettimeofday(&now, 0);
    return (unsigned long)(now.tv_sec * 1000000ull + now.tv_usec);
}

static inline unsigned long millis()
{
    return micros() / 1000;
}

void setup();
void loop();

#endif
