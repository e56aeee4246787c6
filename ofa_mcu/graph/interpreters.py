"""Other people's interpreters as witnesses: TFLite Micro's host build and LiteRT's reference kernels.

Both are imported only when asked for. Every function runs a .tflite file on a batch of images, one image at a time,
and returns every activation tensor.
"""

from __future__ import annotations

import os
import re
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.tflite_reader import tensor_names

__all__ = ["TflmArena", "litert_tensors", "litert_version", "tflm_arena", "tflm_tensors", "tflm_version"]

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class TflmArena:
    """Bytes TFLite Micro's host build takes from its arena.

    `head` holds activations and scratch buffers and is the same on every target; `tail` holds persistent structures
    with the host's 64-bit pointers and is not what a microcontroller needs. `total` is their sum.
    """

    total: int
    head: int
    tail: int


def tflm_version() -> str:
    """Version of the installed TFLite Micro; raises OfaMcuError where it is missing."""
    _tflm()
    return metadata.version("tflite-micro")


def tflm_tensors(data: bytes, inputs: Mapping[str, NDArray[Any]], wanted: list[str]) -> Tensors:
    """The `wanted` tensors (N, elements) after TFLite Micro ran each of N images; inputs map names to (N, ...)."""
    runtime = _tflm()
    interpreter = _tflm_interpreter(data, runtime.InterpreterConfig.kPreserveAllTensors)
    index = {name: i for i, name in enumerate(tensor_names(data))}
    images = len(next(iter(inputs.values())))
    collected: dict[str, list[NDArray[Any]]] = {name: [] for name in wanted}
    for image in range(images):
        _tflm_invoke(interpreter, [value[image : image + 1] for value in inputs.values()])
        for name, values in collected.items():
            values.append(np.array(interpreter.GetTensor(index[name], 0)["tensor_data"]).reshape(1, -1))
    return {name: np.concatenate(values) for name, values in collected.items()}


def tflm_arena(data: bytes, inputs: Mapping[str, NDArray[Any]]) -> TflmArena:
    """What TFLite Micro takes from its arena for this file, after one inference of the first image."""
    runtime = _tflm()
    interpreter = _tflm_interpreter(data, runtime.InterpreterConfig.kAllocationRecording)
    _tflm_invoke(interpreter, [value[:1] for value in inputs.values()])
    with _captured_stderr() as captured:
        interpreter.print_allocations()
    found = dict(re.findall(r"Arena allocation (total|head|tail) (\d+) bytes", captured.text))
    if len(found) != 3:
        raise OfaMcuError(
            f"TFLite Micro {tflm_version()} did not report its arena: install the version named in constraints.txt"
        )
    return TflmArena(**{key: int(value) for key, value in found.items()})


def litert_version() -> str | None:
    """Version of the installed LiteRT, None where it is missing."""
    try:
        return metadata.version("ai-edge-litert")
    except metadata.PackageNotFoundError:
        return None


def litert_tensors(data: bytes, inputs: Mapping[str, NDArray[Any]], wanted: list[str]) -> Tensors:
    """The `wanted` tensors (N, elements) after LiteRT's reference kernels ran each of N images."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=data,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    index = {name: i for i, name in enumerate(tensor_names(data))}
    images = len(next(iter(inputs.values())))
    collected: dict[str, list[NDArray[Any]]] = {name: [] for name in wanted}
    for image in range(images):
        for name, value in inputs.items():
            shape = interpreter.get_tensor_details()[index[name]]["shape"]
            interpreter.set_tensor(index[name], value[image].reshape(shape))
        interpreter.invoke()
        for name, values in collected.items():
            values.append(interpreter.get_tensor(index[name]).reshape(1, -1))
    return {name: np.concatenate(values) for name, values in collected.items()}


def _tflm() -> Any:
    try:
        from tflite_micro.python.tflite_micro import runtime
    except ImportError as error:
        raise OfaMcuError(
            "TFLite Micro's host interpreter, the truth about int8 arithmetic, is not installed: run "
            "'pip install tflite-micro' (Linux x86-64, Python 3.10 or newer)"
        ) from error
    return runtime


_ARENA_TOO_SMALL = ("allocate memory", "resize buffer")


def _tflm_interpreter(data: bytes, config: Any) -> Any:
    """An interpreter whose arena is large enough; TFLite Micro itself does not say how large that is."""
    runtime = _tflm()
    size = 4 * len(data) + (1 << 18)
    for _ in range(8):
        with _captured_stderr() as captured:
            try:
                return runtime.Interpreter.from_bytes(data, arena_size=size, intrepreter_config=config)
            except (RuntimeError, ValueError, TypeError, IndexError, struct.error) as error:
                reason = str(error)
                size *= 4
        if not any(words in captured.text for words in _ARENA_TOO_SMALL):
            break
    raise _refusal(captured.text, reason)


def _tflm_invoke(interpreter: Any, values: list[NDArray[Any]]) -> None:
    with _captured_stderr() as captured:
        try:
            for index, value in enumerate(values):
                shape = interpreter.get_input_details(index)["shape"]
                interpreter.set_input(np.ascontiguousarray(value).reshape(shape), index)
            interpreter.invoke()
            return
        except RuntimeError as error:
            reason = str(error)
    raise _refusal(captured.text, reason)


def _refusal(complaint: str, reason: str) -> OfaMcuError:
    first = next((line.strip() for line in complaint.splitlines() if line.strip()), reason)
    return OfaMcuError(
        f"TFLite Micro {tflm_version()} refuses the model ({first}): use operators and options it supports"
    )


class _Capture:
    text = ""


@contextmanager
def _captured_stderr() -> Iterator[_Capture]:
    """Collects what C code writes to file descriptor 2; the text is there once the block has ended."""
    capture = _Capture()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield capture
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            capture.text = file.read().decode(errors="replace")
