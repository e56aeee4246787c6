"""The header of a task, compiled by a C and a C++ compiler: the labels' bytes and the codes of readings."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.codegen.task_header import task_header
from ofa_mcu.tasks.resample import to_codes
from ofa_mcu.tasks.scaling import Scaling

MAIN = """\
#include <stdio.h>
#include "ofa_task.h"
int main(void) {
    for (int i = 0; i < OFA_CLASSES; ++i) {
        printf("%s%c", ofa_labels[i], 0);
    }
    CODES
    return 0;
}
"""
CODES = """\
    int value, channel;
    while (scanf("%d %d", &value, &channel) == 2) {
        printf("%d\\n", ofa_input_code(value, channel));
    }
"""


def run(folder: Path, header: str, codes: str, compiler: str, given: str = "") -> bytes:
    (folder / "ofa_task.h").write_text(header)
    source = folder / f"main.{'c' if compiler == 'gcc' else 'cpp'}"
    source.write_text(MAIN.replace("CODES", codes))
    program = folder / "program"
    command = [compiler, "-Wall", "-Wextra", "-Werror", "-o", str(program), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return subprocess.run([str(program)], input=given.encode(), check=True, capture_output=True).stdout


@pytest.mark.parametrize("compiler", ["gcc", "g++"])
def test_labels_arrive_byte_by_byte(tmp_path: Path, compiler: str) -> None:
    labels = ["T-shirt/top", 'say "no"', "back\\slash", "Äpfel1", "梨", "??/", "tab\there", "*/"]
    header = task_header("odd */ name", labels)
    assert header.isascii()
    assert run(tmp_path, header, "", compiler).split(b"\0")[:-1] == [label.encode() for label in labels]


@pytest.mark.parametrize("compiler", ["gcc", "g++"])
def test_codes_are_those_that_the_network_was_trained_on(tmp_path: Path, compiler: str) -> None:
    scaling = Scaling((1.0, 0.01, 0.5), (170, 123_456, 4_000_000_000), (128 << 12, -987_654_321, 7), 12)
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.integers(-3000, 3000, (200, 3)), [[2**31 - 1] * 3, [-(2**31)] * 3]])
    given = "\n".join(f"{value} {channel}" for row in values.tolist() for channel, value in enumerate(row))
    out = run(tmp_path, task_header("t", ["a", "b"], scaling), CODES, compiler, given)
    found = np.array(out.rsplit(b"\0", 1)[1].split(), int).reshape(-1, 3)
    wanted = to_codes(scaling.to_bytes(values * np.array(scaling.unit)))
    assert np.array_equal(found, wanted)
    assert len(np.unique(found[:, 0])) > 100
    assert Scaling.from_json(scaling.to_json()) == scaling
