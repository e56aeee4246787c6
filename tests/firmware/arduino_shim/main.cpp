/* What an Arduino core does: its serial port, its clock, its own main(). */
#include <Arduino.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <termios.h>
#include <unistd.h>

static const int POLL_MS = 50;
static const useconds_t DRAIN_US = 20000;

SerialShim Serial;
static uint8_t received[4096];
static int count, next;

void SerialShim::begin(unsigned long baud)
{
    termios settings;
    if (isatty(0) && !ptsname(0) && tcgetattr(0, &settings) == 0) {
        cfsetspeed(&settings, (speed_t)baud);
        tcsetattr(0, TCSANOW, &settings);
    }
}

void SerialShim::end()
{
    usleep(DRAIN_US); /* a terminal has no drain: what was written is to leave at the old speed */
}

int SerialShim::read()
{
    if (next == count) {
        pollfd ready = {0, POLLIN, 0};
        if (poll(&ready, 1, POLL_MS) == 0) {
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

void SerialShim::write(uint8_t byte)
{
    putchar(byte);
}

void SerialShim::flush()
{
    fflush(stdout);
}

static unsigned long clock_micros()
{
    timeval now;
    gettimeofday(&now, 0);
    return (unsigned long)(now.tv_sec * 1000000ull + now.tv_usec);
}

#ifdef MADE_UP_MICROS
extern "C" unsigned long made_up_micros;

unsigned long micros()
{
    return made_up_micros;
}
#else
unsigned long micros()
{
    return clock_micros();
}
#endif

unsigned long millis()
{
    return clock_micros() / 1000;
}

int main()
{
    setup();
    for (;;) {
        loop();
    }
}
