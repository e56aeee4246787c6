"""Block functions of the convolutions on DSP cores: four pixels, all output channels, as C."""

from __future__ import annotations

from ofa_mcu.planning.kernels.dsp_matrix import FAR_PAIRS, Block
from ofa_mcu.planning.kernels.dsp_matrix_layout import PIXELS, Taps

__all__ = ["block_function", "block_name"]

_UNROLLED_WORDS = 4
_PLACES = ("output[0]", "output[next]", "third[0]", "third[next]")


def block_name(block: Block) -> str:
    """A name that no other block has."""
    taps = block.taps
    marks = [
        mark for mark, present in (("signed", block.dead_zone), ("low", block.low), ("high", block.high)) if present
    ]
    marks += ["odd"] * block.odd
    if not block.unrolled:
        return "_".join(["ofa_matrix_loop", *marks])
    shape = [f"{taps.rows}x{taps.columns}x{taps.run}"] + [f"by{taps.column}"] * (taps.columns > 1)
    padded = ["filled"] * (taps.left == 0 and taps.run % 4 != 0)
    shift = "own" if block.shift is None else str(block.shift)
    return "_".join(["ofa_matrix", *shape, *padded, *marks, shift])


def block_function(block: Block) -> tuple[str, ...]:
    """Lines of the function."""
    head = [
        f"static __attribute__((noinline)) void {block_name(block)}(const ofa_matrix_layer *layer,",
        "    const ofa_matrix_quad *quad, ofa_word *wide)",
        "{",
    ]
    if block.unrolled:
        return (*head, *(f"    {line}" for line in [*_gather(block.taps), *_channels(block)]), "}")
    flags = ", ".join(str(int(flag)) for flag in (block.dead_zone, block.low, block.high, block.odd))
    return (*head, f"    ofa_matrix_looped(layer, quad, wide, {flags});", "}")


def _gather(taps: Taps) -> list[str]:
    lines = [
        "(void)wide;",
        f"ofa_word x[{PIXELS * taps.pairs}] __attribute__((aligned(8)));",
    ]
    if taps.words > _UNROLLED_WORDS or (taps.words and taps.columns > 1):
        call = f"ofa_matrix_gather(x, quad, {taps.rows}, {taps.columns}, {taps.column}, {taps.words});"
        lines += [f"ofa_word *to = {call}"] if taps.left else [call]
    elif taps.words:
        words = [f"OFA_MATRIX_WORD(to, a, b, c, d, {4 * word});" for word in range(taps.words)]
        lines += [
            "ofa_word *to = x;",
            "{",
            "    const int8_t *a = quad->input;",
            "    const int8_t *b = a + quad->input_next, *c = a + quad->input_third;",
            "    const int8_t *d = c + quad->input_next;",
        ]
        if taps.rows == 1:
            lines += [f"    {word}" for word in words]
        else:
            lines += [
                "    const int32_t row = quad->row;",
                f"    for (int32_t i = {taps.rows}; i > 0; --i) {{",
                *(f"        {word}" for word in words),
                "        a += row;",
                "        b += row;",
                "        c += row;",
                "        d += row;",
                "    }",
            ]
        lines += ["}"]
    else:
        lines += ["ofa_word *to = x;"]
    return [*lines, *_left_over(taps), "OFA_BARRIER();"]


def _left_over(taps: Taps) -> list[str]:
    """Codes that no word holds: two of them, perhaps of different runs, to a pair of taps of each pixel."""
    if not taps.left:
        return []
    places = [
        (run // taps.columns, run % taps.columns * taps.column + 4 * taps.words + code)
        for run in range(taps.runs)
        for code in range(taps.left)
    ]
    lines = [
        "{",
        "    const int32_t next = quad->input_next, third = quad->input_third, row = quad->row;",
        "    const int8_t *a = quad->input;",
        "    uint32_t p0, p1, p2, p3;",
        "    (void)row;",
    ]
    at_row = 0
    for i in range(0, len(places), 2):
        pair = places[i : i + 2]
        first = pair[0][0]
        if first > at_row:
            lines.append(f"    a += {first - at_row} * row;")
            at_row = first
        for pixel, start in enumerate(("", "next + ", "third + ", "third + next + ")):
            codes = [f"(uint32_t)(int32_t)a[{start}{'row + ' * (row - at_row)}{offset}]" for row, offset in pair]
            value = f"p{pixel} = {codes[0]};" if len(codes) == 1 else f"OFA_PKHBT(p{pixel}, {codes[0]}, {codes[1]});"
            lines.append(f"    {value}")
        lines += ["    OFA_STRD_NEXT(p0, p1, to);", "    OFA_STRD_NEXT(p2, p3, to);"]
    return [*lines, "}"]


def _channels(block: Block) -> list[str]:
    sums = [f"{kind}{pixel}" for kind in "eo" for pixel in range(PIXELS)]
    lines = [
        "const ofa_word *w = layer->weights;",
        "int8_t *output = quad->output;",
        "const int8_t *const end = output + layer->outputs;",
    ]
    if block.low:
        lines.append("const uint32_t low = (uint32_t)(layer->low + 128);")
    if block.high:
        lines.append("const uint32_t high = (uint32_t)(127 - layer->high);")
    lines += [
        "for (;;) {",
        f"    uint32_t {', '.join(sums)};",
        "    {",
        "        uint32_t bias_e, bias_o, w0, w1, even, x0, x1;",
        "        OFA_LDRD_NEXT(bias_e, bias_o, w);",
        *(f"        {line}" for line in _products(block.taps.pairs)),
        "    }",
        "    const int32_t next = quad->output_next;",
        "    int8_t *third = output + quad->output_third;",
        f"    uint32_t m, c{', d' * block.dead_zone}{', shift' * (block.shift is None)};",
    ]
    for pixel in range(PIXELS):
        lines += [f"    o{pixel} -= e{pixel};", f"    e{pixel} <<= 8;"]
    lines += _codes(block, "e") + ["    ++output;", "    ++third;"]
    leave = ["    if (output == end) {", "        return;", "    }"]
    if block.odd:
        lines += leave
    lines += _codes(block, "o") + ["    ++output;"]
    if not block.odd:
        lines += leave
    return [*lines, "}"]


def _products(pairs: int) -> list[str]:
    """The sums of a pair of channels; far from the stack pointer by a pointer, which leaves one register for weights."""
    lines = []
    for pair in range(pairs):
        if pair < FAR_PAIRS:
            weight = f"w{pair % 2}"
            if pair % 2 == 0:
                alone = pair + 1 in (pairs, FAR_PAIRS)
                lines.append(f"OFA_LDR_NEXT({weight}, w);" if alone else "OFA_LDRD_NEXT(w0, w1, w);")
        else:
            weight = "w0"
            if pair == FAR_PAIRS:
                lines += [f"const ofa_word *far = x + {PIXELS * pair};", "OFA_OPAQUE(far);"]
            lines.append("OFA_LDR_NEXT(w0, w);")
        lines.append(f"OFA_SXTB16(even, {weight});")
        for pixel in (0, 2):
            lines.append(
                f"OFA_LDRD(x0, x1, x + {PIXELS * pair + pixel});" if pair < FAR_PAIRS else "OFA_LDRD_NEXT(x0, x1, far);"
            )
            for kind, factor in (("o", weight), ("e", "even")):
                for half in (0, 1):
                    to = f"{kind}{pixel + half}"
                    product = f"{factor}, x{half}"
                    lines.append(
                        f"OFA_SMLAD_TO({to}, {product}, bias_{kind});" if pair == 0 else f"OFA_SMLAD({to}, {product});"
                    )
    return lines


def _codes(block: Block, kind: str) -> list[str]:
    """A channel's four codes from its sums."""
    lines = ["OFA_LDRD_NEXT(m, c, w);"]
    if block.dead_zone and block.shift is None:
        lines.append("OFA_LDRD_NEXT(d, shift, w);")
    elif block.dead_zone:
        lines.append("OFA_LDR_NEXT(d, w);")
    elif block.shift is None:
        lines.append("OFA_LDR_NEXT(shift, w);")
    for pixel, place in enumerate(_PLACES):
        value = f"{kind}{pixel}"
        scale = (
            f"OFA_MATRIX_SCALE_SIGNED({value}, m, c, d);" if block.dead_zone else f"OFA_MATRIX_SCALE({value}, m, c);"
        )
        lines.append(scale)
        if block.shift is None:
            lines.append(f"{value} = (uint32_t)((int32_t){value} >> shift);")
        lines.append(f"OFA_SSAT8({value}, {value}, {1 if block.shift is None else block.shift});")
        if block.low:
            lines.append(f"OFA_MATRIX_LOW({value}, low);")
        if block.high:
            lines.append(f"OFA_MATRIX_HIGH({value}, high);")
        lines.append(f"{place} = (int8_t){value};")
    return [f"    {line}" for line in lines]
