#include "ofa_dsp_depthwise.h"
#include "ofa_filter.h"

typedef struct {
    uint32_t words[4];
} __attribute__((aligned(4), may_alias)) four_words;

static OFA_NOINLINE void fill(ofa_word *to, uint32_t words, uint32_t value)
{
    for (; words > 0; --words) {
        *to++ = value;
        OFA_BARRIER(); /* or the compiler calls memset */
    }
}

/* Rows of padding in all four planes. */
static OFA_NOINLINE void fill_rows(const ofa_dsp_planes_layer *layer, ofa_word *row, uint32_t rows)
{
    for (uint32_t channel = 0; channel < 4; ++channel) {
        ofa_word *to = row;
        for (uint32_t left = rows; left > 0; --left) {
            fill(to, layer->used_words, layer->padding);
            to += layer->row_words;
        }
        row += layer->plane_words;
    }
}

/* In all four planes `rows` rows from `offset` words on to the start. */
static OFA_NOINLINE void move_down(const ofa_dsp_planes_layer *layer, ofa_word *plane, uint32_t offset, uint32_t rows)
{
    uint32_t words = layer->used_words;
    if (words == layer->row_words) {
        words *= rows;
        rows = 1;
    }
    for (uint32_t channel = 0; channel < 4; ++channel) {
        ofa_word *row = plane;
        for (uint32_t count = rows; count > 0; --count) {
            ofa_word *to = row;
            const ofa_word *from = row + offset;
            uint32_t left = words;
            for (; left >= 4; left -= 4) {
                *(four_words *)to = *(const four_words *)from;
                to += 4;
                from += 4;
            }
            for (; left > 0; --left) {
                *to++ = *from++;
                OFA_BARRIER(); /* or the compiler calls memmove */
            }
            row += layer->row_words;
        }
        plane += layer->plane_words;
    }
}

static void sweep(const ofa_dsp_planes_layer *layer, int8_t *output, const ofa_word *planes, const ofa_word *table,
                  int32_t rows, uint32_t channels)
{
    const int32_t odd = layer->unit == 2 ? rows & 1 : 0;
    layer->sweep(output, planes, table, (uint32_t)(layer->unit == 2 ? rows >> 1 : rows), channels, layer);
    if (odd) {
        /* The last two rows: one of them for the second time. */
        rows -= 2;
        layer->sweep(output + rows * layer->output_row, planes + (uint32_t)(rows * layer->stride) * layer->row_words,
                     table, 1, channels, layer);
    }
}

/* A group of channels, strip by strip. */
static OFA_NOINLINE void group(const ofa_dsp_planes_layer *layer, const int8_t *input, int8_t *output,
                               ofa_word *planes, const ofa_word *table, uint32_t channels)
{
    int32_t unread = layer->input_height;
    int32_t left = layer->output_height;
    int32_t have = layer->pad_top;
    if (have > 0) {
        fill_rows(layer, planes, (uint32_t)have);
    }
    for (;;) {
        const int32_t rows = left < layer->strip ? left : layer->strip;
        int32_t fresh = (rows - 1) * layer->stride + layer->kernel - have;
        ofa_word *row = planes + (uint32_t)(have * layer->row_words);
        const int32_t real = fresh < unread ? fresh : unread;
        if (real > 0) {
            layer->split(row + layer->lead_words, input, (uint32_t)real, layer);
            row += (uint32_t)(real * layer->row_words);
            input += real * layer->input_row;
            unread -= real;
            fresh -= real;
        }
        if (fresh > 0) {
            fill_rows(layer, row, (uint32_t)fresh);
        }
        sweep(layer, output, planes, table, rows, channels);
        left -= rows;
        if (left == 0) {
            break;
        }
        output += rows * layer->output_row;
        have = layer->kernel - layer->stride;
        if (have > 0) {
            move_down(layer, planes, (uint32_t)(rows * layer->stride * layer->row_words), (uint32_t)have);
        }
    }
}

/* The input moved down by `by` bytes, below the words' size perhaps. */
static OFA_NOINLINE void move_input(int8_t *input, uint32_t by, int32_t bytes)
{
    for (; bytes >= 4; bytes -= 4) {
        *(ofa_loose_word *)(input - by) = *(const ofa_loose_word *)input;
        input += 4;
    }
    for (; bytes > 0; --bytes) {
        *(input - by) = *input;
        ++input;
        OFA_BARRIER(); /* or the compiler calls memmove */
    }
}

void ofa_dsp_depthwise_planes(const ofa_dsp_planes_layer *layer, const int8_t *input, int8_t *output, ofa_word *planes)
{
    const ofa_word *table = layer->table;
    const int32_t whole = layer->strip >= layer->output_height;
    ofa_word *const first = planes + (uint32_t)(layer->pad_top * layer->row_words + layer->lead_words);
    const uint32_t above = (uint32_t)((uintptr_t)input - (uintptr_t)output);
    const uint32_t apart = above % layer->channels;
    if (layer->channels > 4 && apart != 0 && above < (uint32_t)(layer->output_height * layer->output_row)) {
        /* The output covers the input: a group must not write to channels of later ones. */
        move_input(output + above, apart, layer->input_height * layer->input_row);
        input -= apart;
    }
    fill(planes, 3u * layer->plane_words + layer->span_words, layer->padding);
    for (uint32_t left = layer->channels; left > 0;) {
        const uint32_t channels = left < 4 ? left : 4;
        if (whole) {
            layer->split(first, input, layer->input_height, layer);
            sweep(layer, output, planes, table, layer->output_height, channels);
        } else {
            group(layer, input, output, planes, table, channels);
        }
        input += 4;
        output += 4;
        table += 4u * layer->channel_words;
        left -= channels;
    }
}
