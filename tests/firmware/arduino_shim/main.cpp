/* What an Arduino core does: its serial port, its clock, its own main(). */
#include <Arduino.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <time.h>
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

static uint64_t clock_nanos()
{
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static unsigned long clock_micros()
{
    return (unsigned long)(clock_nanos() / 1000);
}

CoreShim ESP;

uint32_t CoreShim::getCycleCount()
{
    static const uint64_t start = clock_nanos();
    return (uint32_t)((clock_nanos() - start) * (SHIM_HZ / 1000000u) / 1000u);
}

static void note_pin(int pin, int level)
{
    const char *name = getenv("SHIM_PINS");
    FILE *file = name ? fopen(name, "a") : 0;
    if (file) {
        fprintf(file, "%llu %d %d\n", (unsigned long long)clock_nanos(), pin, level);
        fclose(file);
    }
}

void pinMode(int pin, int mode)
{
    if (mode == OUTPUT) {
        note_pin(pin, -1);
    }
}

void digitalWrite(int pin, int level)
{
    note_pin(pin, level);
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
