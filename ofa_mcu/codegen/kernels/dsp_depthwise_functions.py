"""C of the functions that the DSP depthwise kernel generates: rows of pixels apart, then rows of outputs."""

from __future__ import annotations

from collections.abc import Sequence

from ofa_mcu.planning.kernels.dsp_depthwise_block import REACH, Block, LoadPixels, LoadWeights, Product
from ofa_mcu.planning.kernels.dsp_depthwise_shape import GROUP
from ofa_mcu.planning.kernels.dsp_depthwise_sweep import Pattern, Rounded, Split, Sweep

__all__ = ["code_lines", "constant_lines", "split_lines", "sum_lines", "sweep_lines"]


def _indented(lines: list[str], depth: int = 1) -> list[str]:
    return ["    " * depth + line for line in lines]


def _pixel(split: Split, pixel: int) -> str:
    offset = pixel * split.pitch
    return f"*(const ofa_loose_word *)(from + {offset})" if offset else "*(const ofa_loose_word *)from"


def _at(split: Split, channel: int, word: int) -> str:
    base, offset = split.place(channel, word)
    return f"to{base} + {offset}" if offset >= 0 else f"to{base} - {-offset}"


def _apart(first: str, second: str, name: str) -> list[str]:
    return [
        f"a = {first};",
        f"b = {second};",
        f"OFA_PKHBT({name}low, a, b);",
        f"OFA_PKHTB({name}high, a, b);",
    ]


def _quad(split: Split, quad: int, pixel: int, word: int) -> list[str]:
    """Four pixels from number `pixel` on into the words `word` and `word` + 1."""
    pixel, word = pixel + 4 * quad, word + 2 * quad
    lines = _apart(_pixel(split, pixel), _pixel(split, pixel + 1), "")
    lines += _apart(_pixel(split, pixel + 2), _pixel(split, pixel + 3), "later_")
    for channel in range(GROUP):
        half = ("low", "high")[channel // 2]
        mask = ("OFA_AND_LSL8", "OFA_AND")[channel % 2]
        lines += [f"{mask}(a, mask, {half});", f"{mask}(b, mask, later_{half});"]
        if split.reaches(split.place(channel, word)[1] + 1):
            lines.append(f"OFA_STRD({_at(split, channel, word)}, a, b);")
        else:
            lines.append(f"*({_at(split, channel, word)}) = a;")
            lines.append(f"*({_at(split, channel, word + 1)}) = b;")
    return lines


def _pair(split: Split, word: int, first: str, second: str) -> list[str]:
    """Two pixels into one word; where one is padding, this is the first one or the last one of a row."""
    lines = [f"a = {first};", f"b = {second};", "OFA_PART(p0, p1, p2, p3, a, b, mask, low, high);"]
    return lines + [f"*({_at(split, channel, word)}) = p{channel};" for channel in range(GROUP)]


def split_lines(name: str, split: Split) -> tuple[str, ...]:
    """The function that takes rows of four channels of codes apart into planes of halfwords."""
    pixel, word = 0, 0
    body: list[str] = []
    if split.lone_first:
        body += _pair(split, 0, "padding", _pixel(split, 0))
        pixel, word = 1, 1
    moved = 0
    if split.unrolled:
        words = 2 * split.unrolled * split.turns
        loop = [line for quad in range(split.unrolled) for line in _quad(split, quad, pixel, word)]
        loop.append(f"from += {4 * split.unrolled * split.pitch};")
        loop += [f"to{base} += {2 * split.unrolled};" for base in range(len(split.bases))]
        loop += [f"OFA_OPAQUE(to{base});" for base in range(len(split.bases))]
        body += [f"const ofa_word *const end = to0 + {words};", "do {", *_indented(loop), "} while (to0 != end);"]
        moved = split.turns * split.unrolled
    else:
        for quad in range(split.quads):
            body += _quad(split, quad, pixel, word)
        pixel, word = pixel + 4 * split.quads, word + 2 * split.quads
    if split.rest >= 2:
        body += _pair(split, word, _pixel(split, pixel), _pixel(split, pixel + 1))
        pixel, word = pixel + 2, word + 1
    if split.rest % 2:
        body += _pair(split, word, _pixel(split, pixel), "padding")
    body.append(f"from += {split.row_bytes - 4 * moved * split.pitch};")
    body += [f"to{base} += {split.row_words - 2 * moved};" for base in range(len(split.bases))]
    body += ["OFA_OPAQUE(from);", *(f"OFA_OPAQUE(to{base});" for base in range(len(split.bases)))]
    padding = "const uint32_t padding = layer->padding | layer->padding >> 8;"
    lines = [
        f"static __attribute__((noinline)) void {name}(ofa_word *planes, const int8_t *from, uint32_t rows,",
        "    const ofa_dsp_planes_layer *layer)",
        "{",
        "    uint32_t mask = 0xff00ff00u;",
        "    uint32_t a, b, low, high;",
        *(["    uint32_t later_low, later_high;"] if split.quads else []),
        *(["    uint32_t p0, p1, p2, p3;"] if split.lone_first or split.rest else []),
        *(f"    ofa_word *to{index} = planes + {base};" for index, base in enumerate(split.bases)),
        "    OFA_OPAQUE(mask);",
        f"    {padding if split.lone_first or split.rest % 2 else '(void)layer;'}",
        "    do {",
        *_indented(body, 2),
        "    } while (--rows != 0);",
        "}",
    ]
    return tuple(lines)


def code_lines(rounded: Rounded, count: int) -> list[str]:
    """From the sums s0, s1, ... to codes in their low bytes; `header` points to the channel's constants."""
    place = {word: index for index, word in enumerate(rounded.header)}
    outputs = range(count)
    lines = ["uint32_t m, c;", "OFA_LDRD(m, c, header + 1);"]
    if rounded.dead_zone:
        lines += ["uint32_t d, n;", f"OFA_LDR(d, header + {place['dead_zone']});"]
        for i in outputs:
            lines += [f"OFA_SIGN_AND(n, d, s{i});", "n = c - n;", f"OFA_SMMLA(s{i}, s{i}, m, n);"]
    else:
        lines += [f"OFA_SMMLA(s{i}, s{i}, m, c);" for i in outputs]
    if rounded.per_channel:
        lines += ["uint32_t shift;", f"OFA_LDR(shift, header + {place['shift']});"]
        lines += [f"OFA_ASR_BY(s{i}, s{i}, shift);" for i in outputs]
    lines += [f"OFA_SSAT8(s{i}, s{i}, {rounded.shift});" for i in outputs]
    for bound, pick in (("high", "OFA_MIN8"), ("low", "OFA_MAX8")):
        if bound in place:
            lines += [f"uint32_t {bound};", f"OFA_LDR({bound}, header + {place[bound]});"]
            lines += [f"{pick}(s{i}, s{i}, {bound});" for i in outputs]
    return lines


def sum_lines(pattern: Pattern, columns: int, first_word: int, advance: int = 0) -> list[str]:
    """Lines that compute the sums s0, s1, ... of one block, its pixels from word `first_word` on.

    With `advance` the pointer to the pixels moves on by so many words, with the first load.
    """
    block: Block = pattern.block(columns)
    lines = ["uint32_t bias, " + ", ".join(f"s{i}" for i in range(block.outputs)) + ";"]
    steps = block.steps()
    loads = [step for step in steps if isinstance(step, LoadPixels)]
    words = sorted({load.word + i for load in loads for i in range(load.count)})
    lines.append("uint32_t " + ", ".join(f"x{word}" for word in words) + ";")
    lines.append("OFA_LDR(bias, header);")
    in_order = False
    if not pattern.held:
        streamed = range(pattern.words_per_row)
        used = sorted({step.index % len(streamed) for step in steps if isinstance(step, Product)})
        in_order = len(used) == len(streamed)
        lines.append(f"uint32_t {', '.join(f'w{i}' for i in used)};")
        lines += ["const ofa_word *w = weights;"] if in_order else []
    begun: set[int] = set()
    for step in steps:
        match step:
            case LoadPixels():
                place = first_word + step.row * pattern.row_words + step.word
                if advance and step is loads[0]:
                    assert place == 0
                    names = ", ".join(f"x{i}" for i in range(step.count))
                    lines.append(f"{('OFA_LDR_STEP', 'OFA_LDRD_STEP')[step.count - 1]}({names}, x, {4 * advance});")
                    first_word -= advance
                elif step.count == 2 and place + 1 <= REACH:
                    lines.append(f"OFA_LDRD(x{step.word}, x{step.word + 1}, x + {place});")
                else:
                    lines += [f"OFA_LDR(x{step.word + i}, x + {place + i});" for i in range(step.count)]
            case LoadWeights():
                if pattern.held:
                    at = len(pattern.rounded.header)
                    lines.append(f"OFA_LDRD(w{step.index}, w{step.index + 1}, header + {at});")
                else:
                    names = ", ".join(f"w{(step.index + i) % pattern.words_per_row}" for i in range(step.count))
                    load = "OFA_LDRD" if step.count == 2 else "OFA_LDR"
                    where = "w" if in_order else f"weights + {step.index}"
                    lines.append(f"{load}{'_NEXT' * in_order}({names}, {where});")
            case Product():
                index = step.index if pattern.held else step.index % pattern.words_per_row
                kind = "OFA_SMLAD" if step.kind == "D" else f"OFA_SMLA{step.kind}"
                if step.output in begun:
                    lines.append(f"{kind}(s{step.output}, x{step.word}, w{index});")
                else:
                    begun.add(step.output)
                    lines.append(f"{kind}_TO(s{step.output}, x{step.word}, w{index}, bias);")
    return lines


def _block(sweep: Sweep, columns: int, first_word: int, first_column: int) -> list[str]:
    """Lines of one block: its pixels from word `first_word` on, its outputs from column `first_column` on."""
    stores = [
        f"output[{row * sweep.row_bytes + (first_column + column) * sweep.pitch}] = (int8_t)s{row * columns + column};"
        for row in range(sweep.unit)
        for column in range(columns)
    ]
    sums = sum_lines(sweep, columns, first_word)
    return ["{", *sums, *code_lines(sweep.rounded, sweep.unit * columns), *stores, "}"]


def _row(sweep: Sweep) -> list[str]:
    """Lines that compute one unit of rows and move on to the next."""
    step = sweep.columns * sweep.stride[1] // 2
    lines: list[str] = []
    spelled = sweep.unrolled or sweep.whole
    blocks = [line for i in range(spelled) for line in _block(sweep, sweep.columns, i * step, i * sweep.columns)]
    moved = sweep.turns * sweep.unrolled
    if moved:
        bytes_, words = spelled * sweep.columns * sweep.pitch, spelled * step
        blocks += [f"output += {bytes_};", "OFA_OPAQUE(x);", f"x += {words};", "OFA_OPAQUE(x);"]
        lines += [f"const int8_t *const stop = output + {sweep.turns * bytes_};"]
        lines += ["do {", *_indented(blocks), "} while (output != stop);"]
    else:
        lines += blocks
    if sweep.rest:
        rest = sweep.whole - moved
        lines += _block(sweep, sweep.rest, rest * step, rest * sweep.columns)
    lines += [
        f"output += {sweep.unit * sweep.row_bytes - moved * sweep.columns * sweep.pitch};",
        "OFA_OPAQUE(x);",
        f"x += {sweep.unit * sweep.stride[0] * sweep.row_words - moved * step};",
        "OFA_OPAQUE(x);",
    ]
    return lines


def constant_lines(pattern: Pattern, more: Sequence[str] = ()) -> list[str]:
    """Lines that bring a channel's constants from its table into `header`, `more` words behind them, and registers."""
    header = len(pattern.rounded.header)
    held = pattern.weight_words - 2 * pattern.reload if pattern.held else 0
    words = [f"table[{i}]" for i in range(header)]
    words += [f"table[{header + held + i}]" for i in range(2 * pattern.reload)]
    words += more
    lines = [f"ofa_word header[{len(words)}];"]
    if pattern.held:
        lines.append(f"uint32_t {', '.join(f'w{i}' for i in range(pattern.weight_words))};")
    lines += [f"header[{i}] = {word};" for i, word in enumerate(words)]
    lines += ["OFA_BARRIER();", f"const ofa_word *const weights = table + {header};"]
    for i in range(0, held, 2):
        pair = i + 1 < held
        lines.append(f"OFA_LDRD(w{i}, w{i + 1}, weights + {i});" if pair else f"OFA_LDR(w{i}, weights + {i});")
    if pattern.held:
        lines += [f"(void)w{i};" for i in range(pattern.weight_words)]
    return lines


def sweep_lines(name: str, sweep: Sweep) -> tuple[str, ...]:
    """The function that computes units of rows of up to four channels from their planes."""
    words = sweep.unit * sweep.stride[0] * sweep.row_words
    lines = constant_lines(sweep)
    lines += [
        "const int8_t *const end = output + bytes;",
        "do {",
        *_indented(_row(sweep)),
        "} while (output != end);",
        "output -= bytes - 1;",
        "x += step;",
        f"table += {sweep.channel_words};",
    ]
    return (
        f"static __attribute__((noinline)) void {name}(int8_t *output, const ofa_word *x, const ofa_word *table,",
        "    uint32_t units, uint32_t channels, const ofa_dsp_planes_layer *layer)",
        "{",
        "    (void)layer;",
        "    const int8_t *const last = output + channels;",
        f"    const int32_t bytes = (int32_t)units * {sweep.unit * sweep.row_bytes};",
        f"    const int32_t step = {sweep.plane_words} - (int32_t)units * {words};",
        "    do {",
        *_indented(lines, 2),
        "    } while (output != last);",
        "}",
    )
