"""Layers at the places that overlap as far as the planner may let them, run on the host or on an emulated core."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.codegen.c_text import array_definition
from ofa_mcu.codegen.kernels import WRITERS
from ofa_mcu.codegen.kernels.base import LayerCode, PlacedLayer
from ofa_mcu.graph.constants import operator_constants
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.reference import run
from ofa_mcu.planning.facts import GraphFacts, analyse
from ofa_mcu.planning.kernels import KERNELS
from ofa_mcu.planning.kernels.base import Flavour, LayerView, Way
from ofa_mcu.space.shapes import Operator
from tests.codegen.emulation import AN547, MACHINES, end_on, link_for
from tests.codegen.models import ways_of
from tests.kernels.overlap_places import Buffers, Place, places
from tests.kernels.toolchain import ARM_CORES, WARNINGS, Flags, build, host_flags, kernel_include, kernel_sources

__all__ = ["Change", "Overlaps", "runs"]

_HERE = Path(__file__).parent
Change = Callable[[Way], Way]

_BEGUN, _ENDED_EARLY = 0, 4
_KINDS = ("", "wrong code at byte", "written outside, at byte", "touches what is not its own:", "never ends:")
_DTCM_END = 0x20080000
"""Where the RAM of AN547 ends: what reads on faults."""


def _own(flavour: Flavour) -> set[str]:
    """Names of the flavour's own kernels."""
    return {kernel.name for kernel in KERNELS if kernel.flavour is flavour}


def runs(graph: Int8Graph, flavour: Flavour) -> bool:
    """Whether the flavour has kernels of its own for the graph's layers."""
    names = _own(flavour)
    return any(way.kernel in names for ways in ways_of(graph, analyse(graph), flavour) for way in ways)


@dataclass(frozen=True)
class _Case:
    """One run: the C function, the number of its data, where; what it is, for people."""

    function: str
    data: int
    place: Place
    way: Way
    operator: Operator
    text: str


class Overlaps:
    """Kernels compiled once, for the host with sanitizers or for a core; layers run in every way and place."""

    def __init__(self, folder: Path, core: str = "") -> None:
        self.folder, self.core = folder, core
        if core:
            self._compiler = "arm-none-eabi-gcc"
            self._flags: Flags = (*ARM_CORES[core], "-O2", "-std=gnu11", *WARNINGS, f"-I{kernel_include()}")
            self._flags += ("-ffunction-sections", "-fdata-sections")
        else:
            self._compiler = "gcc"
            self._flags = (*host_flags(sanitize=True), "-O1", "-fsanitize-recover=address")
        self._kernels = [folder / f"{source.stem}.o" for source in kernel_sources()]
        for source, target in zip(kernel_sources(), self._kernels, strict=True):
            build(self._compiler, self._flags, "-c", source, "-o", target)
        self.tried: dict[str, int] = {}

    def check(
        self, graphs: Sequence[Int8Graph], flavour: Flavour, rng: np.random.Generator, change: Change = lambda way: way
    ) -> list[str]:
        """What went wrong, in words, with the layers of the graphs in every way of the flavour's own kernels.

        `change` makes claims of the ways other than they are.
        """
        text = _Text(rng, _own(flavour), change)
        for graph in graphs:
            text.add(graph, flavour, self.tried)
        for name, lines in text.files().items():
            (self.folder / name).write_text("\n".join(lines))
        return [self._describe(text, *failure) for failure in self._run(len(text.cases))]

    def _run(self, cases: int) -> list[tuple[int, int, int]]:
        program = self.folder / "overlaps"
        sources = [self.folder / "overlap_cases.c", _HERE / "overlap_main.c"]
        flags = (*self._flags, f"-I{self.folder}", "-Wno-unused-parameter")
        if self.core:
            if MACHINES[self.core] is AN547:
                flags += (f"-DOVERLAP_END={_DTCM_END:#x}u",)
            link_for(MACHINES[self.core], flags, [*sources, *self._kernels], program)
            output = end_on(MACHINES[self.core], program).stdout
        else:
            build("gcc", flags, *sources, *self._kernels, "-o", program)
            environment = {"ASAN_OPTIONS": "halt_on_error=0:detect_leaks=0"}
            done = subprocess.run([str(program)], capture_output=True, timeout=300, check=False, env=environment)
            output = done.stdout
            (self.folder / "stderr.txt").write_bytes(done.stderr)
        records = np.frombuffer(output, np.int32).reshape(-1, 3).tolist()
        assert records, "the program did not get to its first record"
        failures = [(number, kind, at) for number, kind, at in records if number >= 0 and kind != _BEGUN]
        if records[-1] != [-1, cases, 0]:
            failures.append((records[-1][0], _ENDED_EARLY, 0))
        return failures

    def _describe(self, text: _Text, number: int, kind: int, position: int) -> str:
        case = text.cases[number]
        return f"{_KINDS[kind]} {position}: {case.place} {case.text}"


class _Text:
    """C of layers, their data and their places."""

    def __init__(self, rng: np.random.Generator, kernels: set[str], change: Change) -> None:
        self.rng, self.kernels, self.change = rng, kernels, change
        self.cases: list[_Case] = []
        self._arrays: list[str] = []
        self._data: list[str] = []
        self._functions: dict[str, tuple[str, ...]] = {}
        self._layers: list[str] = []
        self._headers = {"ofa_kernels.h"}

    def add(self, graph: Int8Graph, flavour: Flavour, tried: dict[str, int]) -> None:
        """Every operator of the graph in all its ways at all their places."""
        structure, facts = graph.structure, analyse(graph)
        images = {name: _drawn(graph, name, self.rng) for name in structure.inputs}
        tensors = run(graph, images)
        for operator, ways in zip(structure.operators, ways_of(graph, facts, flavour), strict=True):
            data = self._add_data(graph, operator, tensors)
            view = LayerView(structure, operator, facts.of(operator))
            for way in map(self.change, ways):
                if way.kernel in self.kernels:
                    self._add_way(graph, view, way, facts, data)
                    tried[way.kernel] = tried.get(way.kernel, 0) + 1

    def _add_data(self, graph: Int8Graph, operator: Operator, tensors: dict[str, NDArray[np.generic]]) -> list[int]:
        """The buffers of the operator for every image; numbers of the data."""
        structure = graph.structure
        numbers = []
        for image in range(len(tensors[operator.output])):
            fields = []
            for role, name in zip(
                ("first", "second", "output"), (*_tensors(graph, operator), operator.output), strict=True
            ):
                if name is None:
                    fields.append("0, 0")
                    continue
                codes = np.ascontiguousarray(tensors[name][image]).reshape(-1).view(np.int8)
                assert codes.size == structure.bytes_of(name)
                array = f"data{len(self._data)}_{role}"
                self._arrays.append("static " + array_definition(array, codes, 40))
                fields.append(f"{array}, {codes.size}")
            numbers.append(len(self._data))
            self._data.append(f"{{{', '.join(fields)}}}")
        return numbers

    def _add_way(self, graph: Int8Graph, view: LayerView, way: Way, facts: GraphFacts, data: list[int]) -> None:
        operator, structure = view.operator, graph.structure
        first, second = (0 if name is None else structure.bytes_of(name) for name in _tensors(graph, operator))
        buffers = Buffers(way, first, second, structure.bytes_of(operator.output))
        where = places(buffers, self.rng)
        text = f"{operator} {view.source}->{view.target} {way.kernel} '{way.variant}' gaps {way.forward_gap} "
        text += f"{way.backward_gap} overread {way.overread} scratch {way.scratch_bytes}"
        functions = {
            backward: self._add_function(graph, view, way, facts, backward)
            for backward in {place.backward for place in where}
        }
        for number, place in enumerate(where):
            at = data[number % len(data)]
            self.cases.append(_Case(functions[place.backward], at, place, way, operator, text))

    def _add_function(self, graph: Int8Graph, view: LayerView, way: Way, facts: GraphFacts, backward: bool) -> str:
        operator, structure = view.operator, graph.structure
        index = len(self._layers)
        roles = dict(zip(_tensors(graph, operator), ("first", "second"), strict=True))
        placed = PlacedLayer(
            graph=graph,
            prefix=f"ofa_{index:02d}",
            view=view,
            way=way,
            constants=operator_constants(graph, operator),
            scales=facts.scales.get(operator.name),
            inputs=tuple(
                f"ofa_{index:02d}_constant{position}" if name in structure.constants else roles[name]
                for position, name in enumerate(operator.inputs)
            ),
            output="output",
            scratch="scratch" if way.scratch_bytes else "0",
            backward=backward,
            distance="(second) - (output)",
        )
        code: LayerCode = WRITERS[way.kernel](placed)
        self._headers.update(code.headers)
        for name, lines in code.functions.items():
            assert self._functions.setdefault(name, lines) == lines
        self._arrays += ["static " + array_definition(name, values) for name, values in code.arrays.items()]
        body = [line.replace("static const", "const") for line in code.body]
        head = f"static void layer{index}(const int8_t *first, const int8_t *second, int8_t *output, int8_t *scratch)"
        self._layers.append("\n".join([head, "{", *(f"    {line}" for line in body), "}"]))
        return f"layer{index}"

    def files(self) -> dict[str, list[str]]:
        """The two C files of all cases."""
        size = max((case.place.bytes for case in self.cases), default=0)
        pointers = ("first", "second", "output")
        members = " ".join(f"const int8_t *{name}; int32_t {name}_bytes;" for name in pointers)
        header = [
            "#include <stdint.h>",
            f"#define OVERLAP_CASES {len(self.cases)}",
            f"#define OVERLAP_BYTES {size}",
            f"typedef struct {{ {members} }} overlap_data;",
            "typedef struct {",
            "    void (*run)(const int8_t *first, const int8_t *second, int8_t *output, int8_t *scratch);",
            "    int32_t data, first, second, output, scratch, bytes, scratch_bytes, overread;",
            "    int32_t first_dies, second_dies, at_end;",
            "} overlap_case;",
            "extern const overlap_data overlap_data_of[];",
            "extern const overlap_case overlap_cases[];",
            "",
        ]
        cases = []
        for case in self.cases:
            place, way = case.place, case.way
            numbers = (case.data, place.first, place.second, place.output, place.scratch, place.bytes)
            flags = (int(place.first_dies), int(place.second_dies), int(place.at_end))
            fields = (*numbers, way.scratch_bytes, way.overread, *flags)
            cases.append(f"    {{{case.function}, {', '.join(map(str, fields))}}},")
        source = [f'#include "{name}"' for name in (*sorted(self._headers), "overlap_cases.h")]
        source += [*self._arrays, *("\n".join(lines) for lines in self._functions.values()), *self._layers]
        source += ["const overlap_data overlap_data_of[] = {", *(f"    {one}," for one in self._data), "};"]
        source += ["const overlap_case overlap_cases[] = {", *cases, "};", ""]
        return {"overlap_cases.h": header, "overlap_cases.c": source}


def _tensors(graph: Int8Graph, operator: Operator) -> tuple[str | None, str | None]:
    """The first input and the one tensor that is read beside it; None where it is constant or there is none."""
    names = [name for name in dict.fromkeys(operator.inputs) if name not in graph.structure.constants]
    first = operator.inputs[0] if operator.inputs[0] in names else None
    others = [name for name in names if name != first]
    assert len(others) < 2, operator
    return first, others[0] if others else None


def _drawn(graph: Int8Graph, name: str, rng: np.random.Generator) -> NDArray[np.generic]:
    """Two images for an input."""
    shape = (2, *graph.structure.shapes[name][1:])
    if name in graph.structure.floats:
        return rng.normal(0.0, 3.0, shape).astype(np.float32)
    images = rng.integers(-128, 128, shape, dtype=np.int8)
    images[-1] = rng.choice(np.array([-128, 127], np.int8), shape[1:])
    return images
