#include "ofa_operators.h"

void ofa_quantize(float scale, int32_t zero_point, int32_t count, const float *input, int8_t *output)
{
    for (; count > 0; --count) {
        float steps = *input++ / scale;
        /* Beyond the codes whatever the zero point; what is left is exact in every step below. */
        steps = steps < -512.0f ? -512.0f : steps;
        steps = steps < 512.0f ? steps : 512.0f;
        int32_t code = (int32_t)steps;
        const float rest = steps - (float)code;
        code += zero_point + (rest >= 0.5f) - (rest <= -0.5f);
        code = code < INT8_MIN ? INT8_MIN : code;
        *output++ = (int8_t)(code > INT8_MAX ? INT8_MAX : code);
    }
}

void ofa_dequantize(float scale, int32_t zero_point, int32_t count, const int8_t *input, float *output)
{
    for (; count > 0; --count) {
        *output++ = (float)(*input++ - zero_point) * scale;
    }
}
