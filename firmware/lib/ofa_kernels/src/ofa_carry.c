#include "ofa_copy.h"
#include "ofa_operators.h"

void ofa_carry(const int8_t *from, int32_t count, int8_t *to)
{
    ofa_copy(to, from, count, 1);
}
