"""One network trained alone, as an int8 file with its accuracies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ofa_mcu.files import write_bytes
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.graph.verify import probe_inputs, verify
from ofa_mcu.quantization.fast import int8_accuracy
from ofa_mcu.quantization.ptq import quantize
from ofa_mcu.supernet.plain_store import NETWORK_FILE, load_network
from ofa_mcu.tasks.resample import resample, to_codes
from ofa_mcu.tasks.task import Dataset
from ofa_mcu.training.calibrate import accuracy, calibration_inputs, one_thread_each
from ofa_mcu.training.data import ImageSet

__all__ = ["MODEL_FILE", "export_single"]

MODEL_FILE = "model.tflite"
_VERIFIED = 4


def export_single(folder: Path, data: Dataset) -> dict[str, Any]:
    """Quantize the network in `folder`, prove its file byte-exact, write `model.tflite`; figures for the report.

    Raises:
        MismatchError: the exported network differs from TFLite Micro in any byte.
    """
    network, header = load_network(folder / NETWORK_FILE)
    _, height, width, _ = network.graph.shapes[network.graph.inputs[0]]
    size = height, width
    calibration = calibration_inputs(data.train, size)
    with one_thread_each():
        graph = quantize(network, calibration)
    model = write_tflite(graph)
    codes = {part: to_codes(resample(getattr(data, part).inputs, size)) for part in ("validation", "test")}
    name = graph.structure.inputs[0]
    probes = probe_inputs(graph, seed=0)
    verify(graph, model, {name: np.concatenate([probes[name], codes["test"][:_VERIFIED]])})
    write_bytes(folder / MODEL_FILE, model)
    return {
        "file": str(folder / MODEL_FILE),
        "macs": graph.structure.macs,
        "parameters": graph.structure.parameters,
        "accuracy_fp32": round(accuracy(network, ImageSet(data.test, (size,))), 5),
        "accuracy_int8": round(int8_accuracy(graph, codes["test"], data.test.labels), 5),
        "accuracy_int8_validation": round(int8_accuracy(graph, codes["validation"], data.validation.labels), 5),
        "trained": header["trained"],
    }
