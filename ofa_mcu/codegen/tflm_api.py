"""The part of TFLite Micro's public API that generated code calls, as the headers at hand declare it.

Releases differ in the namespace of the interpreter, in the operators that the resolver knows, and in which of them have
a registration for int8 alone; all three are read from the headers. Without headers the oldest common part is assumed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ofa_mcu.errors import UsageError
from ofa_mcu.graph.tflite_options import BuiltinOperator

__all__ = ["ADDERS", "INTERPRETER", "RESOLVER", "TflmApi", "read_api"]

INTERPRETER = "tensorflow/lite/micro/micro_interpreter.h"
RESOLVER = "tensorflow/lite/micro/micro_mutable_op_resolver.h"
_KERNELS = "tensorflow/lite/micro/kernels"

ADDERS: Mapping[BuiltinOperator, str] = {
    BuiltinOperator.ADD: "AddAdd",
    BuiltinOperator.AVERAGE_POOL_2D: "AddAveragePool2D",
    BuiltinOperator.CONCATENATION: "AddConcatenation",
    BuiltinOperator.CONV_2D: "AddConv2D",
    BuiltinOperator.DEPTHWISE_CONV_2D: "AddDepthwiseConv2D",
    BuiltinOperator.DEQUANTIZE: "AddDequantize",
    BuiltinOperator.FULLY_CONNECTED: "AddFullyConnected",
    BuiltinOperator.HARD_SWISH: "AddHardSwish",
    BuiltinOperator.LOGISTIC: "AddLogistic",
    BuiltinOperator.MAX_POOL_2D: "AddMaxPool2D",
    BuiltinOperator.MEAN: "AddMean",
    BuiltinOperator.MUL: "AddMul",
    BuiltinOperator.PAD: "AddPad",
    BuiltinOperator.PADV2: "AddPadV2",
    BuiltinOperator.QUANTIZE: "AddQuantize",
    BuiltinOperator.RELU: "AddRelu",
    BuiltinOperator.RELU6: "AddRelu6",
    BuiltinOperator.RESHAPE: "AddReshape",
    BuiltinOperator.RESIZE_NEAREST_NEIGHBOR: "AddResizeNearestNeighbor",
    BuiltinOperator.SOFTMAX: "AddSoftmax",
    BuiltinOperator.SQUEEZE: "AddSqueeze",
    BuiltinOperator.STRIDED_SLICE: "AddStridedSlice",
    BuiltinOperator.SUB: "AddSub",
    BuiltinOperator.TRANSPOSE: "AddTranspose",
}
"""The resolver's method for each operator that a graph can have."""

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_SCOPE = re.compile(
    r"\bnamespace\s+(?P<name>[\w:]+)\s*\{|(?P<class>\bclass\s+MicroInterpreter\s*(?:final\s*)?[:{])|(?P<brace>[{}])"
)
_ADDER = re.compile(r"\bTfLiteStatus\s+(?P<name>Add\w+)\(\s*(?P<first>const\s+\w+\s*&)?")


@dataclass(frozen=True)
class TflmApi:
    """What generated code may call.

    namespaces: those that hold the interpreter, outermost first. adders: methods of the resolver, None where no headers
    were read. int8: header that declares the registration for int8 alone, by operator that has one.
    """

    namespaces: tuple[str, ...] = ("tflite",)
    adders: frozenset[str] | None = None
    int8: Mapping[BuiltinOperator, str] = field(default_factory=dict)

    def registration(self, operator: BuiltinOperator) -> str:
        """The call of the resolver that adds the operator.

        Raises:
            UsageError: these headers have no such operator.
        """
        adder = ADDERS[operator]
        if self.adders is not None and adder not in self.adders:
            raise UsageError(
                f"this release of TFLite Micro does not know {operator.name} (its resolver has no {adder}): take a "
                "newer one, or leave out --runtime tflm"
            )
        chosen = f"Register_{operator.name}_INT8()" if operator in self.int8 else ""
        return f"{adder}({chosen})"


def read_api(folder: Path) -> TflmApi:
    """The API that the headers under `folder`, the root of a TFLM source tree, declare.

    Raises:
        UsageError: they are not there, or not those of TFLite Micro.
    """
    interpreter, resolver = _text(folder, INTERPRETER), _text(folder, RESOLVER)
    methods = {found["name"]: found["first"] is not None for found in _ADDER.finditer(resolver)}
    if "AddConv2D" not in methods:
        raise UsageError(f"{folder / RESOLVER} declares no operators: name the root of a TFLM source tree")
    int8: dict[BuiltinOperator, str] = {}
    choosable = {operator for operator, adder in ADDERS.items() if methods.get(adder)}
    for header in sorted((folder / _KERNELS).glob("*.h")):
        text = header.read_text(errors="replace")
        for operator in choosable:
            if re.search(rf"\bRegister_{operator.name}_INT8\(\)", text):
                int8.setdefault(operator, f"{_KERNELS}/{header.name}")
    return TflmApi(_namespaces(interpreter), frozenset(methods), int8)


def _namespaces(header: str) -> tuple[str, ...]:
    """Every namespace around the class MicroInterpreter: `tflite`, then `tflite::micro` in newer releases."""
    scopes: list[str] = []  # names of open namespaces, "" for every other brace
    for found in _SCOPE.finditer(_COMMENT.sub("", header)):
        if found["class"]:
            path = "::".join(scope for scope in scopes if scope).split("::")
            return tuple("::".join(path[: depth + 1]) for depth in range(len(path)) if path[0])
        if found["brace"] == "}":
            del scopes[-1:]
        else:
            scopes.append(found["name"] or "")
    return TflmApi.namespaces


def _text(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(errors="replace")
    except OSError as error:
        raise UsageError(
            f"{folder} holds no {name}: name the folder that TFLM's create_tflm_tree.py wrote (--tflm-path)"
        ) from error
