/* Functions of one code by table, sixteen codes at a time. */
#include "ofa_mve_operators.h"

#include "ofa_mve_vectors.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)

void ofa_mve_table(const int8_t table[256], int32_t count, const int8_t *input, int8_t *output)
{
    for (int32_t left = count >> 4; left > 0; --left) {
        vstrbq_s8(output, vldrbq_gather_offset_s8(table, vldrbq_u8((const uint8_t *)input)));
        input += 16;
        output += 16;
    }
    if (count & 15) {
        const mve_pred16_t live = vctp8q((uint32_t)count & 15);
        const uint8x16_t codes = vldrbq_z_u8((const uint8_t *)input, live);
        vstrbq_p_s8(output, vldrbq_gather_offset_s8(table, codes), live);
    }
}

#else

typedef int ofa_mve_table_is_empty;

#endif
