/* Streaming mel cepstra of 16 kHz sound for keyword spotting: one column of 10 codes every 20 ms, integers only.
 *
 * Windows of 30 ms (480 samples, Hann) every 20 ms (320 samples), a Fourier transform of 512 points, 40 mel filters from
 * 20 Hz to 4 kHz, logarithm, cosine transform: the parameters of MLPerf Tiny's keyword spotting. The codes are those that
 * the networks of the task `keywords` were trained on, byte for byte. 49 columns are the input of such a network,
 * the oldest first.
 *
 *     static ofa_frontend frontend;                  // all zero: silence came before
 *     static int32_t scratch[OFA_FRONTEND_SCRATCH];  // only used during a push; may lie in memory free at that time
 *     ofa_frontend_push(&frontend, samples, scratch, column);
 *     ofa_frontend_append(ofa_model_input(), column);
 *
 * Right shifts of negative integers must be arithmetic, as with every compiler for the supported cores. No heap, no
 * floating point; tables (3.4 KB) are constant. Nothing is called but memcpy, memmove and the compiler's own helpers.
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
#define OFA_FRONTEND_COLUMNS 49       /* of a network's input */
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

/* Moves the columns of a network's input (49 * 10 codes) by one and puts the new one behind them. Only where the
 * network leaves its input as it was; otherwise keep the columns elsewhere and copy them.
 */
void ofa_frontend_append(int8_t *input, const int8_t *column);

#ifdef __cplusplus
}
#endif

#endif
