#include "ofa_dsp_depthwise.h"

#define STORE_WORDS() (*to0++ = p0, *to1++ = p1, *to2++ = p2, *to3++ = p3)

void ofa_dsp_split_any(ofa_word *planes, const int8_t *input, uint32_t rows, const ofa_dsp_planes_layer *layer)
{
    const ofa_dsp_shared_layer *const shared = (const ofa_dsp_shared_layer *)(const void *)layer;
    const uint32_t pitch = layer->channels;
    uint32_t mask = 0xff00ff00u;
    OFA_OPAQUE(mask);
    do {
        const int8_t *from = input;
        ofa_word *to0 = planes;
        ofa_word *to1 = to0 + layer->plane_words;
        ofa_word *to2 = to1 + layer->plane_words;
        ofa_word *to3 = to2 + layer->plane_words;
        uint32_t a, b, p0, p1, p2, p3, low, high;
        if (shared->left) {
            b = *(const ofa_loose_word *)from;
            a = layer->padding | layer->padding >> 8;
            OFA_PART(p0, p1, p2, p3, a, b, mask, low, high);
            STORE_WORDS();
            from += pitch;
        }
        const ofa_word *const end = to0 + shared->quads * 2u;
        while (to0 != end) {
            uint32_t later_low, later_high;
            a = *(const ofa_loose_word *)from;
            b = *(const ofa_loose_word *)(from + pitch);
            OFA_PKHBT(low, a, b);
            OFA_PKHTB(high, a, b);
            from += 2 * pitch;
            OFA_OPAQUE(from);
            a = *(const ofa_loose_word *)from;
            b = *(const ofa_loose_word *)(from + pitch);
            OFA_PKHBT(later_low, a, b);
            OFA_PKHTB(later_high, a, b);
            from += 2 * pitch;
            OFA_AND_LSL8(a, mask, low);
            OFA_AND_LSL8(b, mask, later_low);
            OFA_STRD_NEXT(a, b, to0);
            OFA_AND(low, mask, low);
            OFA_AND(later_low, mask, later_low);
            OFA_STRD_NEXT(low, later_low, to1);
            OFA_AND_LSL8(a, mask, high);
            OFA_AND_LSL8(b, mask, later_high);
            OFA_STRD_NEXT(a, b, to2);
            OFA_AND(high, mask, high);
            OFA_AND(later_high, mask, later_high);
            OFA_STRD_NEXT(high, later_high, to3);
        }
        const uint32_t rest = shared->rest_pixels;
        if (rest & 2) {
            a = *(const ofa_loose_word *)from;
            b = *(const ofa_loose_word *)(from + pitch);
            from += 2 * pitch;
            OFA_PART(p0, p1, p2, p3, a, b, mask, low, high);
            STORE_WORDS();
        }
        if (rest & 1) {
            a = *(const ofa_loose_word *)from;
            b = layer->padding | layer->padding >> 8;
            OFA_PART(p0, p1, p2, p3, a, b, mask, low, high);
            STORE_WORDS();
        }
        input += layer->input_row;
        planes += layer->row_words;
    } while (--rows != 0);
}
