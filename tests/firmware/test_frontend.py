"""The audio front-end in a PlatformIO project: found by its include, and the same bytes over serial."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.codegen import emit_c
from ofa_mcu.devices.bench import measure
from ofa_mcu.devices.build import build_project
from ofa_mcu.devices.elf import read_image
from ofa_mcu.devices.emulator import RunningEmulator
from ofa_mcu.devices.link import Link
from ofa_mcu.devices.project import write_project
from ofa_mcu.graph.reference import run
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import KEYWORDS
from ofa_mcu.tasks.audio.frontend import features
from ofa_mcu.tasks.resample import to_codes
from tests.codegen.models import plan_with, random_weights
from tests.devices import tiny

pytestmark = pytest.mark.slow

HEADER = tiny.HEADER.replace(f"INPUT_BYTES {tiny.BYTES}", "INPUT_BYTES 640").replace(
    f"OUTPUT_BYTES {tiny.BYTES}", "OUTPUT_BYTES 490"
) % {"arena": 1136}

SOURCE = """\
#include "ofa_frontend.h"
#include "ofa_model.h"

static int8_t ofa_arena[OFA_MODEL_ARENA_BYTES] __attribute__((section(".bss.ofa_arena"), aligned(16)));

int8_t *ofa_model_input(void)
{
    return ofa_arena;
}

const int8_t *ofa_model_output(void)
{
    return ofa_arena + 640;
}

void ofa_model_run(void)
{
    static ofa_frontend frontend;
    static int32_t scratch[OFA_FRONTEND_SCRATCH];
    int8_t column[OFA_FRONTEND_COEFFICIENTS];
    ofa_frontend_push(&frontend, (const int16_t *)(const void *)ofa_arena, scratch, column);
    ofa_frontend_append(ofa_arena + 640, OFA_FRONTEND_COLUMNS, column);
}
"""


def test_a_second_of_sound_over_serial_gives_the_reference_s_columns(tmp_path: Path) -> None:
    project = write_project(
        tmp_path / "listen", tiny.twin_profile("m4"), {"ofa_model.h": HEADER, "ofa_model.c": SOURCE}
    )
    build = build_project(project)
    rng = np.random.default_rng(0)
    time = np.arange(160 + 320 * 60)
    sound = 8000 * np.sin(time * (0.05 + time / 4e5)) + rng.normal(0, 300, len(time))
    samples = np.rint(sound).astype(np.int16)
    samples[:160] = 0
    pushes = samples[160:].reshape(60, 320).view(np.int8)
    with RunningEmulator(tiny.TWINS["m4"], build.elf) as emulator, Link(emulator.url) as link:
        found = measure(link, pushes, twin=tiny.TWINS["m4"], warmup=0, repeats=1).outputs
    columns = to_codes(features(samples[None]))[0, ..., 0]
    assert columns.shape == (60, 10)
    history = np.concatenate([np.zeros((49, 10), np.int8), columns])
    wanted = np.stack([history[i + 1 : i + 50].ravel() for i in range(60)])
    assert np.array_equal(found, wanted)


LISTEN = """\
#include <string.h>

#include "ofa_frontend.h"
#include "ofa_model.h"

static ofa_frontend frontend;
static int32_t scratch[OFA_FRONTEND_SCRATCH];
static int8_t columns[OFA_FRONTEND_COLUMNS * OFA_FRONTEND_COEFFICIENTS];

void classify_after(const int16_t *samples)
{
    int8_t column[OFA_FRONTEND_COEFFICIENTS];
    ofa_frontend_push(&frontend, samples, scratch, column);
    ofa_frontend_append(columns, OFA_FRONTEND_COLUMNS, column);
    memcpy(ofa_model_input(), columns, sizeof columns);
    ofa_model_run();
}
"""


def test_a_generated_keyword_model_and_the_front_end_make_one_program(tmp_path: Path) -> None:
    """A subnet of the keywords space beside a listener: it links, and the network computes what it computes alone."""
    rng = np.random.default_rng(3)
    graph = random_weights(shape_graph(KEYWORDS, KEYWORDS.smallest), rng)
    files = dict(emit_c(graph, plan_with(graph), name="keywords", model_crc32=tiny.CRC32))
    profile = tiny.twin_profile("m4")
    project = write_project(tmp_path / "listen", profile, {**files, "listen.c": LISTEN})
    main = project.folder / "src" / "main.c"
    text = main.read_text().replace("int main(void)", "void classify_after(const int16_t *);\n\nint main(void)")
    heard = "static const int16_t silence[320];\n    classify_after(silence);\n    for (;;)"
    main.write_text(text.replace("for (;;)", heard))
    build = build_project(project)
    columns = to_codes(features(rng.normal(0, 900, (3, 16_000)).astype(np.int16)))
    wanted = run(graph, {"input": columns})[graph.structure.outputs[0]].reshape(3, -1)
    with RunningEmulator(tiny.TWINS["m4"], build.elf) as emulator, Link(emulator.url) as link:
        found = measure(link, columns.reshape(3, -1), wanted, twin=tiny.TWINS["m4"], warmup=0, repeats=1)
    assert found.differing_bytes == 0 and found.bytes_compared == 3 * KEYWORDS.classes
    assert b"ofa_frontend_push" in build.elf.read_bytes()


def test_without_its_include_nothing_of_it_is_linked(tmp_path: Path) -> None:
    elf = build_project(tiny.tiny_project(tmp_path, "m4")).elf
    assert (tmp_path / "m4" / "lib" / "ofa_frontend" / "library.json").is_file()
    assert b"ofa_frontend" not in elf.read_bytes()
    assert read_image(elf).flash_bytes > 0
