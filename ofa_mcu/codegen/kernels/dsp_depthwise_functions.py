"""C of the functions that the DSP depthwise kernel generates: rows of pixels apart, then rows of outputs."""

from __future__ import annotations

from ofa_mcu.planning.kernels.dsp_depthwise_block import REACH, Block, LoadPixels, LoadWeights, Product
from ofa_mcu.planning.kernels.dsp_depthwise_shape import GROUP
from ofa_mcu.planning.kernels.dsp_depthwise_sweep import Rounded, Split, Sweep

__all__ = ["split_lines", "sweep_lines"]


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
        f"OFA_PLANES({', '.join(f'{name}{i}' for i in range(GROUP))}, a, b, mask, c, d);",
    ]


def _quad(split: Split, quad: int, pixel: int, word: int) -> list[str]:
    """Four pixels from number `pixel` on into the words `word` and `word` + 1."""
    pixel, word = pixel + 4 * quad, word + 2 * quad
    lines = _apart(_pixel(split, pixel), _pixel(split, pixel + 1), "p")
    lines += _apart(_pixel(split, pixel + 2), _pixel(split, pixel + 3), "q")
    for channel in (1, 2, 3, 0):
        if split.reaches(split.place(channel, word)[1] + 1):
            lines.append(f"OFA_STRD({_at(split, channel, word)}, p{channel}, q{channel});")
        else:
            lines.append(f"*({_at(split, channel, word)}) = p{channel};")
            lines.append(f"*({_at(split, channel, word + 1)}) = q{channel};")
    return lines


def _pair(split: Split, pixel: int, word: int) -> list[str]:
    """Two pixels into one word."""
    lines = _apart(_pixel(split, pixel), _pixel(split, pixel + 1), "p")
    return lines + [f"*({_at(split, channel, word)}) = p{channel};" for channel in range(GROUP)]


def _lone(split: Split, pixel: int, word: int, *, last: bool) -> list[str]:
    """One pixel into a word, the first of the row behind padding or the last one before it."""
    first, second = ("{0}", "padding") if last else ("padding", "{0}")
    lines = [f"a = {_pixel(split, pixel)};", "OFA_AND_LSL8(c, mask, a);", "OFA_AND(a, mask, a);"]
    for channel in range(GROUP):
        kind, source = ("OFA_PKHBT", "OFA_PKHTB")[channel // 2], "ca"[channel % 2]
        lines.append(f"{kind}(p{channel}, {first.format(source)}, {second.format(source)});")
    return lines + [f"*({_at(split, channel, word)}) = p{channel};" for channel in range(GROUP)]


def split_lines(name: str, split: Split) -> tuple[str, ...]:
    """The function that takes rows of four channels of codes apart into planes of halfwords."""
    pixel, word = 0, 0
    body: list[str] = []
    if split.lone_first:
        body += _lone(split, 0, 0, last=False)
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
        body += _pair(split, pixel, word)
        pixel, word = pixel + 2, word + 1
    if split.rest % 2:
        body += _lone(split, pixel, word, last=True)
    body.append(f"from += {split.row_bytes - 4 * moved * split.pitch};")
    body += [f"to{base} += {split.row_words - 2 * moved};" for base in range(len(split.bases))]
    body += ["OFA_OPAQUE(from);", *(f"OFA_OPAQUE(to{base});" for base in range(len(split.bases)))]
    lines = [
        f"static __attribute__((noinline)) void {name}(ofa_word *planes, const int8_t *from, uint32_t rows,",
        "    uint32_t padding)",
        "{",
        "    uint32_t mask = 0xff00ff00u;",
        f"    uint32_t {'a, b, c, d' if split.quads or split.rest >= 2 else 'a, c'}, p0, p1, p2, p3;",
        *(["    uint32_t q0, q1, q2, q3;"] if split.quads else []),
        *(f"    ofa_word *to{index} = planes + {base};" for index, base in enumerate(split.bases)),
        "    OFA_OPAQUE(mask);",
        *([] if split.lone_first or split.rest % 2 else ["    (void)padding;"]),
        "    do {",
        *_indented(body, 2),
        "    } while (--rows != 0);",
        "}",
    ]
    return tuple(lines)


def _convert(rounded: Rounded, places: list[str]) -> list[str]:
    """From the sums s0, s1, ... to codes at `places`."""
    place = {word: index for index, word in enumerate(rounded.header)}
    outputs = range(len(places))
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
        lines += [f"OFA_SSAT8(s{i}, s{i}, 0);" for i in outputs]
    elif not rounded.clamp_low and not rounded.clamp_high:
        for i, where in enumerate(places):
            lines += [f"OFA_SSAT8(s{i}, s{i}, {rounded.shift});", f"{where} = (int8_t)s{i};"]
        return lines
    else:
        lines += [f"OFA_SSAT8(s{i}, s{i}, {rounded.shift});" for i in outputs]
    if rounded.clamp_high:
        lines += ["uint32_t high;", f"OFA_LDR(high, header + {place['high']});"]
    if rounded.clamp_low:
        lines += ["uint32_t low;", f"OFA_LDR(low, header + {place['low']});"]
    for i, where in enumerate(places):
        if rounded.clamp_high:
            lines.append(f"OFA_MIN8(s{i}, s{i}, high);")
        if rounded.clamp_low:
            lines.append(f"OFA_MAX8(s{i}, s{i}, low);")
        lines.append(f"{where} = (int8_t)s{i};")
    return lines


def _block(sweep: Sweep, columns: int, first_word: int, first_column: int) -> list[str]:
    """Lines of one block: its pixels from word `first_word` on, its outputs from column `first_column` on."""
    block: Block = sweep.block(columns)
    lines = ["{", "uint32_t bias, " + ", ".join(f"s{i}" for i in range(block.outputs)) + ";"]
    steps = block.steps()
    loads = [step for step in steps if isinstance(step, LoadPixels)]
    words = sorted({load.word + i for load in loads for i in range(load.count)})
    lines.append("uint32_t " + ", ".join(f"x{word}" for word in words) + ";")
    lines.append("OFA_LDR(bias, header);")
    in_order = False
    if not sweep.held:
        streamed = range(sweep.words_per_row)
        used = sorted({step.index % len(streamed) for step in steps if isinstance(step, Product)})
        in_order = len(used) == len(streamed)
        lines.append(f"uint32_t {', '.join(f'w{i}' for i in used)};")
        lines += ["const ofa_word *w = weights;"] if in_order else []
    begun: set[int] = set()
    for step in steps:
        match step:
            case LoadPixels():
                place = first_word + step.row * sweep.row_words + step.word
                if step.count == 2 and place + 1 <= REACH:
                    lines.append(f"OFA_LDRD(x{step.word}, x{step.word + 1}, x + {place});")
                else:
                    lines += [f"OFA_LDR(x{step.word + i}, x + {place + i});" for i in range(step.count)]
            case LoadWeights():
                if sweep.held:
                    at = len(sweep.rounded.header)
                    lines.append(f"OFA_LDRD(w{step.index}, w{step.index + 1}, header + {at});")
                else:
                    names = ", ".join(f"w{(step.index + i) % sweep.words_per_row}" for i in range(step.count))
                    load = "OFA_LDRD" if step.count == 2 else "OFA_LDR"
                    where = "w" if in_order else f"weights + {step.index}"
                    lines.append(f"{load}{'_NEXT' * in_order}({names}, {where});")
            case Product():
                index = step.index if sweep.held else step.index % sweep.words_per_row
                kind = "OFA_SMLAD" if step.kind == "D" else f"OFA_SMLA{step.kind}"
                if step.output in begun:
                    lines.append(f"{kind}(s{step.output}, x{step.word}, w{index});")
                else:
                    begun.add(step.output)
                    lines.append(f"{kind}_TO(s{step.output}, x{step.word}, w{index}, bias);")
    places = [
        f"output[{row * sweep.row_bytes + (first_column + column) * sweep.pitch}]"
        for row in range(sweep.unit)
        for column in range(columns)
    ]
    return [*lines, *_convert(sweep.rounded, places), "}"]


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


def sweep_lines(name: str, sweep: Sweep) -> tuple[str, ...]:
    """The function that computes units of rows of up to four channels from their planes."""
    header = len(sweep.rounded.header)
    held = range(sweep.weight_words - 2 * sweep.reload) if sweep.held else range(0)
    words = sweep.unit * sweep.stride[0] * sweep.row_words
    size = header + 2 * sweep.reload
    lines = [f"ofa_word header[{size}];"]
    if sweep.held:
        lines.append(f"uint32_t {', '.join(f'w{i}' for i in range(sweep.weight_words))};")
    lines += [f"header[{i}] = table[{i}];" for i in range(header)]
    if sweep.reload:
        lines += [f"header[{header + i}] = table[{header + held.stop + i}];" for i in range(2)]
    lines += ["OFA_BARRIER();"]
    if sweep.held:
        lines.append(f"const ofa_word *const weights = table + {header};")
        for i in range(0, held.stop, 2):
            pair = i + 1 < held.stop
            lines.append(f"OFA_LDRD(w{i}, w{i + 1}, weights + {i});" if pair else f"OFA_LDR(w{i}, weights + {i});")
        lines += [f"(void)w{i};" for i in range(sweep.weight_words)]
    else:
        lines.append(f"const ofa_word *const weights = table + {header};")
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
        "    uint32_t units, uint32_t channels)",
        "{",
        "    const int8_t *const last = output + channels;",
        f"    const int32_t bytes = (int32_t)units * {sweep.unit * sweep.row_bytes};",
        f"    const int32_t step = {sweep.plane_words} - (int32_t)units * {words};",
        "    do {",
        *_indented(lines, 2),
        "    } while (output != last);",
        "}",
    )
