/* Feeds the linked-in samples to the front-end on an emulated core: per column uint32 ticks and ten codes. */
#include "emulated_start.h"
#include "ofa_frontend.h"

extern const int16_t test_samples[];
extern const int32_t test_columns;

static ofa_frontend frontend;
static int32_t scratch[OFA_FRONTEND_SCRATCH];

void test_emit(uint32_t ticks, const int8_t *column);

__attribute__((noinline)) void test_emit(uint32_t ticks, const int8_t *column)
{
    put(&ticks, sizeof ticks);
    put(column, OFA_FRONTEND_COEFFICIENTS);
}

int main(void)
{
    int8_t column[OFA_FRONTEND_COEFFICIENTS] = {0};
    const int16_t *samples = test_samples + OFA_FRONTEND_OVERLAP;
    open_output();
    start_timer();
    uint32_t start = now();
    test_emit(now() - start, column);
    ofa_frontend_begin(&frontend, test_samples);
    for (int32_t i = 0; i < test_columns; ++i, samples += OFA_FRONTEND_HOP) {
        start = now();
        ofa_frontend_push(&frontend, samples, scratch, column);
        test_emit(now() - start, column);
    }
    return 0;
}
