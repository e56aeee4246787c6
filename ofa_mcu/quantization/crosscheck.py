"""Our int8 file against the one that torch -> ONNX -> onnx2tf -> TensorFlow makes of the same float network.

The two round weight and activation ranges differently, so their bytes differ; what they answer must not. Both files
run in LiteRT's reference kernels, on the same images; TFLite Micro tells the arena of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ofa_mcu import schemas
from ofa_mcu.errors import MismatchError, OfaMcuError
from ofa_mcu.graph.flatbuffer import FlatTable
from ofa_mcu.graph.interpreters import litert_tensors, tflm_arena
from ofa_mcu.graph.ir import Quantization
from ofa_mcu.graph.tflite_reader import read_tflite, tensor_names
from ofa_mcu.graph.tflite_schema import (
    OPERATOR_NAMES,
    ModelSlot,
    OperatorCodeSlot,
    OperatorSlot,
    QuantizationSlot,
    SubgraphSlot,
    TensorSlot,
)
from ofa_mcu.quantization.onnx_path import convert_by_onnx, onnx_versions
from ofa_mcu.supernet.network import PlainNetwork
from ofa_mcu.tasks.resample import INPUT_SCALE, INPUT_ZERO_POINT

__all__ = [
    "ACCURACY_BAND",
    "LEAST_AGREEMENT",
    "CrossCheck",
    "FileResult",
    "Port",
    "crosscheck",
    "operator_list",
]

LEAST_AGREEMENT = 0.95  # share of images on which both files must answer the same
ACCURACY_BAND = 0.01  # largest difference of their accuracies
_BATCH = 500

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Port:
    """A file's only input or output."""

    name: str
    shape: tuple[int, ...]
    quantization: Quantization


def _port(data: bytes, slot: int) -> Port:
    (subgraph,) = FlatTable.root(data).tables(ModelSlot.SUBGRAPHS)
    (index,) = (int(i) for i in subgraph.numbers(slot, np.int32))
    tensor = subgraph.tables(SubgraphSlot.TENSORS)[index]
    record = tensor.table(TensorSlot.QUANTIZATION)
    assert record is not None
    (scale,) = record.numbers(QuantizationSlot.SCALE, np.float32)
    (zero_point,) = record.numbers(QuantizationSlot.ZERO_POINT, np.int64)
    shape = tuple(int(size) for size in tensor.numbers(TensorSlot.SHAPE, np.int32))
    return Port(tensor_names(data)[index], shape, Quantization(float(scale), int(zero_point)))


def operator_list(data: bytes) -> tuple[str, ...]:
    """Names of a .tflite file's operators in execution order, of any kind: CONV_2D, PAD, ..."""
    model = FlatTable.root(data)
    (subgraph,) = model.tables(ModelSlot.SUBGRAPHS)
    codes = [
        max(code.scalar(OperatorCodeSlot.CODE, "i"), code.scalar(OperatorCodeSlot.DEPRECATED_CODE, "b"))
        for code in model.tables(ModelSlot.OPERATOR_CODES)
    ]
    names = [OPERATOR_NAMES[code] if code < len(OPERATOR_NAMES) else f"code {code}" for code in codes]
    operators = subgraph.tables(SubgraphSlot.OPERATORS)
    return tuple(names[operator.scalar(OperatorSlot.CODE_INDEX, "I")] for operator in operators)


@dataclass(frozen=True, eq=False)
class FileResult:
    """What one .tflite file is and does.

    `answers` (N,) are classes, the first of equal largest outputs; `accuracy` is 0..1; `sqnr_db` compares its logits
    with the float network's; `tflm_head_bytes` is TFLite Micro's arena for activations; `seconds` is the running time.
    """

    size: int
    operators: tuple[str, ...]
    input: Port
    output: Port
    tflm_head_bytes: int
    answers: NDArray[np.int64]
    accuracy: float
    sqnr_db: float
    agreement_fp32: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """What the report holds of it."""
        return {
            "bytes": self.size,
            "operators": list(self.operators),
            "input_shape": list(self.input.shape),
            "output_shape": list(self.output.shape),
            "input_scale": self.input.quantization.scale,
            "input_zero_point": self.input.quantization.zero_point,
            "tflm_head_bytes": self.tflm_head_bytes,
            "accuracy": round(self.accuracy, 5),
            "sqnr_db": round(self.sqnr_db, 2),
            "argmax_agreement_fp32": round(self.agreement_fp32, 5),
            "seconds": round(self.seconds, 2),
        }


@dataclass(frozen=True, eq=False)
class CrossCheck:
    """Outcome of a cross-check over `images` test images; accuracies and agreement are 0..1."""

    subnet: str
    images: int
    accuracy_fp32: float
    direct: FileResult
    onnx2tf: FileResult
    converted: bytes
    versions: dict[str, str]
    seconds: dict[str, float]

    @property
    def operators_equal(self) -> bool:
        """Whether both files have the same operators in the same order."""
        return self.direct.operators == self.onnx2tf.operators

    @property
    def shapes_equal(self) -> bool:
        """Whether inputs and outputs have the same shapes."""
        a, b = self.direct, self.onnx2tf
        return (a.input.shape, a.output.shape) == (b.input.shape, b.output.shape)

    @property
    def agreement(self) -> float:
        """Share of images on which both files answer the same."""
        return float((self.direct.answers == self.onnx2tf.answers).mean())

    @property
    def accuracy_difference(self) -> float:
        """Accuracy of our file less that of the other."""
        return self.direct.accuracy - self.onnx2tf.accuracy

    @property
    def passed(self) -> bool:
        """Whether agreement and accuracies are within their bounds."""
        return self.agreement >= LEAST_AGREEMENT and abs(self.accuracy_difference) <= ACCURACY_BAND + 1e-9

    def check(self) -> None:
        """Raise MismatchError where the files answer too differently."""
        if not self.passed:
            raise MismatchError(
                f"the two int8 files of {self.subnet} answer alike on {100 * self.agreement:.2f} % of {self.images} "
                f"images (at least {100 * LEAST_AGREEMENT:g} % wanted) and their accuracies differ by "
                f"{100 * abs(self.accuracy_difference):.2f} points (at most {100 * ACCURACY_BAND:g} allowed); the one "
                "with the lower SQNR is the suspect, do not deploy ours before that is understood"
            )

    def to_json(self) -> dict[str, Any]:
        """What `crosscheck --json` prints."""
        return {
            "schema": schemas.CROSSCHECK,
            "subnet": self.subnet,
            "images": self.images,
            "accuracy_fp32": round(self.accuracy_fp32, 5),
            "direct": self.direct.to_json(),
            "onnx2tf": self.onnx2tf.to_json(),
            "operators_equal": self.operators_equal,
            "shapes_equal": self.shapes_equal,
            "tflm_head_equal": self.direct.tflm_head_bytes == self.onnx2tf.tflm_head_bytes,
            "argmax_agreement": round(self.agreement, 5),
            "accuracy_difference": round(self.accuracy_difference, 5),
            "passed": self.passed,
            "versions": self.versions,
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }


def _floats(codes: NDArray[np.int8]) -> NDArray[np.float32]:
    """What the float network sees for input codes."""
    return (codes.astype(np.float32) - np.float32(INPUT_ZERO_POINT)) * np.float32(INPUT_SCALE)


@torch.no_grad()
def _float_logits(network: PlainNetwork, images: NDArray[np.float32]) -> Float:
    """Logits (N, classes) for images (N, H, W, C)."""
    network.eval()
    parts = [
        network(torch.from_numpy(np.ascontiguousarray(images[i : i + _BATCH].transpose(0, 3, 1, 2)))).numpy()
        for i in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts).astype(np.float64)


def _sqnr_db(wanted: Float, found: Float) -> float:
    """Signal to quantization noise ratio in dB: power of the wanted values over that of the error."""
    noise = float(np.square(wanted - found).sum())
    return float(10 * np.log10(float(np.square(wanted).sum()) / noise)) if noise else float("inf")


def _run(data: bytes, images: NDArray[np.float32], labels: NDArray[np.int64], logits: Float) -> FileResult:
    """Run a file over images (N, H, W, C), quantized as its input asks, and compare with the float `logits`."""
    began = time.monotonic()
    source, target = _port(data, SubgraphSlot.INPUTS), _port(data, SubgraphSlot.OUTPUTS)
    q = source.quantization
    codes = np.clip(np.round(images / np.float32(q.scale)) + q.zero_point, -128, 127).astype(np.int8)
    outputs = litert_tensors(data, {source.name: codes}, [target.name])[target.name].reshape(len(codes), -1)
    answers = outputs.argmax(1)
    found = (outputs.astype(np.float64) - target.quantization.zero_point) * target.quantization.scale
    return FileResult(
        size=len(data),
        operators=operator_list(data),
        input=source,
        output=target,
        tflm_head_bytes=tflm_arena(data, {source.name: codes[:1]}).head,
        answers=answers,
        accuracy=float((answers == labels).mean()),
        sqnr_db=_sqnr_db(logits, found),
        agreement_fp32=float((answers == logits.argmax(1)).mean()),
        seconds=time.monotonic() - began,
    )


def _require_same_ports(network: PlainNetwork, model: bytes) -> None:
    """Raise OfaMcuError for a damaged file, and for one with another input or output than the network."""
    theirs = read_tflite(model, f"of {network.graph.name}").structure
    found, wanted = ([g.shapes[name] for name in (*g.inputs, *g.outputs)] for g in (theirs, network.graph))
    if found != wanted:
        raise OfaMcuError(
            f"the .tflite file goes from {found[0]} to {found[-1]} where {network.graph.name} goes from {wanted[0]} to "
            f"{wanted[-1]}, so it is of another network; run the search again"
        )


def crosscheck(
    network: PlainNetwork,
    model: bytes,
    calibration: NDArray[np.int8],
    images: NDArray[np.int8],
    labels: NDArray[np.int64],
    log: Path,
    report: Callable[[str], None] = lambda text: None,
) -> CrossCheck:
    """Convert `network` by ONNX and onnx2tf and compare the result with `model`, our own file of the same network.

    Args:
        network: batch-norm statistics calibrated.
        model: the .tflite file to check.
        calibration: input codes (N, r, r, C) that set the activation ranges, those that set ours.
        images: input codes (N, r, r, C) to compare on, with their `labels` (N,).
        log: file that receives what the converters say.
        report: called with what is being done.

    Raises:
        OfaMcuError: the extra [onnx] is missing, the conversion failed, or `model` is damaged or of another network.
    """
    _require_same_ports(network, model)
    report("converting by ONNX and onnx2tf")
    began = time.monotonic()
    other = convert_by_onnx(network, _floats(calibration), log)
    floats = _floats(images)
    logits = _float_logits(network, floats)
    results = []
    for name, data in (("our file", model), ("onnx2tf's file", other.tflite)):
        report(f"running {name} on {len(images)} images")
        results.append(_run(data, floats, labels, logits))
    return CrossCheck(
        subnet=network.graph.name,
        images=len(images),
        accuracy_fp32=float((logits.argmax(1) == labels).mean()),
        direct=results[0],
        onnx2tf=results[1],
        converted=other.tflite,
        versions=onnx_versions(),
        seconds={
            "export": other.export_seconds,
            "convert": other.convert_seconds,
            "total": time.monotonic() - began,
        },
    )
