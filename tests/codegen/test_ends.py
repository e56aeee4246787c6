"""Inputs and outputs of generated models: what the header says, in C and in C++, and who lies where."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.codegen import emit_c
from ofa_mcu.codegen.ends import accessor
from ofa_mcu.devices.host_build import HostBuild
from ofa_mcu.devices.validation_records import DebugModel, flat_bytes
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph import reference
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.pipeline import optimize
from ofa_mcu.graph.verify import probe_inputs
from ofa_mcu.planning.facts import analyse
from tests.codegen.models import plan_with
from tests.devices.models import bordered_graph, many_ended_graph
from tests.graph.files import small_graph
from tests.kernels.toolchain import WARNINGS, build, kernel_include, kernel_sources

PRINT = """
#include <stdio.h>
#include "ofa_model.h"
static const int32_t input_bytes[] = {%(input_bytes)s};
static const int32_t output_bytes[] = {%(output_bytes)s};
int main(void)
{
    int total = 0;
    printf("[%%d, %%d, ", OFA_MODEL_INPUTS, OFA_MODEL_OUTPUTS);
    for (int i = 0; i < OFA_MODEL_INPUTS; i++) {
        total += ofa_model_input_bytes_at(i) != input_bytes[i];
        ofa_model_input_at(i)[input_bytes[i] - 1] = 1;
    }
    for (int i = 0; i < OFA_MODEL_OUTPUTS; i++) {
        total += ofa_model_output_bytes_at(i) != output_bytes[i];
    }
    printf("%%d, %%ld, ", total, (long)(ofa_model_output_at(0) - ofa_model_output_at(OFA_MODEL_OUTPUTS - 1)));
    printf("%%.9g, %%d, %%d, %%d]", (double)OFA_MODEL_OUTPUT_0_SCALE, OFA_MODEL_OUTPUT_0_ZERO_POINT,
           OFA_MODEL_INPUT_BYTES, OFA_MODEL_OUTPUT_BYTES);
    return 0;
}
"""


@pytest.mark.parametrize("make", [small_graph, bordered_graph, many_ended_graph])
@pytest.mark.parametrize("compiler", ["gcc -std=c11", "g++ -std=c++11"])
def test_macros_and_accessors(tmp_path: Path, make: Callable[[], Int8Graph], compiler: str) -> None:
    source = make()
    graph = optimize(source).graph
    structure = graph.structure
    files = emit_c(graph, plan_with(graph), name="m", model_crc32=1, source=source)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    sizes = {
        f"{kind}_bytes": ", ".join(f"OFA_MODEL_{kind.upper()}_{index}_BYTES" for index in range(count))
        for kind, count in (("input", len(structure.inputs)), ("output", len(structure.outputs)))
    }
    (tmp_path / "print.c").write_text(PRINT % sizes)
    flags = (*WARNINGS, f"-I{kernel_include()}", f"-I{tmp_path}")
    objects = []
    for path in (tmp_path / "ofa_model.c", tmp_path / "ofa_weights.c", *kernel_sources()):
        objects.append(tmp_path / f"{path.stem}.o")
        build("gcc", ("-std=gnu11", *flags), "-c", path, "-o", objects[-1])
    name, standard = compiler.split()
    build(name, (standard, *flags), tmp_path / "print.c", *objects, "-o", tmp_path / "print")
    said = json.loads(subprocess.check_output([str(tmp_path / "print")], text=True))
    first = graph.quantization[structure.outputs[0]]
    assert said[:4] == [len(structure.inputs), len(structure.outputs), 0, 0]
    assert (float(np.float32(said[4])), said[5]) == (first.scale, first.zero_point)
    assert said[6:] == [sum(map(structure.bytes_of, names)) for names in (structure.inputs, structure.outputs)]


def test_the_header_speaks_of_the_file() -> None:
    source = many_ended_graph()
    graph = optimize(source).graph
    header = emit_c(graph, plan_with(graph), name="m", model_crc32=1, source=source)["ofa_model.h"]
    for text in (
        "Input 0, 'image': 8 x 6 x 3 int8 codes, float32 in the file",
        "Input 1, 'motion': 24 int8 codes",
        f"Output 0, '{source.structure.outputs[0]}': 12 x 6 int8 codes",
        "Output 2, 'scores': 4 int8 codes, float32 in the file",
        "Output 4, 'const0': 5 int8 codes",
        f"Output 6, '{source.structure.outputs[0]}': 12 x 6 int8 codes",
        "#define OFA_MODEL_INPUT_0_ZERO_POINT (-3)",
        "#define OFA_MODEL_OUTPUT_3_BYTES 4",
    ):
        assert text in header
    assert "ofa_model_input()" not in header and "ofa_model_output()" not in header


def test_one_end_keeps_its_own_accessor() -> None:
    graph = small_graph()
    assert accessor(graph.structure, "input", 0) == "ofa_model_input()"
    assert accessor(many_ended_graph().structure, "output", 3) == "ofa_model_output_at(3)"
    source = emit_c(graph, plan_with(graph), name="m", model_crc32=1)["ofa_model.c"]
    assert "int8_t *ofa_model_input(void)" in source and "_at(" not in source and "_places" not in source


@pytest.mark.slow
@pytest.mark.parametrize("apart", [False, True])
def test_every_end_on_this_machine(apart: bool) -> None:
    """Outputs that layers read, an input, a constant, one tensor several times: as the caller sees them."""
    source = many_ended_graph()
    done = optimize(source)
    graph = done.graph
    assert graph.structure.outputs[2] == graph.structure.outputs[3] and "motion" in graph.structure.outputs
    wanted = done.expected(reference.run(source, probe_inputs(source)))
    with HostBuild(sanitize=True) as host:
        model = DebugModel(graph, plan_with(graph, apart=apart), analyse(graph))
        found = host.run(model, flat_bytes(wanted, graph.structure.inputs))
    assert set(graph.structure.outputs) <= set(found)
    for name, values in found.items():
        assert np.array_equal(values, flat_bytes(wanted, (name,))), name


def test_a_model_that_only_passes_its_input_on(tmp_path: Path) -> None:
    graph = small_graph()
    structure = replace(graph.structure, operators=(), outputs=("input", "input"), shapes={"input": (1, 7, 6, 4)})
    bare = Int8Graph(structure, {"input": graph.quantization["input"]}, {})
    codes = flat_bytes(probe_inputs(bare), ("input",))
    with HostBuild() as host:
        found = host.run(DebugModel(bare, plan_with(bare), analyse(bare)), codes)
    assert np.array_equal(found["input"], codes)


def test_inputs_of_other_batches_are_refused() -> None:
    graph = many_ended_graph()
    structure = replace(graph.structure, shapes={**graph.structure.shapes, "spare": (2, 31)})
    with pytest.raises(OfaMcuError, match=r"input 'spare' .* has shape \(2, 31\): C is generated for batch 1"):
        emit_c(replace(graph, structure=structure), plan_with(graph), name="m", model_crc32=1)
