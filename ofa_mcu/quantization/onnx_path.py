"""A float network as int8 TFLite by other people's programs: torch's ONNX exporter, onnx2tf, TensorFlow's converter.

Needs the extra [onnx]. TensorFlow and onnx2tf run in a process of their own (`onnx_worker.py`) and without network.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.files import write_text
from ofa_mcu.quantization import onnx_worker
from ofa_mcu.supernet.network import PlainNetwork

__all__ = ["Converted", "convert_by_onnx", "onnx_versions", "require_onnx"]

# module -> its name for pip
_NEEDED = {
    "tensorflow": "tensorflow",
    "tf_keras": "tf_keras",
    "onnx": "onnx",
    "onnx2tf": "onnx2tf",
    "onnx_graphsurgeon": "onnx_graphsurgeon",
    "sng4onnx": "sng4onnx",
    "onnxscript": "onnxscript",
    "psutil": "psutil",
    "ai_edge_litert": "ai-edge-litert",
}
_OPSET = 18
_TIME_LIMIT = 1800.0
_LAST_LINES = 4000  # characters of the log in which the reason of a failure is looked for


@dataclass(frozen=True, eq=False)
class Converted:
    """The .tflite file, and the seconds that the export to ONNX and the conversion took."""

    tflite: bytes
    export_seconds: float
    convert_seconds: float


def require_onnx() -> None:
    """Raise OfaMcuError, with the command that installs them, where packages of the extra [onnx] are missing."""
    missing = [name for module, name in _NEEDED.items() if find_spec(module) is None]
    if missing:
        raise OfaMcuError(
            f"the conversion by ONNX needs the extra [onnx], of which {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing; install it (about 2 GB) with: pip install 'ofa-mcu[onnx]'"
        )


def onnx_versions() -> dict[str, str]:
    """Installed versions of the programs on the way, by package."""
    return {name: metadata.version(name) for name in ("torch", "onnx", "onnx2tf", "tensorflow", "ai-edge-litert")}


def _export(network: PlainNetwork, path: Path) -> None:
    """Write the network, one image at a time, as ONNX."""
    name = network.graph.inputs[0]
    _, height, width, channels = network.graph.shapes[name]
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network.eval(),
                (torch.zeros(1, channels, height, width),),
                str(path),
                input_names=[name],
                output_names=[network.graph.outputs[0]],
                dynamo=True,
                opset_version=_OPSET,
                external_data=False,
                verbose=False,
            )
    finally:
        logger.setLevel(level)


def _reason(log: str) -> str:
    """The line of the log that tells most: the last one that names an error, else the last."""
    lines = [line.strip() for line in log[-_LAST_LINES:].splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "it said nothing")


def convert_by_onnx(network: PlainNetwork, calibration: NDArray[np.float32], log: Path) -> Converted:
    """Convert by ONNX and onnx2tf: int8 from input to output, convolutions per channel, dense layers per tensor.

    Args:
        network: batch-norm statistics calibrated.
        calibration: images (N, H, W, C) as the network sees them; they set the activation ranges.
        log: file that receives what the converters say.

    Raises:
        OfaMcuError: the extra is missing, or the conversion failed.
    """
    require_onnx()
    with tempfile.TemporaryDirectory(prefix="ofa-mcu-onnx-") as name:
        folder = Path(name)
        began = time.monotonic()
        _export(network, folder / onnx_worker.ONNX)
        exported = time.monotonic()
        np.save(folder / onnx_worker.CALIBRATION, calibration)
        try:
            done = subprocess.run(
                [sys.executable, "-P", str(Path(onnx_worker.__file__).resolve()), name],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_TIME_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise OfaMcuError(
                f"onnx2tf did not convert {network.graph.name} within {_TIME_LIMIT:g} s; "
                "try again on a machine with less to do"
            ) from error
        write_text(log, done.stdout)
        result = folder / onnx_worker.TFLITE
        if done.returncode or not result.is_file():
            raise OfaMcuError(
                f"onnx2tf {metadata.version('onnx2tf')} could not convert {network.graph.name} "
                f"({_reason(done.stdout)}); all it said is in {log}, versions that work are in constraints.txt"
            )
        return Converted(result.read_bytes(), exported - began, time.monotonic() - exported)
