"""Block functions of the convolutions on DSP cores: four pixels, all output channels, as C."""

from __future__ import annotations

from ofa_mcu.planning.kernels.dsp_matrix_counts import FAR_PAIRS, MOST_PAIRS, Block
from ofa_mcu.planning.kernels.dsp_matrix_layout import PIXELS, Taps

__all__ = ["block_function", "block_name", "single_function", "single_name"]


def block_name(block: Block) -> str:
    """A name that no other block has."""
    taps = block.taps
    shift = "own" if block.shift is None else str(block.shift)
    if block.merged:
        return "_".join(["ofa_matrix_any", *["sum"] * bool(block.sums), shift])
    marks = [
        mark for mark, present in (("signed", block.dead_zone), ("low", block.low), ("high", block.high)) if present
    ]
    marks += ["odd"] * block.odd
    if not block.unrolled:
        return "_".join(["ofa_matrix_loop", *marks, *["sum"] * bool(block.sums), shift])
    marks += [f"sum{block.sums}"] * bool(block.sums)
    shape = [f"{taps.rows}x{taps.columns}x{taps.run}"] + [f"by{taps.column}"] * (taps.columns > 1)
    padded = ["filled"] * (taps.left == 0 and taps.run % 4 != 0)
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
    literals = (block.dead_zone, block.low, block.high, block.odd)
    given = (block.shift or 0, block.merged, *((False,) * 4 if block.merged else literals), bool(block.sums))
    flags = ", ".join(str(int(flag)) for flag in given)
    return (*head, f"    ofa_matrix_looped(layer, quad, wide, {flags});", "}")


def single_name(block: Block) -> str:
    """A name of the function for a single pixel, the same for layers that can share it."""
    if not block.unrolled:
        return "ofa_matrix_single_any"
    marks = (
        ("signed", block.dead_zone),
        ("low", block.low),
        ("high", block.high),
        ("own", block.shift is None),
        ("sum", bool(block.sums)),
    )
    return "_".join(["ofa_matrix_single", *(mark for mark, present in marks if present)])


def single_function(block: Block) -> tuple[str, ...]:
    """Lines of the function for a single pixel; what unrolled blocks have no scratch memory for is on the stack."""
    given = (block.shift is None, block.dead_zone, block.low, block.high, bool(block.sums))
    lines = [
        f"static __attribute__((noinline)) void {single_name(block)}(const ofa_matrix_layer *layer,",
        "    const ofa_matrix_quad *quad, ofa_word *wide)",
        "{",
    ]
    if not block.unrolled:
        modes = ", ".join(f"flags & OFA_MATRIX_{mode}" for mode in ("OWN", "SIGNED", "CLAMPED", "CLAMPED", "ADDS"))
        call = f"    ofa_matrix_single_of(layer, quad, wide, {modes});"
        return (*lines, "    const int flags = layer->flags;", call, "}")
    lines += ["    (void)wide;", f"    ofa_word x[{MOST_PAIRS}] __attribute__((aligned(8)));"]
    flags = ", ".join(str(int(flag)) for flag in given)
    return (*lines, f"    ofa_matrix_single_of(layer, quad, x, {flags});", "}")


def _gather(taps: Taps) -> list[str]:
    lines = ["(void)wide;", f"ofa_word x[{PIXELS * taps.pairs}] __attribute__((aligned(8)));"]
    if taps.unrolled_rows:
        lines += _rows_unrolled(taps)
    elif taps.unrolled_words:
        lines += [
            "{",
            "    ofa_word *to = x;",
            *_START,
            f"    const int32_t row = quad->row - {4 * taps.words};",
            f"    for (int32_t rows = {taps.rows}; rows > 0; --rows) {{",
            *["        OFA_MATRIX_WORD(to, a, b, c, d);"] * taps.words,
            *(f"        {pixel} += row;" for pixel in "abcd"),
            "    }",
            "}",
            *_left_over(taps),
        ]
    else:
        if taps.words:
            call = f"ofa_matrix_gather(x, quad, {taps.rows}, {taps.columns}, {taps.column}, {taps.words});"
            lines.append(call)
        lines += _left_over(taps)
    return [*lines, "OFA_BARRIER();"]


_START = (
    "    const int8_t *a = quad->input;",
    "    const int8_t *b = a + quad->input_next, *c = a + quad->input_third;",
    "    const int8_t *d = c + quad->input_next;",
)


def _rows_unrolled(taps: Taps) -> list[str]:
    """All words and all codes left over, row by row."""
    lines = ["{", "    ofa_word *to = x;", *_START]
    if taps.rows > 1:
        lines.append(f"    const int32_t row = quad->row - {4 * taps.words};")
    left = 2 * taps.runs * taps.words
    for row in range(taps.rows):
        if row:
            lines += [f"    {pixel} += row;" for pixel in "abcd"]
        lines += ["    OFA_MATRIX_WORD(to, a, b, c, d);"] * taps.words
        for code in range(taps.left):
            pair, tap = divmod(row * taps.left + code, 2)
            lines.append(f"    OFA_MATRIX_CODE(x + {PIXELS * (left + pair)}, {tap}, a, b, c, d, {code});")
    return [*lines, "    (void)to;", "}"]


def _left_over(taps: Taps) -> list[str]:
    """Codes that no word holds: two of them, perhaps of different runs, to a pair of taps of each pixel."""
    if not taps.left:
        return []
    lines = ["{", f"    ofa_word *to = x + {PIXELS * 2 * taps.runs * taps.words};", *_START]
    if taps.rows > 1:
        lines.append("    const int32_t row = quad->row;")
    lines.append("    uint32_t p0, p1, p2, p3;")
    places = [
        (run // taps.columns, run % taps.columns * taps.column + 4 * taps.words + code)
        for run in range(taps.runs)
        for code in range(taps.left)
    ]
    at_row = 0
    for i, (row, offset) in enumerate(places):
        if row > at_row:
            lines += [f"    {pixel} += row;" for pixel in "abcd"]
            at_row = row
        for number, pixel in enumerate("abcd"):
            code = f"(uint32_t)(int32_t){pixel}[{offset}]"
            lines.append(f"    OFA_PKHBT(p{number}, p{number}, {code});" if i % 2 else f"    p{number} = {code};")
        if i % 2 or i + 1 == len(places):
            lines += ["    OFA_STRD_NEXT(p0, p1, to);", "    OFA_STRD_NEXT(p2, p3, to);"]
    return [*lines, "}"]


def _channels(block: Block) -> list[str]:
    kind, source = ("adder", "layer, quad") if block.sums else ("cursor", "quad")
    sums = [f"{channel}{pixel}" for channel in "eo" for pixel in range(PIXELS)]
    lines = [
        "const ofa_word *w = layer->weights;",
        f"ofa_matrix_{kind} cursor = ofa_matrix_{kind}_of({source}, {block.sums or 'layer->outputs'});",
        "again:;",
        f"uint32_t {', '.join(sums)};",
        "{",
        f"    uint32_t bias_e, bias_o, w0, {'w1, ' * (block.taps.pairs > 1)}even, x0, x1;",
        "    OFA_LDRD_NEXT(bias_e, bias_o, w);",
        *(f"    {line}" for line in _products(block.taps.pairs)),
        "}",
        f"uint32_t m, c{', d' * block.dead_zone}{', shift' * (block.shift is None)};",
    ]
    for pixel in range(PIXELS):
        lines += [f"o{pixel} -= e{pixel};", f"e{pixel} <<= 8;"]
    lines += _codes(block, "e")
    if block.odd:
        lines += ["if (cursor.at + 1 == cursor.end) {"]
        lines += [f"    OFA_MATRIX_ADD_LAST(cursor, {block.sums}, e0, e1, e2, e3);"] * bool(block.sums)
        lines += [f"    {line}" for line in _clamps(block)]
        store = f"OFA_MATRIX_STORE_LAST(cursor, {block.sums}" if block.sums else "ofa_matrix_store_last(&cursor"
        lines += [f"    {store}, e0, e1, e2, e3);", "    return;", "}"]
    lines += _codes(block, "o")
    lines += [f"OFA_MATRIX_ADD(cursor, {block.sums}, {', '.join(sums)});"] * bool(block.sums)
    lines += [f"OFA_MATRIX_BYTES(e{pixel}, o{pixel});" for pixel in range(PIXELS)]
    store = f"OFA_MATRIX_STORE_SUMS(cursor, {block.sums}" if block.sums else "OFA_MATRIX_STORE(cursor"
    return [*lines, *_clamps(block), f"{store}, e0, e1, e2, e3, again);"]


def _clamps(block: Block) -> list[str]:
    lines = []
    for name, instruction, present in (("low", "OFA_MATRIX_MAX8", block.low), ("high", "OFA_MATRIX_MIN8", block.high)):
        if present:
            lines.append(f"const uint32_t {name} = OFA_MATRIX_{name.upper()}(layer);")
            lines += [f"{instruction}(e{pixel}, {name});" for pixel in range(PIXELS)]
    return lines


def _products(pairs: int) -> list[str]:
    """The sums of a pair of channels; far from the stack pointer a pointer leaves one register for weights."""
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
    """A channel's four codes, not clamped, from its sums."""
    lines = ["OFA_LDRD_NEXT(m, c, w);"]
    if block.dead_zone and block.shift is None:
        lines.append("OFA_LDRD_NEXT(d, shift, w);")
    elif block.dead_zone:
        lines.append("OFA_LDR_NEXT(d, w);")
    elif block.shift is None:
        lines.append("OFA_LDR_NEXT(shift, w);")
    for pixel in range(PIXELS):
        value = f"{kind}{pixel}"
        lines.append(
            f"OFA_MATRIX_SCALE_SIGNED({value}, m, c, d);" if block.dead_zone else f"OFA_MATRIX_SCALE({value}, m, c);"
        )
        if block.shift is None:
            lines.append(f"{value} = (uint32_t)((int32_t){value} >> shift);")
        lines.append(f"OFA_SSAT8({value}, {value}, {1 if block.shift is None else block.shift});")
    return lines
