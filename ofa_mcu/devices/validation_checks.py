"""What the witnesses of a validation say, tensor by tensor, and the outcome."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.devices.model_build import ModelFile
from ofa_mcu.devices.validation_records import Observed, flat_bytes
from ofa_mcu.errors import MismatchError, OfaMcuError
from ofa_mcu.graph.passes.views import View
from ofa_mcu.graph.pipeline import Optimized

__all__ = ["Checks", "Eliminated", "TensorCheck", "Tensors", "Validation", "Witness"]

Tensors = Mapping[str, NDArray[Any]]
"""Tensor name to values (N, ...) over N inputs."""


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


class Checks:
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
        layers |= {name: f"(constant {name})" for name in structure.outputs if name in structure.constants}
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
