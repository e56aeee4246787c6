/* The bare-metal program: answer the host for ever. Under Arduino its setup() and loop() take this place. */
#include "hal.h"
#include "protocol.h"

int main(void)
{
    ofa_hal_init();
    for (;;) {
        ofa_protocol_step();
    }
}
