#include "ofa_frontend.h"
#include "ofa_frontend_private.h"

/* The sums of a radix-4 butterfly (decimation in time) of a, b, c, d; results go to places p, p + span, ... */
#define BUTTERFLY(p, span, a, ai, b, bi, c, ci, d, di) \
    do { \
        const int32_t even = (a) + (c), even_i = (ai) + (ci), odd = (b) + (d), odd_i = (bi) + (di); \
        const int32_t gap = (a) - (c), gap_i = (ai) - (ci), turn = (b) - (d), turn_i = (bi) - (di); \
        real[p] = even + odd; \
        imaginary[p] = even_i + odd_i; \
        real[(p) + (span)] = gap + turn_i; \
        imaginary[(p) + (span)] = gap_i - turn; \
        real[(p) + 2 * (span)] = even - odd; \
        imaginary[(p) + 2 * (span)] = even_i - odd_i; \
        real[(p) + 3 * (span)] = gap - turn_i; \
        imaginary[(p) + 3 * (span)] = gap_i + turn; \
    } while (0)

static inline int32_t windowed(int32_t sample, int32_t place)
{
    return (sample * ofa_frontend_window[place <= 240 ? place : 480 - place]) >> 2;
}

/* Window and first stage, which turns nothing. Inputs come in the order of reversed base-4 digits. */
static void first_stage(const int16_t *history, const int16_t *samples, int32_t *real, int32_t *imaginary)
{
    for (int32_t r = 0; r < 64; ++r) {
        const int32_t place = ((r & 3) << 6) | ((r & 12) << 2) | ((r >> 4) << 2);
        const int32_t s = 2 * r;
        const int16_t *const second = s < 32 ? history + 128 + s : samples - 32 + s;
        const int32_t a = windowed(history[s], s), ai = windowed(history[s + 1], s + 1);
        const int32_t b = windowed(second[0], 128 + s), bi = windowed(second[1], 129 + s);
        const int32_t c = windowed(samples[96 + s], 256 + s), ci = windowed(samples[97 + s], 257 + s);
        int32_t d = 0, di = 0;
        if (r < 48) {
            d = windowed(samples[224 + s], 384 + s);
            di = windowed(samples[225 + s], 385 + s);
        }
        BUTTERFLY(place, 1, a, ai, b, bi, c, ci, d, di);
    }
}

/* step = 64 / span */
static void stage(int32_t *real, int32_t *imaginary, int32_t span, int32_t step)
{
    for (int32_t j = 0; j < span; ++j) {
        const ofa_turn t1 = turn_at(ofa_frontend_twiddles, j * step);
        const ofa_turn t2 = turn_at(ofa_frontend_twiddles, 2 * j * step);
        const ofa_turn t3 = turn_at(ofa_frontend_twiddles, 3 * j * step);
        for (int32_t p = j; p < POINTS; p += 4 * span) {
            const int32_t a = real[p] >> 2, ai = imaginary[p] >> 2;
            const int32_t x1 = real[p + span], y1 = imaginary[p + span];
            const int32_t b = turned_real(x1, y1, t1), bi = turned_imaginary(x1, y1, t1);
            const int32_t x2 = real[p + 2 * span], y2 = imaginary[p + 2 * span];
            const int32_t c = turned_real(x2, y2, t2), ci = turned_imaginary(x2, y2, t2);
            const int32_t x3 = real[p + 3 * span], y3 = imaginary[p + 3 * span];
            const int32_t d = turned_real(x3, y3, t3), di = turned_imaginary(x3, y3, t3);
            BUTTERFLY(p, span, a, ai, b, bi, c, ci, d, di);
        }
    }
}

/* A window's product is below 2^28, and each stage gives a quarter of its sums: no modulus exceeds sqrt(2) * 2^30. */
void ofa_frontend_transform(const int16_t *history, const int16_t *samples, int32_t *scratch)
{
    int32_t *const real = scratch, *const imaginary = scratch + POINTS;
    first_stage(history, samples, real, imaginary);
    stage(real, imaginary, 4, 16);
    stage(real, imaginary, 16, 4);
    stage(real, imaginary, 64, 1);
}
