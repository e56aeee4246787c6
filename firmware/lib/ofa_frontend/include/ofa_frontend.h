/* Streaming mel cepstra of 16 kHz sound for keyword spotting: one column of 10 codes every 20 ms, integers only.
 *
 * Windows of 30 ms (480 samples, Hann) every 20 ms (320 samples), a Fourier transform of 512 points, 40 mel filters from
 * 20 Hz to 4 kHz, logarithm, cosine transform: the parameters of MLPerf Tiny's keyword spotting. The codes are those that
 * the networks of the task `keywords` were trained on, byte for byte. 49 columns, one second, are the input of such
 * a network, the oldest first.
 *
 *     static ofa_frontend frontend;                  // all zero: silence came before
 *     static int32_t scratch[OFA_FRONTEND_SCRATCH];  // only used during a push; may lie in memory free at that time
 *     ofa_frontend_push(&frontend, samples, scratch, column);
 *     ofa_frontend_append(columns, OFA_FRONTEND_COLUMNS, column);  // then copy them to the model's input
 *
 * Right shifts of negative integers must be arithmetic, as with every compiler for the supported cores. No heap, no
 * floating point, at most 512 bytes of stack; tables (3.0 KB) are constant. Nothing is called but memcpy, memmove, memset
 * and the compiler's own helpers.
 */
#ifndef OFA_FRONTEND_H
#define OFA_FRONTEND_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OFA_FRONTEND_RATE 16000       /* samples a second */
#define OFA_FRONTEND_HOP 320          /* samples a column */
#define OFA_FRONTEND_OVERLAP 160      /* samples that a window shares with the one before */
#define OFA_FRONTEND_COEFFICIENTS 10  /* codes of a column */
#define OFA_FRONTEND_COLUMNS 49       /* of a second */
#define OFA_FRONTEND_SCRATCH 512      /* int32_t */

/* The last samples heard, 320 bytes. */
typedef struct {
    int16_t history[OFA_FRONTEND_OVERLAP];
} ofa_frontend;

/* Begins anew with 160 samples heard before the first push; 49 pushes then give the columns of a clip of one second,
 * of which these are the first samples. A zero pointer stands for silence.
 */
void ofa_frontend_begin(ofa_frontend *frontend, const int16_t *samples);

/* The next 320 samples, and the column of the 480 that end with them, as codes of a network's input (byte - 128).
 * `scratch` holds OFA_FRONTEND_SCRATCH words, what they held is lost.
 */
void ofa_frontend_push(ofa_frontend *frontend, const int16_t *samples, int32_t *scratch, int8_t *column);

/* Moves columns (count * 10 codes, count > 0) by one and puts the new one behind them. A model may overwrite its input
 * while it runs, so they are best kept apart from it.
 */
void ofa_frontend_append(int8_t *columns, int32_t count, const int8_t *column);

#ifdef __cplusplus
}
#endif

#endif
