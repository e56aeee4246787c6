/* Reads clips of 160 + 320 * columns samples, writes the codes of their columns. */
#include <stdio.h>
#include <stdlib.h>

#include "ofa_frontend.h"

int main(int count, char **arguments)
{
    const int columns = count == 2 ? atoi(arguments[1]) : 0;
    static int32_t scratch[OFA_FRONTEND_SCRATCH];
    static int16_t samples[OFA_FRONTEND_HOP];
    static ofa_frontend frontend;
    while (fread(samples, sizeof *samples, OFA_FRONTEND_OVERLAP, stdin) == OFA_FRONTEND_OVERLAP) {
        ofa_frontend_begin(&frontend, samples);
        for (int i = 0; i < columns; ++i) {
            int8_t column[OFA_FRONTEND_COEFFICIENTS];
            if (fread(samples, sizeof *samples, OFA_FRONTEND_HOP, stdin) != OFA_FRONTEND_HOP) {
                return 1;
            }
            ofa_frontend_push(&frontend, samples, scratch, column);
            fwrite(column, 1, sizeof column, stdout);
        }
    }
    return 0;
}
