#include "ofa_dsp_depthwise.h"
#include "ofa_filter.h"

static OFA_NOINLINE void fill(ofa_word *to, uint32_t words, uint32_t value)
{
    for (; words > 0; --words) {
        *to++ = value;
        OFA_BARRIER(); /* or the compiler calls memset */
    }
}

/* Rows of padding in all four planes. */
static void fill_rows(const ofa_dsp_planes_layer *layer, ofa_word *row, uint32_t rows, uint32_t padding)
{
    for (uint32_t channel = 0; channel < 4; ++channel) {
        fill(row, rows * layer->row_words, padding);
        row += layer->plane_words;
    }
}

/* In all four planes `words` words from `offset` on to the start. */
static OFA_NOINLINE void move_down(ofa_word *plane, uint32_t plane_words, uint32_t offset, uint32_t words)
{
    for (uint32_t channel = 0; channel < 4; ++channel) {
        ofa_word *to = plane;
        const ofa_word *from = plane + offset;
        ofa_word *const even = plane + (words & ~1u);
        while (to != even) {
            uint32_t a, b;
            OFA_LDRD_NEXT(a, b, from);
            OFA_STRD_NEXT(a, b, to);
        }
        if (words & 1) {
            *to = *from;
        }
        plane += plane_words;
    }
}

static OFA_NOINLINE void group(const ofa_dsp_planes_layer *layer, const int8_t *input, int8_t *output,
                               ofa_word *planes, const ofa_word *table, uint32_t channels)
{
    const uint32_t padding = layer->outside & 0xff00ff00u;
    const int32_t kept = layer->kernel - layer->stride;
    const uint32_t row_words = layer->row_words;
    const int32_t unit = layer->unit;
    const int32_t strips = layer->strip < layer->output_height;
    int32_t unread = layer->input_height;
    int32_t left = layer->output_height;
    int32_t have = layer->pad_top;
    if (strips) {
        fill_rows(layer, planes, (uint32_t)have, padding);
    }
    for (;;) {
        const int32_t rows = left < layer->strip ? left : layer->strip;
        int32_t fresh = (rows - 1) * layer->stride + layer->kernel - have;
        ofa_word *row = planes + (uint32_t)have * row_words;
        const int32_t real = fresh < unread ? fresh : unread;
        if (real > 0) {
            layer->split(row + layer->lead_words, input, (uint32_t)real, layer->outside);
            row += (uint32_t)real * row_words;
            input += real * layer->input_row;
            unread -= real;
            fresh -= real;
        }
        if (strips) {
            fill_rows(layer, row, (uint32_t)fresh, padding);
        }
        const int32_t units = unit == 2 ? rows >> 1 : rows;
        layer->sweep(output, planes, table, (uint32_t)units, channels);
        if (units * unit != rows) {
            /* The last two rows: one of them for the second time. */
            layer->sweep(output + (rows - 2) * layer->output_row,
                         planes + (uint32_t)((rows - 2) * layer->stride) * row_words, table, 1, channels);
        }
        left -= rows;
        if (left == 0) {
            break;
        }
        output += rows * layer->output_row;
        have = kept;
        move_down(planes, layer->plane_words, (uint32_t)(rows * layer->stride) * row_words,
                  (uint32_t)kept * row_words);
    }
}

void ofa_dsp_depthwise_planes(const ofa_dsp_planes_layer *layer, const int8_t *input, int8_t *output, ofa_word *planes)
{
    const ofa_word *table = layer->table;
    fill(planes, 4u * layer->plane_words, layer->outside & 0xff00ff00u);
    for (uint32_t left = layer->channels; left > 0;) {
        const uint32_t channels = left < 4 ? left : 4;
        group(layer, input, output, planes, table, channels);
        input += 4;
        output += 4;
        table += 4u * layer->channel_words;
        left -= channels;
    }
}
