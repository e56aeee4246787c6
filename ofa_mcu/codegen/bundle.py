"""Several networks in one firmware, of which a byte behind the arena says which one runs: for measuring many at a time.

To the serial protocol the whole arena is input and output at once; a host writes and reads the parts that a network's
plan names. Networks share the functions that their layers have in common, and the arena.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from ofa_mcu.codegen.c_text import comment
from ofa_mcu.codegen.emit import BANNER, framed_header, kernel_lines, layer_lines, weights_header, weights_source
from ofa_mcu.codegen.ends import check_ends
from ofa_mcu.codegen.layers import Layer, make_layers
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.check import check_graph
from ofa_mcu.planning.compile import Compiled

__all__ = ["MOST", "Bundle", "emit_bundle"]

MOST = 255
"""Networks of a bundle, which one byte tells apart."""

_ALIGNMENT = 16


@dataclass(frozen=True)
class Bundle:
    """The generated files by name, and the CRC-32 that the firmware says.

    The byte at `choice` of the protocol's input is the number of the network that runs.
    """

    files: dict[str, str]
    crc32: int
    choice: int


def emit_bundle(networks: Sequence[Compiled], name: str, salt: str = "") -> Bundle:
    """The files of a firmware of these networks, in their order; equal input, equal bytes.

    Args:
        networks: of one input and one output each, compiled for one core.
        name: of the whole, printable ASCII.
        salt: goes into the CRC-32; what makes firmware of the same files another one.

    Raises:
        OfaMcuError: too many networks, one of several ends, or one that cannot be generated.
    """
    if not 0 < len(networks) <= MOST:
        raise OfaMcuError(f"a bundle has 1 to {MOST} networks, not {len(networks)}: make several")
    layers: list[Layer] = []
    runs: list[str] = []
    for number, one in enumerate(networks):
        structure = one.graph.structure
        if len(structure.inputs) != 1 or len(structure.outputs) != 1 or structure.constants & {*structure.outputs}:
            raise OfaMcuError(f"network '{structure.name}' has no single input and computed output: leave it out")
        check_ends(structure)
        check_graph(one.graph)
        own = make_layers(one.graph, one.plan, one.facts, len(layers))
        layers += own
        calls = [f"    {layer.symbol}();" for layer in own]
        about = comment(f"Network {number}, {structure.name}")
        runs += [about, f"static __attribute__((noinline)) void network_{number:03d}(void)", "{", *calls, "}", ""]
    choice = -(-max(one.plan.arena_bytes for one in networks) // _ALIGNMENT) * _ALIGNMENT
    choices = [
        f"    case {number}:\n        network_{number:03d}();\n        break;" for number in range(len(networks))
    ]
    source = [
        BANNER,
        comment(f"{len(networks)} networks of {len(layers)} layers"),
        *layer_lines(layers),
        *runs,
        "int8_t *ofa_model_input(void)",
        "{",
        "    return ofa_arena;",
        "}",
        "",
        "const int8_t *ofa_model_output(void)",
        "{",
        "    return ofa_arena;",
        "}",
        "",
        "void ofa_model_run(void)",
        "{",
        f"    switch ((uint8_t)ofa_arena[{choice}]) {{",
        *choices,
        "    default:",
        "        break;",
        "    }",
        "}",
        "",
    ]
    files = {
        "ofa_model.c": "\n".join(source),
        "ofa_weights.h": weights_header(layers, {}),
        "ofa_weights.c": weights_source(layers, {}),
    }
    kernels = kernel_lines(way for one in networks for way in one.plan.ways)
    checksum = crc32("".join([name, salt, *files.values()]).encode())
    return Bundle({"ofa_model.h": _header(name, checksum, choice, kernels), **files}, checksum, choice)


def _header(name: str, checksum: int, choice: int, kernels: Sequence[str]) -> str:
    lines = [
        comment("The whole arena, and behind it the byte that says which network runs"),
        f"#define OFA_MODEL_INPUT_BYTES {choice + _ALIGNMENT}",
        f"#define OFA_MODEL_OUTPUT_BYTES {choice + _ALIGNMENT}",
        f"#define OFA_MODEL_ARENA_BYTES {choice + _ALIGNMENT}",
        "#define OFA_MODEL_INPUT_UNCHECKED",
        "#define OFA_MODEL_INPUTS 1",
        "#define OFA_MODEL_OUTPUTS 1",
        "",
        *kernels,
        "int8_t *ofa_model_input(void);",
        "const int8_t *ofa_model_output(void);",
        "void ofa_model_run(void);",
        "",
    ]
    return framed_header(name, "CRC-32 of the generated files", checksum, lines)
