"""What a latency table is worth where time is known: Cortex-M4 by its published timing, instruction by instruction.

The probes and held-out networks of `ofa-mcu boards calibrate` run in the firmware of a board's twin, and QEMU's
profiling plugin counts how often every instruction ran; m4_timing makes cycles of that, without wait states, and with
some for every taken branch, as flash has them that only prefetching hides. The table is fitted to these cycles and held
against networks that it has not seen, beside one figure for all kernels, fitted alike, and beside the profile's own.

    python -m benchmarks.latency_table [--board stm32f446] [--refetch 0 3]

Prints the errors; asserts nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.m4_timing import cycles_in, disassembly, plugin, profile_command
from ofa_mcu.codegen.bundle import MOST, emit_bundle
from ofa_mcu.devices.build import build_project
from ofa_mcu.devices.emulator import RunningEmulator
from ofa_mcu.devices.link import Link
from ofa_mcu.devices.probes import held_out, pack, probes, room_of
from ofa_mcu.devices.project import write_project
from ofa_mcu.devices.session import Session
from ofa_mcu.planning.compile import Compiled
from ofa_mcu.planning.latency import Errors, LatencyModel
from ofa_mcu.planning.latency_fit import Form, Sample, errors_of, fit, fit_form
from ofa_mcu.profiles import BoardProfile, load_profile

_BEGIN, _END = "ofa_model_run", "ofa_hal_counter_stop"


def measured(
    folder: Path, profile: BoardProfile, networks: Sequence[Compiled], refetches: Sequence[int]
) -> Iterator[tuple[int, list[int]]]:
    """Numbers of the networks, each with its cycles by what a taken branch costs."""
    twin = profile.emulator
    assert twin is not None
    library, out = plugin(folder), folder / "profile"
    for numbers in pack(networks, room_of(profile), MOST):
        mine = [networks[number] for number in numbers]
        bundle = emit_bundle(mine, "probes")
        project = write_project(folder / "project", profile, bundle.files)
        elf = build_project(project, build_dir=folder / "build").elf
        code = disassembly(elf)
        options = profile_command(library, elf, _BEGIN, _END, out, twin.flash_origin)
        with RunningEmulator(twin, elf, options=options) as emulator, Link(emulator.url) as link:
            session = Session(link)
            for place, (number, one) in enumerate(zip(numbers, mine, strict=True)):
                source = one.graph.structure.inputs[0]
                size = one.graph.structure.bytes_of(source)
                codes = np.random.default_rng(number).integers(-128, 128, size).astype(np.int8)
                session.write(one.plan.memory.offsets[source], codes.tobytes())
                session.write(bundle.choice, bytes([place]))
                session.infer()
                yield number, [cycles_in(code, out, refetch)[1] for refetch in refetches]


def main() -> None:
    """Measure, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--board", default="stm32f446", help="with a Cortex-M4")
    parser.add_argument("--refetch", type=int, nargs="*", default=[0, 3], help="cycles of a taken branch")
    options = parser.parse_args()
    profile = load_profile(options.board)
    fitted, held = list(probes(profile)), list(held_out(profile))
    networks = [*fitted, *held]
    with tempfile.TemporaryDirectory() as name:
        cycles = dict(measured(Path(name), profile, networks, options.refetch))
    for place, refetch in enumerate(options.refetch):
        samples = [Sample(one.cost, cycles[number][place]) for number, one in enumerate(networks)]
        seen, unseen = samples[: len(fitted)], samples[len(fitted) :]
        found = fit(seen)
        print(f"\n{profile.id}, a taken branch costs {refetch} cycles more: {len(seen)} probes, {len(unseen)} held out")
        told("table", found.model, errors_of(found.model, unseen), f" ({found.form})")
        one = fit_form(seen, Form("all", False))
        told("one factor, fitted", one, errors_of(one, unseen))
        if profile.cycles_per_instruction is not None:
            own = LatencyModel(0.0, profile.cycles_per_instruction, {}, 0.0)
            told("the profile's figure", own, errors_of(own, unseen))
        for kernel, factor in sorted(found.model.factors.items()):
            print(f"    {kernel:28} {factor:.3f}")


def told(name: str, model: LatencyModel, errors: Errors, more: str = "") -> None:
    """A line of the table of errors."""
    print(f"  {name:22} {model.shared:.3f}  median {errors.median:7.2%}  largest {errors.largest:7.2%}{more}")


if __name__ == "__main__":
    main()
