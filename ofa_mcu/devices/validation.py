"""One model, the same inputs, several witnesses: who computes which tensor differently, and in which layer first?

The numpy reference is compared with TFLite Micro (the truth), with LiteRT's reference kernels (a second opinion), and
with our own C: on this machine and on a board's core. Tensors that the passes did away with exist only for the first
two.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.devices.bench import measure
from ofa_mcu.devices.host_build import HostBuild, runs_here
from ofa_mcu.devices.link import Link
from ofa_mcu.devices.model_build import ModelFile
from ofa_mcu.devices.validation_records import DebugModel, Observed, flat_bytes
from ofa_mcu.devices.validation_twin import observe_on_twin, require_twin
from ofa_mcu.errors import MismatchError, OfaMcuError
from ofa_mcu.graph import interpreters, reference
from ofa_mcu.graph.passes.views import View
from ofa_mcu.graph.pipeline import Optimized, optimize
from ofa_mcu.graph.verify import probe_inputs
from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.planning.facts import GraphFacts, analyse
from ofa_mcu.planning.plan import make_plan
from ofa_mcu.profiles import BoardProfile

__all__ = ["CORES", "Eliminated", "TensorCheck", "Validation", "Witness", "validate_model"]

CORES = ("cortex-m3", "cortex-m7")
"""Cores whose plans run on this machine where no board is named: one for each flavour of kernels that can."""

TFLM, LITERT = "TFLite Micro", "LiteRT reference"

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Witness:
    """Somebody who ran the model. `judges`: a difference is a fault of ours. `skipped`: why it did not run."""

    name: str
    judges: bool = True
    skipped: str | None = None


@dataclass(frozen=True)
class TensorCheck:
    """A tensor that survives the passes: its layer, its bytes over all inputs, their CRC-32 by the reference.

    `differing`: by witness, how many of the bytes differ; witnesses that did not show the tensor are missing.
    """

    name: str
    layer: str
    shape: tuple[int, ...]
    bytes: int
    crc32: int
    differing: Mapping[str, int]


@dataclass(frozen=True)
class Eliminated:
    """A tensor of the file that no longer exists, and the pass that took it; `differing` as in `TensorCheck`."""

    name: str
    by: str
    crc32: int
    differing: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Validation:
    """Outcome for `inputs` inputs, tensors in execution order; `reproducers` by witness where one differed."""

    model: ModelFile
    inputs: int
    seed: int
    witnesses: tuple[Witness, ...]
    tensors: tuple[TensorCheck, ...]
    eliminated: tuple[Eliminated, ...]
    reproducers: Mapping[str, Path]

    def bytes_compared(self, witness: str) -> int:
        """Bytes of surviving tensors that the witness showed."""
        return sum(check.bytes for check in self.tensors if witness in check.differing)

    def differing_bytes(self, witness: str) -> int:
        """Bytes that it has otherwise, eliminated tensors included."""
        counts = [*(check.differing for check in self.tensors), *(gone.differing for gone in self.eliminated)]
        return sum(count.get(witness, 0) for count in counts)

    def first_difference(self, witness: str) -> TensorCheck | None:
        """The first surviving tensor that it has otherwise."""
        return next((check for check in self.tensors if check.differing.get(witness)), None)

    def check(self) -> None:
        """Raise MismatchError where reference, TFLite Micro and our C are not equal in every byte."""
        for witness in self.witnesses:
            count = self.differing_bytes(witness.name)
            if witness.judges and count:
                first = self.first_difference(witness.name)
                where = f", first in layer '{first.layer}'" if first else ""
                raise MismatchError(
                    f"{witness.name} and the reference differ in {count} bytes of {self.model.path.name}{where}; "
                    f"{self.reproducers.get(witness.name, 'a reproducer')} has inputs and tensors: report it with the "
                    "model"
                )


def validate_model(
    model: ModelFile,
    profile: BoardProfile | None = None,
    *,
    emulate: bool = False,
    port: str | None = None,
    random: int = 2,
    seed: int = 0,
    out: Path = Path(),
    say: Callable[[str], None] = lambda text: None,
) -> Validation:
    """Runs extreme inputs and `random` random ones through everybody who is here.

    Args:
        model: the file.
        profile: the board whose plan is tested; None: plans for the cores of `CORES`, on this machine only.
        emulate: also on the board's twin, all tensors; needs `profile`.
        port: also on the board there, the output; it must run this model already.
        random: how many random inputs beside all lowest, all highest and all zero.
        seed: of the random inputs.
        out: where reproducers go.
        say: told what is going on.

    Raises:
        DeviceError: this machine's C compiler, the twin or the board is missing or fails.
        OfaMcuError: a layer has no kernel.
    """
    if emulate and profile is not None:
        require_twin(profile)
    inputs = probe_inputs(model.graph, seed, random)
    say("numpy reference")
    expected = reference.run(model.graph, inputs)
    optimized = optimize(model.graph)
    checks = _Checks(model, optimized, inputs, expected)
    checks.foreign(TFLM, True, lambda: _tflm(model, inputs, list(expected)), say)
    checks.foreign(LITERT, False, lambda: _litert(model, inputs, list(expected)), say)
    facts = analyse(optimized.graph)
    cores = CORES if profile is None else (core_of(profile),)
    codes = flat_bytes(checks.wanted, optimized.graph.structure.inputs)
    with HostBuild() as host:
        for core in cores:
            debug = _debug_model(optimized, facts, core)
            name = f"C for {core}, this machine"
            if not runs_here(debug.plan):
                checks.skip(
                    Witness(name, True, "its vector kernels run on the core only: name its board and --emulate")
                )
                continue
            say(name)
            checks.ours(name, host.run(debug, codes))
    if profile is not None and emulate:
        say(f"C for {profile.id}, emulated")
        debug = _debug_model(optimized, facts, core_of(profile))
        checks.ours(f"C for {profile.id}, emulated", observe_on_twin(debug, profile, codes))
    if profile is not None and port is not None:
        say(f"{profile.id} at {port}")
        with Link(port) as link:
            measured = measure(link, codes, board=profile.id, model_crc32=model.crc32, repeats=0)
        checks.ours(f"{profile.id} at {port}", {optimized.graph.structure.outputs[0]: measured.outputs})
    return checks.done(seed, out)


def _debug_model(optimized: Optimized, facts: GraphFacts, core: str) -> DebugModel:
    """The model planned for the core."""
    plan = make_plan(optimized.graph.structure, core_model(core), facts)
    return DebugModel(optimized.graph, plan, facts)


def _tflm(model: ModelFile, inputs: Tensors, wanted: list[str]) -> Tensors:
    ordered = {name: inputs[name] for name in model.graph.structure.inputs}
    return interpreters.tflm_tensors(model.data, ordered, wanted)


def _litert(model: ModelFile, inputs: Tensors, wanted: list[str]) -> Tensors:
    if interpreters.litert_version() is None:
        raise OfaMcuError("LiteRT is not installed (pip install ai-edge-litert)")
    try:
        return interpreters.litert_tensors(model.data, {n: inputs[n] for n in model.graph.structure.inputs}, wanted)
    except (RuntimeError, ValueError) as error:
        raise OfaMcuError(f"LiteRT refuses the model ({str(error).splitlines()[0]})") from error


class _Checks:
    """Collects what the witnesses say."""

    def __init__(self, model: ModelFile, optimized: Optimized, inputs: Tensors, expected: Tensors) -> None:
        self.model, self.optimized = model, optimized
        self.inputs, self.expected = inputs, expected
        self.wanted = optimized.expected(expected)
        self.witnesses: list[Witness] = []
        self.found: dict[str, Mapping[str, int]] = {}
        self.foreign_found: dict[str, Mapping[str, int]] = {}
        self.differing: dict[str, Tensors] = {}

    def foreign(self, name: str, judges: bool, run: Callable[[], Tensors], say: Callable[[str], None]) -> None:
        """Somebody who runs the file: has all tensors of the graph as it was read."""
        say(name)
        try:
            tensors = run()
        except OfaMcuError as error:
            self.witnesses.append(Witness(name, judges, str(error)))
            return
        self.witnesses.append(Witness(name, judges))
        self.foreign_found[name] = self._compare(name, tensors, self.expected)

    def ours(self, name: str, tensors: Observed) -> None:
        """Our C: has the tensors that survive."""
        self.witnesses.append(Witness(name))
        self.found[name] = self._compare(name, tensors, self.wanted)

    def skip(self, witness: Witness) -> None:
        """Somebody who cannot run."""
        self.witnesses.append(witness)

    def _compare(self, witness: str, found: Tensors, wanted: Tensors) -> dict[str, int]:
        counts = {}
        for name, values in found.items():
            theirs = np.ascontiguousarray(values).reshape(len(values), -1).view(np.int8)
            counts[name] = int(np.count_nonzero(theirs != flat_bytes(wanted, (name,))))
        if any(counts.values()):
            self.differing[witness] = {name: found[name] for name, count in counts.items() if count}
        return counts

    def done(self, seed: int, out: Path) -> Validation:
        """The outcome; writes the reproducers."""
        structure, source = self.optimized.graph.structure, self.model.graph.structure
        layers = {name: f"(input {name})" for name in structure.inputs}
        layers |= {operator.output: operator.name for operator in structure.operators}
        checks, shown = [], set()
        for name, layer in layers.items():
            codes = flat_bytes(self.wanted, (name,))
            origin = self.optimized.views.get(name, View(name)).source
            shown.add(origin)
            differing = {who: counts[origin] for who, counts in self.foreign_found.items() if origin in counts}
            differing |= {who: counts[name] for who, counts in self.found.items() if name in counts}
            shape = structure.shapes[name]
            checks.append(TensorCheck(name, layer, shape, codes.size, zlib.crc32(codes.tobytes()), differing))
        eliminated = []
        for name in (*source.inputs, *(operator.output for operator in source.operators)):
            if name not in shown:
                codes = flat_bytes(self.expected, (name,))
                differing = {who: counts[name] for who, counts in self.foreign_found.items() if name in counts}
                by = self.optimized.eliminated.get(name, "aliased")
                eliminated.append(Eliminated(name, by, zlib.crc32(codes.tobytes()), differing))
        return Validation(
            model=self.model,
            inputs=len(next(iter(self.inputs.values()))),
            seed=seed,
            witnesses=tuple(self.witnesses),
            tensors=tuple(checks),
            eliminated=tuple(eliminated),
            reproducers={witness: self._reproducer(witness, out) for witness in self.differing},
        )

    def _reproducer(self, witness: str, out: Path) -> Path:
        """All inputs, and of every tensor that differs what was expected and what was found."""
        label = "".join(c if c.isalnum() else "-" for c in witness.lower()).strip("-")
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{self.model.path.stem}-{label}.npz"
        foreign = witness in self.foreign_found
        arrays = {f"input:{name}": value for name, value in self.inputs.items()}
        for name, value in self.differing[witness].items():
            arrays[f"expected:{name}"] = (self.expected if foreign else self.wanted)[name]
            arrays[f"found:{name}"] = value
        with path.open("wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, value in arrays.items():
                with archive.open(f"{name.replace('/', '|')}.npy", "w") as entry:
                    np.lib.format.write_array(entry, value)
        return path
