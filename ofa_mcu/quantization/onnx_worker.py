"""The other program's half of the cross-check: a process of its own that turns ONNX into int8 TFLite by onnx2tf.

Run by `ofa_mcu.quantization.crosscheck` as `python -P onnx_worker.py FOLDER`, in FOLDER, which holds `network.onnx`
(input N, C, H, W with N = 1) and `calibration.npy` (N, H, W, C) and receives `network.tflite`. It imports nothing of
ofa_mcu. onnx2tf reseeds every random generator and sets environment variables on import, hence the process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CALIBRATION", "ONNX", "TFLITE", "main"]

ONNX = "network.onnx"
CALIBRATION = "calibration.npy"
TFLITE = "network.tflite"

_NETWORK = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}


def _forbid_network(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: a converter that looks for something on the network ends here, by name."""
    if event in _NETWORK:
        raise RuntimeError(f"the conversion tried to use the network ({event}{arguments[1:]})")


def _sample_images() -> NDArray[np.float32]:
    """Stands in for what onnx2tf downloads to try any network with three-channel input on."""
    return np.random.default_rng(0).random((20, 128, 128, 3), np.float32)


def _keras_model(path: Path) -> Any:
    """The network as a Keras model; onnx2tf rewrites the file."""
    import onnx2tf.onnx2tf

    # fetched from the network without asking, whether it is used or not
    onnx2tf.onnx2tf.download_test_image_data = _sample_images
    return onnx2tf.convert(
        input_onnx_file_path=str(path),
        output_folder_path=str(path.parent / "saved_model"),
        not_use_onnxsim=True,
        disable_model_save=True,
        non_verbose=True,
    )


def _int8(model: Any, images: NDArray[np.float32]) -> bytes:
    """The .tflite file, int8 from input to output: convolutions per channel, dense layers per tensor."""
    import tensorflow as tf

    def representative() -> Iterator[list[NDArray[np.float32]]]:
        for index in range(len(images)):
            yield [images[index : index + 1]]

    function = tf.function(lambda *inputs: model(inputs))
    concrete = function.get_concrete_function(*(tf.TensorSpec(i.shape, i.dtype) for i in model.inputs))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    return bytes(converter.convert())


def main(folder: Path) -> None:
    """Convert FOLDER/network.onnx to FOLDER/network.tflite."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    sys.addaudithook(_forbid_network)
    model = _keras_model(folder / ONNX)
    (folder / TFLITE).write_bytes(_int8(model, np.load(folder / CALIBRATION)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
