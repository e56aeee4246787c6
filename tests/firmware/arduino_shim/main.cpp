/* What an Arduino core's own main() does. */
#include <Arduino.h>

int main()
{
    setup();
    for (;;) {
        loop();
    }
}
